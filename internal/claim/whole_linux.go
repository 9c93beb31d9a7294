package claim

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// makeWhole makes a file that is locked and has content from the moment at which it has a name: a program that is
// killed before leaves nothing. It returns an error that wraps fs.ErrExist if the name is taken, and
// errors.ErrUnsupported if the file system has no files without a name (O_TMPFILE), or /proc is not there.
func makeWhole(name string, content []byte) (*os.File, error) {
	fd, err := unix.Open(filepath.Dir(name), unix.O_TMPFILE|unix.O_RDWR|unix.O_APPEND|unix.O_CLOEXEC, 0o600)
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EISDIR), errors.Is(err, unix.ENOENT):
		return nil, errors.ErrUnsupported
	case err != nil:
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	f := os.NewFile(uintptr(fd), name)
	err = lock(f)
	if err == nil {
		_, err = f.Write(content)
	}
	if err == nil {
		err = unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(fd), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
		switch {
		case errors.Is(err, unix.ENOENT):
			err = errors.ErrUnsupported
		case err != nil:
			err = &os.LinkError{Op: "link", Old: "a file without a name", New: name, Err: err}
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
