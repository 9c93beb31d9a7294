package platform

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/safefile"
)

// The names of the files for download, beside the upgraded database's (row S10.2).
const (
	filestoreName = "filestore"
	reportName    = "upgrade-report.html"
	logName       = "upgrade.log"
)

// Results are the files for download, and what releases them: the upgraded database under its DumpName, "filestore",
// "upgrade-report.html" and "upgrade.log", each of which may be absent (row S10.2). Files are read where they are, and
// opened when they are asked for. An error wraps [ErrNoContent] if there is nothing (yet), [ErrUnreadable] if the
// database would have to be made of a dump that cannot be read, or [ErrBusy].
func (r *Request) Results() (fs.FS, func() error, error) {
	r.checkTree()
	r.p.mu.Lock()
	fails := r.mayTransferLocked(Downloading)
	s, tree, name := r.snapshotLocked(), r.rec.Tree, r.dumpNameLocked()
	var at time.Time
	if n := len(r.rec.Reached); n > 0 {
		at = r.rec.Reached[n-1].At
	}
	r.p.mu.Unlock()
	if fails != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrNoContent, fails)
	}
	res := &results{}
	err := r.addDump(res, name, tree, s)
	if err == nil {
		err = r.addFilestore(res, tree)
	}
	if err == nil {
		err = r.addTexts(res, s, at)
	}
	if err != nil {
		return nil, nil, errors.Join(err, res.close())
	}
	return res, res.close, nil
}

// addDump adds the upgraded database: what the script names, or the directory that was uploaded, or a zip.
func (r *Request) addDump(res *results, dumpName string, t *tree, s Snapshot) error {
	switch u := r.rec.Script.Upgraded; {
	case u.Missing.Archive || dumpName == "":
		return nil
	case u.Archive != "":
		return res.addScripted(dumpName, u.Archive)
	case t.complete() && t.directory():
		return r.addUploaded(res, dumpName, t.Name)
	case !t.complete() && !u.Built:
		return nil // it was put into its state from outside
	}
	whole, err := r.zipIsWhole(t)
	if err != nil {
		return err
	}
	if whole {
		return r.addUploaded(res, dumpName, t.File)
	}
	made, err := r.buildScript(t, s)
	if err != nil {
		return err
	}
	dumps, err := r.p.dumps.root.OpenRoot(".")
	if err != nil {
		return err
	}
	return res.addIn(dumpName, dumps, name(made.Seq))
}

// addUploaded adds what was uploaded, under another name.
func (r *Request) addUploaded(res *results, name, uploaded string) error {
	data, err := r.p.trees.data(r.rec.ID)
	if err != nil {
		return err
	}
	return res.addIn(name, data, uploaded)
}

// addFilestore adds the filestore that is beside a dump: one that the script names, or a small one. A zip has its own
// inside (row S10.5).
func (r *Request) addFilestore(res *results, t *tree) error {
	u := &r.rec.Script.Upgraded
	inside := u.Archive == "" && !(t.complete() && t.directory())
	switch {
	case u.Missing.Filestore || inside:
		return nil
	case u.Filestore != "":
		return res.addScripted(filestoreName, u.Filestore)
	case !u.Built && !r.setsFilestore():
		return nil
	}
	var built bytes.Buffer
	if err := dump.BuildOdooZip(&built, dump.OdooZip{}); err != nil {
		return err
	}
	z, err := zip.NewReader(bytes.NewReader(built.Bytes()), int64(built.Len()))
	if err != nil {
		return err
	}
	return res.add(filestoreName, z, filestoreName)
}

// setsFilestore reports whether the script says that there is a filestore.
func (r *Request) setsFilestore() bool {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	has, _ := r.setLocked()["filestore"].(bool)
	return has
}

// addTexts adds the report and the log.
func (r *Request) addTexts(res *results, s Snapshot, at time.Time) error {
	u := &r.rec.Script.Upgraded
	switch {
	case u.Missing.Report:
	case u.Report != "":
		if err := res.addScripted(reportName, u.Report); err != nil {
			return err
		}
	default:
		res.addText(reportName, report(s, at), at)
	}
	switch {
	case u.Missing.Log:
	case u.Log != "":
		return res.addScripted(logName, u.Log)
	default:
		text, err := r.log()
		if err != nil {
			return err
		}
		res.addText(logName, text, at)
	}
	return nil
}

// zipIsWhole reports whether what was uploaded is a zip already that can be handed out as the upgraded one.
func (r *Request) zipIsWhole(t *tree) (bool, error) {
	if u := r.rec.Script.Upgraded; u.Built || u.Filestore != "" || u.Missing.Filestore {
		return false, nil
	}
	f, err := r.p.trees.open(r.rec.ID, t.File, t.Size)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return dump.IsOdooZip(f, t.Size), nil
}

// buildScript makes the upgraded zip, once, of a file that was uploaded (row S10.4).
func (r *Request) buildScript(t *tree, s Snapshot) (*file, error) {
	var of int64
	if t != nil {
		of = t.List
	}
	return r.build(of, func(w *archiveWriter) error {
		u := &r.rec.Script.Upgraded
		w.spec.Fast, w.spec.NoFilestore = true, u.Missing.Filestore
		if u.Filestore != "" {
			dir, err := os.OpenRoot(u.Filestore)
			if err != nil {
				return fmt.Errorf("the scenario's filestore: %w", err)
			}
			defer dir.Close()
			files := safefile.FS(dir)
			defer files.Close()
			w.spec.Filestore = files
		}
		if u.Built {
			return w.write(u, nil)
		}
		f, err := r.p.trees.open(r.rec.ID, t.File, t.Size)
		if err != nil {
			return err
		}
		defer f.Close()
		return w.write(u, &Content{ReaderAt: f, Size: t.Size})
	}, s)
}

// results are the files for download as a file system: each is a file or directory of another one, under its own name.
type results struct {
	entries []result // sorted by name
	closers []func() error
}

type result struct {
	name string
	fs   fs.FS
	at   string // its name in fs
}

func (res *results) close() error {
	var errs []error
	for _, c := range res.closers {
		errs = append(errs, c())
	}
	res.closers = nil
	return errors.Join(errs...)
}

// add adds what is at a name in a file system.
func (res *results) add(name string, in fs.FS, at string) error {
	if _, err := fs.Stat(in, at); err != nil {
		return fmt.Errorf("platform: %s: %w", name, err)
	}
	res.entries = append(res.entries, result{name, in, at})
	slices.SortFunc(res.entries, func(a, b result) int { return strings.Compare(a.name, b.name) })
	return nil
}

// addIn adds what is at a name in a directory, which is closed with the results.
func (res *results) addIn(name string, dir *os.Root, at string) error {
	files := safefile.FS(dir)
	res.closers = append(res.closers, func() error { return errors.Join(files.Close(), dir.Close()) })
	return res.add(name, files, at)
}

// addScripted adds a file or directory that a script names.
func (res *results) addScripted(name, named string) error {
	real, err := filepath.EvalSymlinks(named)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return fmt.Errorf("platform: the scenario's file: %w", err)
	}
	dir, err := os.OpenRoot(filepath.Dir(real))
	if err != nil {
		return fmt.Errorf("platform: the scenario's file: %w", err)
	}
	return res.addIn(name, dir, filepath.Base(real))
}

func (res *results) addText(name, text string, at time.Time) {
	_ = res.add(name, textFS{name, text, at}, name) // it is there
}

// find returns the entry that a name is in, and the name in its file system. There is none for ".".
func (res *results) find(op, name string) (e *result, at string, err error) {
	if !fs.ValidPath(name) {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return nil, "", nil
	}
	top, rest, _ := strings.Cut(name, "/")
	for i := range res.entries {
		if e := &res.entries[i]; e.name == top {
			return e, path.Join(e.at, rest), nil
		}
	}
	return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// Open opens a file or a directory.
func (res *results) Open(name string) (fs.File, error) {
	e, at, err := res.find("open", name)
	if err != nil {
		return nil, err
	}
	if e == nil {
		entries, err := res.ReadDir(name)
		return &listedDir{entries: entries}, err
	}
	f, err := e.fs.Open(at)
	if err != nil || at != e.at {
		return f, err
	}
	return renamed(f, e.name), nil
}

// Stat describes a file or a directory.
func (res *results) Stat(name string) (fs.FileInfo, error) {
	e, at, err := res.find("stat", name)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return rootInfo{}, nil
	}
	info, err := fs.Stat(e.fs, at)
	if err != nil || at != e.at {
		return info, err
	}
	return renamedInfo{info, e.name}, nil
}

// ReadDir lists a directory.
func (res *results) ReadDir(name string) ([]fs.DirEntry, error) {
	e, at, err := res.find("readdir", name)
	if err != nil {
		return nil, err
	}
	if e != nil {
		return fs.ReadDir(e.fs, at)
	}
	var entries []fs.DirEntry
	for _, e := range res.entries {
		info, err := fs.Stat(e.fs, e.at)
		if err != nil {
			return nil, err
		}
		entries = append(entries, fs.FileInfoToDirEntry(renamedInfo{info, e.name}))
	}
	return entries, nil
}
