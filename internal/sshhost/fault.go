package sshhost

import (
	"errors"
	"fmt"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// ErrFault is why a connection ended that a [Fault] has ended.
var ErrFault = errors.New("a fault ended the connection")

// Moment is a moment at which [Options.Fault] is asked.
type Moment string

const (
	OnConnect  Moment = "connect" // a connection was accepted, and nothing has been sent
	OnHostKeys Moment = "hostkey" // the host keys are about to be shown
	OnLogin    Moment = "login"   // a client has proved that it holds an accepted key; at most once for a connection
)

// Fault is something that shall go wrong with a connection. All that is set happens together: first Delay, then Refuse
// or the end. The zero Fault does nothing.
type Fault struct {
	// Name stands in the events.
	Name string

	// User is whose fault it is, for the events of a connection without a login. Empty means unknown.
	User string

	// Refuse, if not nil, is why the login is refused. On OnConnect the connection ends instead.
	Refuse error

	// Ends ends the connection without any SSH goodbye; Reset makes it a TCP RST. Cause is why; nil means ErrFault.
	Ends, Reset bool
	Cause       error

	// Delay holds up all traffic of the connection for this long.
	Delay time.Duration

	// Rate, in bytes a second each way, slows the connection until its end. Zero means unlimited.
	Rate int64

	// HostKeys, for OnHostKeys, are shown in place of the server's own. The last event of the connection says whether
	// the client refused them.
	HostKeys []gossh.Signer

	// Fired, if not nil, is called once, when the fault is triggered; if it ends the connection, as soon as nothing can
	// prevent that.
	Fired func()
}

func (f *Fault) cause() error {
	if f.Cause != nil {
		return f.Cause
	}
	return fmt.Errorf("%w (%s)", ErrFault, f.Name)
}

// trigger reports a fault and starts what of it lasts. If the fault ends the connection, endWith calls Fired.
func (c *conn) trigger(f *Fault, at Moment, ends bool) {
	c.emitAs(Event{Kind: EventFault, Op: string(at), Name: f.Name}, f.User, "")
	if f.Fired != nil && !ends {
		f.Fired()
	}
	c.stall(f.Delay)
	if f.Rate > 0 {
		c.throttle.Limit(c, f.Rate)
	}
}

// apply triggers a fault on the way to the login, where nothing else is under way, and carries it out. The error is
// why the connection or the login must not go on.
func (c *conn) apply(f *Fault, at Moment) error {
	ends := f.Ends || at == OnConnect && f.Refuse != nil
	c.trigger(f, at, ends)
	if ends {
		c.endWith(f)
		return ErrFault
	}
	return f.Refuse
}

// stall holds up all traffic for d from now.
func (c *conn) stall(d time.Duration) {
	if d > 0 {
		c.throttle.Stall(d)
	}
}

// endWith ends the connection as the fault says, after its delay.
func (c *conn) endWith(f *Fault) {
	if f.Delay > 0 {
		timer := time.NewTimer(f.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.ctx.Done():
		}
	}
	c.finish(f.cause(), f.Reset, f.Fired)
}
