package mockserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// The names of files that the control API hands out.
const (
	fileOriginal    = "original"     // of the database API
	fileOriginalSQL = "original.sql" // likewise
	fileUpgraded    = "upgraded"     // likewise
	fileUpgradedSQL = "upgraded.sql" // likewise
	fileNotes       = "notes.html"   // likewise
	fileLog         = "log"          // of the script API
	filesUploaded   = "uploaded/"    // begins the names of what came over rsync
	filesResult     = "result/"      // begins the names of what goes over rsync
)

// Files is control.Requests'. It makes nothing that is not there yet, save the upgraded archive of a request that is
// done.
func (s steered) Files(id int64) ([]control.File, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	if r.API() == platform.APIScript {
		return scriptFiles(r)
	}
	snapshot := r.Snapshot()
	list := []control.File{}
	var original string
	if c, err := r.Original(); err == nil {
		original = c.ETag
		list = append(list,
			control.File{Path: fileOriginal, Name: c.Name, Kind: "original", Size: &c.Size, Checksum: snapshot.DumpChecksum},
			control.File{Path: fileOriginalSQL, Name: withoutExt(c.Name) + ".sql", Kind: "original SQL"})
		c.Close()
	}
	c, err := r.Upgraded()
	if err != nil {
		return list, nothingYet(err)
	}
	defer c.Close()
	upgraded := control.File{Path: fileUpgraded, Name: c.Name, Kind: "upgraded", Size: &c.Size}
	if c.ETag == original {
		upgraded.Checksum = snapshot.DumpChecksum
	}
	sql := control.File{Path: fileUpgradedSQL, Name: withoutExt(c.Name) + ".sql", Kind: "upgraded SQL"}
	list = append(list, upgraded, sql)
	if notes, err := r.Notes(); err == nil && notes != nil {
		list = append(list, control.File{Path: fileNotes, Name: notes.Name, Kind: "notes", Size: &notes.Size})
		notes.Close()
	}
	return list, nil
}

// nothingYet takes away an error that only says that there is nothing to hand out.
func nothingYet(err error) error {
	if errors.Is(err, platform.ErrNoContent) || errors.Is(err, platform.ErrUnreadable) {
		return nil
	}
	return err
}

func withoutExt(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

// scriptFiles are the files of a request of the script API: what came over rsync, the log, and what is there to
// download.
func scriptFiles(r *platform.Request) ([]control.File, error) {
	uploaded, err := filesOf(r)
	if err != nil {
		return nil, err
	}
	list := []control.File{}
	for _, f := range uploaded {
		list = append(list, control.File{
			Path: filesUploaded + f.Name, Name: f.Name, Kind: "original", Size: &f.Size, Checksum: f.Checksum,
		})
	}
	if _, size, err := r.Log(); err == nil && size > 0 {
		list = append(list, control.File{Path: fileLog, Name: "upgrade.log", Kind: "log", Size: &size})
	}
	results, done, err := r.Results()
	if err != nil {
		return list, nothingYet(err)
	}
	defer done()
	err = fs.WalkDir(results, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if len(list) >= 2*MaxUploadFiles {
			return fs.SkipAll
		}
		info, err := entry.Info()
		if err == nil {
			size := info.Size()
			list = append(list, control.File{Path: filesResult + name, Name: name, Kind: resultKind(name), Size: &size})
		}
		return err
	})
	return list, err
}

// resultKind is what a file is among what goes over rsync (row S5.10).
func resultKind(name string) string {
	switch name {
	case "upgrade-report.html":
		return "report"
	case "upgrade.log":
		return "log"
	}
	return "upgraded"
}

// OpenFile is control.Requests'.
func (s steered) OpenFile(ctx context.Context, id int64, name string) (io.ReadCloser, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	if of, ok := strings.CutPrefix(name, filesUploaded); ok {
		return openIn(r.Uploaded, of)
	}
	if of, ok := strings.CutPrefix(name, filesResult); ok {
		return openIn(r.Results, of)
	}
	switch {
	case r.API() == platform.APIScript && name == fileLog:
		log, size, err := r.Log()
		return io.NopCloser(io.NewSectionReader(log, 0, size)), err
	case name == fileOriginal:
		return whole(r.Original)
	case name == fileUpgraded:
		return whole(r.Upgraded)
	case name == fileNotes:
		return whole(r.Notes)
	case name == fileOriginalSQL:
		return sqlOf(ctx, r.Original)
	case name == fileUpgradedSQL:
		return sqlOf(ctx, r.UpgradedSQL)
	}
	return nil, fmt.Errorf("%w: request %d has no file %q; GET %s/requests/%d/files lists them", platform.ErrNoContent, id,
		name, control.Base, id)
}

// reading reads one thing, and closes more.
type reading struct {
	io.Reader
	close func() error
}

func (r reading) Close() error { return r.close() }

func whole(open func() (*platform.Content, error)) (io.ReadCloser, error) {
	c, err := open()
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, platform.ErrNoContent
	}
	return reading{io.NewSectionReader(c, 0, c.Size), c.Close}, nil
}

func sqlOf(ctx context.Context, open func() (*platform.Content, error)) (io.ReadCloser, error) {
	c, err := open()
	if err != nil {
		return nil, err
	}
	sql, err := c.SQL(ctx)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return reading{sql, func() error { return errors.Join(sql.Close(), c.Close()) }}, nil
}

func openIn(open func() (fs.FS, func() error, error), name string) (io.ReadCloser, error) {
	files, done, err := open()
	if err != nil {
		return nil, err
	}
	f, err := files.Open(name)
	if err == nil {
		if info, statErr := f.Stat(); statErr != nil || !info.Mode().IsRegular() {
			err = errors.Join(fs.ErrNotExist, f.Close())
		}
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		err = fmt.Errorf("%w: %q is no file of the request", platform.ErrNoContent, name)
	}
	if err != nil {
		return nil, errors.Join(err, done())
	}
	return reading{f, func() error { return errors.Join(f.Close(), done()) }}, nil
}
