package httpconn_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/mockserver/internal/httpconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var past = time.Unix(1, 0)

// listen returns both ends of connections through a listener with these options.
func listen(t *testing.T, opts httpconn.Options) (dial func() (ours, peer net.Conn)) {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if opts.Max == 0 {
		opts.Max = 10
	}
	l := httpconn.Listen(raw, opts)
	t.Cleanup(func() { l.Close() })
	return func() (ours, peer net.Conn) {
		t.Helper()
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { peer.Close() })
		ours, err = l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ours.Close() })
		return ours, peer
	}
}

// mustTimeOut fails unless err is what an expired deadline gives.
func mustTimeOut(t *testing.T, what string, err error) {
	t.Helper()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: %v, want a timeout", what, err)
	}
}

// Deadlines end a Read, now or later, before it or while it waits, and a later one makes the connection usable again.
func TestReadDeadline(t *testing.T) {
	t.Parallel()
	dial := listen(t, httpconn.Options{Stall: time.Hour})
	one := make([]byte, 1)
	for name, until := range map[string]func() time.Time{
		"long past":   func() time.Time { return past },
		"just passed": func() time.Time { return time.Now().Add(-time.Nanosecond) },
		"to come":     func() time.Time { return time.Now().Add(10 * time.Millisecond) },
	} {
		for order, set := range map[string]func(net.Conn, time.Time){
			"before": func(c net.Conn, d time.Time) { c.SetReadDeadline(d) },
			"both":   func(c net.Conn, d time.Time) { c.SetDeadline(d) },
			"while it waits": func(c net.Conn, d time.Time) {
				time.AfterFunc(5*time.Millisecond, func() { c.SetReadDeadline(d) })
			},
		} {
			t.Run(name+" "+order, func(t *testing.T) {
				ours, peer := dial()
				set(ours, until())
				_, err := ours.Read(one)
				mustTimeOut(t, "Read", err)
				_, err = ours.Read(one)
				mustTimeOut(t, "the next Read", err)

				for _, again := range []time.Time{{}, time.Now().Add(time.Hour)} {
					if err := ours.SetDeadline(again); err != nil {
						t.Fatal(err)
					}
					if _, err := peer.Write([]byte("x")); err != nil {
						t.Fatal(err)
					}
					if n, err := ours.Read(one); n != 1 || err != nil {
						t.Errorf("a Read with time left: %d, %v", n, err)
					}
				}
			})
		}
	}
}

// A deadline that was taken back before it passed ends nothing.
func TestReadDeadline_takenBack(t *testing.T) {
	t.Parallel()
	dial := listen(t, httpconn.Options{Stall: time.Hour})
	ours, peer := dial()
	ours.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
	ours.SetReadDeadline(time.Time{})
	time.AfterFunc(50*time.Millisecond, func() { peer.Write([]byte("x")) })
	if _, err := ours.Read(make([]byte, 1)); err != nil {
		t.Errorf("Read: %v", err)
	}
}

// Writing has a deadline of its own, and ends when the peer reads nothing for as long as it may.
func TestWrite(t *testing.T) {
	t.Parallel()
	large := make([]byte, 64<<20) // more than the kernel takes on its way
	for name, tc := range map[string]struct {
		stall time.Duration
		write func(net.Conn) (int64, error)
	}{
		"a deadline": {time.Hour, func(c net.Conn) (int64, error) {
			c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
			n, err := c.Write(large)
			return int64(n), err
		}},
		"a stall": {50 * time.Millisecond, func(c net.Conn) (int64, error) {
			n, err := c.Write(large)
			return int64(n), err
		}},
		"a stall while copying": {50 * time.Millisecond, func(c net.Conn) (int64, error) {
			return io.Copy(c, struct{ io.Reader }{bytes.NewReader(large)})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, _ := listen(t, httpconn.Options{Stall: tc.stall})()
			n, err := tc.write(ours)
			mustTimeOut(t, "Write", err)
			if n >= int64(len(large)) {
				t.Errorf("all %d bytes were sent to somebody who reads nothing", n)
			}
		})
	}
}

// A peer that reads slowly, but reads, gets everything: it has its time for each piece. The time is short; where a busy
// machine does not even let the peer read in it, a long one counts.
func TestWrite_slowPeer(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	var sent, got int64
	var err error
	for _, stall := range []time.Duration{100 * time.Millisecond, 2 * time.Second} {
		ours, peer := listen(t, httpconn.Options{Stall: stall})()
		total := make(chan int64)
		go func() { total <- readSlowly(peer, size, 3*stall) }()
		var n int
		n, err = ours.Write(make([]byte, size))
		ours.Close()
		if sent, got = int64(n), <-total; err == nil && sent == size && got == size {
			return
		}
	}
	t.Errorf("Write: %d, %v; the peer read %d bytes of %d", sent, err, got, size)
}

// readSlowly reads to the end, and takes so long for the size. It returns how much there was.
func readSlowly(r io.Reader, size int64, takes time.Duration) (total int64) {
	began := time.Now()
	for buffer := make([]byte, 64<<10); ; {
		n, err := r.Read(buffer)
		if total += int64(n); err != nil {
			return total
		}
		time.Sleep(time.Duration(total)*takes/time.Duration(size) - time.Since(began))
	}
}

// A connection beyond Max is closed at once, and Refused is called; when one has ended, another may come.
func TestMax(t *testing.T) {
	t.Parallel()
	refusals := make(chan net.Addr, 1)
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := httpconn.Listen(raw, httpconn.Options{Max: 1, Stall: time.Hour, Refused: func(a net.Addr) { refusals <- a }})
	defer l.Close()
	srv := &http.Server{Handler: http.NotFoundHandler()}
	go srv.Serve(l)
	defer srv.Close()

	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(2 * time.Minute))
		return conn
	}
	answers := func(c net.Conn) bool {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: h\r\n\r\n")
		n, _ := c.Read(make([]byte, 1))
		return n == 1
	}
	first := dial()
	if !answers(first) {
		t.Fatal("the first connection is not answered")
	}
	second := dial()
	if answers(second) {
		t.Error("the second connection is answered")
	}
	if refused := <-refusals; refused.String() != second.LocalAddr().String() {
		t.Errorf("Refused was called with %v, want %v", refused, second.LocalAddr())
	}
	first.Close()
	for deadline := time.Now().Add(2 * time.Minute); !answers(dial()); <-refusals {
		if time.Now().After(deadline) {
			t.Fatal("still refused after the first connection ended")
		}
	}
}
