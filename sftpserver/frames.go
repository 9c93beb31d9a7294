package sftpserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"sync"

	gossh "golang.org/x/crypto/ssh"
)

// Sizes that limits@openssh.com tells the client. OpenSSH's sftp then sends blocks of maxTransfer instead of 32 KiB.
const (
	maxMessage  = 256 << 10 // a message, type included; pkg/sftp ends the session at a longer one
	maxTransfer = 255 << 10 // the data of one READ or WRITE
)

// maxSkipped is how long a message may be that is refused but read over; beyond it the stream is taken for garbage.
const maxSkipped = 64 << 20

// Message types of draft-ietf-secsh-filexfer-02, section 3.
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpOpen          = 3
	fxpRead          = 5
	fxpWrite         = 6
	fxpSetstat       = 9
	fxpFsetstat      = 10
	fxpReaddir       = 12
	fxpSymlink       = 20 // the last of the requests, which are numbered from 3
	fxpStatus        = 101
	fxpHandle        = 102
	fxpData          = 103
	fxpName          = 104
	fxpExtended      = 200
	fxpExtendedReply = 201
)

// Flags of an OPEN.
const (
	fxfRead  = 1
	fxfWrite = 2
)

const (
	fxDenied      = 3
	fxFailure     = 4
	fxBadMessage  = 5
	fxUnsupported = 8
)

// frames stands between the SSH channel and pkg/sftp and looks at each message once, in the order of the wire. It
//   - answers what pkg/sftp does not serve: limits@openssh.com, unknown types, messages that are too long;
//   - keeps what pkg/sftp loses: which handle an FSETSTAT is for, and the order in which the messages came;
//   - sends answers in few large pieces instead of two SSH packets each;
//   - ends the connection when it is the turn of an answer that says so.
//
// Data is not copied on the way in, and not looked at.
type frames struct {
	session *session
	ch      gossh.Channel
	in      *bufio.Reader

	// Of the reading goroutine.
	head  []byte // handed out before the stream goes on
	rest  int    // of the message: bytes of the stream that go through as they are
	tail  []byte // handed out after rest
	end   error  // the input has ended
	opens uint32 // numbers the OPEN messages

	mu      sync.Mutex
	pending map[uint32]uint32  // OPEN by request id → its number
	byOpen  map[uint32]*handle // by the number of its OPEN, until the client is told its name
	byName  map[string]*handle // by what the client calls it
	asked   []request          // those that pkg/sftp has not answered, in the order of the answers
	held    int                // the sum of their pages
	changed *sync.Cond         // on mu: asked

	begun []byte // of an answer: pkg/sftp writes it in one or two pieces
	out   *writer
}

func newFrames(s *session, ch gossh.Channel) *frames {
	f := &frames{session: s, ch: ch, pending: make(map[uint32]uint32), byOpen: make(map[uint32]*handle), byName: make(map[string]*handle)}
	f.in = bufio.NewReaderSize(readerFunc(func(p []byte) (int, error) {
		n, err := ch.Read(p)
		s.conn.progress.Add(1)
		return n, err
	}), 4096)
	f.changed = sync.NewCond(&f.mu)
	f.out = newWriter(ch)
	return f
}

// Read gives pkg/sftp the client's messages.
func (f *frames) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for f.end == nil {
		switch {
		case len(f.head) > 0:
			n := copy(p, f.head)
			f.head = f.head[n:]
			return n, nil
		case f.rest > 0:
			n, err := f.in.Read(p[:min(len(p), f.rest)])
			f.rest -= n
			if n > 0 {
				return n, nil
			}
			f.endsWith(unexpected(err))
		case len(f.tail) > 0:
			f.head, f.tail = f.tail, nil
		default:
			if err := f.next(); err != nil {
				f.endsWith(err)
			}
		}
	}
	return 0, f.end
}

// endsWith ends the input. pkg/sftp hears of it when it has answered everything: it would forget the last answers
// else.
func (f *frames) endsWith(err error) {
	f.end = err
	f.session.ended(err)
	if f.rest > 0 {
		f.answered() // never: half a message
	}
	f.await(func() bool { return len(f.asked) == 0 })
}

// await waits until the condition holds, under mu, or the connection is to end.
func (f *frames) await(condition func() bool) {
	ctx := f.session.conn.ctx
	stop := func() bool { return true }
	f.mu.Lock()
	defer f.mu.Unlock()
	for waiting := false; !condition() && ctx.Err() == nil; f.changed.Wait() {
		if !waiting {
			waiting = true
			stop = context.AfterFunc(ctx, func() {
				f.mu.Lock()
				f.changed.Broadcast()
				f.mu.Unlock()
			})
		}
	}
	stop()
}

// maxPages bounds what the requests being served in one session hold in memory, in pages of pkg/sftp's allocator of
// 256 KiB: one for each request, two for a READ. As they come pkg/sftp would take two dozen.
const maxPages = 4

// request is one that pkg/sftp serves.
type request struct {
	does     effect
	pages    int
	from, to uint64 // of a write
}

// effect is what a request means for those that came before and after it.
type effect int

const (
	alone  effect = iota // it must see what each earlier one has done, and each later one what it did
	reads                // it changes nothing
	writes               // it changes the bytes between from and to
)

// besides tells whether two requests may be served at once, since their order makes no difference.
func (r request) besides(o request) bool {
	return r.does == reads && o.does == reads || r.does == writes && o.does == writes && (r.to <= o.from || o.to <= r.from)
}

// asks counts a request that is about to be handed to pkg/sftp, and waits until there is room for its pages and its
// turn has come: pkg/sftp has several workers, while requests of one session have to act on the file in the order in
// which they came (draft-ietf-secsh-filexfer-02, section 6.1).
func (f *frames) asks(r request) {
	f.await(func() bool {
		if len(f.asked) > 0 && f.held+r.pages > maxPages {
			return false
		}
		return !slices.ContainsFunc(f.asked, func(earlier request) bool { return !r.besides(earlier) })
	})
	f.mu.Lock()
	f.asked = append(f.asked, r)
	f.held += r.pages
	f.mu.Unlock()
}

// answered counts the answer to the oldest request.
func (f *frames) answered() {
	f.mu.Lock()
	if len(f.asked) > 0 {
		f.held -= f.asked[0].pages
		f.asked = f.asked[1:]
	}
	f.changed.Broadcast()
	f.mu.Unlock()
}

// unexpected is an end in the middle of a message.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next looks at the message that begins now and sets head, rest and tail to what pkg/sftp gets of it; nothing at all
// if it is done with. The error is io.EOF if the input ended before the message.
func (f *frames) next() error {
	if _, err := f.in.Peek(1); err != nil {
		return err
	}
	start, err := f.in.Peek(5)
	if err != nil {
		return unexpected(err)
	}
	length, kind := int(binary.BigEndian.Uint32(start)), start[4]
	f.rest = 4 + length
	switch {
	case length < 5:
		return fmt.Errorf("a message of %d bytes", length)
	case length > maxSkipped:
		return fmt.Errorf("a message of %d bytes", length)
	case kind == fxpInit:
		f.asks(request{pages: 1})
		return nil
	}
	start, err = f.in.Peek(9)
	if err != nil {
		return unexpected(err)
	}
	id := binary.BigEndian.Uint32(start[5:])
	switch {
	case length > maxMessage:
		f.session.conn.deny("message", "", fmt.Sprintf("a message of %d bytes: %d are the most", length, maxMessage))
		return f.answerInstead(statusMessage(id, fxBadMessage, "Message too long"))
	case kind == fxpExtended:
		return f.nextExtended(id, length)
	case kind < fxpOpen || kind > fxpSymlink:
		f.session.conn.deny("message", "", fmt.Sprintf("unknown message type %d", kind))
		return f.answerInstead(statusMessage(id, fxUnsupported, statusUnsupported.text))
	case kind == fxpRead || kind == fxpWrite || kind == fxpReaddir:
		return f.nextOfHandle(kind, id, length)
	case kind == fxpOpen:
		f.nextOpen(id, length)
	case kind == fxpFsetstat:
		f.nextFsetstat(length)
	}
	f.asks(request{pages: 1})
	return nil
}

// answerInstead reads over the message and sends an answer of ours, when its turn has come.
func (f *frames) answerInstead(answer []byte) error {
	f.await(func() bool { return len(f.asked) == 0 })
	n, err := f.in.Discard(f.rest)
	f.rest = 0
	if err != nil || n == 0 {
		return unexpected(err)
	}
	f.out.put(answer)
	return nil
}

// peekMessage returns the message if it is short; its first bytes otherwise, or if the input ends.
func (f *frames) peekMessage(length int) []byte {
	b, _ := f.in.Peek(min(4+length, 4096))
	return b
}

func (f *frames) nextExtended(id uint32, length int) error {
	d := decoder{f.peekMessage(length)[9:]}
	switch name := d.string(); name {
	case "limits@openssh.com":
		// PROTOCOL file of OpenSSH, section 4.8: the longest message, READ, WRITE, and the number of handles.
		e := encoder{kind: fxpExtendedReply, id: id}
		for _, limit := range []uint64{maxMessage, maxTransfer, maxTransfer, maxHandles} {
			e.uint64(limit)
		}
		return f.answerInstead(e.message())
	case "posix-rename@openssh.com", "hardlink@openssh.com":
		f.asks(request{pages: 1}) // to be refused where all others are
		return nil
	default:
		f.session.conn.deny("extension", name, "not supported")
		return f.answerInstead(statusMessage(id, fxUnsupported, statusUnsupported.text))
	}
}

// nextOfHandle tells pkg/sftp's workers when they may begin, and refuses what pkg/sftp mistakes: reading from or
// writing to a directory, listing a file, and reading through a handle that was opened to write: for that pkg/sftp
// writes what happens to be in its memory.
func (f *frames) nextOfHandle(kind byte, id uint32, length int) error {
	b, _ := f.in.Peek(min(4+length, 64))
	d := decoder{b[9:]}
	name := d.take(int(d.uint32()))
	f.mu.Lock()
	h := f.byName[string(name)]
	f.mu.Unlock()
	if (h != nil) == (kind == fxpReaddir) {
		return f.answerInstead(statusMessage(id, fxFailure, statusHandle.text))
	}
	from := d.uint64()
	to := from + uint64(d.uint32())
	if d.b == nil || to < from {
		from, to = 0, math.MaxUint64
	}
	r := request{pages: 1}
	switch {
	case kind == fxpRead && !h.flags.Read:
		f.session.conn.deny("read", "/"+h.name, "the file was not opened to be read")
		return f.answerInstead(statusMessage(id, fxFailure, statusHandle.text))
	case kind == fxpWrite && !h.writable():
		f.session.conn.deny("write", "/"+h.name, "the file was not opened to be written")
		return f.answerInstead(statusMessage(id, fxFailure, statusHandle.text))
	case kind == fxpRead:
		r.pages = 2
		if !h.meets(h.onRead, to) {
			r.does = reads
		}
	case kind == fxpWrite && !h.flags.Append && !h.meets(h.onWrite, to):
		r = request{does: writes, pages: 1, from: from, to: to}
	}
	f.asks(r)
	return nil
}

// nextOpen adds a number to the end of an OPEN: pkg/sftp hands the attributes on as they came, with whatever stands
// behind them. One that wants neither to read nor to write opens the file to read, as with OpenSSH's server; pkg/sftp
// would refuse it.
func (f *frames) nextOpen(id uint32, length int) {
	if length+4 > maxMessage {
		return
	}
	f.opens++
	f.mu.Lock()
	f.pending[id] = f.opens
	f.mu.Unlock()
	f.tail = binary.BigEndian.AppendUint32(nil, f.opens)
	if b := f.peekMessage(length); len(b) == 4+length {
		d := decoder{b[9:]}
		path, flags := d.string(), d.uint32()
		if d.b != nil && flags&(fxfRead|fxfWrite) == 0 {
			e := encoder{kind: fxpOpen, id: id}
			e.string(path)
			e.uint32(flags | fxfRead)
			e.b = append(append(e.b, d.b...), f.tail...)
			f.in.Discard(4 + length)
			f.head, f.rest, f.tail = e.message(), 0, nil
			return
		}
	}
	f.in.Discard(4)
	f.head, f.rest = binary.BigEndian.AppendUint32(nil, uint32(length+4)), length
}

// opened is called when the OPEN with these attributes has opened h.
func (s *session) opened(attrs []byte, h *handle) {
	if len(attrs) < 4 {
		return
	}
	f := s.frames
	f.mu.Lock()
	f.byOpen[binary.BigEndian.Uint32(attrs[len(attrs)-4:])] = h
	f.mu.Unlock()
}

// answeredOpen is called with each STATUS and HANDLE on its way to the client; handle is nil for a STATUS.
func (f *frames) answeredOpen(id uint32, name []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	number, ok := f.pending[id]
	if !ok {
		return
	}
	delete(f.pending, id)
	h := f.byOpen[number]
	delete(f.byOpen, number)
	if h != nil && name != nil {
		f.byName[string(name)] = h
		h.nameOnWire = string(name)
	}
}

func (f *frames) closed(h *handle) {
	f.mu.Lock()
	delete(f.byName, h.nameOnWire)
	f.mu.Unlock()
}

// nextFsetstat turns an FSETSTAT into a SETSTAT of a marked path.
func (f *frames) nextFsetstat(length int) {
	b := f.peekMessage(length)
	if len(b) < 4+length {
		return
	}
	d := decoder{b[9:]}
	name := d.string()
	if d.b == nil {
		return
	}
	f.mu.Lock()
	h := f.byName[name]
	f.mu.Unlock()
	if h == nil {
		return // pkg/sftp knows what to answer
	}
	e := encoder{kind: fxpSetstat, id: binary.BigEndian.Uint32(b[5:])}
	e.string(handleMark + strconv.FormatUint(h.number, 10))
	e.b = append(e.b, d.b...)
	f.in.Discard(4 + length)
	f.head, f.rest = e.message(), 0
}

// Close is called by pkg/sftp when the client broke the protocol; the channel is ended by whoever began it.
func (f *frames) Close() error { return nil }

// finish sends what is left.
func (f *frames) finish() { f.out.close() }
