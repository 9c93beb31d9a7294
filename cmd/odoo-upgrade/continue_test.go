package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// interrupted runs until the platform's calls reach a point, and interrupts there as Ctrl-C does.
func interrupted(t *testing.T, p *platform, at string, args []string) ran {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	p.before = func(method string, _ int, _ http.ResponseWriter, r *http.Request) bool {
		if method == at {
			cancel(signalError{syscall.SIGINT})
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
			return true
		}
		return false
	}
	defer func() { p.before = nil }()
	var out, errs strings.Builder
	env := p.env()
	code := execute(ctx, args, environment{stdin: strings.NewReader("piped dump"), stdout: &out, stderr: &errs,
		getenv: func(n string) string { return env[n] }})
	return ran{code, out.String(), errs.String()}
}

func TestRun_interruptedAndContinued(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"upload", "status", "download"} {
		for _, source := range []string{"file", "pipe"} {
			t.Run(at+"/"+source, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				dump, out := noise(t, dir, "db.dump", 100_000), filepath.Join(dir, "out")
				p := newPlatform(t, "pending", "done")
				args := runArgs(dump, out)
				if source == "pipe" {
					args = runArgs("-", out)
				}
				r := interrupted(t, p, at, args)
				if r.code != 130 || !strings.Contains(r.stderr, "continues where it was") {
					t.Fatalf("interrupted: %+v", r)
				}
				if _, err := os.Stat(out); err == nil {
					t.Error("there is an upgraded dump after the interruption")
				}
				if info, err := os.Stat(out + ".upgrade-state.json"); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("the state file: %v, %v", info, err)
				}
				r = command(t, p.env(), "another dump", args...)
				if r.code != 0 || p.count("create") != 1 {
					t.Fatalf("continued: %+v, %d times create", r, p.count("create"))
				}
				got, err := os.ReadFile(out)
				if err != nil || (source == "pipe" && string(got) != "piped dump") ||
					(source == "file" && !sameFiles(t, dump, out)) {
					t.Errorf("the upgraded dump: %d bytes, %v", len(got), err)
				}
				// Nothing is left but the result and the note of it.
				left, _ := os.ReadDir(dir)
				var names []string
				for _, e := range left {
					names = append(names, e.Name())
				}
				if diff := cmp.Diff([]string{"db.dump", "out", "out.upgrade-state.json"}, names); diff != "" {
					t.Errorf("left behind (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestRun_refusesToGuess(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(t *testing.T, dump, state string) []string // further arguments of the second run
		says   string
	}{
		{"another dump", func(t *testing.T, dump, _ string) []string {
			noise(t, filepath.Dir(dump), "db.dump", 99_999)
			return nil
		}, "has changed since request 77"},
		{"one bit of the dump", func(t *testing.T, dump, _ string) []string {
			raw, _ := os.ReadFile(dump)
			raw[500] ^= 1
			if err := os.WriteFile(dump, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "has changed since request 77"},
		{"another target", func(*testing.T, string, string) []string { return []string{"--target", "7.0"} },
			`--target "8.0"`},
		{"another platform", func(*testing.T, string, string) []string { return []string{"--url", "http://127.0.0.1:1"} },
			"--url"},
		{"a damaged note", func(t *testing.T, _, state string) []string {
			if err := os.WriteFile(state, []byte("{"), 0o600); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "is not a state file"},
		{"a note from the future", func(t *testing.T, _, state string) []string {
			if err := os.WriteFile(state, []byte(`{"version": 99, "stage": "created"}`), 0o600); err != nil {
				t.Fatal(err)
			}
			return nil
		}, "another version"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			dump, out := noise(t, dir, "db.dump", 100_000), filepath.Join(dir, "out")
			p := newPlatform(t, "pending", "done")
			if r := interrupted(t, p, "upload", runArgs(dump, out)); r.code != 130 {
				t.Fatalf("%+v", r)
			}
			calls := len(p.calls)
			more := tt.change(t, dump, out+".upgrade-state.json")
			r := command(t, p.env(), "", runArgs(dump, out, more...)...)
			if r.code != 1 || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("got %+v, want a refusal with %q", r, tt.says)
			}
			if len(p.calls) != calls {
				t.Errorf("the platform was called: %v", p.calls[calls:])
			}
		})
	}
}

// TestRun_touchedDump: the same bytes under another time are the same dump.
func TestRun_touchedDump(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 100_000), filepath.Join(dir, "out")
	p := newPlatform(t, "done")
	if r := interrupted(t, p, "upload", runArgs(dump, out)); r.code != 130 {
		t.Fatalf("%+v", r)
	}
	if err := os.Chtimes(dump, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 0 || p.count("create") != 1 {
		t.Errorf("%+v", r)
	}
}

func TestRun_nextDump(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 100_000), filepath.Join(dir, "out")
	p := newPlatform(t, "done")
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	// The file is gone: it is fetched again, and nothing else is done.
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 0 || !sameFiles(t, dump, out) ||
		p.count("create") != 1 || p.count("upload") != 1 {
		t.Fatalf("%+v, calls %v", r, p.calls)
	}
	// The next night's dump is another upgrade.
	noise(t, dir, "db.dump", 100_001)
	p.state = "draft"
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 0 || !sameFiles(t, dump, out) ||
		p.count("create") != 2 {
		t.Fatalf("%+v, calls %v", r, p.calls)
	}
}

func TestRun_oneAtATime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 100_000), filepath.Join(dir, "out")
	p := newPlatform(t, "done")
	var second ran
	p.before = func(method string, _ int, _ http.ResponseWriter, _ *http.Request) bool {
		if method == "upload" {
			second = command(t, p.env(), "", runArgs(dump, out)...)
		}
		return false
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if second.code != 1 || !strings.Contains(second.stderr, "another odoo-upgrade is at work") {
		t.Errorf("a second run beside the first: %+v", second)
	}
}

// TestRun_dumpChangesMeanwhile: what was sent while the file changed is not handed over for processing.
func TestRun_dumpChangesMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 100_000), filepath.Join(dir, "out")
	p := newPlatform(t, "done")
	p.before = func(method string, _ int, _ http.ResponseWriter, _ *http.Request) bool {
		if method == "upload" {
			if err := os.Chtimes(dump, time.Time{}, time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
		}
		return false
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 1 ||
		!strings.Contains(r.stderr, "changed while it was uploaded") || p.count("process") > 0 {
		t.Fatalf("%+v, calls %v", r, p.calls)
	}
	p.before = nil
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 0 || p.count("create") != 1 ||
		!sameFiles(t, dump, out) {
		t.Errorf("it was only touched: %+v", r)
	}
}
