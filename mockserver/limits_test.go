package mockserver_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// A dump of MaxDump bytes is taken, a larger one refused, however it comes over HTTP; the dump that was there
// before stays.
func TestMaxDump_http(t *testing.T) {
	t.Parallel()
	const limit = 300_000
	onBothWires(t, &mockserver.Options{MaxDump: limit}, func(t *testing.T, w *wire) {
		m := w.create()
		whole, large := pattern(limit, 1), pattern(limit+1, 2)
		w.upload(m, whole)
		want := w.status(m)
		for name, tc := range map[string]struct {
			body     io.Reader
			expected any
		}{
			"with a length": {bytes.NewReader(large), float64(limit + 1)},
			"chunked":       {io.MultiReader(bytes.NewReader(large)), nil},
		} {
			for _, path := range []string{"upload?" + m.params().Encode(), "upgrade?" + sample().Encode()} {
				if seeker, ok := tc.body.(io.Seeker); ok {
					seeker.Seek(0, io.SeekStart)
				} else {
					tc.body = io.MultiReader(bytes.NewReader(large))
				}
				a := w.send("POST", path, nil, tc.body)
				diff(t, name+", "+path, []map[string]any{{
					"reason": "DUMP:TOO_LARGE", "message": "The dump is larger than 300000 bytes", "limit": float64(limit),
					"expected_size": tc.expected,
				}}, a.Failures)
			}
		}
		diff(t, "status", want, w.status(m))
		same(t, "the earlier dump", w.fetch(want["original_dump_url"]), whole)
		if n := len(w.srv.Requests()); n != 1 {
			t.Errorf("%d requests: an upgrade that was refused made one", n)
		}
		a := w.send("POST", "upgrade?"+sample().Encode(), nil, io.MultiReader(bytes.NewReader(whole)))
		diff(t, "upgrade of the largest dump", []string{}, a.reasons())
	})
}

// The same over SFTP: writing and lengthening beyond MaxDump fail with a word that says so, the session goes
// on, and what was complete stays.
func TestMaxDump_sftp(t *testing.T) {
	t.Parallel()
	const limit = 300_000
	w := onWire(t, &mockserver.Options{MaxDump: limit})
	m := w.create()
	w.grant(m, "ed25519")
	c := w.login(m, "ed25519")
	whole, large := pattern(limit, 1), pattern(limit+1, 2)
	w.put(c, "/db_name.dump", whole)
	want := w.status(m)

	f, err := c.OpenFile("/db_name.dump", os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.Write(large); err == nil || !strings.Contains(err.Error(), "File too large") {
		t.Errorf("writing beyond the limit: %v", err)
	}
	f.Close()
	if err := c.Truncate("/db_name.dump", limit+1); err == nil || !strings.Contains(err.Error(), "File too large") {
		t.Errorf("lengthening beyond the limit: %v", err)
	}
	diff(t, "status", want, w.status(m))
	same(t, "the earlier dump", w.fetch(want["original_dump_url"]), whole)

	w.put(c, "/db_name.dump", whole)
	w.good("process", m.params())
}

// Create is refused when MaxRequests are held, with the trouble that clients try again after, and works again
// after a reset.
func TestMaxRequests(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{MaxRequests: 2})
	w.create()
	m := w.create()
	for name, a := range map[string]answer{
		"create":  w.call("create", sample()),
		"upgrade": w.send("POST", "upgrade?"+sample().Encode(), nil, strings.NewReader("SELECT 1;")),
	} {
		diff(t, name, []string{"SERVER:ERROR"}, a.reasons())
	}
	calls := w.srv.Events(journal.Filter{On: "create"})
	if why := calls[len(calls)-1].Why; !strings.Contains(why, "(Options.MaxRequests)") {
		t.Errorf("the journal does not say what to do: %q", why)
	}
	if entries := dumps(t, w.srv); len(entries) != 0 {
		t.Errorf("the dump that came with a refused upgrade is still there: %v", entries)
	}
	w.status(m)
	if err := w.srv.Reset(mockserver.Scope{}); err != nil {
		t.Fatal(err)
	}
	w.create()
}

// dumps are the names of the files that the emulator keeps dumps in.
func dumps(t *testing.T, srv *mockserver.Server) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(strings.TrimSuffix(srv.KnownHostsFile(), "known_hosts") + "dumps")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A connection beyond MaxSessions is closed at once; when one has ended, another may come.
func TestMaxSessions(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{MaxSessions: 1})
	m := w.create()
	w.grant(m, "ed25519")
	first := w.login(m, "ed25519")
	if _, err := w.dial(m, "ed25519"); err == nil {
		t.Fatal("a second connection was taken")
	}
	if _, err := first.Stat("/db_name.dump"); err != nil {
		t.Errorf("the first session suffered: %v", err)
	}
	first.Close()
	w.cut(first)
	for deadline := time.Now().Add(2 * time.Minute); ; {
		_, err := w.dial(m, "ed25519")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still refused after the first session ended: %v", err)
		}
	}
}

// An HTTP connection beyond MaxConnections of its listener is closed at once, with a word in the log; when one
// has ended, another may come.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	var log safeBuffer
	w := onWire(t, &mockserver.Options{MaxConnections: 1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	addr := strings.TrimPrefix(w.srv.URL(), "http://")
	poll := func(conn net.Conn) error {
		fmt.Fprintf(conn, "GET /database/v1/status HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
		_, err := http.ReadResponse(bufio.NewReader(conn), nil)
		return err
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(2 * time.Minute))
		return conn
	}
	first := dial()
	if err := poll(first); err != nil {
		t.Fatalf("the first connection: %v", err)
	}
	if err := poll(dial()); err == nil {
		t.Error("a second connection was served")
	}
	if !strings.Contains(log.String(), "too many HTTP connections") {
		t.Errorf("the log does not tell of it:\n%s", log.String())
	}
	if err := poll(first); err != nil {
		t.Errorf("the first connection suffered: %v", err)
	}
	first.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; {
		err := poll(dial())
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("still refused after the first connection ended: %v", err)
		}
	}
}

// The journal remembers JournalSize events, the latest, and says how many it has dropped.
func TestJournalSize(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{JournalSize: 3})
	m := w.create()
	for range 5 {
		w.status(m)
	}
	var seqs []uint64
	for _, e := range w.srv.Events(journal.Filter{}) {
		seqs = append(seqs, e.Seq)
	}
	diff(t, "the events that are remembered", []uint64{4, 5, 6}, seqs)
}

// A limit cannot be negative.
func TestLimits_negative(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]mockserver.Options{
		"JournalSize": {JournalSize: -1}, "MaxDump": {MaxDump: -1}, "MaxSessions": {MaxSessions: -1}, "MaxConnections": {
			MaxConnections: -1}, "MaxRequests": {
			MaxRequests: -1,
		},
	} {
		if srv, err := mockserver.New(&opts); err == nil {
			srv.Close()
			t.Errorf("%s: taken", name)
		} else if !strings.Contains(err.Error(), name) {
			t.Errorf("%s: the error does not name it: %v", name, err)
		}
	}
}

// Headers of more than a megabyte get 431, and the server goes on.
func TestLimits_headers(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		resp, _ := w.do("GET", w.base+"/database/v1/status", http.Header{"X-Long": {strings.Repeat("x", 1<<20+8<<10)}}, nil)
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("answered %s", resp.Status)
		}
		w.create()
	})
}

// A listener that other machines can reach is warned of; one on loopback is not.
func TestStart_warnsOfExposure(t *testing.T) {
	t.Parallel()
	for addr, warned := range map[string]bool{"127.0.0.1:0": false, "[::1]:0": false, "localhost:0": false,
		"0.0.0.0:0": true, ":0": true} {
		t.Run(addr, func(t *testing.T) {
			t.Parallel()
			if l, err := net.Listen("tcp", addr); err != nil {
				t.Skipf("this machine has no such address: %v", err)
			} else {
				l.Close()
			}
			var log safeBuffer
			mockservertest.New(t, &mockserver.Options{
				HTTPAddr: addr, HTTPSAddr: addr, SFTPAddr: addr, ControlAddr: addr,
				Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			for _, listener := range []string{"HTTP", "HTTPS", "SFTP", `"control API"`} {
				line := "listener=" + listener + " "
				if got := strings.Contains(log.String(), line); got != warned {
					t.Errorf("%s: warned: %v, want %v; the log:\n%s", listener, got, warned, log.String())
				}
			}
		})
	}
}

// safeBuffer may be written and read concurrently.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
