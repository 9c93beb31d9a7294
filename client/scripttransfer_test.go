package client_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

// tree returns the files below a folder.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(rel)] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var someFiles = map[string]int{"toc.dat": 4000, "1.dat.gz": 200_000, "2.dat.gz": 1, "3.dat.gz": 0, "blobs/b": 70_000}

func TestScript_upload(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	s := p.script()
	ref, opts := p.create(s)
	dir := plantDump(t, someFiles)
	dump, err := client.OpenScriptDump(dir)
	if err != nil {
		t.Fatal(err)
	}
	var last client.Progress
	opts.Progress = func(p client.Progress) { last = p }
	got, err := s.Upload(t.Context(), ref, dump, opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&client.Transferred{Size: 274_001, Bytes: 274_001, Files: 5, Tries: 1}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(tree(t, dir), tree(t, filepath.Join(p.data, "origin.dump"))); diff != "" {
		t.Errorf("-sent +arrived:\n%s", diff)
	}
	if want := (client.Progress{Done: 274_001, Total: 274_001}); last != want {
		t.Errorf("progress: %+v", last)
	}
	if diff := cmp.Diff([]string{"create", "transfer/start", "transfer/stop"}, p.calls); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"rsync --server -ltre.iLsfxCIvu --delete-after . /data/origin.dump"},
		p.execs); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// Nothing of it is sent again.
	if got, err = s.Upload(t.Context(), ref, dump, opts); err != nil || got.Bytes != 0 || got.Files != 0 ||
		got.Skipped != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestScript_uploadFile(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"my.ZIP": "origin.zip", "a.sql": "origin.sql", "a.sql.gz": "origin.sql.gz", "b.dump": "origin.dump",
		"backup": "origin.sql",
	} {
		p := newScriptPlatform(t)
		s := p.script()
		ref, opts := p.create(s)
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, noise(50_000), 0o600); err != nil {
			t.Fatal(err)
		}
		dump, err := client.OpenScriptDump(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Upload(t.Context(), ref, dump, opts); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{want: string(noise(50_000))}, tree(t, p.data)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// rsyncCutter breaks a connection when so many bytes have passed.
type rsyncCutter struct {
	ssh.Channel
	mu       sync.Mutex
	up, down int64 // left; negative is no end
}

func (c *rsyncCutter) pass(left *int64, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *left >= 0 {
		if *left -= int64(n); *left < 0 {
			*left = 0
			_ = c.Close()
			return io.ErrClosedPipe
		}
	}
	return nil
}

func (c *rsyncCutter) Read(p []byte) (int, error) {
	n, err := c.Channel.Read(p)
	if cut := c.pass(&c.up, n); cut != nil {
		return 0, cut
	}
	return n, err
}

func (c *rsyncCutter) Write(p []byte) (int, error) {
	if cut := c.pass(&c.down, len(p)); cut != nil {
		return 0, cut
	}
	return c.Channel.Write(p)
}

// TestScript_uploadGoesOn: after a break only the file that was under way is sent again, with a new transfer.
func TestScript_uploadGoesOn(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	p.wrap = func(n int, ch ssh.Channel) io.ReadWriter {
		if n >= 3 {
			return ch
		}
		return &rsyncCutter{Channel: ch, up: 150_000, down: -1}
	}
	s := p.script()
	ref, opts := p.create(s)
	files := map[string]int{"toc.dat": 100}
	for _, name := range strings.Split("abcdefgh", "") {
		files[name+".dat"] = 60_000
	}
	dump, err := client.OpenScriptDump(plantDump(t, files))
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Upload(t.Context(), ref, dump, opts)
	if err != nil {
		t.Fatal(err)
	}
	// Of each try that breaks, at least one file arrives whole, and is not sent again.
	if got.Tries != 4 || got.Skipped < 3 || got.Files+got.Skipped != 9 || p.count("transfer/start") != 4 ||
		p.count("transfer/stop") != 1 {
		t.Errorf("%+v, calls %q", got, p.calls)
	}
	if diff := cmp.Diff(tree(t, filepath.Join(p.data, "origin.dump")), sizes(files)); diff != "" {
		t.Errorf("-arrived +sent:\n%s", diff)
	}
}

func sizes(files map[string]int) map[string]string {
	out := map[string]string{}
	for name, n := range files {
		out[name] = string(noise(n))
	}
	return out
}

// results makes what a download brings.
func results(t testing.TB, p *scriptPlatform) map[string]string {
	t.Helper()
	files := map[string]int{"upgraded.dump/toc.dat": 5000, "upgraded.dump/1.dat": 100_000, "upgraded.dump/2.dat": 60_000,
		"filestore/ab/abcd": 70_000, "filestore/cd/cdef": 3, "upgrade.log": 9000, "upgrade-report.html": 77, "private": 10}
	for name, n := range files {
		path := filepath.Join(p.data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, noise(n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	delete(files, "private")
	return sizes(files)
}

func TestScript_download(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	s := p.script()
	ref, opts := p.create(s)
	want, dir := results(t, p), t.TempDir()
	got, err := s.Download(t.Context(), ref, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if diff := cmp.Diff(&client.Transferred{Size: 244_080, Bytes: 244_080, Files: 7, Tries: 1, Dump: at("upgraded.dump"),
		Filestore: at("filestore"), Report: at("upgrade-report.html"), Log: at("upgrade.log")}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"rsync --server --sender -logDtpre.iLsfxCIvu --ignore-missing-args . " +
		"/data/upgraded.dump /data/filestore /data/upgrade-report.html /data/upgrade.log"}, p.execs); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// A second one fetches what is missing.
	if err := os.Remove(at("upgrade.log")); err != nil {
		t.Fatal(err)
	}
	if got, err = s.Download(t.Context(), ref, dir, opts); err != nil || got.Bytes != 9000 || got.Files != 1 ||
		got.Skipped != 6 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestScript_downloadGoesOn(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	p.wrap = func(n int, ch ssh.Channel) io.ReadWriter {
		if n >= 3 {
			return ch
		}
		return &rsyncCutter{Channel: ch, up: -1, down: 110_000}
	}
	s := p.script()
	ref, opts := p.create(s)
	want, dir := results(t, p), t.TempDir()
	got, err := s.Download(t.Context(), ref, dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got.Files != 7 || got.Tries < 3 || got.Bytes > 244_080+3*100_000 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestScript_transferFails: what cannot be mended by trying again ends a transfer with what to do.
func TestScript_transferFails(t *testing.T) {
	t.Parallel()
	other, _, err := client.GenerateSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		setup func(p *scriptPlatform)
		is    error
		says  string
		tries int // at most
	}{
		"another host key": {func(p *scriptPlatform) {
			p.change = func(call string, result map[string]any) {
				if call == "transfer/start" {
					p.hostKey = other
				}
			}
		}, client.ErrHostKey, "none of those", 1},
		"no host key": {func(p *scriptPlatform) {
			p.change = func(_ string, result map[string]any) { delete(result, "known_hosts") }
		}, client.ErrHostKey, "names no key", 1},
		"a key of another host": {func(p *scriptPlatform) {
			p.change = func(_ string, result map[string]any) {
				if known, ok := result["known_hosts"].(string); ok {
					result["known_hosts"] = strings.Replace(known, "127.0.0.1", "127.0.0.2", 1)
				}
			}
		}, client.ErrHostKey, "names no key", 1},
		"the wrong login": {func(p *scriptPlatform) {
			p.change = func(call string, _ map[string]any) {
				if call == "transfer/start" {
					p.allowed = other.PublicKey()
				}
			}
		}, client.ErrLoginRefused, "given up", 5},
		"a closed port": {func(p *scriptPlatform) {
			p.change = func(call string, result map[string]any) {
				if call == "transfer/start" {
					p.stopLocked()
				}
			}
		}, client.ErrUnreachable, "firewall", 5},
		"no rsync": {func(p *scriptPlatform) {
			p.program = func(string) *exec.Cmd { return exec.Command("sh", "-c", "echo no rsync here >&2; exit 127") }
		}, nil, "no rsync here", 5},
		"refused": {func(p *scriptPlatform) {
			p.change = func(_ string, result map[string]any) { result["error"] = "not in this state" }
		}, nil, "not in this state", 1},
		"no result": {func(*scriptPlatform) {}, client.ErrNotFound, "no upgraded dump", 1},
		"a name that leads out": {func(p *scriptPlatform) {
			p.change = func(_ string, result map[string]any) { result["dump_name"] = "../x" }
		}, client.ErrContradiction, "../x", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newScriptPlatform(t)
			s := p.script()
			ref, opts := p.create(s)
			tt.setup(p)
			dir := t.TempDir()
			_, err := s.Download(t.Context(), ref, dir, opts)
			if err == nil || !strings.Contains(err.Error(), tt.says) || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("got %v", err)
			}
			if n := p.count("transfer/start"); n > tt.tries {
				t.Errorf("%d tries", n)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// TestScript_changedDump: a dump that changes is not sent.
func TestScript_changedDump(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	s := p.script()
	ref, opts := p.create(s)
	dir := plantDump(t, someFiles)
	dump, err := client.OpenScriptDump(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "toc.dat"), time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upload(t.Context(), ref, dump, opts); !errors.Is(err, client.ErrChanged) ||
		p.count("transfer/stop") > 0 {
		t.Errorf("got %v", err)
	}
	if again, err := client.OpenScriptDump(dir); err != nil || again.Digest() == dump.Digest() {
		t.Errorf("the digest is the same, %v", err)
	}
}

func TestOpenScriptDump_refuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	linked := plantDump(t, map[string]int{"toc.dat": 1})
	if err := os.Symlink("/etc/passwd", filepath.Join(linked, "1.dat")); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty.sql")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{
		filepath.Join(dir, "missing"): "no such file", dir: "toc.dat", linked: "a link", empty: "empty",
		os.DevNull: "not a regular file",
	} {
		if _, err := client.OpenScriptDump(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: got %v, want %q", path, err, says)
		}
	}
}

// TestScript_uploadNeverWorks: who sends a single file learns that a folder would do better.
func TestScript_uploadNeverWorks(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	p.wrap = func(_ int, ch ssh.Channel) io.ReadWriter { return &rsyncCutter{Channel: ch, up: 100_000, down: -1} }
	s := p.script()
	ref, opts := p.create(s)
	path := filepath.Join(t.TempDir(), "db.sql")
	if err := os.WriteFile(path, noise(300_000), 0o600); err != nil {
		t.Fatal(err)
	}
	dump, err := client.OpenScriptDump(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Upload(t.Context(), ref, dump, opts)
	if err == nil || !strings.Contains(err.Error(), "given up after 5 tries") ||
		!strings.Contains(err.Error(), "directory format") || p.count("transfer/stop") > 0 {
		t.Errorf("got %v", err)
	}
}
