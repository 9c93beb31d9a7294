package safefile_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

func inRoot(tb testing.TB) (*os.Root, string) {
	tb.Helper()
	dir := tb.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { root.Close() })
	return root, dir
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// What is no regular file is neither opened nor replaced.
func TestNotRegular(t *testing.T) {
	t.Parallel()
	root, dir := inRoot(t)
	check(t, os.WriteFile(filepath.Join(dir, "file"), []byte("theirs"), 0o600))
	check(t, os.Mkdir(filepath.Join(dir, "directory"), 0o700))
	check(t, os.Symlink("file", filepath.Join(dir, "link")))
	check(t, os.Symlink("nowhere", filepath.Join(dir, "dangling")))
	names := append([]string{"directory", "link", "dangling"}, special(t, dir)...)
	for _, name := range names {
		if f, err := safefile.OpenIn(root, name, os.O_RDWR); !errors.Is(err, safefile.ErrNotRegular) {
			t.Errorf("OpenIn %s: %v, %v", name, f, err)
		}
		if _, err := safefile.Read(root, name, 100); !errors.Is(err, safefile.ErrNotRegular) {
			t.Errorf("Read %s: %v", name, err)
		}
		if err := safefile.Replace(root, name, []byte("ours"), 0o600); !errors.Is(err, safefile.ErrNotRegular) {
			t.Errorf("Replace %s: %v", name, err)
		}
		if err := safefile.Create(root, name, []byte("ours"), 0o600); !errors.Is(err, fs.ErrExist) {
			t.Errorf("Create %s: %v", name, err)
		}
		switch f, err := safefile.Open(filepath.Join(dir, name)); {
		case name == "link":
			check(t, err) // somebody chose it
			f.Close()
		case name == "dangling":
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Open %s: %v", name, err)
			}
		case !errors.Is(err, safefile.ErrNotRegular):
			t.Errorf("Open %s: %v, %v", name, f, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(names)+1 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(data) != "theirs" {
		t.Errorf("the link's target holds %q, %v", data, err)
	}
}

func TestReadNamed(t *testing.T) {
	t.Parallel()
	_, dir := inRoot(t)
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	check(t, os.WriteFile(file, []byte("12345"), 0o600))
	check(t, os.Symlink("file", link))
	for _, path := range []string{file, link} {
		if data, err := safefile.ReadNamed(path, 5); err != nil || string(data) != "12345" {
			t.Errorf("%s: %q, %v", path, data, err)
		}
		if data, err := safefile.ReadNamed(path, 4); err == nil {
			t.Errorf("%s, at most 4 bytes: %q", path, data)
		}
	}
	if _, err := safefile.ReadNamed(filepath.Join(dir, "nothing"), 5); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if data, err := safefile.ReadNamed(dir, 5); err == nil {
		t.Errorf("a directory: %q", data)
	}
}

func TestCreateAndReplace(t *testing.T) {
	t.Parallel()
	root, dir := inRoot(t)
	check(t, safefile.Create(root, "a", []byte("first"), 0o640))
	if err := safefile.Create(root, "a", []byte("second"), 0o640); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second Create: %v", err)
	}
	check(t, safefile.Replace(root, "a", []byte("third"), 0o600))
	check(t, safefile.Replace(root, "b", []byte("new"), 0o600))
	for name, want := range map[string]string{"a": "third", "b": "new"} {
		got, err := safefile.Read(root, name, 5)
		if err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
	if _, err := safefile.Read(root, "a", 4); err == nil {
		t.Error("more was read than the limit")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
}

func TestTempName(t *testing.T) {
	t.Parallel()
	name := safefile.TempName()
	if !safefile.IsTempName(name) || name == safefile.TempName() {
		t.Errorf("%s", name)
	}
	for _, other := range []string{"", ".upgrademock-", ".upgrademock-notes", name + "x", "x" + name,
		".upgrademock-abcdefghijklmnopqrstuvwxyz"} {
		if safefile.IsTempName(other) {
			t.Errorf("%q is taken for a name of ours", other)
		}
	}
}

// A copy has the same bytes, and the holes of the original.
func TestCopy(t *testing.T) {
	t.Parallel()
	type piece struct {
		at   int64
		data string
	}
	big := string(bytes.Repeat([]byte("0123456789abcdef"), 70_000))
	for name, tc := range map[string]struct {
		pieces []piece
		n      int64
	}{
		"nothing":          {nil, 0},
		"a hole":           {nil, 1 << 33},
		"text":             {[]piece{{0, "text"}}, 4},
		"a part":           {[]piece{{0, big}}, 1_000_001},
		"more than is":     {[]piece{{0, "text"}}, 100},
		"the end of much":  {[]piece{{1 << 33, "end"}}, 1<<33 + 3},
		"islands":          {[]piece{{5, "a"}, {3 << 20, big}, {9 << 30, "b"}}, 9<<30 + 1},
		"cut in a hole":    {[]piece{{5, "a"}, {9 << 30, "b"}}, 4 << 30},
		"cut in an island": {[]piece{{5, "a"}, {3 << 20, big}}, 3<<20 + 77},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			src, err := os.Create(filepath.Join(dir, "src"))
			check(t, err)
			defer src.Close()
			for _, p := range tc.pieces {
				_, err := src.WriteAt([]byte(p.data), p.at)
				check(t, err)
			}
			dst, err := os.Create(filepath.Join(dir, "dst"))
			check(t, err)
			defer dst.Close()
			check(t, safefile.Copy(dst, src, tc.n, nil))
			info, err := dst.Stat()
			check(t, err)
			if info.Size() != tc.n {
				t.Errorf("size %d, want %d", info.Size(), tc.n)
			}
			if used := onDisk(info); used > 8<<20 {
				t.Errorf("%d bytes are on disk: the holes were filled", used)
			}
			for _, p := range tc.pieces {
				want := []byte(p.data)[:max(0, min(int64(len(p.data)), tc.n-p.at))]
				got := make([]byte, len(want))
				if _, err := dst.ReadAt(got, p.at); len(want) > 0 && (err != nil || !bytes.Equal(got, want)) {
					t.Errorf("at %d there are other bytes, %v", p.at, err)
				}
			}
		})
	}
}

func TestCopy_stopped(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	src, err := os.Create(filepath.Join(dir, "src"))
	check(t, err)
	defer src.Close()
	_, err = src.WriteString("text")
	check(t, err)
	dst, err := os.Create(filepath.Join(dir, "dst"))
	check(t, err)
	defer dst.Close()
	stop := make(chan struct{})
	close(stop)
	if err := safefile.Copy(dst, src, 4, stop); !errors.Is(err, safefile.ErrStopped) {
		t.Error(err)
	}
}
