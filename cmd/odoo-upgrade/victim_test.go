package main

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// victim is the platform that "run" is killed before: an emulator, an HTTP server in front of it and a relay in
// front of its SFTP server, which see every call and every byte, and can kill the client there.
type victim struct {
	srv   *mockserver.Server
	front *httptest.Server
	relay net.Listener
	hosts string
	size  int
	took  time.Duration    // by a run that is not killed
	moved map[string]int64 // by that run over SFTP, in each direction

	mu     sync.Mutex
	moment string
	at     int64 // bytes of the SFTP connections until the moment
	passed map[string]int64
	kill   func() // nil if the moment is over
	lie    func(w http.ResponseWriter, r *http.Request, dump []byte)
	dump   []byte
}

func newVictim(t *testing.T, size int) *victim {
	t.Helper()
	script, err := scenario.Parse("tested.yaml",
		[]byte("name: tested\nsteps:\n  - {state: pending, for: 1 poll}\n"+
			"  - {state: testing, for: released, set: {filestore: false}}\n  - {state: done}\n"))
	if err != nil {
		t.Fatal(err)
	}
	v := &victim{size: size, hosts: filepath.Join(t.TempDir(), "known_hosts"), moved: map[string]int64{},
		passed: map[string]int64{}}
	v.srv = mockservertest.New(t, &mockserver.Options{JournalSize: 1 << 20, Edition: mockserver.Edition13,
		Scenarios: []*scenario.Scenario{script}})
	v.front = httptest.NewUnstartedServer(v)
	v.front.Config.ErrorLog = quiet
	v.front.Start()
	t.Cleanup(v.front.Close)
	if v.relay, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	var relays sync.WaitGroup
	relays.Go(func() {
		for {
			c, err := v.relay.Accept()
			if err != nil {
				return
			}
			relays.Go(func() { v.pass(c) })
		}
	})
	t.Cleanup(func() { v.relay.Close(); relays.Wait() })
	if err := v.srv.SetAdvertise(mockserver.Advertise{SFTPHost: "127.0.0.1",
		SFTPPort: v.relay.Addr().(*net.TCPAddr).Port}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	v.dump, _ = os.ReadFile(noise(t, dir, "db.dump", size))
	began := time.Now()
	if r := v.run(t, dir, "undisturbed", plan{contract: "M0-undisturbed", via: "sftp", back: "sftp", source: "file"},
		nil); r.code != 0 {
		t.Fatalf("not even undisturbed does it work: %+v", r)
	}
	v.took = time.Since(began)
	maps.Copy(v.moved, v.passed)
	return v
}

// pass is a connection to the SFTP server.
func (v *victim) pass(c net.Conn) {
	defer c.Close()
	far, err := net.Dial("tcp", v.srv.SFTPAddr())
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	for _, way := range []struct {
		name string
		from net.Conn
		to   net.Conn
	}{{"sftp up", c, far}, {"sftp down", far, c}} {
		both.Go(func() {
			defer c.Close()
			defer far.Close()
			buf := make([]byte, 8<<10)
			for {
				n, err := way.from.Read(buf)
				if v.count(way.name, int64(n)) {
					return
				}
				if _, werr := way.to.Write(buf[:n]); err != nil || werr != nil {
					return
				}
			}
		})
	}
	both.Wait()
}

// count counts bytes of the SFTP connections, and reports whether the client was killed there.
func (v *victim) count(way string, n int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.passed[way] += n
	if v.moment != way || v.passed[way] < v.at {
		return false
	}
	return v.triggerLocked(way)
}

// trigger kills the client if this is the moment. It reports whether it did.
func (v *victim) trigger(moment string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.triggerLocked(moment)
}

func (v *victim) triggerLocked(moment string) bool {
	if v.kill == nil || v.moment != moment {
		return false
	}
	v.kill()
	v.kill = nil
	return true
}

func (v *victim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, ok := strings.CutPrefix(r.URL.Path, "/database/v1/")
	if !ok {
		method = "download"
	}
	v.mu.Lock()
	lie, killed := v.lie, false
	if method == "download" {
		v.lie = nil
	}
	v.mu.Unlock()
	if method == "download" && lie != nil {
		lie(w, r, v.dump)
		return
	}
	killed = v.trigger(method + " arrived")
	if killed && r.ContentLength%2 == 0 {
		return // the platform never acts on it
	}
	r.Body = &bodyTrigger{r.Body, max(r.ContentLength/2, 1), func() { v.trigger(method + " half sent") }}
	s := &answerTrigger{ResponseWriter: w, before: func() { v.trigger(method + " acted") },
		middle: func() { v.trigger(method + " half answered") }}
	v.srv.ServeHTTP(s, r)
	s.end()
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	v.trigger(method + " answered")
}

// bodyTrigger calls trigger when so many bytes were read.
type bodyTrigger struct {
	io.ReadCloser
	left    int64
	trigger func()
}

func (b *bodyTrigger) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 {
		if b.left -= int64(n); b.left <= 0 {
			b.trigger()
		}
	}
	return n, err
}

// answerTrigger calls before ahead of the first byte of an answer, and middle when half of it was written. A short
// answer is held back for that.
type answerTrigger struct {
	http.ResponseWriter
	before, middle func()
	held           []byte
	written, total int64
}

func (w *answerTrigger) Write(p []byte) (int, error) {
	if w.written == 0 && w.total == 0 {
		w.total, _ = strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
		w.total = max(w.total, 1)
		w.before()
	}
	if w.total < 64<<10 {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	if w.written < w.total/2 && w.written+int64(len(p)) >= w.total/2 {
		defer w.middle()
	}
	w.written += int64(len(p))
	return w.ResponseWriter.Write(p)
}

func (w *answerTrigger) end() {
	if len(w.held) == 0 {
		return
	}
	_, _ = w.ResponseWriter.Write(w.held[:len(w.held)/2])
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
	w.middle()
	_, _ = w.ResponseWriter.Write(w.held[len(w.held)/2:])
}

// lies are answers to a download that no client may make a dump of.
var lies = []struct {
	name   string
	answer func(w http.ResponseWriter, r *http.Request, dump []byte)
}{
	{"the truth", nil},
	{"the rest of another file", func(w http.ResponseWriter, r *http.Request, dump []byte) {
		rest(w, r, dump, `"another"`, "")
	}},
	{"a rest without tag", func(w http.ResponseWriter, r *http.Request, dump []byte) { rest(w, r, dump, "", "") }},
	{"a packed rest", func(w http.ResponseWriter, r *http.Request, dump []byte) {
		rest(w, r, dump, r.Header.Get("If-Range"), "gzip")
	}},
	{"nothing", func(w http.ResponseWriter, _ *http.Request, _ []byte) { w.Header().Set("Content-Length", "0") }},
	{"less than was announced", func(w http.ResponseWriter, _ *http.Request, dump []byte) {
		w.Header().Set("Content-Length", fmt.Sprint(len(dump)))
		_, _ = w.Write(make([]byte, len(dump)/3))
		panic(http.ErrAbortHandler)
	}},
}

// rest answers with wrong bytes for the range that was asked for.
func rest(w http.ResponseWriter, r *http.Request, dump []byte, tag, coding string) {
	from, err := strconv.Atoi(strings.Trim(r.Header.Get("Range"), "bytes=-"))
	if err != nil || from >= len(dump) {
		from = len(dump) / 2
	}
	for k, v := range map[string]string{"ETag": tag, "Content-Encoding": coding,
		"Content-Range": fmt.Sprintf("bytes %d-%d/%d", from, len(dump)-1, len(dump))} {
		if v != "" {
			w.Header().Set(k, v)
		}
	}
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(make([]byte, len(dump)-from))
}
