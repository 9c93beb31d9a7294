package raw

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Session is an SFTP session on an SSH connection. It is used by one goroutine.
type Session struct {
	*Conn
	ch     ssh.Channel
	exited <-chan int
	id     uint32
	hung   atomic.Bool
}

// StartSFTP begins SFTP on the connection.
func (c *Conn) StartSFTP() (*Session, error) {
	s := &Session{Conn: c}
	var msg Message
	err := c.link.Exchange("sftp-init", "begin SFTP", &msg, func() error {
		defer c.watch()()
		ch, reqs, err := c.client.OpenChannel("session", nil)
		if err != nil {
			return fmt.Errorf("the server opens no session: %w", err)
		}
		s.ch, s.exited = ch, watchExit(reqs)
		ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
		if err != nil || !ok {
			return fmt.Errorf("the server refuses the subsystem sftp (%v)", err)
		}
		go io.Copy(io.Discard, ch.Stderr())
		init := Packet(nil).Uint32(5)
		init = append(init, FxpInit).Uint32(3)
		if _, err := ch.Write(init); err != nil {
			return err
		}
		msg, err = s.readMessage()
		return err
	})
	if err != nil {
		return nil, err
	}
	if msg.Type != FxpVersion || msg.ID != 3 {
		return nil, fmt.Errorf("the server's SFTP begins with packet type %d, version %d: expected version 3",
			msg.Type, msg.ID)
	}
	return s, nil
}

// readMessage reads one packet. The version packet has its version where others have an id.
func (s *Session) readMessage() (Message, error) {
	defer context.AfterFunc(s.link.Context(), func() { s.raw.Close() })()
	timer := time.AfterFunc(s.link.CallTime(), func() { s.hung.Store(true); s.raw.Close() })
	defer timer.Stop()
	var head [9]byte
	if _, err := io.ReadFull(s.ch, head[:]); err != nil {
		return Message{}, s.lost(err)
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 5 || n > maxPacket {
		return Message{}, fmt.Errorf("the server sent an SFTP packet of %d bytes", n)
	}
	m := Message{Type: head[4], ID: binary.BigEndian.Uint32(head[5:]), Data: make([]byte, n-5)}
	if _, err := io.ReadFull(s.ch, m.Data); err != nil {
		return Message{}, s.lost(err)
	}
	return m, nil
}

// lost is the error of a session that ended with err.
func (s *Session) lost(err error) error {
	if s.hung.Load() {
		s.link.Hung()
		return fmt.Errorf("%w to an SFTP packet within %v", ErrNoAnswer, s.link.CallTime())
	}
	return fmt.Errorf("the SFTP session ended (%v)", err)
}

// Request is a packet without its length and id.
type Request struct {
	Kind byte
	Data Packet
}

// Batch sends the requests without waiting for an answer in between, and returns the answers in the order of the
// requests.
func (s *Session) Batch(what string, reqs []Request) ([]Message, error) {
	var answers []Message
	err := s.link.Exchange("sftp", what, &answers, func() error {
		first := s.id + 1
		var out Packet
		for _, r := range reqs {
			s.id++
			out = out.Uint32(uint32(5 + len(r.Data)))
			out = append(append(out, r.Kind).Uint32(s.id), r.Data...)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := s.ch.Write(out)
			sent <- err
		}()
		came := make([]Message, len(reqs))
		for range reqs {
			m, err := s.readMessage()
			if err != nil {
				s.raw.Close() // so that the writer ends, too
				<-sent
				return err
			}
			i := int(m.ID - first)
			if i < 0 || i >= len(came) || came[i].Type != 0 {
				s.raw.Close()
				<-sent
				return fmt.Errorf("the server answered an SFTP request %d that was not asked", m.ID)
			}
			came[i] = m
		}
		answers = came
		return <-sent
	})
	return answers, err
}

// Send sends one request and returns the answer. A status other than OK is a *Status error.
func (s *Session) Send(what string, kind byte, data Packet) (Message, error) {
	answers, err := s.Batch(what, []Request{{kind, data}})
	if err != nil {
		return Message{}, err
	}
	return answers[0], answers[0].Err()
}

// Err returns a *Status if the message is a status other than OK.
func (m Message) Err() error {
	if m.Type != FxpStatus {
		return nil
	}
	d := Body{rest: m.Data}
	st := &Status{Code: d.Uint32(), Text: d.Str()}
	if st.Code == StatusOK {
		return nil
	}
	return st
}

// expectType reads an answer of the given type.
func expectType(m Message, err error, kind byte, what string) (*Body, error) {
	if err != nil {
		return nil, err
	}
	if m.Type != kind {
		return nil, fmt.Errorf("%s was answered with an SFTP packet of type %d", what, m.Type)
	}
	return &Body{rest: m.Data}, nil
}

// Open opens a file and returns its handle.
func (s *Session) Open(path string, flags uint32) (string, error) {
	what := fmt.Sprintf("open %s%s", path, FlagNames(flags))
	m, err := s.Send(what, FxpOpen, Packet(nil).Str(path).Uint32(flags).Attrs(Attrs{}))
	d, err := expectType(m, err, FxpHandle, what)
	if err != nil {
		return "", err
	}
	return d.Str(), nil
}

// FlagNames says in words what a file is opened for.
func FlagNames(flags uint32) string {
	out := " for"
	for i, name := range []string{"reading", "writing", "appending", "creating", "truncating", "creating anew"} {
		if flags&(1<<i) != 0 {
			out += " " + name
		}
	}
	return out
}

// CloseHandle closes a handle.
func (s *Session) CloseHandle(h string) error {
	_, err := s.Send("close", FxpClose, Packet(nil).Str(h))
	return err
}

// Block is a piece of a file to write.
type Block struct {
	Offset int64
	Data   []byte
	Pad    []byte // after the packet's fields
}

// Blocks cuts data into pieces to be written from offset on.
func Blocks(data []byte, offset int64) []Block {
	var out []Block
	for piece := range slices.Chunk(data, BlockSize) {
		out = append(out, Block{Offset: offset, Data: piece})
		offset += int64(len(piece))
	}
	return out
}

// Write sends all blocks without waiting for an answer in between. The error is that of the first block that was not
// taken.
func (s *Session) Write(h string, bs []Block) error {
	var reqs []Request
	for _, b := range bs {
		reqs = append(reqs, Request{FxpWrite,
			append(Packet(nil).Str(h).Uint64(uint64(b.Offset)).Bytes(b.Data), b.Pad...)})
	}
	answers, err := s.Batch(fmt.Sprintf("%d writes", len(bs)), reqs)
	if err != nil {
		return err
	}
	for i, m := range answers {
		if err := m.Err(); err != nil {
			return fmt.Errorf("write of %d bytes at offset %d: %w", len(bs[i].Data), bs[i].Offset, err)
		}
	}
	return nil
}

// Put opens a file, writes the blocks and closes it, as the command put does.
func (s *Session) Put(name string, flags uint32, bs []Block) error {
	h, err := s.Open(name, flags)
	if err != nil {
		return err
	}
	if err := s.Write(h, bs); err != nil {
		s.CloseHandle(h)
		return err
	}
	return s.CloseHandle(h)
}

// Read reads up to n bytes at an offset. At the end of the file the error is io.EOF.
func (s *Session) Read(h string, offset int64, n uint32) ([]byte, error) {
	m, err := s.Send("read", FxpRead, Packet(nil).Str(h).Uint64(uint64(offset)).Uint32(n))
	var st *Status
	if errors.As(err, &st) && st.Code == StatusEOF {
		return nil, io.EOF
	}
	d, err := expectType(m, err, FxpData, "read")
	if err != nil {
		return nil, err
	}
	return []byte(d.Str()), nil
}

// Get reads a file from an offset to its end, as prefetching clients do: many reads are sent before the first answer.
// A server may answer a read with less than was asked.
func (s *Session) Get(name string, from int64) ([]byte, error) {
	h, err := s.Open(name, FlagRead)
	if err != nil {
		return nil, err
	}
	const ahead = 16
	var out []byte
	for len(out) <= KeptBody {
		var reqs []Request
		at := from + int64(len(out))
		for i := range int64(ahead) {
			reqs = append(reqs, Request{FxpRead,
				Packet(nil).Str(h).Uint64(uint64(at + i*BlockSize)).Uint32(BlockSize)})
		}
		answers, err := s.Batch("reads", reqs)
		if err != nil {
			return nil, err
		}
		for i, m := range answers {
			var st *Status
			if err := m.Err(); errors.As(err, &st) && st.Code == StatusEOF {
				return out, s.CloseHandle(h)
			} else if err != nil {
				return nil, err
			}
			d, err := expectType(m, nil, FxpData, "read")
			if err != nil {
				return nil, err
			}
			piece := d.Str()
			if len(piece) == 0 || len(piece) > BlockSize {
				return nil, fmt.Errorf("a read of %d bytes at offset %d gave %d",
					BlockSize, at+int64(i)*BlockSize, len(piece))
			}
			out = append(out, piece...)
			if len(piece) < BlockSize {
				break // go on from here: what was read ahead does not follow
			}
		}
	}
	return out, s.CloseHandle(h)
}

// Stat returns the attributes of a path, by FxpStat or FxpLstat.
func (s *Session) Stat(kind byte, path string) (Attrs, error) {
	m, err := s.Send("stat "+path, kind, Packet(nil).Str(path))
	d, err := expectType(m, err, FxpAttrs, "stat")
	if err != nil {
		return Attrs{}, err
	}
	return d.Attrs(), nil
}

// Fstat returns the attributes of an open file.
func (s *Session) Fstat(h string) (Attrs, error) {
	m, err := s.Send("fstat", FxpFstat, Packet(nil).Str(h))
	d, err := expectType(m, err, FxpAttrs, "fstat")
	if err != nil {
		return Attrs{}, err
	}
	return d.Attrs(), nil
}

// Do sends a request that is answered by a status.
func (s *Session) Do(what string, kind byte, data Packet) error {
	_, err := s.Send(what, kind, data)
	return err
}

// List lists a directory, without "." and "..".
func (s *Session) List(path string) ([]Entry, error) {
	m, err := s.Send("opendir "+path, FxpOpendir, Packet(nil).Str(path))
	d, err := expectType(m, err, FxpHandle, "opendir")
	if err != nil {
		return nil, err
	}
	h := d.Str()
	var out []Entry
	for range 1000 {
		m, err := s.Send("readdir", FxpReaddir, Packet(nil).Str(h))
		var st *Status
		if errors.As(err, &st) && st.Code == StatusEOF {
			return out, s.CloseHandle(h)
		}
		d, err := expectType(m, err, FxpName, "readdir")
		if err != nil {
			return nil, err
		}
		for range d.Uint32() {
			e := Entry{Name: d.Str(), Long: d.Str(), Attrs: d.Attrs()}
			if d.Short {
				return nil, errors.New("the listing's packet is broken")
			}
			if e.Name != "." && e.Name != ".." {
				out = append(out, e)
			}
		}
	}
	return nil, errors.New("the listing never ends")
}

// Realpath returns the path as the server names it.
func (s *Session) Realpath(path string) (string, error) {
	m, err := s.Send("realpath "+path, FxpRealpath, Packet(nil).Str(path))
	d, err := expectType(m, err, FxpName, "realpath")
	if err != nil {
		return "", err
	}
	if n := d.Uint32(); n != 1 {
		return "", fmt.Errorf("realpath answered %d names", n)
	}
	return d.Str(), nil
}

// End closes the session as OpenSSH does. The outcome has the exit status, or -1 without one.
func (s *Session) End() Outcome {
	var out Outcome
	s.link.Exchange("sftp-end", "end SFTP", &out, func() error {
		out = Outcome{Granted: true, Status: -1}
		s.ch.CloseWrite()
		select {
		case out.Status = <-s.exited:
			out.Closed = true
		case <-quarter(s.link):
			s.ch.Close()
		}
		return nil
	})
	return out
}
