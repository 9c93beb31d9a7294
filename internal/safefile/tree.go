package safefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
)

// OpenDir opens the directory with that name in root, which may have several parts. No link is followed on the way: the
// error for one, as for all that is no directory, says what is there.
func OpenDir(root *os.Root, name string) (*os.Root, error) {
	info, err := lstat(root, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, notDirectory(name, info)
	}
	dir, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	opened, err := dir.Stat(".")
	if err == nil && !os.SameFile(info, opened) {
		err = fmt.Errorf("%s was replaced while it was opened", name)
	}
	if err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

func notDirectory(name string, info fs.FileInfo) error {
	return &fs.PathError{Op: "open", Path: name, Err: fmt.Errorf("it is %s, not a directory", Kind(info.Mode()))}
}

// lstat describes what has the name in root. What leads there must be directories, not links to some.
func lstat(root *os.Root, name string) (fs.FileInfo, error) {
	for i, c := range name {
		if c != '/' {
			continue
		}
		info, err := root.Lstat(name[:i])
		if err == nil && !info.IsDir() {
			err = notDirectory(name[:i], info)
		}
		if err != nil {
			return nil, err
		}
	}
	return root.Lstat(name)
}

// Tree is a file system of the regular files and directories in a directory. Nothing else is in it: links, pipes and
// the like are neither listed nor opened, nor is what is behind a link. It is safe for concurrent use.
type Tree struct {
	root *os.Root

	mu   sync.Mutex
	name string   // of the directory that was used last
	last *os.Root // it; nil: none
}

// FS returns the file system of root. Close releases it, and root stays open; the file system works as long as that is.
func FS(root *os.Root) *Tree { return &Tree{root: root} }

// Close releases what the file system has open.
func (t *Tree) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		return nil
	}
	err := t.last.Close()
	t.name, t.last = "", nil
	return err
}

// in calls use with the directory that a name is in, and its name there. The directory that was used last is still
// open: a tree may have a hundred thousand files in one.
func (t *Tree) in(op, name string, use func(dir *os.Root, base string) error) error {
	if !fs.ValidPath(name) {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	dir, base := path.Split(name)
	if dir == "" {
		return use(t.root, base)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if dir = path.Clean(dir); t.last == nil || t.name != dir {
		next, err := OpenDir(t.root, dir)
		if err != nil {
			return err
		}
		if t.last != nil {
			t.last.Close()
		}
		t.name, t.last = dir, next
	}
	return use(t.last, base)
}

// Open opens a file or a directory.
func (t *Tree) Open(name string) (f fs.File, err error) {
	err = t.in("open", name, func(in *os.Root, base string) error {
		info, err := in.Lstat(base)
		switch {
		case err != nil:
			return err
		case info.IsDir():
			dir, err := in.Open(base)
			if err != nil {
				return err
			}
			f = openDir{dir}
			return nil
		case !info.Mode().IsRegular():
			return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		file, err := open(in, base, os.O_RDONLY, info)
		if err != nil {
			return err
		}
		f = file
		return nil
	})
	return f, err
}

// Stat describes a file or a directory.
func (t *Tree) Stat(name string) (info fs.FileInfo, err error) {
	err = t.in("stat", name, func(in *os.Root, base string) (err error) {
		info, err = in.Lstat(base)
		if err == nil && !shown(info.Mode()) {
			err = &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
		}
		return err
	})
	return info, err
}

// ReadDir lists a directory, sorted by name.
func (t *Tree) ReadDir(name string) ([]fs.DirEntry, error) {
	dir, err := t.Open(name)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	list, ok := dir.(fs.ReadDirFile)
	if _, opened := dir.(openDir); !ok || !opened {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	entries, err := list.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

func shown(mode fs.FileMode) bool { return mode.IsRegular() || mode.IsDir() }

// openDir is an open directory, which lists what is shown.
type openDir struct{ *os.File }

// ReadDir lists the next entries, as [fs.ReadDirFile] describes.
func (d openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	for {
		entries, err := d.File.ReadDir(n)
		entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !shown(e.Type()) })
		if n <= 0 || err != nil || len(entries) > 0 {
			return entries, err
		}
	}
}

// File is a regular file that EachFile has found.
type File struct {
	Name string      // in the directory that was searched
	In   *os.Root    // the directory that holds it; not to be closed
	Base string      // its name there
	Info fs.FileInfo // as it was when it was found
}

// Open opens the file for reading. Where something else is in its place by now, the error is ErrNotRegular.
func (f *File) Open() (*os.File, error) { return open(f.In, f.Base, os.O_RDONLY, f.Info) }

// EachFile calls each for every regular file in the directory dir of root, or for dir itself if it is one. A
// directory's own files come before those of the directories in it, both sorted. Links are not followed, and what is
// neither file nor directory is passed over. A directory may have a million files: no more than their names is held.
func EachFile(root *os.Root, dir string, each func(*File) error) error {
	info, err := lstat(root, dir)
	if err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		in, err := OpenDir(root, path.Dir(dir))
		if err != nil {
			return err
		}
		defer in.Close()
		return each(&File{dir, in, path.Base(dir), info})
	}
	for dirs := []string{dir}; len(dirs) > 0; {
		dir := dirs[len(dirs)-1]
		below, err := eachIn(root, dir, each)
		if err != nil {
			return err
		}
		slices.Reverse(below)
		dirs = append(dirs[:len(dirs)-1], below...)
	}
	return nil
}

// eachIn calls each for every regular file in a directory, and returns the directories in it.
func eachIn(root *os.Root, dir string, each func(*File) error) (below []string, err error) {
	in, err := OpenDir(root, dir)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	list, err := in.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := list.Readdirnames(-1)
	if err := errors.Join(err, list.Close()); err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, base := range names {
		info, err := in.Lstat(base)
		switch {
		case errors.Is(err, fs.ErrNotExist): // it went meanwhile
		case err != nil:
			return nil, err
		case info.IsDir():
			below = append(below, path.Join(dir, base))
		case info.Mode().IsRegular():
			if err := each(&File{path.Join(dir, base), in, base, info}); err != nil {
				return nil, err
			}
		}
	}
	return below, nil
}
