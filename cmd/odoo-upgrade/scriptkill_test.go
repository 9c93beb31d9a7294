package main

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// TestRunScript_killed kills "run --api script" with every kind of call in flight, before the platform has acted on it
// and after it, while rsync sends and receives, and at any moment. It runs it again until it ends by itself. Then one
// request must have been created, the results must be right, no file that had arrived may have been sent again, and in
// the user's folder nothing else may have changed.
//
// ODOO_UPGRADE_KILLS=100 and ODOO_UPGRADE_DUMP_MIB=200 make it the long test; the moments come from
// ODOO_UPGRADE_SEED.
func TestRunScript_killed(t *testing.T) {
	t.Parallel()
	kills := fromEnv(t, "ODOO_UPGRADE_KILLS", len(scriptMoments))
	mib := fromEnv(t, "ODOO_UPGRADE_DUMP_MIB", 4)
	seed := fromEnv(t, "ODOO_UPGRADE_SEED", 1)
	t.Logf("seed %d: ODOO_UPGRADE_SEED=%d repeats it", seed, seed)
	v := newScriptVictim(t, mib)
	count := map[string]int{}
	step := 1
	if testing.Short() { // a sample of the moments
		step = 6
	}
	for i := 0; i < kills; i += step {
		moment := scriptMoments[i%len(scriptMoments)]
		random := rand.New(rand.NewPCG(uint64(seed), uint64(i)))
		t.Run(fmt.Sprintf("%d/%s", i, moment), func(t *testing.T) {
			count[v.round(t, random, moment, i)]++
		})
	}
	for _, what := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%-50s %d", what, count[what])
	}
}

// scriptMoments are when the command ends. A moment after transfer/start has another pause each time, so that it is
// anywhere in the transfer.
var scriptMoments = func() []string {
	out := []string{"at any time", "at any time", "upload", "upload", "download", "download"}
	for _, call := range []string{"create", "transfer/start", "transfer/stop", "process", "status", "logs"} {
		for _, phase := range []string{"arrived", "acted", "half answered", "answered"} {
			out = append(out, call+" "+phase)
		}
	}
	return out
}()

// scriptVictim is the platform that the command is killed before: an emulator, and a server in front of its calls.
type scriptVictim struct {
	srv      *mockserver.Server
	front    *httptest.Server
	ca, dump string
	want     map[string]string
	took     time.Duration // by a run that is not killed

	mu     sync.Mutex
	moment string
	after  time.Duration // from the moment on
	starts int           // of transfers in this run
	kill   func()        // nil if the moment is over
}

func newScriptVictim(t *testing.T, mib int) *scriptVictim {
	t.Helper()
	v := &scriptVictim{}
	v.srv = mockservertest.New(t, &mockserver.Options{JournalSize: 1 << 20,
		Scenarios: mockservertest.Scenarios(t, "script-filestore")}, mockservertest.AllowUnmetExpectations)
	v.front = httptest.NewUnstartedServer(v)
	v.front.Config.ErrorLog = quiet
	v.front.StartTLS()
	t.Cleanup(v.front.Close)
	dir := t.TempDir()
	v.ca = filepath.Join(dir, "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: v.front.Certificate().Raw})
	if err := os.WriteFile(v.ca, text, 0o600); err != nil {
		t.Fatal(err)
	}
	v.dump = dumpFolder(t, dir, 32, mib<<20/32)
	v.want = folder(t, v.dump)
	began := time.Now()
	if r := v.run(t, filepath.Join(dir, "undisturbed"), "M0-undisturbed"); r.code != 0 {
		t.Fatalf("not even undisturbed does it work: %+v", r)
	}
	v.took = time.Since(began)
	return v
}

func (v *scriptVictim) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := strings.TrimPrefix(r.URL.Path, "/upgrade/request/")
	v.trigger(call + " arrived")
	s := &answerTrigger{ResponseWriter: w, before: func() { v.trigger(call + " acted") },
		middle: func() { v.trigger(call + " half answered") }}
	v.srv.ServeHTTP(s, r)
	s.end()
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	v.trigger(call + " answered")
	if call == "transfer/start" {
		v.mu.Lock()
		v.starts++
		kind := []string{"upload", "download"}[min(v.starts, 2)-1]
		v.mu.Unlock()
		v.trigger(kind)
	}
}

// trigger kills the command if this is the moment, at once or some time after it.
func (v *scriptVictim) trigger(moment string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.kill == nil || v.moment != moment {
		return
	}
	kill := v.kill
	v.kill = nil
	if v.after == 0 {
		kill()
		return
	}
	time.AfterFunc(v.after, kill)
}

// run runs the command to its end, or until the moment.
func (v *scriptVictim) run(t *testing.T, out, contract string, more ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"run", "--api", "script", "--url", v.front.URL,
		"--ca-file", v.ca, "--contract", contract, "--target", "18.0", "--aim", "test", "--interval", "100ms",
		"--dump", v.dump, "--out", out}, more...)...)
	cmd.Env = append(os.Environ(), childVariable+"=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	v.mu.Lock()
	v.starts = 0
	if v.moment != "" {
		v.kill = func() { _ = cmd.Process.Kill() }
	}
	v.mu.Unlock()
	v.trigger("at any time")
	_ = cmd.Wait()
	v.mu.Lock()
	v.moment, v.kill = "", nil
	v.mu.Unlock()
	return ran{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// round is one kill and what comes after. It returns what happened.
func (v *scriptVictim) round(t *testing.T, random *rand.Rand, moment string, i int) string {
	dir, contract := t.TempDir(), fmt.Sprintf("M%d-kill", i+1)
	noise(t, dir, "precious", 100)
	plant(t, filepath.Join(dir, "out"))
	before := files(t, dir)
	out := filepath.Join(dir, "out")
	v.mu.Lock()
	v.moment, v.after = moment, 0
	switch moment {
	case "at any time":
		v.after = time.Duration(random.Int64N(int64(v.took))) + 1
	case "upload", "download":
		v.after = time.Duration(random.Int64N(int64(v.took)/4)) + 1
	}
	v.mu.Unlock()
	first := v.run(t, out, contract)
	happened := "killed, " + moment
	switch {
	case first.code == 0 && v.moves(moment):
		happened = "ended before"
	case first.code != -1:
		t.Errorf("%s: %+v", moment, first)
	}
	second, creates := v.run(t, out, contract), 1
	if strings.Contains(second.stderr, "a decision is needed") {
		// The one moment that no client can bridge: see package workflow.
		if !strings.HasPrefix(moment, "create ") && moment != "at any time" {
			t.Errorf("%s: a request may have been lost: %s", moment, second.stderr)
		}
		happened += ", a decision was needed"
		second, creates = v.run(t, out, contract, "--new-request"), 2
	}
	if second.code != 0 {
		t.Errorf("%s: code %d\n%s---\n%s", moment, second.code, first.stderr, second.stderr)
		return happened
	}
	if diff := cmp.Diff(v.want, folder(t, filepath.Join(out, "upgraded.dump"))); diff != "" {
		t.Errorf("%s: the result differs: %.300s", moment, diff)
	}
	if diff := cmp.Diff(before, without(files(t, dir), "out", "out.upgrade-state.json")); diff != "" {
		t.Errorf("%s: the folder (-want +got):\n%s", moment, diff)
	}
	v.examine(t, contract, creates)
	return happened
}

// moves reports whether a moment has another place each time, and may not come.
func (v *scriptVictim) moves(moment string) bool {
	return moment == "at any time" || moment == "upload" || moment == "download"
}

// examine reads the emulator's journal of one contract.
func (v *scriptVictim) examine(t *testing.T, contract string, most int) {
	t.Helper()
	requests := map[int64]bool{}
	for _, e := range v.srv.Events(journal.Filter{Contract: contract, On: "script.create"}) {
		requests[e.Request] = true
	}
	if len(requests) > most || len(requests) == 0 {
		t.Errorf("%d requests were created", len(requests))
	}
	for request := range requests {
		arrived := map[string]int{}
		for _, e := range v.srv.Events(journal.Filter{Request: request, On: "rsync.upload"}) {
			if e.Rsync == nil {
				continue
			}
			for _, f := range e.Rsync.Files {
				if !f.Skipped && f.Checksum != "" || !f.Skipped && f.Sent == f.Size {
					arrived[f.Name]++
				}
			}
		}
		for name, n := range arrived {
			if n > 1 {
				t.Errorf("%s arrived %d times", name, n)
			}
		}
	}
}
