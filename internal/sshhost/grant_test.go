package sshhost_test

import (
	"context"
	"errors"
	"io"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// The end of a grant ends its connections because of its cause, with all that runs in them, and no others of the same
// user and key.
func TestGrant_ends(t *testing.T) {
	t.Parallel()
	over := errors.New("it is over")
	grants := map[string]context.Context{}
	ends := map[string]context.CancelCauseFunc{}
	for _, name := range []string{"first", "second"} {
		grants[name], ends[name] = context.WithCancelCause(t.Context())
	}
	next := make(chan string, 1)
	broken := make(chan error, 1)
	h := start(t, func(o *sshhost.Options) {
		granted := map[uint64]string{}
		o.Login = func(p sshhost.Peer, _ string, _ gossh.PublicKey) (sshhost.Grant, error) {
			if granted[p.Conn] == "" { // a key is offered before it is proved
				granted[p.Conn] = <-next
			}
			name := granted[p.Conn]
			return sshhost.Grant{Until: grants[name], Holder: name, Serve: func(s *sshhost.Session) uint32 {
				io.Copy(s, s)
				if name == "first" {
					broken <- s.Broken()
				}
				return 0
			}}, nil
		}
	})
	var running []gossh.Channel
	for _, name := range []string{"first", "second"} {
		next <- name
		_, ch, _ := h.exec("echo 0")
		running = append(running, ch)
		exchange(t, ch)
	}
	for i, e := range h.events.await(t, 2, sshhost.EventLogin) {
		if want := []string{"first", "second"}[i]; e.Peer.Holder != want {
			t.Errorf("login %d: the holder is %v, want %s", i, e.Peer.Holder, want)
		}
	}
	ends["first"](over)
	if err := <-broken; err != over {
		t.Errorf("the session was ended because of %v, want %v", err, over)
	}
	e := h.events.await(t, 1, sshhost.EventDisconnect)[0]
	if e.Peer.Holder != "first" || e.Reason != over.Error() {
		t.Errorf("the end of %v: %q, want that of first: %q", e.Peer.Holder, e.Reason, over)
	}
	exchange(t, running[1])
	ends["second"](over)
	h.events.await(t, 2, sshhost.EventDisconnect)
}

// exchange sends a byte through a command that echoes.
func exchange(t *testing.T, ch gossh.Channel) {
	t.Helper()
	b := []byte{'x'}
	if _, err := ch.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ch, b); err != nil {
		t.Fatal(err)
	}
}
