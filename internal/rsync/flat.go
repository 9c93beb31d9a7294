package rsync

import (
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"sync"
	"time"
)

// flat is a file system of one directory with the regular files of a download, which are named by numbers.
type flat struct {
	d *download

	mu     sync.RWMutex // held for reading while the files are used
	closed bool
}

func newFlat(d *download) *flat { return &flat{d: d} }

// close waits for reads that are under way, and lets none begin. The library may leave one behind.
func (f *flat) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

func (f *flat) use() (release func(), err error) {
	f.mu.RLock()
	if f.closed {
		f.mu.RUnlock()
		return nil, fs.ErrClosed
	}
	return f.mu.RUnlock, nil
}

// flatName is the name of a file by its index, so that the names are in order.
func flatName(i int) string { return fmt.Sprintf("%010d", i) }

func (f *flat) find(op, name string) (*item, error) {
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(f.d.files) && name == flatName(i) {
		return &f.d.list[f.d.files[i]], nil
	}
	return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

func (f *flat) Open(name string) (fs.File, error) {
	if name == "." {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	it, err := f.find("open", name)
	if err != nil {
		return nil, err
	}
	release, err := f.use()
	if err != nil {
		return nil, err
	}
	defer release()
	file, err := f.d.job.Files.Open(it.path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: it.path, Err: fs.ErrInvalid}
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &flatFile{file, f}, nil
}

func (f *flat) Stat(name string) (fs.FileInfo, error) {
	if name == "." {
		return flatEntry{f, top}, nil
	}
	if _, err := f.find("stat", name); err != nil {
		return nil, err
	}
	i, err := strconv.Atoi(name)
	return flatEntry{f, i}, err
}

func (f *flat) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	entries := make([]fs.DirEntry, len(f.d.files))
	for i := range entries {
		entries[i] = flatEntry{f, i}
	}
	return entries, nil
}

// A flatFile is read as the library expects it: never data together with the end of the file, never nothing without it.
type flatFile struct {
	fs.File
	in *flat
}

func (f *flatFile) Read(p []byte) (int, error) {
	release, err := f.in.use()
	if err != nil {
		return 0, err
	}
	defer release()
	for {
		n, err := f.File.Read(p)
		if n > 0 {
			return n, nil
		}
		if err != nil || len(p) == 0 {
			return 0, err
		}
	}
}

func (f *flatFile) Seek(offset int64, whence int) (int64, error) {
	s, ok := f.File.(io.Seeker)
	if !ok {
		return 0, fs.ErrInvalid
	}
	return s.Seek(offset, whence)
}

// A flatEntry is a file by its index, or the directory at the top.
type flatEntry struct {
	in *flat
	i  int
}

const top = -1

func (e flatEntry) Info() (fs.FileInfo, error) { return e, nil }
func (e flatEntry) Sys() any                   { return nil }
func (e flatEntry) IsDir() bool                { return e.i == top }
func (e flatEntry) Type() fs.FileMode          { return e.Mode().Type() }
func (e flatEntry) ModTime() time.Time         { return time.Time{} }

func (e flatEntry) Name() string {
	if e.i == top {
		return "."
	}
	return flatName(e.i)
}

func (e flatEntry) Size() int64 {
	if e.i == top {
		return 0
	}
	return e.in.d.list[e.in.d.files[e.i]].size
}

func (e flatEntry) Mode() fs.FileMode {
	if e.i == top {
		return fs.ModeDir | 0o500
	}
	return 0o400
}
