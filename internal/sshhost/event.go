package sshhost

import "net"

// Peer is what is known of the client of a connection.
type Peer struct {
	Conn   uint64   // numbers the connections of a Server from 1
	Local  net.Addr // where it came in
	Remote string   // its address
	Client string   // its version line, once known
	User   string   // who is logged in, or tries to
	Key    string   // SHA256 fingerprint of the key that logged in, or is tried
	Holder any      // of the Grant, from the login on
}

// EventKind says what happened.
type EventKind string

// Kinds of events.
const (
	EventConnect    EventKind = "connect"    // a connection was accepted
	EventOffered    EventKind = "offered"    // a key was offered, but not proved; Reason if it is refused
	EventRefused    EventKind = "refused"    // an attempt to log in was refused: Method, Reason
	EventLogin      EventKind = "login"      // the login is complete: Method; Name and Reason if it saw other host keys
	EventDenied     EventKind = "denied"     // a channel or request was refused: Op, Command, Reason
	EventFault      EventKind = "fault"      // a fault was triggered: Op, Name
	EventDisconnect EventKind = "disconnect" // the connection is gone: Reason, Name; its last event
)

// Event is something that happened on a connection. Fields that mean nothing for its kind are zero.
type Event struct {
	Kind    EventKind
	Method  string // the authentication method
	Op      string // the type of channel or request, or the Moment of a fault
	Command string // what the request wanted to run
	Name    string // of the fault
	Reason  string // for people
}

// emit reports an event of the connection.
func (c *conn) emit(e Event) { c.emitAs(e, "", "") }

// emitAs reports an event with another user and key than those who are logged in, if they are not empty.
func (c *conn) emitAs(e Event, user, key string) {
	c.report(func(p Peer) {
		if user != "" {
			p.User = user
		}
		if key != "" {
			p.Key = key
		}
		c.host.opts.Observe(p, e)
	})
}

// report calls f with what is known of the client, one call after the other, until the last event was reported.
func (c *conn) report(f func(Peer)) {
	c.events.Lock()
	defer c.events.Unlock()
	if !c.over {
		f(c.peer())
	}
}

func (c *conn) deny(op, command, reason string) {
	c.emit(Event{Kind: EventDenied, Op: op, Command: command, Reason: reason})
}

// reportEnd reports the last event.
func (c *conn) reportEnd() {
	reason := ""
	if cause := c.cause(); cause != nil && cause != errOrderly {
		reason = cause.Error()
	}
	c.login.reportUnfinished()
	last := Event{Kind: EventDisconnect, Reason: reason}
	user := c.login.complete(&last)
	c.emitAs(last, user, "")
	c.events.Lock()
	c.over = true
	c.events.Unlock()
}
