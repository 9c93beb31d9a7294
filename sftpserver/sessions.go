package sftpserver

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Session is a connection as it is at one moment.
type Session struct {
	Number uint64    // as in [Event]
	Since  time.Time // by real time
	Remote string    // the client's address
	Client string    // its version line, once known
	User   string    // who is logged in, or tries to
	Key    string    // SHA256 fingerprint
	Path   string    // the file that is open; "" if none is, and the last opened of several
	Writes bool      // that file was opened for writing
	Offset int64     // how far the transfer of that file has come
}

var (
	// ErrEnded is why a session ends that [Server.EndSession] ends.
	ErrEnded = errors.New("sftpserver: the session was ended by hand")
	// ErrNoSession is returned for a number that no session has.
	ErrNoSession = errors.New("sftpserver: there is no such session")
	// ErrTooLate is returned where a transfer cannot be cut: no file is open, or it has come further, or it has a fault.
	ErrTooLate = errors.New("sftpserver: the transfer cannot be cut there")
)

// Sessions returns the connections that there are, in the order in which they came.
func (s *Server) Sessions() []Session {
	var list []Session
	for _, c := range s.host.Conns() {
		session := Session{
			Number: c.Conn, Since: c.Since, Remote: c.Remote, Client: c.Client, User: c.User, Key: c.Key,
		}
		if h := s.lastHandle(c.Conn); h != nil {
			session.Path, session.Writes, session.Offset = "/"+h.name, h.writable(), h.offset()
		}
		list = append(list, session)
	}
	return list
}

// EndSession drops the connection with that number at once, because of [ErrEnded]. Files that are open are aborted.
func (s *Server) EndSession(number uint64) error {
	if !s.host.End(number, ErrEnded) {
		return fmt.Errorf("%w: %d", ErrNoSession, number)
	}
	return nil
}

// CutSession drops the connection with that number when the transfer of its open file reaches the offset, as a [Fault]
// with that After would. What is on the way already may still be stored behind it. The error is [ErrNoSession] or
// [ErrTooLate].
func (s *Server) CutSession(number uint64, offset int64) error {
	for _, c := range s.host.Conns() {
		if c.Conn != number {
			continue
		}
		h := s.lastHandle(number)
		if h == nil {
			return fmt.Errorf("%w: session %d has no file open", ErrTooLate, number)
		}
		return h.cut(offset)
	}
	return fmt.Errorf("%w: %d", ErrNoSession, number)
}

// opened and closed keep the files that are open.
func (s *Server) opened(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := h.session.peer.Conn
	s.open[number] = append(s.open[number], h)
}

func (s *Server) closed(h *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := h.session.peer.Conn
	s.open[number] = slices.DeleteFunc(s.open[number], func(o *handle) bool { return o == h })
	if len(s.open[number]) == 0 {
		delete(s.open, number)
	}
}

// lastHandle returns the file that was opened last of those that are open, nil if none is.
func (s *Server) lastHandle(number uint64) *handle {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.open[number]; len(open) > 0 {
		return open[len(open)-1]
	}
	return nil
}

// offset is how far the transfer has come.
func (h *handle) offset() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.offsetLocked()
}

func (h *handle) offsetLocked() int64 {
	if h.writable() {
		return h.written.end()
	}
	return h.read.end()
}

// cut arms a fault that ends the connection at the offset.
func (h *handle) cut(offset int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, kind := &h.onRead, OpRead
	if h.writable() {
		at, kind = &h.onWrite, OpWrite
	}
	switch now := h.offsetLocked(); {
	case *at != nil && !(*at).fired:
		return fmt.Errorf("%w: it already waits for the fault %s", ErrTooLate, (*at).fault.Name)
	case now > offset:
		return fmt.Errorf("%w: it has come to byte %d", ErrTooLate, now)
	}
	for _, r := range h.written.list {
		h.stored.add(r.From, r.To)
	}
	name := fmt.Sprintf("by hand: sftp.%s disconnect after %d", kind, offset)
	*at = arm(&Fault{Name: name, Disconnect: true, After: offset}, kind)
	return nil
}
