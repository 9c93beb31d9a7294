package platform

import (
	"io"
	"io/fs"
	"os"
	"strings"
	"time"
)

// renamed is an open file or directory under another name.
func renamed(f fs.File, name string) fs.File {
	switch f := f.(type) {
	case *os.File:
		return renamedFile{f, name}
	case fs.ReadDirFile:
		return renamedDir{f, name}
	}
	return renamedOther{f, name}
}

type (
	renamedFile struct {
		*os.File
		name string
	}
	renamedDir struct {
		fs.ReadDirFile
		name string
	}
	renamedOther struct {
		fs.File
		name string
	}
	renamedInfo struct {
		fs.FileInfo
		name string
	}
)

func (f renamedFile) Stat() (fs.FileInfo, error)  { return renamedStat(f.File, f.name) }
func (f renamedDir) Stat() (fs.FileInfo, error)   { return renamedStat(f.ReadDirFile, f.name) }
func (f renamedOther) Stat() (fs.FileInfo, error) { return renamedStat(f.File, f.name) }

func renamedStat(f fs.File, name string) (fs.FileInfo, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return renamedInfo{info, name}, nil
}

func (i renamedInfo) Name() string { return i.name }

// rootInfo describes the directory of the results.
type rootInfo struct{}

func (rootInfo) Name() string       { return "." }
func (rootInfo) Size() int64        { return 0 }
func (rootInfo) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (rootInfo) ModTime() time.Time { return time.Time{} }
func (rootInfo) IsDir() bool        { return true }
func (rootInfo) Sys() any           { return nil }

// listedDir is the open directory of the results.
type listedDir struct{ entries []fs.DirEntry }

func (d *listedDir) Stat() (fs.FileInfo, error) { return rootInfo{}, nil }
func (d *listedDir) Close() error               { return nil }
func (d *listedDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: ".", Err: fs.ErrInvalid}
}

// ReadDir lists the next entries, as [fs.ReadDirFile] describes.
func (d *listedDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n > 0 && len(d.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.entries) {
		n = len(d.entries)
	}
	next := d.entries[:n:n]
	d.entries = d.entries[n:]
	return next, nil
}

// textFS is a file system of one file, whose content is a text.
type textFS struct {
	name, text string
	at         time.Time
}

// Open opens the file.
func (t textFS) Open(name string) (fs.File, error) {
	if name != t.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return textFile{strings.NewReader(t.text), t}, nil
}

type textFile struct {
	*strings.Reader
	of textFS
}

func (f textFile) Close() error               { return nil }
func (f textFile) Stat() (fs.FileInfo, error) { return textInfo{f.of}, nil }

type textInfo struct{ of textFS }

func (i textInfo) Name() string       { return i.of.name }
func (i textInfo) Size() int64        { return int64(len(i.of.text)) }
func (i textInfo) Mode() fs.FileMode  { return 0o644 }
func (i textInfo) ModTime() time.Time { return i.of.at }
func (i textInfo) IsDir() bool        { return false }
func (i textInfo) Sys() any           { return nil }
