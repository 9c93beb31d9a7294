package sftpserver_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

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
		if op.Session != 1 || op.Remote == "" || (op.User == user && strings.HasPrefix(op.Key,
			"SHA256:")) != (op.Kind != sftpserver.OpConnect && op.Kind != sftpserver.OpHostKey) {
			t.Errorf("asked %+v", op)
		}
		got = append(got, strings.TrimSpace(string(op.Kind)+" "+op.Flags.String()))
	}
	want := []string{"connect", "hostkey", "login", "open read", "read read", "close read", "open write", "write write",
		"close write",
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
	for _, fault := range []sftpserver.Fault{{Disconnect: true}, {Reset: true}, {Error: "no space left on device"},
		{Refuse: true}, {Revoke: true}} {
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
						h.events.await(t, 1, sftpserver.EventDisconnect)
					} else if s := r.status(4, handle); s != "0 " {
						t.Errorf("CLOSE: %q", s)
					}
					h.wants(data[:after])
					fired := h.events.all(sftpserver.EventFault)
					if len(fired) != 1 || fired[0].Offset != int64(after) || fired[0].Name != "ordered" || fired[0].Op != "write" ||
						fired[0].Received != int64(after) {
						t.Errorf("journalled %+v", fired)
					}
					for _, e := range h.events.all(sftpserver.EventClose, sftpserver.EventAbort) {
						if e.Name != "ordered" || e.Offset != int64(after) || e.Received != int64(after) || e.Sent != 0 ||
							len(e.Spared) > 0 {
							t.Errorf("the end of the handle is reported as %+v", e)
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
	for _, fault := range []sftpserver.Fault{{Disconnect: true}, {Reset: true}, {Error: "bad sector"}, {Refuse: true},
		{Revoke: true}} {
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
				h.events.await(t, 1, sftpserver.EventDisconnect)
				for _, e := range h.events.all(sftpserver.EventFault, sftpserver.EventClose, sftpserver.EventAbort) {
					if e.Name != "ordered" || e.Offset != int64(after) || e.Sent != int64(after) || e.Received != 0 ||
						len(e.Spared) > 0 {
						t.Errorf("reported as %+v", e)
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
		if e := h.events.await(t, 1, sftpserver.EventClose)[0]; e.Name != "" || len(e.Spared) != 1 ||
			e.Spared[0] != "ordered" || e.Sent != int64(size) {
			t.Errorf("reported as %+v", e)
		}
	}
}

// TestFault_resume: what was there before counts; a transfer that begins beyond After triggers the fault at once, and
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
		h.events.await(t, 1, sftpserver.EventDisconnect)
		h.wants(data[:test.want])
	}
}

// TestFault_append: for an append, too, After is an offset in the file, whatever the client's offsets say, and
// whatever client wrote what lies before.
func TestFault_append(t *testing.T) {
	t.Parallel()
	data := pattern(3000)
	for _, fault := range []sftpserver.Fault{{Disconnect: true}, {Reset: true}, {Error: "no space left on device"},
		{Refuse: true}, {Revoke: true}} {
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
				r.writeAt(fired, 7, nil) // no byte: nothing that could trigger the fault
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
					h.events.await(t, 1, sftpserver.EventDisconnect)
				} else if want := map[bool]int{true: 20 - max(after-1000, 0)/100, false: 0}[beyond]; failed != want {
					t.Errorf("%d writes failed, want %d", failed, want)
				}
				h.wants(data[:max(after, 1000)])
				if events := h.events.all(sftpserver.EventFault); beyond && (len(events) != 1 ||
					events[0].Offset != int64(after) || events[0].Received != int64(max(after-1000, 0))) || !beyond &&
					len(events) > 0 {
					t.Errorf("journalled %+v", events)
				}
			})
		}
	}
}

// TestFault_emptyWrite: a WRITE without data changes nothing, wherever it is.
func TestFault_emptyWrite(t *testing.T) {
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
