package sftpserver

import (
	"errors"
	"fmt"
	"time"

	"github.com/pkg/sftp"
)

// errStruck is the cause of a connection that a fault has ended.
var errStruck = errors.New("a fault ended the connection")

// ask asks what shall go wrong with what is about to happen.
func (c *conn) ask(kind OpKind, flags Flags) *Fault {
	c.mu.Lock()
	op := Op{Kind: kind, Session: c.id, Remote: c.remote, User: c.user, Key: c.key, Flags: flags}
	c.mu.Unlock()
	return c.srv.opts.Fault(op)
}

// strike tells of a fault that happens now, and starts what of it lasts. It strikes the handle h, whose lock the
// caller holds; nil: the connection.
func (c *conn) strike(f *Fault, kind OpKind, offset int64, h *handle) {
	e := Event{Kind: EventFault, User: f.User, Op: string(kind), Name: f.Name, Offset: offset}
	if h != nil {
		e.Received, e.Sent = h.received, h.sent
	}
	c.emit(e)
	if f.Struck != nil && !f.ends() { // else end calls it
		f.Struck()
	}
	if f.Delay > 0 {
		c.pace.Stall(f.Delay)
	}
	if f.Rate > 0 {
		var who any = c
		if h != nil && kind != OpClose {
			who = h // until it is closed
		}
		c.pace.Limit(who, f.Rate)
	}
}

// end ends the connection as the fault says, after its delay. Struck is called when the end is certain but the client
// may still be reading what it was sent: a Struck that disconnects the user leaves this connection alone.
func (c *conn) end(f *Fault) {
	cause := fmt.Errorf("%w (%s)", errStruck, f.Name)
	if f.Revoke && !f.Disconnect && !f.Reset {
		cause = ErrRevoked
	}
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.ctx.Done():
		}
	}
	c.finish(cause, f.Reset, func() {
		if f.Struck != nil {
			f.Struck()
		}
		if f.Revoke {
			c.mu.Lock()
			user := c.user
			c.mu.Unlock()
			c.srv.Disconnect(user)
		}
	})
}

// meet is a fault on the way to the login, where nothing else is under way: it strikes and ends at once.
// The error is why what was about to happen must not; nil lets it.
func (c *conn) meet(f *Fault, kind OpKind) error {
	c.strike(f, kind, 0, nil)
	switch {
	case f.ends() || kind == OpConnect && f.Refuse:
		c.end(f)
		return errStruck
	case f.Error != "" && kind != OpConnect:
		return errors.New(f.Error)
	case f.Refuse:
		return ErrDenied
	}
	return nil
}

// armed is a fault that waits for its offset in a transfer; see [Fault.After]. A nil armed never strikes.
type armed struct {
	fault  *Fault
	kind   OpKind
	struck bool
	beyond bool // something beyond the fault's offset was sent
}

func arm(f *Fault, kind OpKind) *armed {
	if f == nil {
		return nil
	}
	return &armed{fault: f, kind: kind}
}

// fails says that the transfer does not go on beyond the fault's offset, rather than just more slowly.
func (a *armed) fails() bool {
	return a != nil && (a.fault.ends() || a.fault.Error != "" || a.fault.Refuse)
}

// meets says that an operation which ends at that offset may let the fault strike. The caller holds the lock that
// guards struck.
func (a *armed) meets(end int64) bool { return a.reaches(end) && (a.fails() || !a.struck) }

// reaches says that bytes up to end touch the fault.
func (a *armed) reaches(end int64) bool { return a != nil && end > max(a.fault.After, 0) }

// hit lets the fault strike if it has not yet, and returns what the operation answers: nil if it goes on. The caller
// holds the lock that guards struck.
func (a *armed) hit(h *handle) error {
	if !a.struck {
		a.struck = true
		h.session.conn.strike(a.fault, a.kind, a.at(h), h)
	}
	return h.session.consequence(a.fault)
}

// at is the offset at which the fault strikes h: for a close the end of what was transferred. The caller holds the
// lock of h.
func (a *armed) at(h *handle) int64 {
	if a.kind == OpClose {
		return max(h.written.end(), h.read.end())
	}
	return max(a.fault.After, 0)
}

// consequence is what an operation answers after a fault has struck it: nil if it goes on.
func (s *session) consequence(f *Fault) error {
	switch {
	case f.ends():
		return s.endWith(f)
	case f.Error != "":
		return &status{f.Error, sftp.ErrSSHFxFailure}
	case f.Refuse:
		return statusDenied
	}
	return nil
}
