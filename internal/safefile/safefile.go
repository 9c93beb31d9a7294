// Package safefile opens and writes files where other people's files may be: it follows no link, waits for no pipe,
// opens no device, and replaces nothing but regular files.
//
// A file that is written appears whole or not at all: it is written beside under a name of its own, and then linked
// or renamed.
package safefile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// ErrNotRegular is returned for what is no regular file: a link, a directory, a pipe, a socket, a device.
var ErrNotRegular = errors.New("not a regular file")

// notRegular is an ErrNotRegular that says what is there.
type notRegular struct{ name, kind string }

func (e notRegular) Error() string        { return e.name + " is " + e.kind + ", not a regular file" }
func (e notRegular) Is(target error) bool { return target == ErrNotRegular }

// Kind names what a file is.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "something else"
}

func regular(name string, info fs.FileInfo) error {
	if info.Mode().IsRegular() {
		return nil
	}
	return notRegular{name, Kind(info.Mode())}
}

// Open opens the regular file at path for reading. A link at path is followed: the path is what somebody chose.
// What is no regular file is not opened, and where it becomes a pipe just then, Open does not wait. The error for
// it is ErrNotRegular.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := regular(path, info); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return checked(f, path, nil)
}

// ReadNamed returns the content of the file at path, of at most limit bytes. It is for what somebody names on a
// command line: a regular file, through links, or a pipe that has a writer, as a shell makes one of <(COMMAND). It
// waits for no writer, and reads no device without end.
func ReadNamed(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, path, limit)
}

func readAll(f *os.File, name string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return data, err
}

// OpenIn opens the regular file with that name in root, which must exist; flag is of package os. A link is not
// followed: the error for it, as for all that is no regular file, is ErrNotRegular.
func OpenIn(root *os.Root, name string, flag int) (*os.File, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	return open(root, name, flag, info)
}

// open opens the file in root that info describes.
func open(root *os.Root, name string, flag int, info fs.FileInfo) (*os.File, error) {
	if err := regular(name, info); err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name, flag&^(os.O_CREATE|os.O_TRUNC)|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return checked(f, name, info)
}

// checked returns f if it is a regular file, and the one that want describes unless that is nil.
func checked(f *os.File, name string, want fs.FileInfo) (*os.File, error) {
	info, err := f.Stat()
	if err == nil {
		err = regular(name, info)
	}
	if err == nil && want != nil && !os.SameFile(info, want) {
		err = fmt.Errorf("%s was replaced while it was opened: %w", name, ErrNotRegular)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Read returns the content of the regular file with that name in root, which may have up to limit bytes. A link is
// not followed.
func Read(root *os.Root, name string, limit int64) ([]byte, error) {
	f, err := OpenIn(root, name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, name, limit)
}

// tempPrefix begins the names of files that are being written.
const tempPrefix = ".upgrademock-"

// TempName returns a new name for a file that is being written.
func TempName() string { return tempPrefix + rand.Text() }

// IsTempName reports whether name is one that TempName may have returned.
func IsTempName(name string) bool {
	text, ok := strings.CutPrefix(name, tempPrefix)
	return ok && len(text) == len(rand.Text()) && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") == ""
}

// Create makes a file in root with the content. Where the name is taken, whatever by, nothing changes and the error
// is fs.ErrExist.
func Create(root *os.Root, name string, data []byte, perm fs.FileMode) error {
	temp, err := write(root, data, perm)
	if err != nil {
		return err
	}
	err = Appear(root, temp, name)
	if err != nil {
		root.Remove(temp)
	}
	return err
}

// Appear gives the file temp its name. Where that is taken, whatever by, nothing changes and the error is fs.ErrExist.
func Appear(root *os.Root, temp, name string) error {
	err := root.Link(temp, name)
	if err == nil {
		return root.Remove(temp)
	}
	if errors.Is(err, fs.ErrExist) {
		return err
	}
	// The file system knows no hard links.
	if _, err := root.Lstat(name); err == nil {
		return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return root.Rename(temp, name)
}

// Replace makes a file in root with the content, or puts it in the place of the regular file that has the name. The
// error for anything else that has the name is ErrNotRegular.
func Replace(root *os.Root, name string, data []byte, perm fs.FileMode) error {
	info, err := root.Lstat(name)
	if err == nil {
		err = regular(name, info)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	temp, err := write(root, data, perm)
	if err != nil {
		return err
	}
	if err := root.Rename(temp, name); err != nil {
		root.Remove(temp)
		return err
	}
	return nil
}

func write(root *os.Root, data []byte, perm fs.FileMode) (temp string, err error) {
	temp = TempName()
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return "", err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(perm), f.Close())
	if err != nil {
		root.Remove(temp)
		return "", err
	}
	return temp, nil
}

// Private takes a file or directory with that name in root away from everybody but its owner. It returns the mode
// that it had, and whether that was changed.
func Private(root *os.Root, name string) (was fs.FileMode, changed bool, err error) {
	info, err := root.Lstat(name)
	if err != nil {
		return 0, false, err
	}
	was = info.Mode().Perm()
	if was&0o077 == 0 || !privateModes {
		return was, false, nil
	}
	return was, true, root.Chmod(name, was&0o700)
}
