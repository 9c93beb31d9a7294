package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump/pgarchive"
)

// An opened dump: what it is packed in, and what is at the bottom: plain text or an archive, or neither.
type opened struct {
	finding *finding
	text    io.Reader
	archive *pgarchive.Archive // beside an error, with what of its head could be read

	closers []func() error
}

func (o *opened) close() error {
	o.text, o.archive = nil, nil
	var errs []error
	for len(o.closers) > 0 {
		last := len(o.closers) - 1
		errs = append(errs, o.closers[last]())
		o.closers = o.closers[:last]
	}
	return errors.Join(errs...)
}

// open finds the dump in m and opens it, with memory of the pool, which it waits for. The error says why the bottom
// was not reached; what was seen by then is in the result, which is never nil and has to be closed.
func open(ctx context.Context, m *medium, size int64, p *pool, l limits) (o *opened, err error) {
	o = &opened{finding: &finding{}}
	err = p.try(ctx, func(g *grant) error {
		o = &opened{closers: []func() error{func() error { g.release(); return nil }}}
		err := o.open(&search{limits: l, grant: g, medium: m}, source{at: io.NewSectionReader(m, 0, size)})
		if _, more := errors.AsType[*needError](err); more {
			o.close()
			return err
		}
		g.opening = false
		return err
	})
	return o, err
}

func (o *opened) open(s *search, from source) (err error) {
	o.finding, err = s.look(nil, from, 0)
	o.closers = append(o.closers, o.finding.close)
	switch {
	case o.finding.kind == nothing:
		return err
	case err != nil && !errors.Is(err, errBound):
		return err
	case o.finding.kind == text:
		return o.openText(s)
	}
	return o.openArchive(s)
}

func (o *opened) openText(s *search) error {
	r, err := o.finding.source.open(s.grant)
	if err != nil {
		return err
	}
	o.closers = append(o.closers, r.Close)
	o.text = r
	return nil
}

func (o *opened) openArchive(s *search) error {
	at := o.finding.source
	if o.finding.kind == files {
		folder, err := o.openFolder(s, at)
		if err != nil {
			return err
		}
		o.archive, err = pgarchive.OpenFS(folder, s.grant.take)
		o.closers = append(o.closers, o.archive.Close)
		if err == nil && !s.limits.sniffing {
			err = o.archive.Check()
		}
		return err
	}
	r, err := at.open(s.grant)
	if err != nil {
		return err
	}
	o.closers = append(o.closers, r.Close)
	var whole io.Reader = r
	if at.at != nil {
		whole = at.section()
	}
	o.archive, err = pgarchive.Open(whole, s.grant.take)
	o.closers = append(o.closers, o.archive.Close)
	return err
}

// openFolder makes a file system of the folder in a zip or tar that holds an archive in several files. They are
// read in the order of the table of contents, whatever theirs is, so a tar that is only a stream is copied.
func (o *opened) openFolder(s *search, at source) (*folder, error) {
	if at.at == nil {
		r, err := at.open(s.grant)
		if err != nil {
			return nil, err
		}
		copied, err := newSpool(r, s.limits.spooled)
		r.Close()
		if copied != nil {
			o.finding.spools = append(o.finding.spools, copied)
		}
		switch {
		case copied != nil && errors.Is(err, errSpool) && s.limits.sniffing: // Sniff looks at the beginning
		case err != nil:
			return nil, fmt.Errorf("tar: %w", err)
		}
		at = copied.source()
	}
	head, _, err := peek(at.section())
	if err != nil {
		return nil, err
	}
	members := tarMembers(at.section(), at)
	if recognize(head) == "zip" {
		members = zipMembers(at.at, s.limits.unpacked)
	}
	f := &folder{files: map[string]*member{}, grant: s.grant}
	for m, err := range members {
		if err != nil {
			if s.limits.sniffing { // the beginning is enough
				break
			}
			return nil, err
		}
		name := cleanName(m.name)
		if path.Dir(name) != o.finding.folder || !archiveFile.MatchString(path.Base(name)) {
			continue
		}
		if err := s.grant.take(int64(folderEntry + len(name))); err != nil {
			return nil, err
		}
		m.live = nil
		f.files[path.Base(name)] = m
		if packed := path.Ext(name); packed != ".dat" && packed != ".toc" { // which pg_dump does not do in the tar format
			o.finding.asTar = false
		}
	}
	if o.finding.asTar {
		last := len(o.finding.packings) - 1
		o.finding.packings = append(o.finding.packings[:last-1], pgTar)
	}
	return f, nil
}

// archiveFile is a file of the tar and directory formats.
var archiveFile = regexp.MustCompile(`^(?:toc\.dat|\d+\.dat|blob_\d+\.dat|blobs(?:_\d+)?\.toc)(?:\.gz|\.lz4|\.zst)?$`)

// folderEntry is about what a file takes in the memory of a folder.
const folderEntry = 512

// A folder of a zip or tar is a file system of the files that belong to an archive.
type folder struct {
	files map[string]*member
	grant *grant
}

// Open opens a file.
func (f *folder) Open(name string) (fs.File, error) {
	m := f.files[name]
	if m == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	at, err := m.locate()
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	r, err := at.open(f.grant)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &folderFile{r, fileInfo(name)}, nil
}

// Stat reports whether there is a file.
func (f *folder) Stat(name string) (fs.FileInfo, error) {
	if f.files[name] == nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: fs.ErrNotExist}
	}
	return fileInfo(name), nil
}

type folderFile struct {
	io.ReadCloser
	info fileInfo
}

func (f *folderFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// A fileInfo is the name of a regular file, of which nothing else is known.
type fileInfo string

func (i fileInfo) Name() string     { return string(i) }
func (fileInfo) Size() int64        { return 0 }
func (fileInfo) Mode() fs.FileMode  { return 0o400 }
func (fileInfo) ModTime() time.Time { return time.Time{} }
func (fileInfo) IsDir() bool        { return false }
func (fileInfo) Sys() any           { return nil }
