package sftpserver

import (
	"io"
	"sync"
)

// writerBuffer is how much may wait to be sent, give or take one answer, before put waits.
const writerBuffer = 128 << 10

// writer sends answers from a goroutine of its own. What comes while a piece is being sent goes out together as the
// next piece: one SSH packet instead of one for each answer.
type writer struct {
	to   io.Writer
	done chan struct{}

	mu      sync.Mutex
	changed *sync.Cond
	waiting []byte
	sending bool
	closed  bool
	failed  bool // the channel is gone; what comes is dropped
}

func newWriter(to io.Writer) *writer {
	w := &writer{to: to, done: make(chan struct{})}
	w.changed = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// put takes one answer, in pieces, and copies it.
func (w *writer) put(pieces ...[]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) > writerBuffer && !w.failed && !w.closed {
		w.changed.Wait()
	}
	if w.failed || w.closed {
		return
	}
	for _, p := range pieces {
		w.waiting = append(w.waiting, p...)
	}
	w.changed.Broadcast()
}

// drain returns when everything was sent, or can't be.
func (w *writer) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for (len(w.waiting) > 0 || w.sending) && !w.failed {
		w.changed.Wait()
	}
}

// close sends what is left and ends the goroutine.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	w.changed.Broadcast()
	w.mu.Unlock()
	<-w.done
}

func (w *writer) run() {
	defer close(w.done)
	w.mu.Lock()
	defer w.mu.Unlock()
	var spare []byte
	for {
		for len(w.waiting) == 0 && !w.closed {
			w.changed.Wait()
		}
		if len(w.waiting) == 0 {
			return
		}
		piece := w.waiting
		w.waiting, w.sending = spare[:0], true
		w.mu.Unlock()
		_, err := w.to.Write(piece)
		w.mu.Lock()
		spare, w.sending = piece, false
		if err != nil {
			w.failed, w.waiting = true, nil
		}
		w.changed.Broadcast()
	}
}
