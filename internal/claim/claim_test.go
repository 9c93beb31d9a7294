package claim_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/upgrademock/upgrademock/internal/claim"
)

func write(t testing.TB, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// TestTake_goesOver: the next holder has the temporary files and notes of one that was killed.
func TestTake_goesOver(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out")
	first, err := claim.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claim.Take(path); !errors.Is(err, claim.ErrBusy) {
		t.Errorf("a second holder: %v", err)
	}
	f, err := first.Create(".part")
	if err != nil {
		t.Fatal(err)
	}
	if !claim.Own(path, f.Name()) || claim.Own(path, path+".part") || claim.Own(path, path+".0123456789a.part") ||
		!strings.HasSuffix(f.Name(), ".part") {
		t.Errorf("the name %s", f.Name())
	}
	if _, err := f.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := first.Note("half"); err != nil {
		t.Fatal(err)
	}
	first.Keep() // as the kernel does when a process is killed

	second, err := claim.Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Temps()) != 1 || second.Temps()[0] != f.Name() ||
		len(second.Notes()) != 1 || string(second.Notes()[0]) != `"half"` {
		t.Errorf("temporary files %q, notes %s", second.Temps(), second.Notes())
	}
	second.Remove(path) // is none of them
	second.Remove(f.Name())
	second.Release()
	if exists(f.Name()) || exists(claim.Name(path)) {
		t.Error("something is left")
	}
}

// TestRelease_oneHolder: while claims on one file are taken and released from many sides, no two are held at once.
func TestRelease_oneHolder(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out")
	var holders, taken atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				c, err := claim.Take(path)
				if errors.Is(err, claim.ErrBusy) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				taken.Add(1)
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders at once", n)
				}
				holders.Add(-1)
				c.Release()
			}
		})
	}
	wg.Wait()
	if taken.Load() == 0 {
		t.Error("never taken")
	}
}

// TestRemove_onlyOurs: what stands under a temporary file's name and is not the file that was made, stays.
func TestRemove_onlyOurs(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, name string){
		"another file": func(t *testing.T, name string) {
			write(t, name+".other", "of the user")
			if err := os.Rename(name+".other", name); err != nil {
				t.Fatal(err)
			}
		},
		"a link": func(t *testing.T, name string) {
			if err := errors.Join(os.Remove(name), os.Symlink(write(t, name+".other", ""), name)); err != nil {
				t.Fatal(err)
			}
		},
		"a second name": func(t *testing.T, name string) {
			if err := os.Link(name, name+".other"); err != nil {
				t.Fatal(err)
			}
		},
		"a folder": func(t *testing.T, name string) {
			if err := errors.Join(os.Remove(name), os.Mkdir(name, 0o700)); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := claim.Take(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Release()
			f, err := c.Create(".part")
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteString("x"); err != nil {
				t.Fatal(err)
			}
			change(t, f.Name())
			c.Remove(f.Name())
			if !exists(f.Name()) {
				t.Error("it was removed")
			}
		})
	}
}

// FuzzTake: whatever stands under the claim's name is a claim or stays as it is, and names no file elsewhere.
func FuzzTake(f *testing.F) {
	f.Add([]byte(""))
	lines := func(s ...string) []byte { return []byte(strings.Join(s, "\n")) }
	f.Add(lines(`{"odoo-upgrade":"claim 1"}`, `{"temp":{"name":"out.0123456789ab.part"}}`, `{"note":7}`, `{"te`))
	f.Add(lines(`{"odoo-upgrade":"claim 1"}`, `{"temp":{"name":"../out.0123456789ab.part"}}`,
		`{"temp":{"name":"precious"}}`, ``))
	f.Add(lines(`{"odoo-upgrade":"claim 2"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, "out")
		write(t, claim.Name(path), string(text))
		precious := write(t, filepath.Join(dir, "precious"), "of the user")
		c, err := claim.Take(path)
		if err != nil {
			if raw, rerr := os.ReadFile(claim.Name(path)); rerr != nil || string(raw) != string(text) {
				t.Errorf("%v; it was changed to %q, %v", err, raw, rerr)
			}
			return
		}
		for _, name := range c.Temps() {
			if filepath.Dir(name) != dir || !claim.Own(path, name) {
				t.Errorf("a temporary file %s", name)
			}
			c.Remove(name)
		}
		c.Release()
		if raw, err := os.ReadFile(precious); err != nil || string(raw) != "of the user" {
			t.Errorf("a file of the user's: %q, %v", raw, err)
		}
		if len(text) == 0 && !exists(claim.Name(path)) {
			t.Error("an empty file of the user's is gone")
		}
	})
}

func TestSame(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return dir + "/" + name }
	write(t, in("a"), "")
	write(t, in("b"), "")
	for _, err := range []error{
		os.Mkdir(in("d"), 0o700), os.Mkdir(in("d/e"), 0o700), os.Link(in("a"), in("hard")), os.Symlink("a", in("soft")),
		os.Symlink("d", in("ld")), os.Symlink("d/e", in("le")), os.Symlink("new", in("dangling")),
		os.Symlink(in("d/new"), in("far")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	tests := []struct {
		a, b string
		want bool
	}{
		{"a", "a", true},
		{"a", in("a"), true},
		{"a", "./d/../a", true},
		{"a", "b", false},
		{"a", "hard", true},
		{"a", "soft", true},
		{"hard", "soft", true},
		{"a", "new", false},
		{"new", "new", true},
		{"new", in("new"), true},
		{"new", "newer", false},
		{"new", "NEW", true},
		{"n\u00e9w", "ne\u0301w", true},
		{"d/new", "ld/new", true},
		{"d/new", "new", false},
		{"new", "dangling", true},
		{"d/new", "far", true},
		{"ld/new", "far", true},
		{"d/new", "le/../new", true}, // behind a link, ".." is the folder above its target
		{"new", "le/../new", false},
		{"no/new", "no/new", false}, // cannot be made at all
	}
	for _, tt := range tests {
		if got := claim.Same(tt.a, tt.b); got != tt.want {
			t.Errorf("%s and %s: got %v", tt.a, tt.b, got)
		}
		if got := claim.Same(tt.b, tt.a); got != tt.want {
			t.Errorf("%s and %s: got %v", tt.b, tt.a, got)
		}
	}
}
