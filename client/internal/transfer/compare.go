package transfer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
)

// errDiffers ends a comparison.
var errDiffers = errors.New("the files differ")

// FirstDifference returns the first offset of [from, to) at which the files near and far differ, -1 if they are the
// same. The far one is read in pieces by several goroutines at the same time. If it ends early, it differs there.
func FirstDifference(near, far io.ReaderAt, from, to int64, piece int) (int64, error) {
	var mu sync.Mutex
	first := int64(-1)
	w := NewWindow(from, to, int64(piece), 2<<20, nil)
	// Pieces are handed out in order, and those that were handed out are finished: nothing before the first
	// difference is left out.
	_, err := w.Run(context.Background(), func(got []byte, off int64) error {
		want := make([]byte, len(got))
		if _, err := near.ReadAt(want, off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		n, err := far.ReadAt(got, off)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		at := mismatch(want, got[:n])
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

// mismatch returns where b, which may be shorter, stops being a; -1 when they are equal.
func mismatch(a, b []byte) int {
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
