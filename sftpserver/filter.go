package sftpserver

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/upgrademock/upgrademock/internal/sftpwire"
)

// Sizes in the answer to limits@openssh.com. OpenSSH's sftp then sends blocks of maxTransfer instead of 32 KiB.
const (
	maxPacket   = 256 << 10 // a packet, type included; pkg/sftp ends the session at a longer one
	maxTransfer = 255 << 10 // the data of one READ or WRITE
)

// maxSkipped is how long a packet may be that is refused but read over. A longer one is taken for garbage.
const maxSkipped = 64 << 20

// filter stands between the SSH channel and pkg/sftp, as the stream that pkg/sftp reads and writes. It looks at each
// packet once, in the order in which they come, and corrects what pkg/sftp gets wrong; see corrections.go. Data is
// neither copied nor looked at.
type filter struct {
	session *session
	in      *bufio.Reader

	// Only the goroutine that reads uses these.
	rest int   // how many bytes of the packet are left
	end  error // the input has ended

	mu      sync.Mutex
	changed *sync.Cond         // on mu: requests has changed
	pending []request          // those that pkg/sftp has not answered, in the order of the answers
	pages   int                // the sum of their pages
	handles map[string]*handle // by what the client calls them

	begun []byte // of an answer: pkg/sftp writes it in one or two pieces

	sending  sync.Mutex
	finished bool // under sending: nothing may be sent any more
}

func newFilter(s *session) *filter {
	f := &filter{session: s, handles: make(map[string]*handle)}
	f.in = bufio.NewReaderSize(s.ssh, 4096)
	f.changed = sync.NewCond(&f.mu)
	return f
}

// Read gives pkg/sftp the client's packets.
func (f *filter) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for f.end == nil {
		if f.rest == 0 {
			if err := f.next(); err != nil {
				f.endInput(err)
			}
			continue
		}
		n, err := f.in.Read(p[:min(len(p), f.rest)])
		f.rest -= n
		if n > 0 {
			return n, nil
		}
		f.dropHalf()
		f.endInput(unexpected(err))
	}
	return 0, f.end
}

// unexpected is the error for an end in the middle of a packet.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// next looks at the packet that begins now and sets rest to its length, or to 0 if the filter has dealt with it. The
// error is io.EOF if the input ended before the packet.
func (f *filter) next() error {
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
	case length < 5 || length > maxSkipped:
		return fmt.Errorf("a message of %d bytes", length)
	case kind == sftpwire.Init:
		return f.admit(request{pages: 1})
	}
	start, err = f.in.Peek(sftpwire.HeadSize)
	if err != nil {
		return unexpected(err)
	}
	id := sftpwire.ParseHead(start).ID
	switch {
	case length > maxPacket:
		return f.refuseLong(id, length)
	case kind == sftpwire.Extended:
		return f.serveExtension(id)
	case kind < sftpwire.Open || kind > sftpwire.Symlink:
		return f.refuseUnknown(id, kind)
	case kind == sftpwire.Read || kind == sftpwire.Write || kind == sftpwire.Readdir:
		return f.checkHandle(kind, id)
	case kind == sftpwire.Open:
		f.openToRead()
	}
	return f.admit(request{pages: 1, handle: f.handleOf(kind)})
}

// peek decodes the first n bytes of the packet's fields, or as many as there are. They stay in the buffer.
func (f *filter) peek(n int) sftpwire.Decoder {
	b, _ := f.in.Peek(min(sftpwire.HeadSize+n, f.rest))
	return sftpwire.NewDecoder(b[sftpwire.HeadSize:])
}

// answerInstead reads over the packet and sends an answer when its turn has come.
func (f *filter) answerInstead(answer []byte) error {
	if err := f.await(func() bool { return len(f.pending) == 0 }); err != nil {
		return err
	}
	n, err := f.in.Discard(f.rest)
	f.rest = 0
	if err != nil || n == 0 {
		return unexpected(err)
	}
	f.send(answer)
	return nil
}

// Write takes pkg/sftp's answers, each in one piece or in two, of which the first holds the length and the request id.
func (f *filter) Write(p []byte) (int, error) {
	head, body := f.begun, p
	if head == nil {
		head, body = p, nil
	}
	if len(head) < sftpwire.HeadSize {
		return 0, fmt.Errorf("sftpserver: an answer that begins with %d bytes", len(head))
	}
	answer := sftpwire.ParseHead(head)
	if missing := 4 + int(answer.Length) - len(head) - len(body); missing > 0 {
		f.begun = append([]byte(nil), head...)
		return len(p), nil
	}
	f.begun = nil
	f.answer(answer, head, body)
	f.answered()
	return len(p), nil
}

// answer sends one answer, corrected.
func (f *filter) answer(answer sftpwire.Head, head, body []byte) {
	if answer.Type == sftpwire.Data {
		f.send(head, body)
		return
	}
	packet := append(append([]byte(nil), head...), body...)
	fields := sftpwire.NewDecoder(packet[sftpwire.HeadSize:])
	switch answer.Type {
	case sftpwire.Version:
		packet = announce(answer.ID)
	case sftpwire.Handle:
		f.nameHandle(fields.Text())
	case sftpwire.Status:
		if e := f.session.ending.Load(); e != nil && e.isDue(fields.Uint32()) {
			f.endNow(e, packet)
			return
		}
	case sftpwire.Name:
		packet = f.withLongNames(answer.ID, packet)
	}
	f.send(packet)
}

// send writes an answer to the channel, in pieces. An error is the end of the channel, which is also that of the input.
func (f *filter) send(pieces ...[]byte) {
	f.sending.Lock()
	defer f.sending.Unlock()
	if f.finished {
		return
	}
	for _, p := range pieces {
		f.session.ssh.Write(p)
	}
}

// Close is called by pkg/sftp when the client broke the protocol. The channel is ended by session.
func (f *filter) Close() error { return nil }

// finish makes the session ready for its end: pkg/sftp may have an answer left even when Serve has returned.
func (f *filter) finish() {
	f.sending.Lock()
	f.finished = true
	f.sending.Unlock()
}
