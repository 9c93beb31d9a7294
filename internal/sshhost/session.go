package sshhost

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// maxChannels bounds the SSH channels that one connection has open at a time, as OpenSSH's MaxSessions does.
const maxChannels = 10

// Kinds of requests.
const (
	Subsystem = "subsystem"
	Exec      = "exec"
	shell     = "shell" // always refused
)

// Request is what a session is to run.
type Request struct {
	Kind    string // Subsystem or Exec
	Command string // the name of the subsystem, or the command line
}

// Handler serves a session and returns its exit status. When it returns, the session ends.
type Handler func(*Session) (status uint32)

// Grant is what a login gets.
type Grant struct {
	// Serve serves each session of the connection. Required.
	Serve Handler

	// Until, if not nil, ends the connection when it is done, because of its cause.
	Until context.Context

	// Holder stands in [Peer] from the login on.
	Holder any
}

// Session is one session of a connection, as its [Handler] sees it: the client's stdin is read from it, and stdout is
// written to it. One goroutine may read while another one writes; the other methods may be called concurrently.
type Session struct {
	Request

	conn *conn
	ch   gossh.Channel

	mu      sync.Mutex
	ended   bool // nothing more can be read, or the handler has returned
	orderly bool
}

// Read reads what the client sends. It fails with io.EOF both when the client has ended its input and when the
// connection is lost; see [Session.EndedInOrder].
func (s *Session) Read(p []byte) (int, error) {
	n, err := s.ch.Read(p)
	s.conn.progress.Add(1)
	if err != nil {
		s.inputEnded(err == io.EOF)
	}
	return n, err
}

// Write sends to the client's stdout.
func (s *Session) Write(p []byte) (int, error) {
	s.conn.progress.Add(1)
	n, err := s.ch.Write(p)
	s.sent(err)
	return n, err
}

// sent notes whether output of a command was lost with the connection. If err is io.EOF, it was not: the client has
// closed the channel.
func (s *Session) sent(err error) {
	if s.Kind == Exec && err != nil && err != io.EOF {
		s.conn.unsent.Store(true)
	}
}

// Stderr sends to the client's stderr.
func (s *Session) Stderr() io.Writer { return s.ch.Stderr() }

// EndedInOrder reports whether the client has ended its input on a connection that was whole, and all of it was read.
func (s *Session) EndedInOrder() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orderly
}

// Broken returns why the connection is broken, or is to end; nil if it is not.
func (s *Session) Broken() error { return s.conn.cause() }

// Context returns a context that is done when the connection is to end.
func (s *Session) Context() context.Context { return s.conn.ctx }

// Peer returns who the client is.
func (s *Session) Peer() Peer { return s.conn.peer() }

// Report calls f with who the client is, in order with the calls of [Options.Observe] for the connection. It does
// nothing after the last of them.
func (s *Session) Report(f func(Peer)) { s.conn.report(f) }

// Stall holds up all traffic of the connection for d from now.
func (s *Session) Stall(d time.Duration) { s.conn.stall(d) }

// Limit sets the rate that who asks for, in bytes a second each way; nil is the connection itself. A rate of 0 takes
// it back. Of several rates the lowest is in force.
func (s *Session) Limit(who any, perSecond int64) {
	if who == nil {
		who = s.conn
	}
	s.conn.throttle.Limit(who, perSecond)
}

// EndConn ends the connection as the fault says, after its delay and once the client's system has what was sent. It
// returns when the connection has ended.
func (s *Session) EndConn(f *Fault) { s.conn.endWith(f) }

// inputEnded notes that nothing more can be read, once. For a subsystem that is the end as far as the client is
// concerned; a command still has its output to send.
func (s *Session) inputEnded(eof bool) {
	s.mu.Lock()
	first := !s.ended
	if first {
		s.ended = true
		s.orderly = eof && s.conn.cause() == nil
	}
	s.mu.Unlock()
	if first && s.Kind == Subsystem {
		s.conn.sessionEnded()
	}
}

// run serves the session to its end.
func (s *Session) run(h Handler) {
	status := h(s)
	s.inputEnded(false)
	s.sent(leave(s.ch, status))
	if s.Kind == Exec {
		s.conn.sessionEnded()
	}
}

// leave ends a channel with an exit status, which must come once, and before the close.
func leave(ch gossh.Channel, status uint32) error {
	_, err := ch.SendRequest("exit-status", false, gossh.Marshal(struct{ Status uint32 }{status}))
	ch.CloseWrite()
	ch.Close()
	return err
}

// serveSession serves an SSH channel of type "session", in which one subsystem or command can run.
func (c *conn) serveSession(newChannel gossh.NewChannel) {
	if !c.channelBegins() {
		newChannel.Reject(gossh.ResourceShortage, "too many channels")
		return
	}
	defer c.channelEnded()
	ch, requests, err := newChannel.Accept()
	if err != nil {
		return
	}
	var serving sync.WaitGroup
	busy := false
	for req := range requests {
		switch req.Type {
		case Subsystem, Exec, shell:
			r := Request{req.Type, payloadString(req.Payload)}
			accepted := r.Kind != shell && c.host.opts.Accepts(r)
			switch {
			case busy:
				c.deny(r.Kind, r.Command, c.only()+", and only once for a channel")
			case !accepted:
				c.deny(r.Kind, r.Command, c.only())
			}
			if busy || !accepted && r.Kind == Subsystem {
				req.Reply(false, nil)
				continue
			}
			busy = true
			req.Reply(true, nil)
			if !accepted {
				// The request itself does not fail, since then the client would not print the reason.
				o := &c.host.opts
				fmt.Fprintf(ch.Stderr(), "%s refused: this is a %s, it serves only %s\r\n", r.Kind, o.Name, o.Serves)
				leave(ch, 1)
				continue
			}
			s := &Session{Request: r, conn: c, ch: ch}
			c.sessionBegins()
			serving.Go(func() { s.run(c.login.grant.Serve) })
		case "env":
			req.Reply(false, nil) // clients send their locale unasked
		case "pty-req", "x11-req", "auth-agent-req@openssh.com":
			c.deny(req.Type, "", c.only())
			req.Reply(false, nil)
		default: // window-change, signal, keepalive@openssh.com, …
			req.Reply(false, nil)
		}
	}
	serving.Wait()
}

// only is the reason of refusals.
func (c *conn) only() string { return "only " + c.host.opts.Serves + " is served" }

// payloadString reads the one string that is a request's payload; what is broken reads as empty.
func payloadString(payload []byte) string {
	var p struct{ Value string }
	if gossh.Unmarshal(payload, &p) != nil {
		return ""
	}
	return p.Value
}

// refuseChannel refuses direct-tcpip, x11, auth-agent and whatever else is not a session.
func (c *conn) refuseChannel(ch gossh.NewChannel) {
	c.deny(ch.ChannelType(), "", "only sessions are served")
	ch.Reject(gossh.Prohibited, c.only())
}

// refuseGlobal reports requests such as tcpip-forward. Keep-alives are refused, too, which is the answer they expect.
func (c *conn) refuseGlobal(req *gossh.Request) {
	if strings.Contains(req.Type, "forward") {
		c.deny(req.Type, "", c.only())
	}
}

func (c *conn) channelBegins() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.channels >= maxChannels {
		return false
	}
	c.channels++
	c.running.Add(1)
	return true
}

func (c *conn) channelEnded() {
	c.mu.Lock()
	c.channels--
	c.mu.Unlock()
	c.running.Done()
}
