package safefile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

// foreignTree has files and directories, and what is neither.
func foreignTree(t *testing.T) *os.Root {
	t.Helper()
	root, dir := inRoot(t)
	check(t, os.MkdirAll(filepath.Join(dir, "dump", "deep"), 0o700))
	for _, name := range []string{"toc", "dump/a.dat", "dump/b.dat", "dump/deep/c.dat"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	check(t, os.Symlink("toc", filepath.Join(dir, "link")))
	check(t, os.Symlink("dump", filepath.Join(dir, "linked")))
	check(t, os.Symlink("/", filepath.Join(dir, "dump", "out")))
	special(t, filepath.Join(dir, "dump"))
	return root
}

// FS shows files and directories, and nothing else.
func TestFS(t *testing.T) {
	t.Parallel()
	files := safefile.FS(foreignTree(t))
	t.Cleanup(func() { check(t, files.Close()) })
	if err := fstest.TestFS(files, "toc", "dump/a.dat", "dump/b.dat", "dump/deep/c.dat"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"link", "linked", "linked/a.dat", "dump/out", "dump/pipe", "../x", "toc/x"} {
		if f, err := files.Open(name); err == nil {
			f.Close()
			t.Errorf("%s was opened", name)
		}
		if _, err := fs.Stat(files, name); err == nil {
			t.Errorf("%s was described", name)
		}
	}
	if _, err := fs.ReadDir(files, "toc"); err == nil {
		t.Error("a file was listed as a directory")
	}
}

// EachFile finds the files, in their order, and nothing through links.
func TestEachFile(t *testing.T) {
	t.Parallel()
	root := foreignTree(t)
	for dir, want := range map[string][]string{
		".":         {"toc", "dump/a.dat", "dump/b.dat", "dump/deep/c.dat"},
		"dump":      {"dump/a.dat", "dump/b.dat", "dump/deep/c.dat"},
		"toc":       {"toc"},
		"dump/deep": {"dump/deep/c.dat"},
	} {
		var got []string
		err := safefile.EachFile(root, dir, func(f *safefile.File) error {
			text, err := f.In.ReadFile(f.Base)
			if string(text) != f.Name {
				t.Errorf("%s is %q", f.Name, text)
			}
			opened, unopened := f.Open()
			if unopened == nil {
				unopened = opened.Close()
			}
			got = append(got, f.Name)
			return errors.Join(err, unopened)
		})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", dir, err, diff)
		}
	}
	for _, dir := range []string{"link/x", "linked", "linked/deep", "none"} {
		err := safefile.EachFile(root, dir, func(f *safefile.File) error {
			t.Errorf("%s: found %s", dir, f.Name)
			return nil
		})
		if err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
}

// OpenDir follows no link, on the way neither.
func TestOpenDir(t *testing.T) {
	t.Parallel()
	root := foreignTree(t)
	dir, err := safefile.OpenDir(root, "dump/deep")
	check(t, err)
	check(t, dir.Close())
	for name, says := range map[string]string{
		"linked": "a link, not a directory", "linked/deep": "a link, not a directory", "toc": "a file, not a directory",
		"none": "no such file",
	} {
		if dir, err := safefile.OpenDir(root, name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v; want an error that says %q", name, dir, err, says)
		}
	}
}
