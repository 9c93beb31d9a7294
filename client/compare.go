package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
)

// span is a part of a file to compare.
type span struct {
	from, to int64
	whole    bool // everything between the first span's beginning and this one's is compared, too
}

// samples returns what to compare of [low, have) with a budget of so many bytes, in ascending order: all of it when
// the budget allows, else its beginning, its end of tail bytes, and blocks spread evenly between.
func samples(low, have, budget, tail int64) []span {
	if have-low <= budget {
		return []span{{low, have, true}}
	}
	block := min(max(budget/64, 32<<10), 1<<20)
	tail = min(tail, budget)
	out := []span{{low, min(low+block, have), true}}
	last := have - tail
	if n := (budget - tail) / block; n > 1 {
		step := (last - low) / n
		for i := int64(1); i < n; i++ {
			at := low + i*step
			if at+block < last && at >= out[len(out)-1].to {
				out = append(out, span{at, at + block, false})
			}
		}
	}
	return append(out, span{max(last, out[len(out)-1].to), have, false})
}

// differsAt returns the first offset of [from, to) at which a and b differ, -1 when they are the same. b, which is far
// away, is read by several readers at once, in pieces. A b that ends early differs there.
func differsAt(a, b io.ReaderAt, from, to int64, piece int) (int64, error) {
	var mu sync.Mutex
	first := int64(-1)
	w := newWindow(from, to, int64(piece), 2<<20, nil)
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
		return nil
	})
	if err != nil {
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
