package transfer

import (
	"errors"
	"fmt"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Session is a connection as it is at one moment.
type Session struct {
	Number  uint64    // as in the journal
	Since   time.Time // by real time
	Remote  string    // the client's address
	Client  string    // its version line, once known
	User    string    // who is logged in, or tries to
	Key     string    // SHA256 fingerprint
	Request int64     // 0: not known yet
	Kind    string    // platform.Uploading or Downloading; "": not known yet
	Offset  int64     // how many bytes of file data the run of rsync has moved
}

var (
	// ErrEnded is why a session ends that [Host.EndSession] ends.
	ErrEnded = errors.New("transfer: the session was ended by hand")
	// ErrNoSession is returned for a number that no session has.
	ErrNoSession = errors.New("transfer: there is no such session")
	// ErrTooLate is returned where a transfer cannot be cut: rsync does not run, or has come further, or has a fault.
	ErrTooLate = errors.New("transfer: the transfer cannot be cut there")
)

// Sessions returns the connections that there are, in the order in which they came.
func (h *Host) Sessions() []Session {
	var list []Session
	for _, c := range h.ssh.Conns() {
		one := Session{Number: c.Conn, Since: c.Since, Remote: c.Remote, Client: c.Client, User: c.User, Key: c.Key}
		if t, ok := c.Holder.(*transfer); ok {
			one.Request, one.Kind = t.request.ID(), t.kind
		}
		if s := h.session(c.Conn); s != nil {
			s.mu.Lock()
			one.Offset = s.passed
			s.mu.Unlock()
		}
		list = append(list, one)
	}
	return list
}

// EndSession drops the connection with that number at once, because of [ErrEnded].
func (h *Host) EndSession(number uint64) error {
	if !h.ssh.End(number, ErrEnded) {
		return fmt.Errorf("%w: %d", ErrNoSession, number)
	}
	return nil
}

// CutSession drops the connection with that number when so many bytes of file data have passed in its run of rsync. The
// error is [ErrNoSession] or [ErrTooLate].
func (h *Host) CutSession(number uint64, after int64) error {
	s := h.session(number)
	if s == nil {
		return fmt.Errorf("%w: %d runs no rsync", ErrNoSession, number)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.fault != nil:
		return fmt.Errorf("%w: it already waits for the fault %s", ErrTooLate, s.name)
	case s.passed > after:
		return fmt.Errorf("%w: %d bytes have passed", ErrTooLate, s.passed)
	}
	on := scenario.OnRsyncUpload
	if s.kind == platform.Downloading {
		on = scenario.OnRsyncDownload
	}
	s.fault = &platform.Fault{
		Fault: &scenario.Fault{On: on, Times: 1, After: after, Disconnect: true}, Index: platform.ByHand,
	}
	s.name = name(s.fault)
	return nil
}

// session returns the session that runs over the connection, nil if none does.
func (h *Host) session(number uint64) *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.sessions[number]
}

// running keeps the sessions that run.
func (h *Host) running(s *session, runs bool) {
	number := s.ssh.Peer().Conn
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case runs:
		h.sessions[number] = s
	case h.sessions[number] == s:
		delete(h.sessions, number)
	}
}
