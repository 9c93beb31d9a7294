package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
)

// errDiffers ends a comparison.
var errDiffers = errors.New("the files differ")

// differsAt returns the first offset of [from, to) at which a and b differ, -1 when they are the same. b, which is far
// away, is read by several readers at once, in pieces. A b that ends early differs there.
func differsAt(a, b io.ReaderAt, from, to int64, piece int) (int64, error) {
	var mu sync.Mutex
	first := int64(-1)
	w := newWindow(from, to, int64(piece), 2<<20, nil)
	// Pieces are handed out in order, and those that were handed out are finished: nothing before the first
	// difference is left out.
	_, err := w.run(context.Background(), func(far []byte, off int64) error {
		near := make([]byte, len(far))
		if _, err := a.ReadAt(near, off); err != nil && !errors.Is(err, io.EOF) {
			return local("reading the file", err)
		}
		n, err := b.ReadAt(far, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		at := firstDifference(near, far[:n])
		if at < 0 {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if first < 0 || off+int64(at) < first {
			first = off + int64(at)
		}
		return errDiffers
	})
	if err != nil && !errors.Is(err, errDiffers) {
		return 0, err
	}
	return first, nil
}

// firstDifference returns where b, which may be shorter, stops being a; -1 when they are equal.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}
