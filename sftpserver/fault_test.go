package sftpserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// faults answers each kind of operation with its fault, once.
type faults struct {
	mu    sync.Mutex
	once  map[sftpserver.OpKind]*sftpserver.Fault
	asked []sftpserver.Op
}

func (f *faults) ask(op sftpserver.Op) *sftpserver.Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, op)
	fault := f.once[op.Kind]
	delete(f.once, op.Kind)
	return fault
}

// startFaulty serves with one fault in wait.
func startFaulty(tb testing.TB, kind sftpserver.OpKind, fault sftpserver.Fault) *host {
	tb.Helper()
	fault.Name = "ordered"
	f := &faults{once: map[sftpserver.OpKind]*sftpserver.Fault{kind: &fault}}
	return start(tb, func(o *sftpserver.Options) { o.Fault = f.ask })
}

func TestFault_isAskedAtEachMoment(t *testing.T) {
	t.Parallel()
	f := new(faults)
	h := start(t, func(o *sftpserver.Options) { o.Fault = f.ask })
	h.share.set([]byte("dump"))
	r := h.raw()
	r.close(r.open(name, fRead))
	r.close(r.open(name, fWrite))
	r.close(r.open(name, fRead|fWrite))
	var got []string
	for _, op := range f.asked {
		if op.Session != 1 || op.Remote == "" || (op.User == user && strings.HasPrefix(op.Key, "SHA256:")) != (op.Kind != sftpserver.OpConnect && op.Kind != sftpserver.OpHostKey) {
			t.Errorf("asked %+v", op)
		}
		got = append(got, strings.TrimSpace(string(op.Kind)+" "+op.Flags.String()))
	}
	want := []string{"connect", "hostkey", "login", "open read", "read read", "close read", "open write", "write write", "close write",
		"open read|write", "write read|write", "read read|write", "close read|write"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}

// TestFault_writeFiresAtTheOffset is the promise of After: whatever the order of the packets, the file ends up with
// exactly the bytes before it.
func TestFault_writeFiresAtTheOffset(t *testing.T) {
	t.Parallel()
	data := pattern(300_000)
	orders := map[string]func(i, n int) int{
		"in order":   func(i, _ int) int { return i },
		"backwards":  func(i, n int) int { return n - 1 - i },
		"shuffled":   func(i, n int) int { return i * 37 % n },
		"pairs swap": func(i, n int) int { return min(i^1, n-1) },
	}
	for _, fault := range []sftpserver.Fault{{Disconnect: true}, {Reset: true}, {Error: "no space left on device"}, {Refuse: true}, {Revoke: true}} {
		for order, at := range orders {
			for _, after := range []int{0, 1, 4096, 4097, 299_999} {
				if order != "in order" && after < 4097 && !fault.Disconnect {
					continue // the order does not matter to one kind of end more than to another
				}
				fault := fault
				fault.After = int64(after)
				t.Run(fmt.Sprintf("%s/%s at %d", what(fault), order, after), func(t *testing.T) {
					t.Parallel()
					h := startFaulty(t, sftpserver.OpWrite, fault)
					r := h.raw()
					handle := r.open(name, fWrite|fCreate|fTrunc)
					const block = 4096
					n := (len(data)+block-1)/block + 1 // 75, prime to 37; the last is empty
					for i := range n {
						from := min(at(i, n)*block, len(data))
						r.id++
						// The connection may end meanwhile.
						r.ch.Write(message(6, r.id, handle, uint64(from), string(data[from:min(from+block, len(data))])))
					}
					failed := 0
					for range n {
						kind, _, rest, err := r.tryReceive()
						if err != nil {
							break
						}
						if kind != 101 {
							t.Fatalf("answered with type %d", kind)
						}
						if s := statusText(rest); s != "0 " {
							failed++
							if want := map[bool]string{true: denied, false: "4 no space left on device"}[fault.Refuse]; s != want {
								t.Fatalf("answered %q, want %q", s, want)
							}
						}
					}
					ends := fault.Disconnect || fault.Reset || fault.Revoke
					if ends == (failed > 0) {
						t.Errorf("%d writes failed", failed)
					}
					if ends {
						h.told.await(t, 1, sftpserver.EventDisconnect)
					} else if s := r.status(4, handle); s != "0 " {
						t.Errorf("CLOSE: %q", s)
					}
					h.wants(data[:after])
					fired := h.told.all(sftpserver.EventFault)
					if len(fired) != 1 || fired[0].Offset != int64(after) || fired[0].Name != "ordered" || fired[0].Op != "write" || fired[0].Received != int64(after) {
						t.Errorf("journalled %+v", fired)
					}
					for _, e := range h.told.all(sftpserver.EventClose, sftpserver.EventAbort) {
						if e.Name != "ordered" || e.Offset != int64(after) || e.Received != int64(after) || e.Sent != 0 || len(e.Spared) > 0 {
							t.Errorf("the end of the handle is told as %+v", e)
						}
					}
				})
			}
		}
	}
}

func what(f sftpserver.Fault) string {
	switch {
	case f.Disconnect:
		return "disconnect"
	case f.Reset:
		return "reset"
	case f.Revoke:
		return "revoke"
	case f.Refuse:
		return "refuse"
	}
	return "error"
}

// TestFault_readFiresAtTheOffset: the client gets every byte before it, and none after.
func TestFault_readFiresAtTheOffset(t *testing.T) {
	t.Parallel()
	data := pattern(300_000)
	for _, fault := range []sftpserver.Fault{{Disconnect: true}, {Reset: true}, {Error: "bad sector"}, {Refuse: true}, {Revoke: true}} {
		for _, after := range []int{0, 1, 4096, 100_001, 299_999} {
			fault := fault
			fault.After = int64(after)
			t.Run(fmt.Sprintf("%s at %d", what(fault), after), func(t *testing.T) {
				t.Parallel()
				h := startFaulty(t, sftpserver.OpRead, fault)
				h.share.set(data)
				r := h.raw()
				handle := r.open(name, fRead)
				// Many at once, as clients prefetch; each that comes back short is asked again for the rest.
				const block = 4096
				for from := 0; from < len(data); from += block {
					r.id++
					r.ch.Write(message(5, r.id, handle, uint64(from), block))
				}
				if rest := after % block; rest != 0 {
					r.id++
					r.ch.Write(message(5, r.id, handle, uint64(after), block))
				}
				var got bytes.Buffer
				failed := 0
				for {
					kind, _, rest, err := r.tryReceive()
					if err != nil {
						break
					}
					if kind == 103 {
						got.Write(rest[4:])
						continue
					}
					failed++
					if want := map[bool]string{true: denied, false: "4 bad sector"}[fault.Refuse]; statusText(rest) != want {
						t.Fatalf("answered %q, want %q", statusText(rest), want)
					}
					r.ch.CloseWrite()
				}
				if !bytes.Equal(got.Bytes(), data[:after]) {
					t.Errorf("read %d bytes, want the first %d", got.Len(), after)
				}
				ends := fault.Disconnect || fault.Reset || fault.Revoke
				if ends == (failed > 0) {
					t.Errorf("%d reads failed", failed)
				}
				r.conn.Close()
				h.told.await(t, 1, sftpserver.EventDisconnect)
				for _, e := range h.told.all(sftpserver.EventFault, sftpserver.EventClose, sftpserver.EventAbort) {
					if e.Name != "ordered" || e.Offset != int64(after) || e.Sent != int64(after) || e.Received != 0 || len(e.Spared) > 0 {
						t.Errorf("told as %+v", e)
					}
				}
			})
		}
	}
}

// TestFault_neverReached: a transfer that does not go beyond After goes well, also when it ends there.
func TestFault_neverReached(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 999, 1000} {
		data := pattern(size)
		h := startFaulty(t, sftpserver.OpWrite, sftpserver.Fault{Disconnect: true, After: 1000})
		put(t, h.client(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, data)
		h.wants(data)

		h = startFaulty(t, sftpserver.OpRead, sftpserver.Fault{Disconnect: true, After: 1000})
		h.share.set(data)
		f, err := h.client().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
			t.Errorf("read %d of %d bytes, %v", len(got), size, err)
		}
		f.Close()
		if e := h.told.await(t, 1, sftpserver.EventClose)[0]; e.Name != "" || len(e.Spared) != 1 || e.Spared[0] != "ordered" || e.Sent != int64(size) {
			t.Errorf("told as %+v", e)
		}
	}
}

// TestFault_resume: what was there before counts; a transfer that begins beyond After meets the fault at once, and
// leaves the file as it was.
func TestFault_resume(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ size, after, want int }{
		{500, 1000, 1000},
		{1000, 1000, 1000},
		{2000, 1000, 2000},
	} {
		data := pattern(5000)
		h := startFaulty(t, sftpserver.OpWrite, sftpserver.Fault{Disconnect: true, After: int64(test.after)})
		h.share.set(data[:test.size])
		r := h.raw()
		handle := r.open(name, fWrite|fCreate)
		for at := test.size; at < len(data); at += 100 {
			r.id++
			r.ch.Write(message(6, r.id, handle, uint64(at), string(data[at:at+100])))
		}
		h.told.await(t, 1, sftpserver.EventDisconnect)
		h.wants(data[:test.want])
	}
}

// TestFault_append: for an append, too, After is an offset in the file, whatever the client's offsets say, and whoever
// wrote what lies before.
func TestFault_append(t *testing.T) {
	t.Parallel()
	data := pattern(3000)
	for _, fault := range []sftpserver.Fault{{Disconnect: true}, {Reset: true}, {Error: "no space left on device"}, {Refuse: true}, {Revoke: true}} {
		for _, after := range []int{0, 499, 500, 1200, 1201, 2999, 3000} {
			t.Run(fmt.Sprintf("%s at %d", what(fault), after), func(t *testing.T) {
				t.Parallel()
				fault := fault
				fault.After = int64(after)
				h := startFaulty(t, sftpserver.OpWrite, fault)
				h.share.set(data[:500])
				r := h.raw()
				fired := r.open(name, fWrite|fAppend)
				other := r.open(name, fWrite|fAppend|fCreate)
				r.writeAt(other, 0, data[500:1000])
				r.writeAt(fired, 7, nil) // no byte: nothing that could meet the fault
				n := 0
				for at := 1000; at < len(data); at += 100 {
					r.id++
					r.ch.Write(message(6, r.id, fired, uint64(at*37%1000), string(data[at:at+100])))
					n++
				}
				failed := 0
				for range n {
					_, _, rest, err := r.tryReceive()
					if err != nil {
						break
					}
					if statusCode(rest) != 0 {
						failed++
					}
				}
				beyond := after < len(data)
				if beyond && (fault.Disconnect || fault.Reset || fault.Revoke) {
					h.told.await(t, 1, sftpserver.EventDisconnect)
				} else if want := map[bool]int{true: 20 - max(after-1000, 0)/100, false: 0}[beyond]; failed != want {
					t.Errorf("%d writes failed, want %d", failed, want)
				}
				h.wants(data[:max(after, 1000)])
				if events := h.told.all(sftpserver.EventFault); beyond && (len(events) != 1 || events[0].Offset != int64(after) || events[0].Received != int64(max(after-1000, 0))) || !beyond && len(events) > 0 {
					t.Errorf("journalled %+v", events)
				}
			})
		}
	}
}

// TestFault_noByteMeetsIt: a WRITE without data changes nothing, wherever it is.
func TestFault_noByteMeetsIt(t *testing.T) {
	t.Parallel()
	h := startFaulty(t, sftpserver.OpWrite, sftpserver.Fault{Disconnect: true, After: 10})
	r := h.raw()
	handle := r.open(name, fWrite|fCreate)
	r.writeAt(handle, 0, []byte(base))
	r.writeAt(handle, 10, nil)
	r.writeAt(handle, 1000, nil)
	r.close(handle)
	h.wants([]byte(base))
}

// TestFault_hole: a client that never sends what lies before the fault learns of it when it closes.
func TestFault_holeBeforeIt(t *testing.T) {
	t.Parallel()
	h := startFaulty(t, sftpserver.OpWrite, sftpserver.Fault{Error: "quota", After: 1000})
	r := h.raw()
	handle := r.open(name, fWrite|fCreate)
	r.writeAt(handle, 100, pattern(2000))
	if got := r.status(4, handle); got != "4 quota" {
		t.Errorf("CLOSE: %q", got)
	}
	if _, aborts := h.share.ended(); len(aborts) != 1 {
		t.Errorf("aborts: %v", aborts)
	}
	h.wants(nil)
}

func TestFault_truncationIsNoWayAround(t *testing.T) {
	t.Parallel()
	h := startFaulty(t, sftpserver.OpWrite, sftpserver.Fault{Error: "quota", After: 1000})
	r := h.raw()
	handle := r.open(name, fWrite|fCreate)
	if got := r.status(10, handle, []byte{0, 0, 0, 1}, uint64(5000)); got != "0 " {
		t.Errorf("FSETSTAT: %q", got)
	}
	if n := len(h.share.bytes()); n != 1000 {
		t.Errorf("the file has %d bytes", n)
	}
}

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
		if n := len(h.told.all(sftpserver.EventLogin)); n != 1 {
			t.Errorf("%s: %d logins in the journal", what(fault), n)
		}
		for _, e := range h.told.all(sftpserver.EventRefused) {
			if !strings.Contains(e.Reason, "ordered") {
				t.Errorf("%s: refused because %q", what(fault), e.Reason)
			}
		}
	}
}

func TestFault_openAndClose(t *testing.T) {
	t.Parallel()
	for _, kind := range []sftpserver.OpKind{sftpserver.OpOpen, sftpserver.OpClose} {
		for _, fault := range []sftpserver.Fault{{Refuse: true}, {Error: "no more inodes"}, {Disconnect: true}, {Reset: true}} {
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
				h.told.await(t, 1, sftpserver.EventDisconnect)
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
	for _, e := range h.told.await(t, 2, sftpserver.EventDisconnect) {
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
	for _, kind := range []sftpserver.OpKind{sftpserver.OpConnect, sftpserver.OpLogin, sftpserver.OpOpen, sftpserver.OpRead, sftpserver.OpWrite, sftpserver.OpClose} {
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

// TestFault_slownessEndsWithTheServer: nobody waits for an ordered delay or rate when the server closes.
func TestFault_slownessEndsWithTheServer(t *testing.T) {
	t.Parallel()
	for _, fault := range []sftpserver.Fault{{Delay: time.Hour}, {Rate: 1}, {Delay: time.Hour, Disconnect: true}} {
		for _, kind := range []sftpserver.OpKind{sftpserver.OpConnect, sftpserver.OpLogin, sftpserver.OpWrite, sftpserver.OpClose} {
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
			h.told.await(t, 1, sftpserver.EventFault)
			if err := h.srv.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}
