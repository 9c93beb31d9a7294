package sshhost_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// TestListeners serves two listeners that show host keys of their own and let in users of their own. Closing one
// leaves the connections that came through it alone.
func TestListeners(t *testing.T) {
	t.Parallel()
	second, other := listen(t), newKey(t)
	isSecond := func(p sshhost.Peer) bool { return p.Local.String() == second.Addr().String() }
	h := start(t, func(o *sshhost.Options) {
		first := o.HostKeys
		o.HostKeys = func(p sshhost.Peer) []gossh.Signer {
			if isSecond(p) {
				return []gossh.Signer{other}
			}
			return first(p)
		}
		login := o.Login
		o.Login = func(p sshhost.Peer, name string, key gossh.PublicKey) (sshhost.Grant, error) {
			if isSecond(p) != (name == "user_2") {
				return sshhost.Grant{}, errors.New("another listener's user")
			}
			return login(p, user, key)
		}
	})
	served := make(chan error, 1)
	go func() { served <- h.srv.Serve(second) }()
	dial := func(addr, name string, shown gossh.Signer) (*gossh.Client, error) {
		config := h.config()
		config.User, config.HostKeyCallback = name, gossh.FixedHostKey(shown.PublicKey())
		return gossh.Dial("tcp", addr, config)
	}
	for _, name := range []string{user, "user_2"} {
		for addr, key := range map[string]gossh.Signer{h.addr: h.shown, second.Addr().String(): other} {
			c, err := dial(addr, name, key)
			if want := (name == user) == (addr == h.addr); (err == nil) != want {
				t.Errorf("%s at %s: %v, want a login: %v", name, addr, err, want)
			}
			if err == nil {
				c.Close()
			}
		}
	}
	c, err := dial(second.Addr().String(), "user_2", other)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	second.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve of a listener that the caller has closed: %v", err)
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	s.Stdin = strings.NewReader("data")
	if out, err := s.Output("echo 0"); err != nil || string(out) != "data" {
		t.Errorf("after the listener was closed: %q, %v", out, err)
	}
	if c, err := dial(h.addr, user, h.shown); err != nil {
		t.Errorf("the other listener: %v", err)
	} else {
		c.Close()
	}
}

// TestClose_halfOpen closes a server whose clients have not got as far as the login.
func TestClose_halfOpen(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, sent := range []string{"", "SSH-2.0-x\r\n\x00\x00\x01"} {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Write([]byte(sent))
	}
	h.events.await(t, 2, sshhost.EventConnect)
	h.srv.Close(errStopped)
	for _, e := range h.events.await(t, 2, sshhost.EventDisconnect) {
		if e.Reason != errStopped.Error() {
			t.Errorf("ended because of %q", e.Reason)
		}
	}
	if err := h.srv.Serve(listen(t)); err != nil {
		t.Errorf("Serve of a closed server: %v", err)
	}
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	h := start(t)
	c := h.dial()
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start("echo 0"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- h.srv.Shutdown(t.Context(), errStopped) }()
	for { // until no further client gets in
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	in.Close()
	if err := s.Wait(); err != nil {
		t.Errorf("the command that was running: %v", err)
	}
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v while a client was connected", err)
	default:
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestShutdown_gives_up(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.dial()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.srv.Shutdown(ctx, errStopped); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	silent := start(t, func(o *sshhost.Options) { o.HandshakeTimeout = 50 * time.Millisecond })
	c, err := net.Dial("tcp", silent.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if e := silent.events.await(t, 1, sshhost.EventDisconnect)[0]; !strings.Contains(e.Reason, "in time") {
		t.Errorf("a client that says nothing: ended because of %q", e.Reason)
	}
	idle := start(t, func(o *sshhost.Options) { o.IdleTimeout = 200 * time.Millisecond })
	idle.dial()
	if e := idle.events.await(t, 1, sshhost.EventDisconnect)[0]; !strings.Contains(e.Reason, "idle") {
		t.Errorf("a client that does nothing: ended because of %q", e.Reason)
	}
}

// TestEvents holds what is reported of a login, and of one that is refused.
func TestEvents(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.dial().Close()
	h.events.await(t, 1, sshhost.EventDisconnect)
	config := h.config()
	config.User = "nobody"
	if _, err := gossh.Dial("tcp", h.addr, config); err == nil {
		t.Fatal("logged in")
	}
	h.events.await(t, 2, sshhost.EventDisconnect)
	print := gossh.FingerprintSHA256(h.key.PublicKey())
	type line struct {
		Kind                      sshhost.EventKind
		User, Key, Method, Reason string
	}
	var got []line
	for _, e := range h.events.list {
		got = append(got, line{e.Kind, e.Peer.User, e.Peer.Key, e.Method, e.Reason})
	}
	want := []line{
		{Kind: "connect"},
		{"offered", user, print, "publickey", ""},
		{"login", user, print, "publickey", ""},
		{"disconnect", user, print, "", ""},
		{Kind: "connect"},
		{"offered", "nobody", print, "publickey", "unknown user or key"},
		{"refused", "nobody", "", "publickey", "unknown user or key"},
		{Kind: "disconnect", Reason: "the client left without logging in"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestFaults triggers each kind of fault on the way to the login, once.
func TestFaults(t *testing.T) {
	t.Parallel()
	refused := errors.New("not today")
	other := newKey(t)
	for name, test := range map[string]struct {
		at     sshhost.Moment
		fault  sshhost.Fault
		client string // in the client's error; empty: it gets in
		reason string // of the last event
	}{
		"connection refused": {sshhost.OnConnect, sshhost.Fault{Refuse: refused}, "EOF",
			"a fault ended the connection (test)"},
		"connection reset": {sshhost.OnConnect, sshhost.Fault{Ends: true, Reset: true}, "reset",
			"a fault ended the connection (test)"},
		"connection delayed": {sshhost.OnConnect, sshhost.Fault{Delay: 50 * time.Millisecond, Rate: 1 << 20}, "", ""},
		"connection ended":   {sshhost.OnConnect, sshhost.Fault{Ends: true, Cause: errStopped}, "EOF", "stopped"},
		"login refused": {sshhost.OnLogin, sshhost.Fault{Refuse: refused}, "unable to authenticate",
			"without logging in"},
		"login ends": {sshhost.OnLogin, sshhost.Fault{Ends: true, Cause: errStopped}, "", "stopped"},
		"another host key": {sshhost.OnHostKeys, sshhost.Fault{HostKeys: []gossh.Signer{other}}, "mismatch",
			"refused the host key"},
		"nothing goes wrong":  {sshhost.OnLogin, sshhost.Fault{}, "", ""},
		"login with a delay":  {sshhost.OnLogin, sshhost.Fault{Delay: 50 * time.Millisecond}, "", ""},
		"login, another user": {sshhost.OnLogin, sshhost.Fault{Refuse: refused, User: "x"}, "unable to authenticate", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fired, asked := 0, 0
			fault := test.fault
			fault.Name, fault.Fired = "test", func() { fired++ }
			h := start(t, func(o *sshhost.Options) {
				o.Fault = func(at sshhost.Moment, _ sshhost.Peer) *sshhost.Fault {
					if at != test.at || asked > 0 {
						return nil
					}
					asked++
					return &fault
				}
			})
			config := h.config()
			config.HostKeyCallback = gossh.FixedHostKey(h.shown.PublicKey())
			c, err := gossh.Dial("tcp", h.addr, config)
			if err == nil {
				c.Close()
			}
			ends := test.fault.Ends && test.client == ""
			if (err == nil) != (test.client == "") && !ends || err != nil && !strings.Contains(err.Error(), test.client) {
				t.Errorf("the client says: %v, want %q", err, test.client)
			}
			last := h.events.await(t, 1, sshhost.EventDisconnect)[0]
			if !strings.Contains(last.Reason, test.reason) || (test.reason == "") != (last.Reason == "") && test.client == "" {
				t.Errorf("the last event says %q, want %q", last.Reason, test.reason)
			}
			if e := h.events.await(t, 1, sshhost.EventFault)[0]; e.Name != "test" || e.Op != string(test.at) || fired != 1 {
				t.Errorf("reported %+v, Fired was called %d times", e, fired)
			}
			// The next connection is as always.
			h.dial()
		})
	}
}

func TestPrepareHostKeys(t *testing.T) {
	t.Parallel()
	made, err := sshhost.PrepareHostKeys(nil, false)
	if err != nil || len(made) != 1 || made[0].PublicKey().Type() != gossh.KeyAlgoECDSA256 {
		t.Errorf("made %v, %v", made, err)
	}
	if _, err := sshhost.PrepareHostKeys([]gossh.Signer{newKey(t), newKey(t)}, false); err == nil ||
		!strings.Contains(err.Error(), "ssh-ed25519") {
		t.Errorf("two keys of one type: %v", err)
	}
}
