package sshhost_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// TestSession_endConn ends the connection from a handler: the client has got all that was written before, and no exit
// status.
func TestSession_endConn(t *testing.T) {
	t.Parallel()
	answer := strings.Repeat("answer ", 100_000)
	for name, test := range map[string]struct {
		fault  sshhost.Fault
		reason string
	}{
		"FIN":             {sshhost.Fault{Name: "test"}, "a fault ended the connection (test)"},
		"RST":             {sshhost.Fault{Name: "test", Reset: true}, "a fault ended the connection (test)"},
		"after a delay":   {sshhost.Fault{Cause: errStopped, Delay: 50 * time.Millisecond}, "stopped"},
		"with Disconnect": {sshhost.Fault{Cause: errStopped, Fired: func() {}}, "stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h *host
			fired := make(chan struct{}, 10)
			broken := make(chan error, 1)
			h = start(t, func(o *sshhost.Options) {
				o.Login = func(sshhost.Peer, string, gossh.PublicKey) (sshhost.Grant, error) {
					return sshhost.Grant{Serve: func(s *sshhost.Session) uint32 {
						io.WriteString(s, answer)
						fault := test.fault
						disconnects := fault.Fired != nil
						fault.Fired = func() {
							fired <- struct{}{}
							if disconnects { // which leaves this connection alone: it ends already
								h.srv.Disconnect(user, errors.New("too late"))
							}
						}
						s.EndConn(&fault)
						broken <- s.Broken()
						return 0
					}}, nil
				}
			})
			s, err := h.dial().NewSession()
			if err != nil {
				t.Fatal(err)
			}
			out, err := s.Output("echo 0")
			var missing *gossh.ExitMissingError
			if !errors.As(err, &missing) {
				t.Errorf("the command ended with %v, want no exit status", err)
			}
			if string(out) != answer && !test.fault.Reset { // after a reset the client's library reads no further
				t.Errorf("%d bytes of stdout, want %d", len(out), len(answer))
			}
			if err := <-broken; err == nil || err.Error() != test.reason {
				t.Errorf("broken by %v, want %q", err, test.reason)
			}
			if e := h.events.await(t, 1, sshhost.EventDisconnect)[0]; e.Reason != test.reason {
				t.Errorf("the last event says %q, want %q", e.Reason, test.reason)
			}
			if n := len(fired); n != 1 {
				t.Errorf("Fired was called %d times", n)
			}
		})
	}
}

// TestBounds holds that connections, and the channels of one, are bounded.
func TestBounds(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *sshhost.Options) { o.MaxConns = 2 })
	one := h.dial()
	h.dial()
	if c, err := gossh.Dial("tcp", h.addr, h.config()); err == nil {
		c.Close()
		t.Error("a third connection was let in")
	}
	for open := 0; ; open++ {
		_, reqs, err := one.OpenChannel("session", nil)
		if err != nil {
			if open < 5 {
				t.Errorf("only %d channels: %v", open, err)
			}
			break
		}
		if open > 100 {
			t.Fatal("channels are not bounded")
		}
		go gossh.DiscardRequests(reqs)
	}
	one.Close()
	h.events.await(t, 1, sshhost.EventDisconnect)
	for { // the place is free a moment after the last event
		if c, err := gossh.Dial("tcp", h.addr, h.config()); err == nil {
			c.Close()
			return
		}
	}
}
