package sftpserver_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// rawOver is raw over a TCP connection that the test can end as it likes.
func (h *host) rawOver() (*raw, *net.TCPConn) {
	h.tb.Helper()
	tcp, err := net.Dial("tcp", h.addr)
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { tcp.Close() })
	conn, chans, reqs, err := gossh.NewClientConn(tcp, h.addr, clientConfig(user, gossh.PublicKeys(h.key)))
	if err != nil {
		h.tb.Fatal(err)
	}
	return newRaw(h.tb, gossh.NewClient(conn, chans, reqs)), tcp.(*net.TCPConn)
}

// TestEnd_orderlyOrBroken ends a session in every way while a file is open; where that must not make a whole file of
// it, with bytes beyond a hole.
func TestEnd_orderlyOrBroken(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(*host, *raw, *net.TCPConn)
		kind sftpserver.EventKind
		want string // in the reason
	}{
		{"the channel's input ends with a hole left", func(_ *host, r *raw, _ *net.TCPConn) { r.ch.CloseWrite() },
			sftpserver.EventAbort, "a hole"},
		{"the channel is closed with a hole left", func(_ *host, r *raw, _ *net.TCPConn) { r.ch.Close() },
			sftpserver.EventAbort, "a hole"},
		{"the channel's input ends", func(_ *host, r *raw, _ *net.TCPConn) { r.ch.CloseWrite() }, sftpserver.EventClose, ""},
		{"the channel is closed", func(_ *host, r *raw, _ *net.TCPConn) { r.ch.Close() }, sftpserver.EventClose, ""},
		{"the channel's input ends, and at once the connection", func(_ *host, r *raw,
			tcp *net.TCPConn) {
			r.ch.CloseWrite()
			tcp.Close()
		}, sftpserver.EventClose, ""},
		{"the channel is closed, and at once the connection reset", func(_ *host, r *raw, tcp *net.TCPConn) {
			r.ch.Close()
			tcp.CloseWrite()
		}, sftpserver.EventClose, ""},
		{"FIN", func(_ *host, _ *raw, tcp *net.TCPConn) { tcp.CloseWrite() }, sftpserver.EventAbort,
			"without ending the session"},
		{"RST", func(_ *host, _ *raw, tcp *net.TCPConn) { tcp.SetLinger(0); tcp.Close() }, sftpserver.EventAbort, "reset"},
		{"the input ends within a message", func(_ *host, r *raw, _ *net.TCPConn) {
			r.write(message(16, 9, "/path")[:12])
			r.ch.CloseWrite()
		}, sftpserver.EventAbort, "unexpected EOF"},
		{"a broken message", func(_ *host, r *raw, _ *net.TCPConn) { r.write(make([]byte, 9)) }, sftpserver.EventAbort,
			"message of 0 bytes"},
		{"the server disconnects the user", func(h *host, _ *raw, _ *net.TCPConn) { h.srv.Disconnect(user) },
			sftpserver.EventAbort, "access has ended"},
		{"the server is closed", func(h *host, _ *raw, _ *net.TCPConn) { h.srv.Close() }, sftpserver.EventAbort,
			"server closed"},
		{"the server is shut down in no time", func(h *host, _ *raw, _ *net.TCPConn) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if err := h.srv.Shutdown(ctx); !errors.Is(err, context.Canceled) {
				h.tb.Errorf("Shutdown: %v", err)
			}
		}, sftpserver.EventAbort, "server closed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := start(t)
			r, tcp := h.rawOver()
			handle := r.open(name, fWrite|fCreate|fTrunc)
			r.writeAt(handle, 0, []byte("begin"))
			later := 10
			if test.kind == sftpserver.EventClose {
				later = 5
			}
			r.writeAt(handle, later, []byte("later"))
			test.end(h, r, tcp)
			e := h.events.await(t, 1, test.kind)[0]
			if !strings.Contains(e.Reason, test.want) || test.want == "" && e.Reason != "" {
				t.Errorf("reason %q, want %q", e.Reason, test.want)
			}
			want := []sftpserver.Range{{From: 0, To: 5}, {From: 10, To: 15}}
			if test.kind == sftpserver.EventClose {
				want = []sftpserver.Range{{From: 0, To: 10}}
			}
			if diff := cmp.Diff(want, e.Written); diff != "" {
				t.Errorf("written (-want +got):\n%s", diff)
			}
			content := "beginlater"
			if test.kind == sftpserver.EventAbort {
				content = "begin" // so that a resume by size leaves no hole
			}
			h.wants([]byte(content))
		})
	}
}

// TestEnd_orderlyUnderLoad: what was sent before an orderly end counts, even if the connection is gone before the
// server has got to it.
func TestEnd_orderlyWithMuchUnderWay(t *testing.T) {
	t.Parallel()
	for range 10 {
		h := start(t)
		r, tcp := h.rawOver()
		handle := r.open(name, fWrite|fCreate|fTrunc)
		want := pattern(1 << 20)
		for at := 0; at < len(want); at += 32 << 10 {
			r.send(6, handle, uint64(at), string(want[at:at+32<<10]))
		}
		r.ch.CloseWrite()
		tcp.CloseWrite()
		if e := h.events.await(t, 1, sftpserver.EventClose)[0]; e.Size != int64(len(want)) {
			t.Errorf("closed at %d bytes", e.Size)
		}
		h.wants(want)
	}
}

func TestRevoked_inTheMiddle(t *testing.T) {
	t.Parallel()
	h := start(t)
	r := h.raw()
	handle := r.open(name, fWrite|fCreate|fTrunc)
	r.writeAt(handle, 0, []byte("begin"))
	h.share.mu.Lock()
	h.share.revoked = true
	h.share.mu.Unlock()
	if got := r.status(6, handle, uint64(5), "more"); got != denied {
		t.Errorf("WRITE: %q", got)
	}
	if _, _, _, err := r.tryReceive(); err == nil {
		t.Error("the session was not closed")
	}
	e := h.events.await(t, 1, sftpserver.EventDisconnect)[0]
	if e.Reason != sftpserver.ErrRevoked.Error() {
		t.Errorf("disconnected because: %q", e.Reason)
	}
	if _, aborts := h.share.ended(); len(aborts) != 1 || !errors.Is(aborts[0], sftpserver.ErrRevoked) {
		t.Errorf("aborted with %v", aborts)
	}
	// Every operation learns of it.
	for kind, fields := range map[byte][]any{
		3: {"/" + name, fRead, 0}, 7: {"/"}, 9: {"/" + name, 0}, 11: {"/"}, 13: {"/x"}, 16: {"."}, 17: {"/" + name},
	} {
		r := h.raw()
		if got := r.status(kind, fields...); got != denied {
			t.Errorf("type %d: %q", kind, got)
		}
		if _, _, _, err := r.tryReceive(); err == nil {
			t.Errorf("type %d: the session was not closed", kind)
		}
	}
}

func TestDisconnect_onlyThatUser(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.shares.users["user_2"] = &share{name: "other.dump", keys: []gossh.PublicKey{h.key.PublicKey()}}
	one, two := h.raw(), h.raw()
	other, err := gossh.Dial("tcp", h.addr, clientConfig("user_2", gossh.PublicKeys(h.key)))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	h.srv.Disconnect(user)
	for _, r := range []*raw{one, two} {
		if _, _, _, err := r.tryReceive(); err == nil {
			t.Error("a session of the user lives on")
		}
	}
	if s, err := other.NewSession(); err != nil {
		t.Errorf("another user was disconnected: %v", err)
	} else {
		s.Close()
	}
	h.srv.Disconnect("nobody")
}

func TestClose_halfOpenConnections(t *testing.T) {
	t.Parallel()
	h := start(t)
	silent, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	halfway, err := net.Dial("tcp", h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer halfway.Close()
	halfway.Write([]byte("SSH-2.0-x\r\n\x00\x00\x01"))
	h.events.await(t, 2, sftpserver.EventConnect)
	if err := h.srv.Close(); err != nil {
		t.Fatal(err)
	}
	if err := h.srv.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	h.events.await(t, 2, sftpserver.EventDisconnect)
	if c, err := net.Dial("tcp", h.addr); err == nil {
		c.Close()
		t.Error("a closed server still listens")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.srv.Serve(l); !errors.Is(err, sftpserver.ErrServerClosed) {
		t.Errorf("Serve of a closed server: %v", err)
	}
}

func TestShutdown_waitsForTransfers(t *testing.T) {
	t.Parallel()
	h := start(t)
	r := h.raw()
	handle := r.open(name, fWrite|fCreate|fTrunc)
	done := make(chan error, 1)
	go func() { done <- h.srv.Shutdown(t.Context()) }()
	// No further client gets in, while the one that is connected goes on.
	for {
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	r.writeAt(handle, 0, []byte("dump"))
	select {
	case err := <-done:
		t.Fatalf("Shutdown returned %v while a transfer was running", err)
	default:
	}
	r.close(handle)
	r.conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	h.wants([]byte("dump"))
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	t.Run("handshake", func(t *testing.T) {
		t.Parallel()
		h := start(t, func(o *sftpserver.Options) { o.HandshakeTimeout = 50 * time.Millisecond })
		c, err := net.Dial("tcp", h.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if e := h.events.await(t, 1, sftpserver.EventDisconnect)[0]; !strings.Contains(e.Reason, "in time") {
			t.Errorf("disconnected because: %q", e.Reason)
		}
	})
	t.Run("idle", func(t *testing.T) {
		t.Parallel()
		h := start(t, func(o *sftpserver.Options) { o.IdleTimeout = 200 * time.Millisecond })
		r := h.raw()
		handle := r.open(name, fWrite|fCreate)
		r.writeAt(handle, 0, []byte("dump"))
		if e := h.events.await(t, 1, sftpserver.EventDisconnect)[0]; !strings.Contains(e.Reason, "idle") {
			t.Errorf("disconnected because: %q", e.Reason)
		}
		if _, aborts := h.share.ended(); len(aborts) != 1 {
			t.Errorf("aborted %v", aborts)
		}
	})
}

func TestMaxSessions(t *testing.T) {
	t.Parallel()
	h := start(t, func(o *sftpserver.Options) { o.MaxSessions = 2 })
	one := h.dial()
	h.dial()
	if c, err := gossh.Dial("tcp", h.addr, clientConfig(user, gossh.PublicKeys(h.key))); err == nil {
		c.Close()
		t.Fatal("a third connection was let in")
	}
	one.Close()
	h.events.await(t, 1, sftpserver.EventDisconnect)
	// The place is free a moment after the last event.
	for {
		if c, err := gossh.Dial("tcp", h.addr, clientConfig(user, gossh.PublicKeys(h.key))); err == nil {
			c.Close()
			return
		}
	}
}

func TestServeConn(t *testing.T) {
	t.Parallel()
	h := start(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		h.srv.ServeConn(server)
		close(done)
	}()
	conn, chans, reqs, err := gossh.NewClientConn(client, h.addr, clientConfig(user, gossh.PublicKeys(h.key)))
	if err != nil {
		t.Fatal(err)
	}
	c := gossh.NewClient(conn, chans, reqs)
	if s, err := c.NewSession(); err != nil {
		t.Error(err)
	} else {
		s.Close()
	}
	c.Close()
	<-done
}

func TestNew_withoutShares(t *testing.T) {
	t.Parallel()
	for _, opts := range []*sftpserver.Options{nil, {}} {
		if _, err := sftpserver.New(opts); err == nil || !strings.Contains(err.Error(), "Shares") {
			t.Errorf("New: %v", err)
		}
	}
}
