package platform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
)

// dumps are the files with the bytes of dumps, each under its number in a directory of their own. A file that is
// being written for a dump that is not known yet has the suffix of unfinished ones until it is finished. No link
// is followed, and what is no regular file is left alone.
type dumps struct {
	root *os.Root
	seq  atomic.Int64 // the latest number

	stop    chan struct{} // closed when copies are to end
	stopped sync.Once
}

const unfinished = ".part"

// openDumps opens the directory, and makes it if there is none.
func openDumps(dir *datadir.Dir) (*dumps, error) {
	root, err := openPlace(dir, datadir.Dumps)
	if err != nil {
		return nil, err
	}
	return &dumps{root: root, stop: make(chan struct{})}, nil
}

// openPlace opens a directory in the data directory, and makes it if there is none. A link is not followed.
func openPlace(dir *datadir.Dir, name string) (*os.Root, error) {
	info, err := dir.Root().Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		if err := dir.Root().Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		info, err = dir.Root().Lstat(name)
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("%s is %s, and should be the directory with the dumps: put that back, or choose another "+
			"data directory; nothing was changed", dir.File(name), safefile.Kind(info.Mode()))
	}
	return safefile.OpenDir(dir.Root(), name)
}

func (d *dumps) close() error {
	if d == nil {
		return nil
	}
	d.interrupt()
	return d.root.Close()
}

// interrupt ends the copies that are under way, and all later ones.
func (d *dumps) interrupt() {
	if d != nil {
		d.stopped.Do(func() { close(d.stop) })
	}
}

// context ends when interrupt is called. Cancel has to be called.
func (d *dumps) context() (ctx context.Context, cancel context.CancelFunc) {
	ctx, cancel = context.WithCancel(context.Background())
	go func() {
		select {
		case <-d.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// interrupted reports whether interrupt has been called.
func (d *dumps) interrupted() bool {
	select {
	case <-d.stop:
		return true
	default:
		return false
	}
}

func name(seq int64) string { return strconv.FormatInt(seq, 10) }

// create makes an unfinished file with a new number. Exactly one of finish and discard comes later.
func (d *dumps) create() (int64, *os.File, error) {
	seq := d.seq.Add(1)
	f, err := d.root.OpenFile(name(seq)+unfinished, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return seq, f, err
}

// finish makes the unfinished file a dump's.
func (d *dumps) finish(seq int64) error {
	return safefile.Appear(d.root, name(seq)+unfinished, name(seq))
}

// discard removes an unfinished file.
func (d *dumps) discard(seq int64) error { return d.root.Remove(name(seq) + unfinished) }

// shared opens a dump's file for reading and writing. One without any bytes so far need not be there yet.
func (d *dumps) shared(seq int64, empty bool) (*os.File, error) {
	f, err := safefile.OpenIn(d.root, name(seq), os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) && empty {
		f, err = d.root.OpenFile(name(seq), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	}
	return f, err
}

// open opens a dump's file, which must have the size, for reading.
func (d *dumps) open(seq, size int64) (*os.File, error) {
	f, err := safefile.OpenIn(d.root, name(seq), os.O_RDONLY)
	if err != nil {
		return nil, &damagedError{datadir.Dumps + "/" + name(seq), whatIsWrong(err)}
	}
	info, err := f.Stat()
	if err == nil {
		err = d.enough(seq, size, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// remove removes a dump's file, if it is one.
func (d *dumps) remove(seq int64) {
	if info, err := d.root.Lstat(name(seq)); err == nil && info.Mode().IsRegular() {
		d.root.Remove(name(seq))
	}
}

// damagedError says that a dump's file is not what it was.
type damagedError struct{ file, why string }

func (e *damagedError) Error() string { return "platform: the dump's file " + e.file + " " + e.why }

func whatIsWrong(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "is missing"
	case errors.Is(err, safefile.ErrNotRegular):
		return "was replaced: " + err.Error()
	}
	return fmt.Sprintf("cannot be read: %v", err)
}

// intact checks that a dump's file is there, of the right kind, and not cut.
func (d *dumps) intact(seq, size int64) error {
	info, err := d.root.Lstat(name(seq))
	if err != nil {
		return &damagedError{datadir.Dumps + "/" + name(seq), whatIsWrong(err)}
	}
	return d.enough(seq, size, info)
}

func (d *dumps) enough(seq, size int64, info fs.FileInfo) error {
	file := datadir.Dumps + "/" + name(seq)
	switch {
	case !info.Mode().IsRegular():
		return &damagedError{file, "was replaced by " + safefile.Kind(info.Mode())}
	case info.Size() < size:
		return &damagedError{file, fmt.Sprintf("was cut: it has %d of %d bytes", info.Size(), size)}
	}
	return nil
}

// same checks that a dump's bytes are those that its checksum was made of. A file without one, as earlier versions
// left it, passes.
func (d *dumps) same(f *file, stop <-chan struct{}) error {
	opened, err := d.open(f.Seq, f.Size)
	if err != nil {
		return err
	}
	defer opened.Close()
	if f.Checksum == "" {
		return nil
	}
	sum, err := checksumOf(opened, f.Size, stop)
	if err == nil && sum != f.Checksum {
		err = &damagedError{datadir.Dumps + "/" + name(f.Seq), fmt.Sprintf("was changed: its checksum is %s, "+
			"and was %s", sum, f.Checksum)}
	}
	return err
}

// settle looks through the files once it is known which ones belong to requests. Unfinished ones were being
// written when a process was killed, and are removed; all others are set aside, under their names, in the
// directory for what was found.
func (d *dumps) settle(dir *datadir.Dir, belongs map[int64]bool) error {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return err
	}
	var lost []string
	for _, e := range entries {
		number, part := strings.CutSuffix(e.Name(), unfinished)
		seq, err := strconv.ParseInt(number, 10, 64)
		ours := err == nil && seq > 0 && name(seq) == number
		if ours {
			d.seq.Store(max(d.seq.Load(), seq))
		}
		switch {
		case ours && part && e.Type().IsRegular():
			if err := d.root.Remove(e.Name()); err != nil {
				return err
			}
		case ours && !part && belongs[seq]:
		default:
			lost = append(lost, e.Name())
		}
	}
	setAside(dir, datadir.Dumps, lost)
	return nil
}

// setAside moves what belongs to no request from a place to the directory for what was found, and notes it.
func setAside(dir *datadir.Dir, from string, lost []string) {
	if len(lost) == 0 {
		return
	}
	if err := moveAside(dir, from, lost); err != nil {
		dir.Note("%s belonged to no request in %s, and cannot be moved "+
			"to %s: %v", listed(lost), from, datadir.LostFound, err)
		return
	}
	dir.Note("%s belonged to no request in %s, and was moved to %s", listed(lost), from, datadir.LostFound)
}

func listed(names []string) string {
	const most = 20
	text := strings.Join(names[:min(most, len(names))], ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// moveAside moves files and directories from a place to the directory for what was found, which may be one of the file
// system's own.
func moveAside(dir *datadir.Dir, from string, names []string) error {
	root := dir.Root()
	if err := root.Mkdir(datadir.LostFound, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := root.Lstat(datadir.LostFound)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("it is %s", safefile.Kind(info.Mode()))
	}
	taken, err := fs.ReadDir(root.FS(), datadir.LostFound)
	if err != nil {
		return err
	}
	isTaken := make(map[string]bool, len(taken))
	for _, e := range taken {
		isTaken[e.Name()] = true
	}
	for _, name := range names {
		to := name
		for i := 1; isTaken[to]; i++ {
			to = fmt.Sprintf("%s.%d", name, i)
		}
		isTaken[to] = true
		if err := root.Rename(from+"/"+name, datadir.LostFound+"/"+to); err != nil {
			return err
		}
	}
	return nil
}
