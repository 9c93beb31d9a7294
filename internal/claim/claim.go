// Package claim keeps programs off each other's files, and off the user's.
//
// Before a program writes a file, it takes a claim on the file's name. The claim is a small file beside it that is
// locked while the program runs: a second program that wants to write the same file is refused. The names of all
// temporary files are written into the claim before the files are made. They are chosen at random and did not exist
// before, so that no file of the user's is opened, cut or replaced; and the next program knows what a killed one has
// left.
//
// A library that writes beside a file and renames, such as github.com/google/renameio, chooses the temporary name
// while it makes the file. A program that is killed then leaves a file of which nobody can say whose it is.
//
// The lines of a claim are JSON objects. Lines are only appended, so that a program that is killed leaves at most one
// broken line at the end.
package claim

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Errors of this package, for errors.Is.
var (
	// ErrUnfit means that a name is not that of a file that can be written.
	ErrUnfit = errors.New("not a file that can be written")
	// ErrBusy means that another program holds the claim.
	ErrBusy = errors.New("in use")
)

const (
	suffix = ".odoo-upgrade"
	mark   = "claim 1"

	// maxClaim bounds what is read of a claim. A download of 4 TiB writes half of it.
	maxClaim = 64 << 20
)

// Name returns the name of the claim on path.
func Name(path string) string { return path + suffix }

// A Claim is a claim that is held. It must be used by one goroutine at a time.
type Claim struct {
	path  string
	file  *os.File
	found bool // whether an empty file of the user's had the claim's name; it becomes empty again
	temps []temp
	notes []json.RawMessage
}

// temp is a temporary file that was made under a claim, or was about to be.
type temp struct {
	Name string `json:"name"`         // in the folder of what is claimed
	ID   string `json:"id,omitempty"` // the file's identity; empty when it was not made yet
}

// line is a line of a claim.
type line struct {
	Mark   string          `json:"odoo-upgrade,omitempty"` // of the first line
	Found  bool            `json:"found,omitempty"`
	Temp   *temp           `json:"temp,omitempty"`
	Note   json.RawMessage `json:"note,omitempty"`
	Forget bool            `json:"forget,omitempty"` // the lines before do not count any more
}

// Take claims path. It returns an error that wraps ErrUnfit if path is not a regular file or a name in a folder that
// exists, and ErrBusy if another program holds the claim. If a killed program held it, the claim has its names and
// notes.
func Take(path string) (*Claim, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	for {
		c, err := take(path)
		if !errors.Is(err, errMoved) {
			return c, err
		}
	}
}

// Check returns an error that wraps ErrUnfit if path is a folder, a link, a device, or a name in a folder that does
// not exist.
func Check(path string) error {
	dir, base := filepath.Split(path)
	if base == "" || base == "." || base == ".." {
		return unfit("%q is the name of a folder; the name of a file is wanted", path)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if dir == "" {
			dir = "."
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return unfit("%s: there is no such file or folder as %s", path, dir)
		}
		return nil
	case err != nil:
		return unfit("%s cannot be used: %v", path, err.(*fs.PathError).Err)
	case info.Mode()&fs.ModeSymlink != 0:
		to, _ := os.Readlink(path)
		return unfit("%s is a link to %s; name the file itself", path, to)
	case info.IsDir():
		return unfit("%s is a folder; the name of a file is wanted", path)
	case !info.Mode().IsRegular():
		return unfit("%s is no regular file", path)
	}
	return nil
}

func unfit(format string, args ...any) error { return &unfitError{fmt.Sprintf(format, args...)} }

type unfitError struct{ text string }

func (e *unfitError) Error() string        { return e.text }
func (e *unfitError) Is(target error) bool { return target == ErrUnfit }

// errMoved means that the holder removed the claim's file while it was opened here.
var errMoved = errors.New("moved")

func take(path string) (_ *Claim, err error) {
	name := Name(path)
	made := true
	first, err := line{Mark: mark}.encode()
	if err != nil {
		return nil, err
	}
	f, err := makeWhole(name, first)
	if errors.Is(err, errors.ErrUnsupported) {
		f, err = os.OpenFile(name, os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	}
	if errors.Is(err, fs.ErrExist) {
		made = false
		f, err = openRegular(name, os.O_RDWR|os.O_APPEND)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errMoved
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be written, since no file can be kept beside it: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	if err := lock(f); err != nil {
		if errors.Is(err, ErrBusy) {
			return nil, fmt.Errorf("another odoo-upgrade is at work on %s (%w: it holds %s): wait for it or end it",
				path, ErrBusy, name)
		}
		return nil, fmt.Errorf("locking %s: %w", name, err)
	}
	// The holder before may have removed the name, and a lock on a file without a name is of no use.
	held, err1 := f.Stat()
	named, err2 := os.Lstat(name)
	if err1 != nil || err2 != nil || !os.SameFile(held, named) {
		return nil, errMoved
	}
	c := &Claim{path: path, file: f}
	raw, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, 0, maxClaim), maxClaim))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if len(raw) == 0 {
		c.found = !made
		if err := c.append(line{Mark: mark, Found: c.found}); err != nil {
			if made {
				_ = os.Remove(name)
			}
			return nil, err
		}
		return c, nil
	}
	if !c.read(raw) {
		return nil, fmt.Errorf("%s is there and was not made by odoo-upgrade, "+
			"which keeps such a file beside %s while it writes that; "+
			"it was left as it is: move it away, or write to another file", name, path)
	}
	if !bytes.HasSuffix(raw, []byte("\n")) {
		// A killed program did not finish its line.
		if _, err := f.Write([]byte("\n")); err != nil {
			return nil, fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return c, nil
}

// read takes over what an earlier program wrote. It returns false if raw is not a claim.
func (c *Claim) read(raw []byte) bool {
	first := true
	for text := range bytes.Lines(raw) {
		var l line
		err := json.Unmarshal(text, &l)
		if first {
			if err != nil || l.Mark != mark {
				return false
			}
			c.found, first = l.Found, false
			continue
		}
		switch {
		case err != nil: // a broken line
		case l.Forget:
			c.temps, c.notes = nil, nil
		case l.Temp != nil && filepath.Base(l.Temp.Name) == l.Temp.Name && c.own(l.Temp.Name):
			if i := len(c.temps) - 1; i >= 0 && c.temps[i].Name == l.Temp.Name {
				c.temps[i] = *l.Temp
			} else {
				c.temps = append(c.temps, *l.Temp)
			}
		case l.Note != nil:
			c.notes = append(c.notes, l.Note)
		}
	}
	return true
}

// own reports whether a name has the form of those that Create chooses.
func (c *Claim) own(name string) bool { return Own(c.path, name) }

// Own reports whether the last part of name has the form of those that Create chooses under a claim on path.
func Own(path, name string) bool {
	rest, ok := strings.CutPrefix(filepath.Base(name), filepath.Base(path)+".")
	random, _, _ := strings.Cut(rest, ".")
	raw, err := hex.DecodeString(random)
	return ok && err == nil && len(raw) == randomBytes
}

const randomBytes = 6

// encode returns the line as it stands in the file.
func (l line) encode() ([]byte, error) {
	raw, err := json.Marshal(l)
	return append(raw, '\n'), err
}

func (c *Claim) append(l line) error {
	raw, err := l.encode()
	if err != nil {
		return err
	}
	info, err := c.file.Stat()
	if err == nil {
		if _, err = c.file.Write(raw); err != nil {
			_ = c.file.Truncate(info.Size()) // the disk may be full: no part of the line stays
		}
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", Name(c.path), err)
	}
	return nil
}

// Create makes a temporary file beside what is claimed, for reading and writing by its owner only. Its name ends
// in kind, such as ".part".
func (c *Claim) Create(kind string) (*os.File, error) {
	dir, base := filepath.Split(c.path)
	random := make([]byte, randomBytes)
	_, _ = rand.Read(random)
	t := temp{Name: base + "." + hex.EncodeToString(random) + kind}
	if err := c.append(line{Temp: &t}); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(dir+t.Name, os.O_RDWR|os.O_CREATE|os.O_EXCL|noFollow, 0o600)
	if err != nil {
		return nil, err
	}
	t.ID = identity(f)
	c.temps = append(c.temps, t)
	if err := c.append(line{Temp: &t}); err != nil {
		_ = f.Close()
		c.Remove(f.Name())
		return nil, err
	}
	return f, nil
}

// Temps returns the names of the temporary files that were made under the claim, also by a killed holder, the oldest
// first. They need not exist.
func (c *Claim) Temps() []string {
	var names []string
	for _, t := range c.temps {
		names = append(names, filepath.Join(filepath.Dir(c.path), t.Name))
	}
	return names
}

// Open opens a temporary file of Temps for reading and writing. It fails if name is not a regular file, or has hard
// links.
func (c *Claim) Open(name string) (*os.File, error) { return openRegular(name, os.O_RDWR) }

// Remove removes a temporary file of Temps, if it is there and is still the one that was made. The caller must have
// closed it.
func (c *Claim) Remove(name string) {
	for _, t := range c.temps {
		if t.Name != filepath.Base(name) {
			continue
		}
		f, err := c.Open(name)
		if err != nil {
			continue
		}
		info, err := f.Stat()
		made := err == nil && (info.Size() == 0 || t.ID == identity(f))
		_ = f.Close() // Windows removes no file that is open
		if made {
			_ = os.Remove(name)
		}
	}
}

// Note appends a note for the next holder of the claim.
func (c *Claim) Note(v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.append(line{Note: raw})
}

// Notes returns the notes that a killed holder, or one that released the claim with Keep, has left.
func (c *Claim) Notes() []json.RawMessage { return c.notes }

// Forget drops the temporary files and notes so far from the claim. It does not remove the files.
func (c *Claim) Forget() error {
	c.temps, c.notes = nil, nil
	return c.append(line{Forget: true})
}

// Keep gives the claim up and leaves its file for the next holder.
func (c *Claim) Keep() { _ = c.file.Close() }

// Release gives the claim up and removes its file.
func (c *Claim) Release() {
	if c.found {
		_ = c.file.Truncate(0)
		_ = c.file.Close()
		return
	}
	removeHeld(c.file, Name(c.path))
}
