package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plant puts files of the user's wherever a program of little care would put its own.
func plant(t *testing.T, out string) {
	t.Helper()
	dir := filepath.Dir(out)
	state := out + ".upgrade-state.json"
	for _, name := range []string{out + ".part", out + ".part.json", out + ".tmp", out + ".lock", out + ".new", out + "~",
		out + ".0123456789ab.part",
		state + ".lock", state + ".new", state + ".dump", state + ".dump.part", state + ".old", state + ".77.old",
		state + ".0123456789ab.new",
		filepath.Join(dir, ".odoo-upgrade-1"), filepath.Join(dir, "precious")} {
		if err := os.WriteFile(name, []byte("of the user: "+name), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("precious", out+".download"); err != nil {
		t.Fatal(err)
	}
}

// without returns files without some of them.
func without(m map[string]string, names ...string) map[string]string {
	for _, n := range names {
		delete(m, filepath.Base(n))
	}
	return m
}

// TestRun_touchesNothingElse: run, continued, begun anew and from a pipe, adds the result and the state, and
// changes nothing else.
func TestRun_touchesNothingElse(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"file", "pipe"} {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			dump, out := noise(t, dir, "db.dump", 300_000), filepath.Join(dir, "out")
			state := out + ".upgrade-state.json"
			plant(t, out)
			before := files(t, dir)
			args := runArgs(dump, out)
			if source == "pipe" {
				args = runArgs("-", out)
			}
			p := newPlatform(t, "pending", "done")
			for _, at := range []string{"create", "upload", "process", "status", "download"} {
				if r := interrupted(t, p, at, args); r.code != 130 && at != "create" {
					t.Fatalf("interrupted at %s: %+v", at, r)
				}
				if at == "create" { // whether it arrived is not known
					if err := os.Remove(state); err != nil {
						t.Fatal(err)
					}
				}
			}
			if r := command(t, p.env(), "another", args...); r.code != 0 {
				t.Fatalf("%+v", r)
			}
			if diff := cmp.Diff(before, without(files(t, dir), out, state)); diff != "" {
				t.Errorf("the folder (-want +got):\n%s", diff)
			}
			// Set aside, it finds a name that is free.
			p.mu.Lock()
			p.state = "draft"
			p.mu.Unlock()
			if r := command(t, p.env(), "another", append(args, "--new-request")...); r.code != 0 {
				t.Fatalf("%+v", r)
			}
			if diff := cmp.Diff(before, without(files(t, dir), out, state, state+".77.old1")); diff != "" {
				t.Errorf("the folder (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRun_partAsDump: a dump that has the name of what could be a part is a dump.
func TestRun_partAsDump(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump := noise(t, dir, "out.part", 300_000)
	before := files(t, dir)
	out := filepath.Join(dir, "out")
	if r := command(t, newPlatform(t, "done").env(), "", runArgs(dump, out)...); r.code != 0 || !sameFiles(t, dump, out) {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(before, without(files(t, dir), out, out+".upgrade-state.json")); diff != "" {
		t.Errorf("the folder (-want +got):\n%s", diff)
	}
}

// TestRun_ownNamesAreTaken: where the user has a file under a name that the command needs, it stops before it does
// anything.
func TestRun_ownNamesAreTaken(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{".odoo-upgrade", ".upgrade-state.json", ".upgrade-state.json.odoo-upgrade"} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			dump, out := noise(t, dir, "db.dump", 1000), filepath.Join(dir, "out")
			noise(t, dir, "out"+suffix, 500)
			before := files(t, dir)
			p := newPlatform(t, "done")
			r := command(t, p.env(), "", runArgs(dump, out)...)
			if r.code != 1 || !strings.Contains(r.stderr, out+suffix) || !strings.Contains(r.stderr, "move") ||
				len(p.calls) > 0 {
				t.Errorf("%+v, calls %v", r, p.calls)
			}
			if diff := cmp.Diff(before, files(t, dir)); diff != "" {
				t.Errorf("the folder (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRun_oneOutput: of two runs with states of their own and one result, the second ends before it does anything;
// so does a download.
func TestRun_oneOutput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 100_000), filepath.Join(dir, "out")
	p, other := newPlatform(t, "done"), newPlatform(t, "done")
	other.state = "done"
	var second []ran
	p.before = func(method string, _ int, _ http.ResponseWriter, _ *http.Request) bool {
		if method == "upload" || method == "download" {
			second = append(second,
				command(t, other.env(), "", runArgs(dump, out, "--state", filepath.Join(dir, "other"))...),
				command(t, other.env(), "", "download", "--out", dir+"/../"+filepath.Base(dir)+"/out"))
		}
		return false
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 0 || !sameFiles(t, dump, out) {
		t.Fatalf("%+v", r)
	}
	for _, r := range second {
		if r.code != 1 || !strings.Contains(r.stderr, "another odoo-upgrade is at work on") {
			t.Errorf("a second one beside the first: %+v", r)
		}
	}
	if n := other.count("create") + other.count("download"); n > 0 || len(second) != 4 {
		t.Errorf("%d of %d others did something", n, len(second))
	}
	if diff := cmp.Diff(3, len(files(t, dir))); diff != "" {
		t.Error(files(t, dir))
	}
}

// TestRun_outputIsChanged: when another program writes to the result, no checksum is printed that is not the file's.
func TestRun_outputIsChanged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 1<<20), filepath.Join(dir, "out")
	p := newPlatform(t, "done")
	p.before = func(method string, n int, w http.ResponseWriter, r *http.Request) bool {
		if method != "download" || n > 0 {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(p.dump)))
		_, _ = w.Write(p.dump[:1<<19])
		w.(http.Flusher).Flush()
		for r.Context().Err() == nil { // until the first half is there
			parts, _ := filepath.Glob(out + ".*.part")
			if len(parts) == 1 {
				if info, err := os.Stat(parts[0]); err == nil && info.Size() == 1<<19 {
					f, err := os.OpenFile(parts[0], os.O_RDWR, 0)
					if err != nil {
						t.Error(err)
						break
					}
					_, err = f.WriteAt([]byte("somebody else's"), 100)
					if err := errors.Join(err, f.Close()); err != nil {
						t.Error(err)
					}
					break
				}
			}
			runtime.Gosched()
		}
		_, _ = w.Write(p.dump[1<<19:])
		return true
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 1 ||
		!strings.Contains(r.stderr, "is not what was downloaded") || r.stdout != "" {
		t.Errorf("%+v", r)
	}
	if r := command(t, p.env(), "", runArgs(dump, out)...); r.code != 0 || !sameFiles(t, dump, out) ||
		p.count("create") != 1 {
		t.Errorf("once more: %+v", r)
	}
}

// TestDownload_defaultName: a name that the platform chooses replaces nothing, and hides nothing.
func TestDownload_defaultName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	p := newPlatform(t, "done")
	p.state, p.dump = "done", []byte("dump")
	p.extra["original_dump_url"] = p.URL + "/database/eu1/77/" + platformKey + "/original"
	for filename, want := range map[string]string{
		".bashrc": "bashrc", "../../etc/passwd": "_.._etc_passwd", "-rf": "rf", "": "download", "db.dump": "db.dump",
	} {
		p.extra["filename"] = filename
		if r := command(t, p.env(), "", "download", "--what", "original"); r.code != 0 {
			t.Errorf("%q: %+v", filename, r)
		}
		before := files(t, dir)
		if before[want] == "" || len(before) != 1 {
			t.Errorf("%q became %v, want %s", filename, before, want)
		}
		if r := command(t, p.env(), "", "download", "--what", "original"); r.code != 2 ||
			!strings.Contains(r.stderr, "is there already") {
			t.Errorf("%q once more: %+v", filename, r)
		}
		if diff := cmp.Diff(before, files(t, dir)); diff != "" {
			t.Error(diff)
		}
		if err := os.Remove(want); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRun_defaultName: the result's default name replaces nothing but an earlier result.
func TestRun_defaultName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	noise(t, dir, "db.dump", 1000)
	args := []string{"run", "--target", "8.0", "--aim", "test", "--dump", "db.dump", "--via", "https", "--interval",
		"100ms"}
	p := newPlatform(t, "done")
	noise(t, dir, "upgraded_db.dump", 20)
	before := files(t, dir)
	if r := command(t, p.env(), "", args...); r.code != 2 || !strings.Contains(r.stderr, "is there already") ||
		len(p.calls) > 0 {
		t.Errorf("%+v, calls %v", r, p.calls)
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Error(diff)
	}
	if err := os.Remove("upgraded_db.dump"); err != nil {
		t.Fatal(err)
	}
	for _, more := range [][]string{nil, nil, {"--new-request"}} {
		p.mu.Lock()
		p.state = "draft"
		p.mu.Unlock()
		if r := command(t, p.env(), "", append(args, more...)...); r.code != 0 {
			t.Fatalf("%v: %+v", more, r)
		}
	}
	if n := p.count("create"); n != 2 {
		t.Errorf("create was called %d times", n)
	}
}

// TestStandardStreams: a dump that comes through standard input is not where the result goes, nor is what the
// command prints.
func TestStandardStreams(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump := noise(t, dir, "db.dump", 1000)
	in, err := os.Open(dump)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	printed, err := os.Create(filepath.Join(dir, "printed"))
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	p := newPlatform(t, "done")
	env := p.env()
	for out, says := range map[string]string{
		dump: "standard input and --out are one file", printed.Name(): "--out and standard output are one file",
	} {
		var stderr strings.Builder
		code := execute(t.Context(), runArgs("-", out),
			environment{stdin: in, stdout: printed, stderr: &stderr, getenv: func(n string) string { return env[n] }})
		if code != 2 || !strings.Contains(stderr.String(), says) || len(p.calls) > 0 {
			t.Errorf("code %d: %s, want %q", code, stderr.String(), says)
		}
	}
}

// TestTune: the collector's settings are the user's, where there are any.
func TestTune(t *testing.T) {
	t.Parallel()
	for env, want := range map[string]string{
		"GOGC=": "200 50331648", "GOGC=77": "77 50331648", "GOGC=off": "-1 50331648", "GOMEMLIMIT=1GiB": "200 1073741824",
	} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childVariable+"=tune", "GOGC=", "GOMEMLIMIT=", env)
		got, err := cmd.Output()
		if err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", env, got, err, want)
		}
	}
}

func printTuning() {
	tune(os.Getenv)
	fmt.Print(debug.SetGCPercent(-1), " ", debug.SetMemoryLimit(-1))
}
