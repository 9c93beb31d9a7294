package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/claim"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// TestRun_killed kills "run" with every kind of call in flight, before the platform has acted on it, in the middle
// of what is sent and of what is answered, and after it; at any byte of the SFTP connections; at any moment; and
// lets it fail for want of room. It runs it again until it ends by itself. Then one request must have been
// created, the upgraded dump must be right, next to nothing may have been sent twice, and in the user's folder,
// which is full of files with suggestive names, nothing else may have changed. After some kills the platform's
// answer to the next download is a lie.
//
// ODOO_UPGRADE_KILLS=200 and ODOO_UPGRADE_DUMP_MIB=8 make it the long test; the moments come from
// ODOO_UPGRADE_SEED. It needs root to fill a disk for real; otherwise the size of files is limited.
func TestRun_killed(t *testing.T) {
	t.Parallel()
	kills := fromEnv(t, "ODOO_UPGRADE_KILLS", len(moments))
	mib := fromEnv(t, "ODOO_UPGRADE_DUMP_MIB", 3)
	seed := fromEnv(t, "ODOO_UPGRADE_SEED", 1)
	t.Logf("seed %d: ODOO_UPGRADE_SEED=%d repeats it", seed, seed)
	v := newVictim(t, mib<<20+5)
	count := map[string]int{}
	for i := range kills {
		m := moments[i%len(moments)]
		random := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		t.Run(fmt.Sprintf("%d/%s", i, m), func(t *testing.T) {
			for what, n := range v.round(t, random, m, i) {
				count[what] += n
			}
		})
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%-50s %d", what, count[what])
	}
}

// moments are when the command ends: what is in flight, and how far.
var moments = func() []string {
	out := []string{"at any time", "sftp up", "sftp down", "no room"}
	for _, method := range []string{"create", "upload", "request_sftp_access", "process", "status", "skip_test",
		"download"} {
		for _, phase := range phases {
			if method != "download" || phase != "half sent" { // a GET has no body
				out = append(out, method+" "+phase)
			}
		}
	}
	return out
}()

// phases of a call.
var phases = []string{"arrived", "half sent", "acted", "half answered", "answered"}

func fromEnv(t *testing.T, name string, def int) int {
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// victim is the platform that "run" is killed before: an emulator, an HTTP server in front of it and a relay in
// front of its SFTP server, which see every call and every byte, and can kill the client there.
type victim struct {
	srv   *mockserver.Server
	front *httptest.Server
	relay net.Listener
	hosts string
	size  int
	whole time.Duration    // that an undisturbed run takes
	moved map[string]int64 // that it moves over SFTP in each direction

	mu     sync.Mutex
	moment string
	at     int64 // bytes of the SFTP connections until the moment
	passed map[string]int64
	kill   func() // nil: the moment is over
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
	if r := v.run(t, dir, "whole", "M0-whole", "sftp", "sftp", "file", nil); r.code != 0 {
		t.Fatalf("not even undisturbed does it work: %+v", r)
	}
	v.whole = time.Since(began)
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

// count counts bytes of the SFTP connections, and returns whether the client was killed there.
func (v *victim) count(way string, n int64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.passed[way] += n
	if v.moment != way || v.passed[way] < v.at {
		return false
	}
	return v.strikeLocked(way)
}

// strike kills the client if this is the moment. It returns whether it did.
func (v *victim) strike(moment string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.strikeLocked(moment)
}

func (v *victim) strikeLocked(moment string) bool {
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
	killed = v.strike(method + " arrived")
	if killed && r.ContentLength%2 == 0 {
		return // the platform never acts on it
	}
	r.Body = &struckBody{r.Body, max(r.ContentLength/2, 1), func() { v.strike(method + " half sent") }}
	s := &struckWriter{ResponseWriter: w, before: func() { v.strike(method + " acted") },
		middle: func() { v.strike(method + " half answered") }}
	v.srv.ServeHTTP(s, r)
	s.end()
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	v.strike(method + " answered")
}

// struckBody calls strike when so many bytes were read.
type struckBody struct {
	io.ReadCloser
	left   int64
	strike func()
}

func (b *struckBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 {
		if b.left -= int64(n); b.left <= 0 {
			b.strike()
		}
	}
	return n, err
}

// struckWriter calls before ahead of the first byte of an answer, and middle when half of it was written. A short
// answer is held back for that.
type struckWriter struct {
	http.ResponseWriter
	before, middle func()
	held           []byte
	written, total int64
}

func (w *struckWriter) Write(p []byte) (int, error) {
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

func (w *struckWriter) end() {
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
	name string
	tell func(w http.ResponseWriter, r *http.Request, dump []byte)
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

// run runs "run" to its end, or until the moment.
func (v *victim) run(t *testing.T, dir, out, contract, via, back, source string, env []string, more ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dump := filepath.Join(dir, "db.dump")
	if source == "pipe" {
		dump = "-"
	}
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"run", "--url", v.front.URL, "--known-hosts", v.hosts,
		"--accept-new-host-key",
		"--contract", contract, "--email", "a@b.cd", "--target", "13.0", "--aim", "test", "--filename", "db.dump", "--dump",
		dump, "--out", filepath.Join(dir, out),
		"--via", via, "--download-via", back, "--interval", "100ms", "--skip-test"}, more...)...)
	cmd.Env = append(append(os.Environ(), childVariable+"=1"), env...)
	if source == "pipe" {
		cmd.Stdin = bytes.NewReader(v.dump)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v.mu.Lock()
	if v.moment != "" {
		v.kill = func() { _ = cmd.Process.Kill() }
	}
	if v.moment == "at any time" {
		defer time.AfterFunc(time.Duration(v.at), func() { v.strike("at any time") }).Stop()
	}
	v.mu.Unlock()
	_ = cmd.Wait()
	v.mu.Lock()
	v.moment, v.kill = "", nil
	v.mu.Unlock()
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// round is one kill and what comes after. It returns what happened.
func (v *victim) round(t *testing.T, random *rand.Rand, moment string, i int) map[string]int {
	contract := fmt.Sprintf("M%d-kill", i+1)
	via, back, source := pick(random, "https", "sftp"), pick(random, "https", "sftp"),
		pick(random, "file", "file", "pipe")
	switch method, _, _ := strings.Cut(moment, " "); {
	case method == "upload":
		via = "https"
	case method == "request_sftp_access", moment == "sftp up":
		via = "sftp"
	case method == "download":
		back = "https"
	case moment == "sftp down":
		back = "sftp"
	}
	dir, small := t.TempDir(), false
	if moment == "no room" && random.IntN(2) == 0 {
		small = fill(t, dir, int64(v.size)*4) // dump, copy of the pipe, part
	}
	noise(t, dir, "db.dump", v.size)
	out := filepath.Join(dir, "out")
	plant(t, out)
	before := files(t, dir)
	done := map[string]int{}

	v.mu.Lock()
	v.moment, v.at = moment, 0
	clear(v.passed)
	switch moment {
	case "at any time":
		v.at = random.Int64N(int64(v.whole))
	case "sftp up", "sftp down":
		v.at = random.Int64N(v.moved[moment]) + 1
	}
	lie := lies[random.IntN(len(lies))]
	v.mu.Unlock()
	var env []string
	room := func() {}
	if moment == "no room" {
		if small {
			room = leaveRoom(t, dir, random.Int64N(int64(v.size)*3/2))
			done["disk full"]++
		} else {
			env = []string{limitVariable + "=" + fmt.Sprint(random.IntN(v.size*5/4))}
			done["size of files limited"]++
		}
	}
	first := v.run(t, dir, "out", contract, via, back, source, env)
	v.stateOfFolder(t, dir, before)
	room()
	switch {
	case first.code == -1:
		done["killed, "+moment]++
	case moment == "no room" && first.code == 1 && !strings.Contains(first.stderr, "panic"):
		done["ended for want of room"]++
	case first.code == 0 && (moment == "no room" || moment == "at any time" || strings.HasPrefix(moment, "sftp ")):
		done["ended before"]++
	default:
		t.Errorf("%s, %s up, %s down, from a %s: %+v", moment, via, back, source, first)
	}
	if lie.tell != nil && back == "https" {
		v.mu.Lock()
		v.lie = lie.tell
		v.mu.Unlock()
		done["then "+lie.name]++
	}
	second := v.run(t, dir, "out", contract, via, back, source, nil)
	creates, left := 1, []string{"out", "out.upgrade-state.json"}
	if strings.Contains(second.stderr, "a decision is needed") {
		// The one moment that no client can bridge: see package workflow.
		if !strings.HasPrefix(moment, "create ") && moment != "at any time" && moment != "no room" {
			t.Errorf("%s: a request may have been lost: %s", moment, second.stderr)
		}
		done["a decision was needed"]++
		second = v.run(t, dir, "out", contract, via, back, source, nil, "--new-request")
		creates, left = 2, append(left, "out.upgrade-state.json.old1")
	}
	v.mu.Lock()
	v.lie = nil
	v.mu.Unlock()
	after := files(t, dir)
	result, err := os.ReadFile(out)
	if second.code != 0 || err != nil || !bytes.Equal(result, v.dump) {
		t.Errorf("%s, %s up, %s down, from a %s, then %s: code %d, the result is right: %v\n%s---\n%s", moment, via, back,
			source, lie.name,
			second.code, bytes.Equal(result, v.dump), first.stderr, second.stderr)
	}
	if diff := cmp.Diff(before, without(after, left...)); diff != "" {
		t.Errorf("%s: the folder (-want +got):\n%s", moment, diff)
	}
	v.examine(t, contract, creates)
	return done
}

// stateOfFolder looks at the user's folder after a kill: what was there is as it was, and what is new is the
// command's own.
func (v *victim) stateOfFolder(t *testing.T, dir string, before map[string]string) {
	t.Helper()
	now := files(t, dir)
	out, state := filepath.Join(dir, "out"), filepath.Join(dir, "out.upgrade-state.json")
	for name, was := range before {
		if now[name] != was {
			t.Errorf("%s was %s and is %s", name, was, now[name])
		}
		delete(now, name)
	}
	for name := range now {
		own := name == filepath.Base(state) || name == filepath.Base(claim.Name(state)) ||
			name == filepath.Base(claim.Name(out)) ||
			claim.Own(out, name) || claim.Own(state, name)
		if name == "out" {
			raw, err := os.ReadFile(out)
			own = err == nil && bytes.Equal(raw, v.dump)
		}
		if name != "filler" && !own {
			t.Errorf("%s has appeared: %s", name, now[name])
		}
	}
}

func pick(random *rand.Rand, from ...string) string { return from[random.IntN(len(from))] }

// examine reads the emulator's journal of one contract.
func (v *victim) examine(t *testing.T, contract string, most int) {
	t.Helper()
	const window = 2 << 20
	requests := map[int64]bool{}
	for _, e := range v.srv.Events(journal.Filter{Contract: contract, On: "create"}) {
		requests[e.Request] = true
	}
	if len(requests) > most || len(requests) == 0 {
		t.Errorf("%d requests were created", len(requests))
	}
	for request := range requests {
		var uploads int
		var sent, top int64
		for _, e := range v.srv.Events(journal.Filter{Request: request}) {
			switch e.On {
			case "upload":
				if len(e.Failures) == 0 && e.Checksum != "" {
					uploads++
				}
			case "sftp.put":
				uploads++
			case "sftp.close", "sftp.abort":
				for _, r := range e.Written {
					sent += r.To - r.From
					top = max(top, r.To)
				}
			}
		}
		if uploads > 1 {
			t.Errorf("the whole dump arrived %d times", uploads)
		}
		if twice := sent - top; twice > window {
			t.Errorf("%d bytes were sent twice, the window is %d", twice, window)
		}
	}
}
