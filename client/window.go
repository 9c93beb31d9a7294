package client

import (
	"context"
	"sync"
)

// window hands out a file's pieces to parallel workers so that the pieces that are done and those that are not
// are never farther apart than its size: however the transfer breaks, everything before (end of file - size) is whole.
type window struct {
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

func newWindow(from, end, piece, size int64, progress func(done int64)) *window {
	size = max(size/piece, 1) * piece
	w := &window{piece: piece, size: size, from: from, base: from, next: from, end: end,
		finished: make([]bool, size/piece), progress: progress}
	w.changed = sync.NewCond(&w.mu)
	return w
}

// take returns the next piece, waiting until the window has moved far enough; false means no more.
func (w *window) take() (off, n int64, ok bool) {
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

func (w *window) slot(off int64) int { return int((off - w.from) / w.piece % int64(len(w.finished))) }

// turn waits until all before a piece is done: for what must not be done out of order. An error means that the piece must not be done at all.
func (w *window) turn(off int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.err == nil && w.base != off {
		w.changed.Wait()
	}
	return w.err
}

func (w *window) done(off int64) {
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

func (w *window) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = err
	}
	w.changed.Broadcast()
}

// run moves every piece by copyPiece, which gets a buffer of its own and is called from many goroutines. It returns up to
// where everything is done, and the first error. It ends early only by an error: whoever wants to cancel makes copyPiece fail.
func (w *window) run(ctx context.Context, copyPiece func(buf []byte, off int64) error) (int64, error) {
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
