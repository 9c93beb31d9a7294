package safefile

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// copyPiece is how much is copied between two looks at whether to stop.
const copyPiece = 8 << 20

// ErrStopped is returned by Copy when it was asked to stop.
var ErrStopped = errors.New("the copy was stopped")

// Copy makes dst, which is empty, a copy of the first n bytes of src. What src has holes for stays a hole in dst,
// and what follows src's end is one. The kernel copies where it can. Copy fails with ErrStopped soon after stop is
// closed; nil is never closed.
func Copy(dst, src *os.File, n int64, stop <-chan struct{}) error {
	for at := int64(0); at < n; {
		from, to, err := NextData(src, at, n)
		if err != nil {
			return fmt.Errorf("copy %s: %w", src.Name(), err)
		}
		for at = from; at < to; {
			select {
			case <-stop:
				return ErrStopped
			default:
			}
			piece := min(copyPiece, to-at)
			copied, err := copyAt(dst, src, at, piece)
			if err != nil {
				return fmt.Errorf("copy %s: %w", src.Name(), err)
			}
			if at += copied; copied < piece { // src ends here
				at = to
			}
		}
	}
	return dst.Truncate(n)
}

// copyAt copies up to n bytes at the offset, fewer only where src ends.
func copyAt(dst, src *os.File, at, n int64) (int64, error) {
	for _, f := range []*os.File{dst, src} {
		if _, err := f.Seek(at, io.SeekStart); err != nil {
			return 0, err
		}
	}
	return io.Copy(dst, io.LimitReader(src, n)) // copy_file_range on Linux
}
