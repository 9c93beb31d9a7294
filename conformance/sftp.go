package conformance

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

// sftpConn is an SFTP session on an SSH connection, used by one goroutine.
type sftpConn struct {
	*conn
	ch     ssh.Channel
	exited <-chan int
	id     uint32
	hung   atomic.Bool
}

// sftp logs in with a fresh key and begins a session, for a step before the one judged.
func (b *checker) sftp(req request) *sftpConn {
	key := newKey("ed25519")
	return b.session(b.access(req, key), key)
}

// session logs in with the key and begins a session, for a step before the one judged.
func (b *checker) session(a access, key ssh.Signer) *sftpConn {
	c := b.enter(login{addr: a.addr(), user: a.user, auth: withKey(key), who: "login with the listed " + key.PublicKey().Type() + " key"})
	b.reached(a.addr(), c)
	if !c.entered.OK {
		b.blocked("sftp/login-"+shortKeyType(key), "login: %s", c.entered.Err)
	}
	s, err := c.subsystem()
	if err != nil {
		b.blocked("sftp/session", "%v", err)
	}
	return s
}

func shortKeyType(s ssh.Signer) string {
	switch s.PublicKey().Type() {
	case ssh.KeyAlgoRSA:
		return "rsa"
	case ssh.KeyAlgoED25519:
		return "ed25519"
	}
	return "ecdsa"
}

// subsystem begins SFTP on the connection.
func (c *conn) subsystem() (*sftpConn, error) {
	s := &sftpConn{conn: c}
	msg, err := exchange(c.b, "sftp-init", "begin SFTP", func() (message, error) {
		defer c.watch()()
		ch, reqs, err := c.client.OpenChannel("session", nil)
		if err != nil {
			return message{}, fmt.Errorf("the server opens no session: %w", err)
		}
		s.ch, s.exited = ch, watchExit(reqs)
		ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
		if err != nil || !ok {
			return message{}, fmt.Errorf("the server refuses the subsystem sftp (%v)", err)
		}
		go io.Copy(io.Discard, ch.Stderr())
		init := packet(nil).u32(5)
		init = append(init, fxInit).u32(3)
		if _, err := ch.Write(init); err != nil {
			return message{}, err
		}
		return s.readMessage()
	})
	if err != nil {
		return nil, err
	}
	if msg.Type != fxVersion || msg.ID != 3 {
		return nil, fmt.Errorf("the server's SFTP begins with packet type %d, version %d: expected version 3", msg.Type, msg.ID)
	}
	return s, nil
}

// readMessage reads one packet. The version packet has its version where others have an id.
func (s *sftpConn) readMessage() (message, error) {
	defer context.AfterFunc(s.b.ctx, func() { s.raw.Close() })()
	timer := time.AfterFunc(s.b.callTime(), func() { s.hung.Store(true); s.raw.Close() })
	defer timer.Stop()
	var head [9]byte
	if _, err := io.ReadFull(s.ch, head[:]); err != nil {
		return message{}, s.ended(err)
	}
	n := binary.BigEndian.Uint32(head[:4])
	if n < 5 || n > mostPacket {
		return message{}, fmt.Errorf("the server sent an SFTP packet of %d bytes", n)
	}
	m := message{Type: head[4], ID: binary.BigEndian.Uint32(head[5:]), Data: make([]byte, n-5)}
	if _, err := io.ReadFull(s.ch, m.Data); err != nil {
		return message{}, s.ended(err)
	}
	return m, nil
}

func (s *sftpConn) ended(err error) error {
	if s.hung.Load() {
		s.b.hangs.Add(1)
		return fmt.Errorf("%w to an SFTP packet within %v", errNoAnswer, s.b.callTime())
	}
	return fmt.Errorf("the SFTP session ended (%v)", err)
}

// request is a packet without its length and id.
type sftpRequest struct {
	kind byte
	data packet
}

// batch sends the requests one behind the other without waiting, and returns the answers in the requests' order.
func (s *sftpConn) batch(what string, reqs []sftpRequest) ([]message, error) {
	return exchange(s.b, "sftp", what, func() ([]message, error) {
		first := s.id + 1
		var out packet
		for _, r := range reqs {
			s.id++
			out = out.u32(uint32(5 + len(r.data)))
			out = append(append(out, r.kind).u32(s.id), r.data...)
		}
		sent := make(chan error, 1)
		go func() {
			_, err := s.ch.Write(out)
			sent <- err
		}()
		answers := make([]message, len(reqs))
		for range reqs {
			m, err := s.readMessage()
			if err != nil {
				s.raw.Close() // so that the writer ends, too
				<-sent
				return nil, err
			}
			i := int(m.ID - first)
			if i < 0 || i >= len(answers) || answers[i].Type != 0 {
				s.raw.Close()
				<-sent
				return nil, fmt.Errorf("the server answered an SFTP request %d that was not asked", m.ID)
			}
			answers[i] = m
		}
		return answers, <-sent
	})
}

// one sends one request; a status other than OK comes as a *status error.
func (s *sftpConn) one(what string, kind byte, data packet) (message, error) {
	answers, err := s.batch(what, []sftpRequest{{kind, data}})
	if err != nil {
		return message{}, err
	}
	return answers[0], answers[0].err()
}

func (m message) err() error {
	if m.Type != fxStatus {
		return nil
	}
	d := body{rest: m.Data}
	st := &status{Code: d.u32(), Text: d.str()}
	if st.Code == statusOK {
		return nil
	}
	return st
}

// expect reads an answer of the given type.
func expectType(m message, err error, kind byte, what string) (*body, error) {
	if err != nil {
		return nil, err
	}
	if m.Type != kind {
		return nil, fmt.Errorf("%s was answered with an SFTP packet of type %d", what, m.Type)
	}
	return &body{rest: m.Data}, nil
}

func (s *sftpConn) open(path string, flags uint32) (string, error) {
	what := fmt.Sprintf("open %s%s", path, flagNames(flags))
	m, err := s.one(what, fxOpen, packet(nil).str(path).u32(flags).attrs(attrs{}))
	d, err := expectType(m, err, fxHandle, what)
	if err != nil {
		return "", err
	}
	return d.str(), nil
}

func flagNames(flags uint32) string {
	out := " for"
	for i, name := range []string{"reading", "writing", "appending", "creating", "truncating", "creating anew"} {
		if flags&(1<<i) != 0 {
			out += " " + name
		}
	}
	return out
}

func (s *sftpConn) closeHandle(h string) error {
	_, err := s.one("close", fxClose, packet(nil).str(h))
	return err
}

// block is a piece of a file to write.
type block struct {
	offset int64
	data   []byte
	pad    []byte // after the packet's fields
}

// blocks cuts data into pieces to be written from offset on.
func blocks(data []byte, offset int64) []block {
	var out []block
	for piece := range slices.Chunk(data, blockSize) {
		out = append(out, block{offset: offset, data: piece})
		offset += int64(len(piece))
	}
	return out
}

// write sends all blocks without waiting between them; the error is the first block's that was not taken.
func (s *sftpConn) write(h string, bs []block) error {
	var reqs []sftpRequest
	for _, b := range bs {
		reqs = append(reqs, sftpRequest{fxWrite, append(packet(nil).str(h).u64(uint64(b.offset)).bytes(b.data), b.pad...)})
	}
	answers, err := s.batch(fmt.Sprintf("%d writes", len(bs)), reqs)
	if err != nil {
		return err
	}
	for i, m := range answers {
		if err := m.err(); err != nil {
			return fmt.Errorf("write of %d bytes at offset %d: %w", len(bs[i].data), bs[i].offset, err)
		}
	}
	return nil
}

// put writes a file as `put` does.
func (s *sftpConn) put(name string, flags uint32, bs []block) error {
	h, err := s.open(name, flags)
	if err != nil {
		return err
	}
	if err := s.write(h, bs); err != nil {
		s.closeHandle(h)
		return err
	}
	return s.closeHandle(h)
}

// mustPut is put for a step before the one judged.
func (s *sftpConn) mustPut(name string, data []byte) {
	if err := s.put(name, openPut, blocks(data, 0)); err != nil {
		s.b.blocked("sftp/put", "put: %v", err)
	}
}

// read reads up to n bytes at an offset; io.EOF at the end.
func (s *sftpConn) read(h string, offset int64, n uint32) ([]byte, error) {
	m, err := s.one("read", fxRead, packet(nil).str(h).u64(uint64(offset)).u32(n))
	var st *status
	if errors.As(err, &st) && st.Code == statusEOF {
		return nil, io.EOF
	}
	d, err := expectType(m, err, fxData, "read")
	if err != nil {
		return nil, err
	}
	return []byte(d.str()), nil
}

// get reads a whole file, from an offset on, as prefetching clients do: many reads sent before the first answer.
// A server may answer a read with less than was asked.
func (s *sftpConn) get(name string, from int64) ([]byte, error) {
	h, err := s.open(name, flagRead)
	if err != nil {
		return nil, err
	}
	const ahead = 16
	var out []byte
	for len(out) <= keptBody {
		var reqs []sftpRequest
		at := from + int64(len(out))
		for i := range int64(ahead) {
			reqs = append(reqs, sftpRequest{fxRead, packet(nil).str(h).u64(uint64(at + i*blockSize)).u32(blockSize)})
		}
		answers, err := s.batch("reads", reqs)
		if err != nil {
			return nil, err
		}
		for i, m := range answers {
			var st *status
			if err := m.err(); errors.As(err, &st) && st.Code == statusEOF {
				return out, s.closeHandle(h)
			} else if err != nil {
				return nil, err
			}
			d, err := expectType(m, nil, fxData, "read")
			if err != nil {
				return nil, err
			}
			piece := d.str()
			if len(piece) == 0 || len(piece) > blockSize {
				return nil, fmt.Errorf("a read of %d bytes at offset %d gave %d", blockSize, at+int64(i)*blockSize, len(piece))
			}
			out = append(out, piece...)
			if len(piece) < blockSize {
				break // go on from here: what was read ahead does not follow
			}
		}
	}
	return out, s.closeHandle(h)
}

// stat asks for attributes with one of fxStat and fxLstat.
func (s *sftpConn) stat(kind byte, path string) (attrs, error) {
	m, err := s.one("stat "+path, kind, packet(nil).str(path))
	d, err := expectType(m, err, fxAttrs, "stat")
	if err != nil {
		return attrs{}, err
	}
	return d.attrs(), nil
}

func (s *sftpConn) fstat(h string) (attrs, error) {
	m, err := s.one("fstat", fxFstat, packet(nil).str(h))
	d, err := expectType(m, err, fxAttrs, "fstat")
	if err != nil {
		return attrs{}, err
	}
	return d.attrs(), nil
}

// plain sends a request that is answered by a status.
func (s *sftpConn) plain(what string, kind byte, data packet) error {
	_, err := s.one(what, kind, data)
	return err
}

// list lists a directory, without "." and "..".
func (s *sftpConn) list(path string) ([]entry, error) {
	m, err := s.one("opendir "+path, fxOpendir, packet(nil).str(path))
	d, err := expectType(m, err, fxHandle, "opendir")
	if err != nil {
		return nil, err
	}
	h := d.str()
	var out []entry
	for range 1000 {
		m, err := s.one("readdir", fxReaddir, packet(nil).str(h))
		var st *status
		if errors.As(err, &st) && st.Code == statusEOF {
			return out, s.closeHandle(h)
		}
		d, err := expectType(m, err, fxName, "readdir")
		if err != nil {
			return nil, err
		}
		for range d.u32() {
			e := entry{name: d.str(), long: d.str(), attrs: d.attrs()}
			if d.short {
				return nil, errors.New("the listing's packet is broken")
			}
			if e.name != "." && e.name != ".." {
				out = append(out, e)
			}
		}
	}
	return nil, errors.New("the listing never ends")
}

func (s *sftpConn) realpath(path string) (string, error) {
	m, err := s.one("realpath "+path, fxRealpath, packet(nil).str(path))
	d, err := expectType(m, err, fxName, "realpath")
	if err != nil {
		return "", err
	}
	if n := d.u32(); n != 1 {
		return "", fmt.Errorf("realpath answered %d names", n)
	}
	return d.str(), nil
}

// end closes the session as OpenSSH does, and returns its exit status: -1 without one.
func (s *sftpConn) end() outcome {
	out, _ := exchange(s.b, "sftp-end", "end SFTP", func() (outcome, error) {
		out := outcome{Granted: true, Status: -1}
		s.ch.CloseWrite()
		select {
		case out.Status = <-s.exited:
			out.Closed = true
		case <-s.b.quarter():
			s.ch.Close()
		}
		return out, nil
	})
	return out
}
