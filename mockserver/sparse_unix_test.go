//go:build unix

package mockserver_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A dump with a hole of gigabytes is moved to a copy when its beginning is written again: the copy has the hole, too.
func TestSFTP_sparse(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	w := onWire(t, &mockserver.Options{DataDir: dir})
	m := w.create()
	w.grant(m, "rsa")
	c := w.login(m, "rsa")
	const far = 40 << 30
	for i, at := range []int64{far, 0, 10} { // the second and the third begin a copy
		f, err := c.OpenFile("/db_name.dump", os.O_WRONLY|os.O_CREATE)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{'a' + byte(i)}, at); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.status(m); s["filesize"] == nil {
		t.Errorf("status %v", s)
	}
	var blocks int64
	entries, err := os.ReadDir(filepath.Join(dir, "dumps"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.Size() != far+1 {
			t.Errorf("%s has %d bytes, %v", e.Name(), info.Size(), err)
		}
		blocks += info.Sys().(*syscall.Stat_t).Blocks
	}
	if len(entries) != 1 || blocks > 1000 {
		t.Errorf("%d files of %d blocks", len(entries), blocks)
	}
	f, err := c.Open("/db_name.dump")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at, want := range map[int64]byte{0: 'b', 10: 'c', 5: 0, far: 'a'} {
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil && !errors.Is(err, io.EOF) || b[0] != want {
			t.Errorf("at %d: %q, %v", at, b, err)
		}
	}
}

// A scenario's file that becomes something else is not waited for: the call fails, with the reason in the
// journal, and the emulator ends.
func TestScenario_fileBecomesAPipe(t *testing.T) {
	t.Parallel()
	for name, become := range map[string]func(path string) error{
		"a pipe":      func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a device":    func(path string) error { return os.Symlink("/dev/zero", path) },
		"a terminal":  func(path string) error { return os.Symlink("/dev/ptmx", path) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "upgraded")
			plant(t, filepath.Dir(path), map[string]string{"upgraded": "the upgraded dump"})
			script := scenario.Default()
			script.Name, script.Upgraded.Archive, script.Upgraded.Notes, script.Upgraded.Modules, script.Upgraded.SQL = "files",
				path, path, path, path
			w := onWire(t, &mockserver.Options{Scenarios: []*scenario.Scenario{script}})
			m := w.create()
			w.upload(m, pattern(100, 1))
			w.finish(m)
			w.grant(m, "rsa")
			if err := errors.Join(os.Remove(path), become(path)); err != nil {
				t.Fatal(err)
			}
			for key, url := range w.urls(m) {
				if !strings.Contains(key, "upgraded") && !strings.Contains(key, "migrated") && !strings.Contains(key, "notes") &&
					!strings.Contains(key, "modules") {
					continue
				}
				if resp, body := w.get(url); resp.StatusCode == 200 {
					t.Errorf("%s: %s, %q", key, resp.Status, body)
				}
			}
			e := w.srv.Events(journal.Filter{On: "download"})
			if len(e) == 0 || !strings.Contains(e[0].Why, "not a regular file") {
				t.Errorf("the journal says %+v", e)
			}
			if c, err := w.dial(m, "rsa"); err == nil {
				if f, err := c.Open("/upgraded_db_name.dump"); err == nil {
					f.Close()
					t.Error("SFTP opened it")
				}
			}
		})
	}
}
