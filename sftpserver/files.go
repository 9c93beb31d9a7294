package sftpserver

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/pkg/sftp"
)

// files is the file system of one session as pkg/sftp asks for it: a root directory with one file.
type files struct{ *session }

// maxHandles bounds how many files and directories a session may have open.
const maxHandles = 256

// cleanPath turns what a client sent into an absolute path without "." and "..", which cannot lead out of "/".
func cleanPath(p string) string { return path.Clean("/" + p) }

// place is where a path leads.
type place int

const (
	nowhere place = iota
	root
	theFile
)

// find returns where the path leads, and what the file is now.
func (s *session) find(p string) (place, Info, error) {
	info, err := s.share.Stat()
	if err != nil {
		return nowhere, Info{}, err
	}
	switch cleanPath(p) {
	case "/":
		return root, info, nil
	case "/" + info.Name:
		return theFile, info, nil
	}
	return nowhere, info, nil
}

func (f files) Fileread(r *sftp.Request) (io.ReaderAt, error)           { return f.open(r) }
func (f files) Filewrite(r *sftp.Request) (io.WriterAt, error)          { return f.open(r) }
func (f files) OpenFile(r *sftp.Request) (sftp.WriterAtReaderAt, error) { return f.open(r) }

func (f files) open(r *sftp.Request) (*handle, error) {
	s := f.session
	p := r.Pflags()
	flags := Flags{Read: p.Read, Write: p.Write, Append: p.Append, Create: p.Creat, Truncate: p.Trunc, Exclusive: p.Excl}
	h, err := s.openFile(r.Filepath, flags)
	if err != nil {
		return nil, s.refuse("open "+flags.String(), r.Filepath, err)
	}
	return h, nil
}

func (s *session) openFile(p string, flags Flags) (*handle, error) {
	where, info, err := s.find(p)
	writes := flags.Write || flags.Truncate
	switch {
	case err != nil:
		return nil, err
	case where == theFile && flags.Create && flags.Exclusive:
		return nil, statusExists
	case where != theFile && (writes || flags.Create):
		return nil, onlyTheFile(p, info.Name)
	case where == root:
		return nil, statusDirectory
	case where == nowhere:
		return nil, statusNoFile
	case writes && info.ReadOnly:
		return nil, statusDenied
	}
	if !s.roomForHandle() {
		return nil, statusTooMany
	}
	if fault := s.ask(OpOpen, flags); fault != nil {
		s.trigger(fault, OpOpen, 0, nil)
		if err := s.answerTo(fault); err != nil {
			return nil, err
		}
	}
	h := &handle{session: s, number: s.opens.Add(1), flags: flags, name: info.Name}
	if h.writable() {
		h.onWrite = arm(s.ask(OpWrite, flags), OpWrite)
	}
	if flags.Read {
		h.onRead = arm(s.ask(OpRead, flags), OpRead)
	}
	flag := os.O_RDONLY
	switch {
	case writes && flags.Read:
		flag = os.O_RDWR
	case writes:
		flag = os.O_WRONLY
	}
	if flags.Truncate {
		flag |= os.O_TRUNC
	}
	if h.file, err = s.share.Open(flag); err != nil {
		return nil, err
	}
	if info, err = s.share.Stat(); err != nil {
		return nil, errors.Join(err, h.file.Abort(err))
	}
	h.base = info.Size
	h.stored.add(0, info.Size)
	s.opened(h)
	s.emit(Event{Kind: EventOpen, Handle: h.number, Path: "/" + h.name, Flags: flags, Size: h.base})
	h.slowFromTheStart()
	return h, nil
}

// Filelist serves OPENDIR (with READDIR), STAT and READLINK.
func (f files) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	s := f.session
	if r.Method == "Readlink" {
		return nil, s.refuse("readlink", r.Filepath, statusDenied)
	}
	where, info, err := s.find(r.Filepath)
	if err != nil {
		return nil, s.refuse(strings.ToLower(r.Method), r.Filepath, err)
	}
	list := r.Method == "List"
	switch {
	case list && where == root:
		if !s.roomForHandle() {
			return nil, s.refuse("opendir", r.Filepath, statusTooMany)
		}
		s.listing(+1)
		return &listing{list: entries{fileEntry(info)}, done: func() { s.listing(-1) }}, nil
	case list:
		return nil, s.refuse("opendir", r.Filepath, statusNoFile)
	case where == root:
		return entries{rootEntry(info)}, nil
	case where == theFile:
		return entries{fileEntry(info)}, nil
	}
	return nil, s.refuse(strings.ToLower(r.Method), r.Filepath, statusNoFile)
}

// Lstat is Stat: there are no links.
func (f files) Lstat(r *sftp.Request) (sftp.ListerAt, error) { return f.Filelist(r) }

// RealPath works also for paths that lead nowhere: clients ask for that of a file they are about to make, and before
// anything else. So it only fails if the access has ended.
func (f files) RealPath(p string) (string, error) {
	if _, err := f.share.Stat(); errors.Is(err, ErrRevoked) {
		return "", f.refuse("realpath", p, err)
	}
	return cleanPath(p), nil
}

// Filecmd serves SETSTAT, and refuses everything that would change more than the file.
func (f files) Filecmd(r *sftp.Request) error {
	s := f.session
	if r.Method != "Setstat" {
		p := r.Filepath
		if r.Target != "" {
			p = cleanPath(r.Filepath) + " -> " + cleanPath(r.Target)
		}
		info, err := s.share.Stat()
		if err == nil {
			err = onlyTheFile(r.Filepath, info.Name)
			if cleanPath(r.Filepath) == "/"+info.Name {
				err = refusal{statusDenied, "the file can neither be renamed, removed nor linked"}
			}
		}
		return s.refuse(strings.ToLower(r.Method), p, err)
	}
	h := s.filter.present() // of an FSETSTAT
	if h == nil {
		switch where, _, err := s.find(r.Filepath); {
		case err != nil:
			return s.refuse("setstat", r.Filepath, err)
		case where == root:
			return s.refuse("setstat", r.Filepath, statusDenied)
		case where == nowhere:
			return s.refuse("setstat", r.Filepath, statusNoFile)
		}
	}
	if !r.AttrFlags().Size {
		return nil // times, permissions, owner: accepted, without effect
	}
	attrs := r.Attributes()
	switch {
	case attrs == nil:
		return s.refuse("setstat", r.Filepath, statusFailure)
	case int64(attrs.Size) < 0:
		return s.refuse("truncate", r.Filepath, statusTooBig)
	case h != nil:
		return h.truncate(int64(attrs.Size))
	}
	return s.truncate(int64(attrs.Size))
}

// truncate is a SETSTAT with a size.
func (s *session) truncate(size int64) error {
	info, err := s.share.Stat()
	if err == nil && info.ReadOnly {
		err = statusDenied
	}
	if err == nil {
		err = s.share.Truncate(size)
	}
	if err != nil {
		return s.refuse("truncate", "/"+info.Name, err)
	}
	s.emit(Event{Kind: EventTruncate, Path: "/" + info.Name, Size: size})
	return nil
}

// entry is what a client sees of the file, or of "/".
type entry struct {
	name  string
	size  int64
	mode  fs.FileMode
	mtime time.Time
}

func fileEntry(info Info) entry {
	mode := fs.FileMode(0o666)
	if info.ReadOnly {
		mode = 0o444
	}
	return entry{name: info.Name, size: info.Size, mode: mode, mtime: info.ModTime}
}

func rootEntry(info Info) entry {
	return entry{name: "/", mode: fs.ModeDir | 0o755, mtime: info.ModTime}
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return e.size }
func (e entry) Mode() fs.FileMode  { return e.mode }
func (e entry) ModTime() time.Time { return e.mtime }
func (e entry) IsDir() bool        { return e.mode.IsDir() }
func (e entry) Sys() any           { return nil }
func (e entry) Uid() uint32        { return 0 }
func (e entry) Gid() uint32        { return 0 }

// entries is a directory listing, or the answer to a STAT.
type entries []entry

func (l entries) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	n := 0
	for ; n < len(to) && offset+int64(n) < int64(len(l)); n++ {
		to[n] = l[offset+int64(n)]
	}
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

// listing is an open directory.
type listing struct {
	list entries
	done func()
}

func (l *listing) ListAt(to []fs.FileInfo, offset int64) (int, error) {
	return l.list.ListAt(to, offset)
}

func (l *listing) Close() error {
	l.done()
	return nil
}
