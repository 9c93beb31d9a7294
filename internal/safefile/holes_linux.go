package safefile

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// NextData returns where the next bytes of f are that are written, at or behind the offset and before n; from is n
// when there are none.
func NextData(f *os.File, at, n int64) (from, to int64, err error) {
	from, err = f.Seek(at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, syscall.ENXIO): // nothing but a hole, or the end
		return n, n, nil
	case err != nil: // a file system that knows no holes
		return at, n, nil
	}
	to, err = f.Seek(from, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, err
	}
	return min(from, n), min(to, n), nil
}
