package sftpserver_test

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

func TestFault_connect(t *testing.T) {
	t.Parallel()
	for _, fault := range []sftpserver.Fault{{Refuse: true}, {Disconnect: true}, {Reset: true}} {
		h := startFaulty(t, sftpserver.OpConnect, fault)
		n, c, err := 0, net.Conn(nil), error(nil)
		if c, err = net.Dial("tcp", h.addr); err == nil { // a reset may come as early as that
			defer c.Close()
			n, err = c.Read(make([]byte, 1))
		}
		if want := map[bool]error{false: io.EOF, true: syscall.ECONNRESET}[fault.Reset]; n != 0 || !errors.Is(err, want) {
			t.Errorf("%s: read %d bytes, %v, want %v", what(fault), n, err, want)
		}
		h.dial() // once only
	}
}

func TestFault_login(t *testing.T) {
	t.Parallel()
	second := freshKey(t)
	for _, fault := range []sftpserver.Fault{{Refuse: true}, {Error: "maintenance"}, {Disconnect: true}, {Reset: true}} {
		h := startFaulty(t, sftpserver.OpLogin, fault)
		// Another key of the same user in the same connection does not use up the next login.
		h.share.keys = append(h.share.keys, second.PublicKey())
		if c, err := gossh.Dial("tcp", h.addr, clientConfig(user, gossh.PublicKeys(h.key, second))); err == nil {
			c.Close()
			t.Errorf("%s: logged in", what(fault))
		}
		h.dial()
		if n := len(h.events.all(sftpserver.EventLogin)); n != 1 {
			t.Errorf("%s: %d logins in the journal", what(fault), n)
		}
		for _, e := range h.events.all(sftpserver.EventRefused) {
			if !strings.Contains(e.Reason, "ordered") {
				t.Errorf("%s: refused because %q", what(fault), e.Reason)
			}
		}
	}
}

func TestFault_openAndClose(t *testing.T) {
	t.Parallel()
	for _, kind := range []sftpserver.OpKind{sftpserver.OpOpen, sftpserver.OpClose} {
		for _, fault := range []sftpserver.Fault{{Refuse: true}, {Error: "no more inodes"}, {Disconnect: true},
			{Reset: true}} {
			h := startFaulty(t, kind, fault)
			c := h.client()
			f, err := c.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
			if kind == sftpserver.OpClose {
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.Write([]byte("dump")); err != nil {
					t.Fatal(err)
				}
				err = f.Close()
			}
			switch {
			case err == nil:
				t.Errorf("%s %s: went well", kind, what(fault))
			case fault.Refuse && !os.IsPermission(err):
				t.Errorf("%s: %v", kind, err)
			case fault.Error != "" && !strings.Contains(err.Error(), fault.Error):
				t.Errorf("%s: %v", kind, err)
			case fault.Disconnect || fault.Reset:
				h.events.await(t, 1, sftpserver.EventDisconnect)
				c = h.client()
			}
			if _, aborts := h.share.ended(); len(aborts) != map[sftpserver.OpKind]int{sftpserver.OpClose: 1}[kind] {
				t.Errorf("%s %s: aborts %v", kind, what(fault), aborts)
			}
			put(t, c, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, []byte("again"))
			h.wants([]byte("again"))
		}
	}
}

func TestFault_revokeCallsFirst(t *testing.T) {
	t.Parallel()
	var h *host
	fired := 0
	fault := sftpserver.Fault{Revoke: true, After: 10, Fired: func() {
		fired++
		h.share.mu.Lock()
		h.share.revoked = true
		h.share.mu.Unlock()
		h.srv.Disconnect(user) // as the platform does when an access ends
	}}
	h = startFaulty(t, sftpserver.OpWrite, fault)
	bystander := h.raw()
	r := h.raw()
	handle := r.open(name, fWrite|fCreate)
	r.send(6, handle, uint64(0), "0123456789abcdef")
	for _, r := range []*raw{r, bystander} {
		if _, _, _, err := r.tryReceive(); err == nil {
			t.Error("a session of the user lives on")
		}
	}
	for _, e := range h.events.await(t, 2, sftpserver.EventDisconnect) {
		if e.Reason != sftpserver.ErrRevoked.Error() {
			t.Errorf("disconnected because: %q", e.Reason)
		}
	}
	h.wants([]byte("0123456789"))
	if fired != 1 {
		t.Errorf("Fired was called %d times", fired)
	}
}

// TestFault_delay measures lower bounds only: nothing is promised about how fast it is otherwise.
func TestFault_delay(t *testing.T) {
	t.Parallel()
	const delay = 150 * time.Millisecond
	for _, kind := range []sftpserver.OpKind{sftpserver.OpConnect, sftpserver.OpLogin, sftpserver.OpOpen,
		sftpserver.OpRead, sftpserver.OpWrite, sftpserver.OpClose} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			h := startFaulty(t, kind, sftpserver.Fault{Delay: delay, After: 2})
			h.share.set([]byte("dump"))
			began := time.Now()
			r := h.raw()
			handle := r.open(name, fRead|fWrite)
			if kind, _ := r.ask(5, handle, uint64(0), 4); kind != 103 {
				t.Errorf("READ: type %d", kind)
			}
			r.writeAt(handle, 0, []byte("DUMP"))
			r.close(handle)
			if took := time.Since(began); took < delay {
				t.Errorf("took %v, want at least %v", took, delay)
			}
			h.wants([]byte("DUMP"))
		})
	}
}

func TestFault_rate(t *testing.T) {
	t.Parallel()
	data := pattern(60_000)
	for _, kind := range []sftpserver.OpKind{sftpserver.OpLogin, sftpserver.OpRead, sftpserver.OpWrite} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			h := startFaulty(t, kind, sftpserver.Fault{Rate: 200_000})
			h.share.set(data)
			c := h.client()
			began := time.Now()
			if kind == sftpserver.OpRead {
				f, err := c.Open(name)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, f); err != nil {
					t.Error(err)
				}
				f.Close()
			} else {
				put(t, c, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, data)
			}
			// The first tenth of a second's worth is free.
			if took := time.Since(began); took < 150*time.Millisecond {
				t.Errorf("60 kB at 200 kB/s took %v", took)
			}
			h.wants(data)
		})
	}
}

// TestFault_slownessEndsWithTheServer holds that Close does not wait for an ordered delay or rate.
func TestFault_slownessEndsWithTheServer(t *testing.T) {
	t.Parallel()
	for _, fault := range []sftpserver.Fault{{Delay: time.Hour}, {Rate: 1}, {Delay: time.Hour, Disconnect: true}} {
		for _, kind := range []sftpserver.OpKind{sftpserver.OpConnect, sftpserver.OpLogin, sftpserver.OpWrite,
			sftpserver.OpClose} {
			h := startFaulty(t, kind, fault)
			go func() {
				c, err := gossh.Dial("tcp", h.addr, clientConfig(user, gossh.PublicKeys(h.key)))
				if err != nil {
					return
				}
				defer c.Close()
				s, err := sftp.NewClient(c)
				if err != nil {
					return
				}
				defer s.Close()
				if f, err := s.OpenFile(name, os.O_WRONLY|os.O_CREATE); err == nil {
					f.Write(pattern(1 << 20))
					f.Close()
				}
			}()
			h.events.await(t, 1, sftpserver.EventFault)
			if err := h.srv.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
