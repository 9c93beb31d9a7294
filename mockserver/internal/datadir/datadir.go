// Package datadir is the directory in which an emulator keeps its data.
//
// A data directory carries a mark: a file with the number of its format, made together with the directory. A
// directory that holds anything and has no mark is not used, so that no file of somebody else's is ever taken for one
// of ours. In a directory with a mark, only files under names of ours are touched, no link among them is followed,
// and what is not as we leave it is left as it is.
//
// A directory of the time before there were marks is recognised by its database, which has our buckets, when nothing
// is in it that an emulator did not put there. It gets a mark.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/internal/boltfile"
)

// The names in a data directory that several packages know.
const (
	MarkFile   = "UPGRADEMOCK-DATA"
	Database   = "requests.db"
	Dumps      = "dumps"
	Trees      = "trees"
	LostFound  = "lost+found" // of a file system of its own, too
	HostKey    = "ssh_host_ecdsa_key"
	KnownHosts = "known_hosts"
)

// format is the number of the present format; making is what a mark says that is not finished.
const (
	format = 1
	markOf = "upgrademock data directory, format %d\n"
	making = "upgrademock data directory, being made\n"
)

// ErrForeign is returned for a directory that is not ours.
var ErrForeign = errors.New("not a data directory of upgrademock's")

// foreign is an ErrForeign that says what is there and what to do.
type foreign string

func (f foreign) Error() string        { return string(f) }
func (f foreign) Is(target error) bool { return target == ErrForeign }

// Dir is a directory of ours. Close it.
type Dir struct {
	path   string // absolute
	root   *os.Root
	making bool // it is new, or its making was broken off: what is missing in it may be made
	notes  []string
}

// Open opens the data directory at path, and makes it if there is none. An empty directory becomes one. Whoever has
// brought everything into it calls Made. The error is ErrForeign for a directory that is not ours.
func Open(path string) (_ *Dir, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	d, err := open(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	mark, err := safefile.Read(d.root, MarkFile, 1000)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = d.takeOver()
	case errors.Is(err, fs.ErrPermission):
	case err != nil:
		err = foreign(fmt.Sprintf("%s: %v, and so is no mark of a data directory; choose another directory", path, err))
	default:
		err = d.read(string(mark))
	}
	return d, err
}

// Temp opens a directory that was just made for us alone, and has no mark.
func Temp(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	d, err := open(path)
	if err == nil {
		d.making = true
	}
	return d, err
}

func open(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Dir{path: path, root: root}, nil
}

// Close ends the use of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Path is the directory's absolute name.
func (d *Dir) Path() string { return d.path }

// Root is the directory.
func (d *Dir) Root() *os.Root { return d.root }

// File is the absolute name of a file in the directory.
func (d *Dir) File(name string) string { return filepath.Join(d.path, name) }

// New reports whether what is missing in the directory may be made: it has never been in use.
func (d *Dir) New() bool { return d.making }

// Notes are what an operator should know of the directory, as sentences. Files have their names in the directory.
func (d *Dir) Notes() []string { return d.notes }

// Note adds a sentence to Notes.
func (d *Dir) Note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// Private takes a file of ours away from everybody but its owner, and notes it if others could read it.
func (d *Dir) Private(name string) {
	was, changed, err := safefile.Private(d.root, name)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		d.Note("%s has mode %04o, and should be its owner's alone: %v", name, was, err)
	case changed:
		d.Note("%s had mode %04o, and is its owner's alone now", name, was)
	}
}

// read takes a directory with that mark.
func (d *Dir) read(mark string) error {
	var of int
	if n, err := fmt.Sscanf(mark, markOf, &of); n == 1 && err == nil && mark == fmt.Sprintf(markOf, of) && of > 0 {
		if of > format {
			return foreign(fmt.Sprintf("%s has format %d, and this upgrademock knows formats up to %d: use the newer one "+
				"that made it, or choose another directory",
				d.path, of, format))
		}
		return nil
	}
	// The process that made the directory may have been killed before the mark was whole.
	if !strings.HasPrefix(making, mark) {
		return foreign(fmt.Sprintf("%s: the file %s is no mark of a data directory; choose another directory", d.path,
			MarkFile))
	}
	others, err := d.others()
	if err != nil {
		return err
	}
	if mark != making && len(others) > 0 {
		return foreign(fmt.Sprintf("%s: the mark %s is cut, and there is %s beside it; choose another directory", d.path,
			MarkFile, list(others)))
	}
	d.making = true
	return safefile.Replace(d.root, MarkFile, []byte(making), 0o600)
}

// takeOver takes a directory without a mark: an empty one, or one of the time before there were marks.
func (d *Dir) takeOver() error {
	others, err := d.others()
	if err != nil {
		return err
	}
	if len(others) == 0 {
		d.making = true
		return d.begin()
	}
	if why := d.stranger(others); why != "" {
		return foreign(fmt.Sprintf("%s is no data directory of upgrademock's, and holds %s; choose an empty or a new "+
			"directory (%s)", d.path, list(others), why))
	}
	if err := safefile.Create(d.root, MarkFile, fmt.Appendf(nil, markOf, format), 0o600); err != nil {
		return err
	}
	d.Note("it was made by an earlier upgrademock, and is marked as a data directory now, with %s", MarkFile)
	return nil
}

// begin makes the mark in an empty directory. Another process may be doing the same.
func (d *Dir) begin() error {
	f, err := d.root.OpenFile(MarkFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(making)
	if err := errors.Join(err, f.Close()); err != nil {
		d.root.Remove(MarkFile)
		return err
	}
	return nil
}

// Made says that everything is in the directory, to be called by the one process that uses it. What is missing from
// now on is a loss. Files that were being written when an earlier process was killed are removed.
func (d *Dir) Made() error {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && safefile.IsTempName(e.Name()) {
			if err := d.root.Remove(e.Name()); err != nil {
				return err
			}
		}
	}
	if !d.making {
		return nil
	}
	if err := safefile.Replace(d.root, MarkFile, fmt.Appendf(nil, markOf, format), 0o600); err != nil {
		return err
	}
	d.making = false
	return nil
}

// others are the names in the directory, but for the mark and what a file system of its own begins with.
func (d *Dir) others() ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); name != MarkFile && !(name == LostFound && e.IsDir()) {
			names = append(names, name)
		}
	}
	return names, nil
}

func list(names []string) string {
	quoted := make([]string, 0, 3)
	for _, name := range names[:min(3, len(names))] {
		quoted = append(quoted, fmt.Sprintf("%q", name))
	}
	text := strings.Join(quoted, ", ")
	if more := len(names) - len(quoted); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// earlier are the names of what earlier emulators left, beside the database and the dumps.
var earlier = regexp.MustCompile(`^(ca\.pem|ca-key\.pem|ca-bundle\.pem|known_hosts|` +
	`ssh_host_ecdsa_key(\.new)?|ready\.json|\.(ca|ready)-[0-9]+)$`)

var number = regexp.MustCompile(`^[0-9]+$`)

// stranger says why a directory without a mark is not one of an earlier emulator; "" if it is.
func (d *Dir) stranger(names []string) string {
	if !slices.Contains(names, Database) {
		return "it has no " + Database
	}
	for _, name := range names {
		info, err := d.root.Lstat(name)
		if err != nil {
			return err.Error()
		}
		switch {
		case name == Dumps && info.IsDir():
			entries, err := fs.ReadDir(d.root.FS(), Dumps)
			if err != nil {
				return err.Error()
			}
			for _, e := range entries {
				if !e.Type().IsRegular() || !number.MatchString(e.Name()) {
					return fmt.Sprintf("%q in %s is no dump", e.Name(), Dumps)
				}
			}
		case name == Dumps || !info.Mode().IsRegular():
			return fmt.Sprintf("%q is %s", name, safefile.Kind(info.Mode()))
		case name != Database && !earlier.MatchString(name):
			return fmt.Sprintf("%q is not from an upgrademock", name)
		}
	}
	f, err := safefile.OpenIn(d.root, Database, os.O_RDONLY)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	buckets, err := boltfile.Check(f, info.Size())
	if err != nil {
		return fmt.Sprintf("%s: %v", Database, err)
	}
	if !slices.Equal(buckets, []string{"progress", "requests"}) {
		return Database + " is another program's"
	}
	return ""
}
