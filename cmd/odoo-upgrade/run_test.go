package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runArgs is a run's command line.
func runArgs(dump, out string, more ...string) []string {
	return append([]string{"run", "--target", "8.0", "--aim", "test", "--dump", dump, "--out", out, "--via", "https",
		"--interval", "100ms"}, more...)
}

func TestRun_independentPlatform(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		states []string
		args   []string
		before func(method string, n int, w http.ResponseWriter, r *http.Request) bool
		extra  map[string]any
		code   int
		says   []string
		calls  []string // nil means the usual
		out    bool
	}{
		{name: "the usual way", states: []string{"pending", "processing", "done"}, out: true},
		{name: "delivered", states: []string{"testing", "delivered"}, out: true, says: []string{"odoo-upgrade skip-test"}},
		{name: "test phase skipped", states: []string{"testing"}, args: []string{"--skip-test"}, out: true,
			calls: []string{"create", "upload", "process", "status", "skip_test", "status", "download"}},
		{name: "a state nobody knows", states: []string{"on_holiday", "done"}, out: true,
			says: []string{"does not know that state"}},
		{name: "the dump is refused", states: []string{"pending", "invalid"}, code: 1,
			calls: []string{"create", "upload", "process", "status"},
			extra: map[string]any{"customer_message": "see /77/" + platformKey + "/notes"},
			says:  []string{"see /77/[key]/notes"}},
		{name: "the target is refused", args: []string{"--target", "5.0"}, code: 1, calls: []string{"create"},
			says: []string{"TARGET:INVALID", "expected 8.0"}},
		{name: "a page for create", code: 1, calls: []string{"create"},
			says: []string{"HTML page", "<html><title>Hotel</title>"},
			before: func(method string, _ int, w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, "<html><title>Hotel</title>\n")
				return true
			}},
		{name: "create out of order for a moment", states: []string{"done"}, out: true,
			says: []string{"503", "trying again"},
			before: func(method string, n int, w http.ResponseWriter, _ *http.Request) bool {
				if method == "create" && n < 2 {
					http.Error(w, "later", http.StatusServiceUnavailable)
				}
				return method == "create" && n < 2
			}},
		{name: "process out of order for a moment", states: []string{"done"}, out: true,
			before: func(method string, n int, w http.ResponseWriter, _ *http.Request) bool {
				if method == "process" && n < 2 {
					_, _ = io.WriteString(w, `{"failures": [{"reason": "SERVER:ERROR", "message": "try again"}]}`)
				}
				return method == "process" && n < 2
			}},
		{name: "the dump is lost once", states: []string{"done"}, out: true, says: []string{"sending it again"},
			before: func(method string, n int, w http.ResponseWriter, _ *http.Request) bool {
				if method == "process" && n == 0 {
					_, _ = io.WriteString(w, `{"failures": [{"reason": "DUMP:MISSING", "message": "no dump"}]}`)
				}
				return method == "process" && n == 0
			}, calls: []string{"create", "upload", "process", "upload", "process", "status", "download"}},
		{name: "the upload's answer is lost", states: []string{"done"}, out: true,
			// The whole dump has arrived; it must not be sent again.
			calls: []string{"create", "upload", "status", "process", "status", "download"}},
		{name: "the file is late", states: []string{"done"}, out: true, says: []string{"not there yet"},
			before: func(method string, n int, w http.ResponseWriter, r *http.Request) bool {
				if method == "download" && n == 0 {
					http.NotFound(w, r)
				}
				return method == "download" && n == 0
			}, calls: []string{"create", "upload", "process", "status", "download", "status", "download"}},
		{name: "a page for the file", states: []string{"done"}, code: 1, says: []string{"HTML page", "[key]"},
			before: func(method string, _ int, w http.ResponseWriter, r *http.Request) bool {
				if method == "download" {
					w.Header().Set("Content-Type", "text/html")
					_, _ = io.WriteString(w, "<html>log in at "+r.URL.Path)
				}
				return method == "download"
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			dump, out := noise(t, dir, "db.dump", 300_000), filepath.Join(dir, "out")
			p := newPlatform(t, tt.states...)
			p.extra, p.before = tt.extra, tt.before
			if tt.name == "the upload's answer is lost" {
				p.before = loseUploadAnswer(p)
			}
			r := command(t, p.env(), "", append(runArgs(dump, out), tt.args...)...)
			if r.code != tt.code {
				t.Errorf("exit code %d, want %d: %s", r.code, tt.code, r.stderr)
			}
			for _, s := range tt.says {
				if !strings.Contains(r.stderr, s) {
					t.Errorf("standard error does not say %q: %s", s, r.stderr)
				}
			}
			if strings.Contains(r.stdout+r.stderr, platformKey) {
				t.Errorf("the key was printed: %s%s", r.stdout, r.stderr)
			}
			if tt.out != sameFiles(t, dump, out) {
				t.Errorf("upgraded dump in its place: %v, want %v", !tt.out, tt.out)
			}
			want := tt.calls
			if want == nil && tt.code == 0 {
				want = []string{"create", "upload", "process", "status", "download"}
			}
			if want != nil {
				if diff := cmp.Diff(want, p.sequence()); diff != "" {
					t.Errorf("calls (-want +got):\n%s", diff)
				}
			}
			if tt.code == 0 {
				// Once more does nothing.
				before := len(p.calls)
				if r := command(t, p.env(), "", append(runArgs(dump, out), tt.args...)...); r.code != 0 ||
					!strings.Contains(r.stdout, "an earlier run") {
					t.Errorf("the second time: %+v", r)
				}
				if len(p.calls) != before {
					t.Errorf("the second time called %v", p.calls[before:])
				}
			}
		})
	}
}

// loseUploadAnswer takes the whole dump and breaks the connection.
func loseUploadAnswer(p *platform) func(string, int, http.ResponseWriter, *http.Request) bool {
	return func(method string, n int, _ http.ResponseWriter, r *http.Request) bool {
		if method != "upload" || n > 0 {
			return false
		}
		raw, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		p.dump = raw
		p.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
}

// TestRun_createAnswerLost holds that an unclear create is not repeated by itself, not even by another process.
func TestRun_createAnswerLost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 1000), filepath.Join(dir, "out")
	p := newPlatform(t, "done")
	p.before = func(method string, n int, _ http.ResponseWriter, r *http.Request) bool {
		if method == "create" && n == 0 {
			_, _ = io.ReadAll(r.Body)
			panic(http.ErrAbortHandler)
		}
		return false
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 1 || !strings.Contains(r.stderr, "--new-request") {
		t.Fatalf("the first run: %+v", r)
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 1 || !strings.Contains(r.stderr, "--new-request") {
		t.Fatalf("the second run: %+v", r)
	}
	if n := p.count("create"); n != 1 {
		t.Errorf("create was called %d times", n)
	}
	if r := command(t, p.env(), "", runArgs(dump, out, "--new-request")...); r.code != 0 || !sameFiles(t, dump, out) {
		t.Errorf("with --new-request: %+v", r)
	}
}

func TestRun_json(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 100_000), filepath.Join(dir, "out")
	p := newPlatform(t, "pending", "done")
	r := command(t, p.env(), "", runArgs(dump, out, "--json")...)
	if r.code != 0 || r.stderr != "" {
		t.Fatalf("%+v", r)
	}
	var events []string
	for line := range strings.Lines(r.stdout) {
		var e struct {
			Event   string
			Request int
			Out     string
			SHA256  string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil || e.Request != 77 {
			t.Errorf("%q: %+v, %v", line, e, err)
		}
		events = append(events, e.Event)
		if e.Event == "finished" && (e.Out != out || len(e.SHA256) != 64) {
			t.Errorf("%q", line)
		}
	}
	want := []string{"created", "uploading", "uploaded", "processing", "state", "state", "downloading", "downloaded",
		"finished"}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(r.stdout, platformKey) {
		t.Error("the key was printed")
	}
	r = command(t, p.env(), "", runArgs(dump, filepath.Join(dir, "out2"), "--json", "--target", "5.0")...)
	var e struct {
		Event    string
		Failures []struct{ Reason string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &e); err != nil || r.code != 1 || e.Event != "error" ||
		len(e.Failures) != 1 || e.Failures[0].Reason != "TARGET:INVALID" {
		t.Errorf("%+v: %+v, %v", r, e, err)
	}
}

func TestRun_nothingIsAskedForInVain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump := noise(t, dir, "db.dump", 1000)
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Symlink(dump, in("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(dump, in("hard")); err != nil {
		t.Fatal(err)
	}
	key := noise(t, dir, "id", 100)
	tests := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no dump", runArgs(in("missing"), in("o1")), 2, "missing does not exist"},
		{"a folder for a dump", runArgs(dir, in("o2")), 2, "use -Fc"},
		{"a device for a dump", runArgs(os.DevNull, in("o2")), 2, "use --dump -"},
		{"an empty dump", runArgs(noise(t, dir, "empty", 0), in("o3")), 2, "is empty"},
		{"nothing from the pipe", runArgs("-", in("o4")), 1, "nothing came from the pipe"},
		{"no folder for the result", runArgs(dump, filepath.Join(dir, "no", "o5")), 2, "there is no such file or folder"},
		{"a folder for the result", runArgs(dump, dir), 2, "is a folder"},
		{"a device for the result", runArgs(dump, os.DevNull), 2, "is no regular file"},
		{"a device for the state", runArgs(dump, in("o5"), "--state", os.DevNull), 2, "is no regular file"},
		{"a link for the result", runArgs(key, in("link")), 2, "is a link to"},
		{"a link for the state", runArgs(key, in("o5"), "--state", in("link")), 2, "is a link to"},
		{"an open key", runArgs(dump, in("o6"), "--ssh-key", openKey(t, dir)), 2, "chmod 600"},
		{"no key", runArgs(dump, in("o7"), "--ssh-key", in("missing")), 2, "missing"},
		{"a key that is none", runArgs(dump, in("o7"), "--ssh-key", key), 2, "expected a file as ssh-keygen writes it"},
		{"no authority", runArgs(dump, in("o7"), "--ca-file", in("missing")), 2, "--ca-file"},
		{"an authority that is none", runArgs(dump, in("o7"), "--ca-file", key), 2, "no certificate in PEM form"},

		{"the dump is the result", runArgs(dump, dump), 2, "--dump and --out are one file"},
		{"the dump is the result, by another way", runArgs(dump, filepath.Join(dir, "..", filepath.Base(dir), "db.dump")), 2,
			"--dump and --out are one file"},
		{"the dump is the result, by a link", runArgs(in("link"), dump), 2, "--dump and --out are one file"},
		{"the dump is the result, by a hard link", runArgs(dump, in("hard")), 2, "--dump and --out are one file"},
		{"the dump is the state", runArgs(dump, in("o8"), "--state", dump), 2, "--dump and --state are one file"},
		{"the result is the state", runArgs(dump, in("o8"), "--state", in("o8")), 2, "--out and --state are one file"},
		{"the result is the state but for its case", runArgs(dump, in("o8"), "--state", in("O8")), 2,
			"--out and --state are one file"},
		{"the lock is the dump", runArgs(noise(t, dir, "o9.odoo-upgrade", 10), in("o9")), 2,
			"--dump and the lock of --out are one file"},
		{"the lock is the state", runArgs(dump, in("o9"), "--state", in("o9.odoo-upgrade")), 2,
			"--state and the lock of --out are one file"},
		{"the result is the lock of the state", runArgs(dump, in("o9.odoo-upgrade"), "--state", in("o9")), 2,
			"--out and the lock of --state are one file"},
		{"the result is a key", runArgs(dump, key, "--ssh-key", key), 2, "--out and --ssh-key are one file"},
		{"the state is a key", runArgs(dump, in("o9"), "--ssh-key", key, "--state", key), 2,
			"--state and --ssh-key are one file"},
		{"the result is the known hosts", runArgs(dump, key, "--known-hosts", key), 2,
			"--out and --known-hosts are one file"},
		{"the dump is the known hosts", runArgs(dump, in("o9"), "--known-hosts", dump), 2,
			"--dump and --known-hosts are one file"},
		{"the result is the authority", runArgs(dump, key, "--ca-file", key), 2, "--out and --ca-file are one file"},
	}
	before := files(t, dir)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlatform(t, "done")
			r := command(t, p.env(), "", tt.args...)
			if r.code != tt.code || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("%+v, want code %d and %q", r, tt.code, tt.says)
			}
			if len(p.calls) > 0 {
				t.Errorf("the platform was called: %v", p.calls)
			}
			if diff := cmp.Diff(before, files(t, dir)); diff != "" {
				t.Errorf("the folder (-want +got):\n%s", diff)
			}
		})
	}
}

func openKey(t *testing.T, dir string) string {
	t.Helper()
	path := noise(t, dir, "id_open", 100)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRun_timeout(t *testing.T) {
	t.Parallel()
	var first, second ran
	for _, timeout := range []string{"1s", "10s"} { // the second for machines on which a call is cut by the first
		dir := t.TempDir()
		dump, out := noise(t, dir, "db.dump", 1000), filepath.Join(dir, "out")
		p := newPlatform(t, "processing")
		first = command(t, p.env(), "", runArgs(dump, out, "--timeout", timeout)...)
		p.mu.Lock()
		p.states = []string{"done"}
		p.mu.Unlock()
		second = command(t, p.env(), "", runArgs(dump, out)...)
		if first.code == 1 && strings.Contains(first.stderr, "--timeout") && second.code == 0 && p.count("create") == 1 {
			return
		}
	}
	t.Errorf("%+v, then %+v", first, second)
}
