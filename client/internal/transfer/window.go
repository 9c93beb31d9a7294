package transfer

import (
	"context"
	"sync"
)

// Window hands out a file's pieces to parallel workers. The pieces that are done and those that are not are never
// farther apart than the window's size: however the transfer breaks, nothing is missing before the last size bytes
// of what was done.
type Window struct {
	piece int64
	size  int64 // a multiple of piece

	mu       sync.Mutex
	changed  *sync.Cond
	from     int64
	base     int64 // everything before is done
	next     int64 // the next piece to hand out
	end      int64
	finished []bool // ring: pieces done out of order, by (offset-from)/piece
	err      error
	progress func(done int64)
}

// NewWindow returns a window of size bytes over the bytes [from, end) of a file, in pieces of the given length.
// Whenever more bytes are done without a gap, progress is called with the offset where they end, one call at a time.
// If progress is nil, it is not called.
func NewWindow(from, end, piece, size int64, progress func(done int64)) *Window {
	size = max(size/piece, 1) * piece
	w := &Window{piece: piece, size: size, from: from, base: from, next: from, end: end,
		finished: make([]bool, size/piece), progress: progress}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// Run moves every piece by copyPiece, which gets a buffer of its own and is called by several goroutines at the same
// time. It returns the offset before which everything is done, and the first error of copyPiece, or the context's
// cause. It returns after all calls of copyPiece have, so copyPiece should fail when ctx ends.
func (w *Window) Run(ctx context.Context, copyPiece func(buf []byte, off int64) error) (int64, error) {
	stop := context.AfterFunc(ctx, func() { w.fail(context.Cause(ctx)) })
	defer stop()
	workers := min(int64(len(w.finished)), (w.end-w.from+w.piece-1)/w.piece)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			buf := make([]byte, w.piece)
			for {
				off, n, ok := w.take()
				if !ok {
					return
				}
				if err := copyPiece(buf[:n], off); err != nil {
					w.fail(err)
					return
				}
				w.done(off)
			}
		})
	}
	wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.base, w.err
}

// AwaitTurn waits until everything before the piece at off is done, for work that must be done in order. If it
// returns an error, the transfer has failed and the piece must not be done.
func (w *Window) AwaitTurn(off int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && w.base != off {
		w.changed.Wait()
	}
	return w.err
}

// take returns the next piece, waiting until the window has moved far enough. ok is false if there is none.
func (w *Window) take() (off, n int64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && w.next < w.end && w.next-w.base >= w.size {
		w.changed.Wait()
	}
	if w.err != nil || w.next >= w.end {
		return 0, 0, false
	}
	off, n = w.next, min(w.piece, w.end-w.next)
	w.next += n
	return off, n, true
}

func (w *Window) slot(off int64) int { return int((off - w.from) / w.piece % int64(len(w.finished))) }

func (w *Window) done(off int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.finished[w.slot(off)] = true
	before := w.base
	for w.base < w.next && w.finished[w.slot(w.base)] {
		w.finished[w.slot(w.base)] = false
		w.base = min(w.base+w.piece, w.end)
	}
	if w.base != before {
		if w.progress != nil {
			w.progress(w.base)
		}
		w.changed.Broadcast()
	}
}

func (w *Window) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.changed.Broadcast()
}
