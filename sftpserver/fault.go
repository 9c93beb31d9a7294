package sftpserver

import (
	"errors"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// OpKind is a moment at which [Options.Fault] is called.
type OpKind string

// Moments at which Options.Fault is called.
const (
	OpConnect OpKind = "connect" // a connection was accepted, and nothing has been sent; the user is not known yet
	OpHostKey OpKind = "hostkey" // the host keys are about to be shown; only HostKeys has a meaning
	OpLogin   OpKind = "login"   // a client has proved that it holds an accepted key; at most once for a connection
	OpOpen    OpKind = "open"    // the shared file is about to be opened
	OpRead    OpKind = "read"    // the file was opened for reading, and the first byte was not read yet
	OpWrite   OpKind = "write"   // the file was opened for writing, and the first byte was not written yet
	OpClose   OpKind = "close"   // the client closes its handle in order
)

// Op is what is about to happen.
type Op struct {
	Kind    OpKind // the moment
	Session uint64 // the connection's number, as in [Event]
	Remote  string // the client's address
	User    string // empty for OpConnect and OpHostKey
	Key     string // SHA256 fingerprint of the key that logged in; likewise
	Flags   Flags  // for OpOpen, OpRead, OpWrite and OpClose
}

// Fault is something that shall go wrong. All that is set happens together when the fault is triggered: first Delay,
// then Error, Refuse or the end of the connection. The zero Fault does nothing.
type Fault struct {
	// Name stands in the events.
	Name string

	// Refuse denies the login, or the operation with "permission denied". On OpConnect the connection is closed before
	// any byte.
	Refuse bool

	// Error fails the operation with SSH_FX_FAILURE and this text. For OpRead and OpWrite every later operation that
	// reaches After fails as well, as on a full disk. OpLogin is refused; for OpConnect it has no meaning.
	Error string

	// Disconnect drops the TCP connection without any SSH goodbye; Reset drops it with a TCP RST.
	Disconnect, Reset bool

	// Revoke closes every session of the user, after Fired was called.
	Revoke bool

	// After, for OpRead and OpWrite, is the offset in the file at which the fault is triggered. It is exact whatever the
	// order of the packets: all bytes before After are transferred, no byte at or beyond it is, and only then the fault
	// fires. It does not if the file ends at or before After. A fault that only delays or slows and has no After fires
	// when the file is opened.
	After int64

	// Delay holds up all traffic of the connection for this long.
	Delay time.Duration

	// Rate, in bytes a second each way, slows the connection: for OpConnect, OpLogin and OpOpen until its end, for OpRead
	// and OpWrite until the handle is closed. Zero means unlimited.
	Rate int64

	// HostKeys, for OpHostKey, are shown in place of the server's own. The last event of the connection says whether the
	// client refused them.
	HostKeys []gossh.Signer

	// User is whose fault it is, for the events of a connection without a login. Empty means unknown.
	User string

	// Fired, if not nil, is called once, when the fault is triggered; if it ends the connection, as soon as nothing can
	// prevent that.
	Fired func()
}

// ends reports whether the fault ends the connection.
func (f *Fault) ends() bool { return f.Disconnect || f.Reset || f.Revoke }

// onConn is the fault in the words of the SSH host; Error and After have no meaning there. user is who is logged in.
func (f *Fault) onConn(s *Server, kind OpKind, user string) *sshhost.Fault {
	if f == nil {
		return nil
	}
	c := &sshhost.Fault{
		Name: f.Name, User: f.User, Delay: f.Delay, Rate: f.Rate, HostKeys: f.HostKeys,
		Ends: f.ends(), Reset: f.Reset, Fired: f.Fired,
	}
	switch {
	case f.Error != "" && kind != OpConnect:
		c.Refuse = errors.New(f.Error)
	case f.Refuse:
		c.Refuse = ErrDenied
	}
	if f.Revoke {
		c.Fired = func() {
			if f.Fired != nil {
				f.Fired()
			}
			s.Disconnect(user)
		}
		if !f.Disconnect && !f.Reset {
			c.Cause = ErrRevoked
		}
	}
	return c
}

// connFault asks for a fault on the way to the login.
func (s *Server) connFault(at sshhost.Moment, p sshhost.Peer) *sshhost.Fault {
	op := Op{Kind: OpKind(at), Session: p.Conn, Remote: p.Remote, User: p.User, Key: p.Key}
	return s.opts.Fault(op).onConn(s, op.Kind, p.User)
}

// ask asks what shall go wrong with what is about to happen to the file.
func (s *session) ask(kind OpKind, flags Flags) *Fault {
	p := s.peer
	return s.server.opts.Fault(Op{Kind: kind, Session: p.Conn, Remote: p.Remote, User: p.User, Key: p.Key, Flags: flags})
}

// trigger reports a fault and starts what of it lasts: for the handle h, whose lock the caller holds, or for the
// connection if h is nil.
func (s *session) trigger(f *Fault, kind OpKind, offset int64, h *handle) {
	e := Event{Kind: EventFault, User: f.User, Op: string(kind), Name: f.Name, Offset: offset}
	if h != nil {
		e.Received, e.Sent = h.received, h.sent
	}
	s.emit(e)
	if f.Fired != nil && !f.ends() { // else ending calls it
		f.Fired()
	}
	s.ssh.Stall(f.Delay)
	if f.Rate > 0 {
		var who any // the connection
		if h != nil && kind != OpClose {
			who = h // until it is closed
		}
		s.ssh.Limit(who, f.Rate)
	}
}
