package rsync

import (
	"context"
	"encoding/binary"
	"io"
	"sync"
)

// A source reads a stream in a goroutine of its own, a buffer ahead, so that who waits for the stream can be woken.
// After that, what still comes is read and thrown away: a client that is stuck in sending could not read why.
type source struct {
	ctx   context.Context
	free  chan []byte
	full  chan []byte
	err   error  // set before full is closed
	last  []byte // the buffer that next returned, to be given back
	total int64  // bytes that next has returned
}

const sourceBuffer = 128 << 10

// newSource starts to read r. The goroutine ends when r does.
func newSource(ctx context.Context, r io.Reader) *source {
	s := &source{ctx: ctx, free: make(chan []byte, 2), full: make(chan []byte)}
	s.free <- make([]byte, sourceBuffer)
	s.free <- make([]byte, sourceBuffer)
	go s.run(r)
	return s
}

func (s *source) run(r io.Reader) {
	defer close(s.full)
	for {
		var b []byte
		select {
		case b = <-s.free:
		case <-s.ctx.Done():
			_, s.err = io.Copy(io.Discard, r)
			return
		}
		n, err := r.Read(b)
		if n > 0 {
			select {
			case s.full <- b[:n]:
			case <-s.ctx.Done():
			}
		} else {
			s.free <- b
		}
		if err != nil {
			s.err = err
			return
		}
	}
}

// next returns what comes next, at least one byte, which is valid until the next call.
func (s *source) next() ([]byte, error) {
	if s.last != nil {
		s.free <- s.last
		s.last = nil
	}
	select {
	case b, ok := <-s.full:
		if !ok {
			return nil, s.err
		}
		s.last = b[:cap(b)]
		s.total += int64(len(b))
		return b, nil
	case <-s.ctx.Done():
		return nil, context.Cause(s.ctx)
	}
}

// A sink writes to a stream in a goroutine of its own. Small pieces that come while a write is under way go out
// together. From its method data on, what is written is framed as rsync's servers do: each frame is a kind, a
// length, and so many bytes.
type sink struct {
	ctx  context.Context
	done chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	changed sync.Cond
	buf     []byte // what is to be written
	frame   int    // where in buf the frame of data begins that may grow, or -1
	writing bool
	closed  bool
	err     error
	total   int64
}

const (
	sinkBuffer = 256 << 10
	maxFrame   = 32 << 10

	frameData  = 7 // of the transfer
	frameError = 8 // a text for the client's user
	frameInfo  = 9
)

// newSink starts to write to w. The goroutine ends after close, or once w fails.
func newSink(ctx context.Context, w io.Writer) *sink {
	s := &sink{ctx: ctx, done: make(chan struct{}), frame: -1}
	s.changed.L = &s.mu
	go s.run(w)
	return s
}

func (s *sink) run(w io.Writer) {
	defer close(s.done)
	stop := context.AfterFunc(s.ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.changed.Broadcast()
	})
	defer stop()
	var spare []byte
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.buf) == 0 && !s.closed {
			s.changed.Wait()
		}
		if len(s.buf) == 0 || s.err != nil {
			return
		}
		out := s.buf
		s.buf, s.frame, s.writing = spare[:0], -1, true
		s.changed.Broadcast()
		s.mu.Unlock()
		_, err := w.Write(out)
		s.mu.Lock()
		spare, s.writing = out, false
		if err != nil && s.err == nil {
			s.err = err
		}
		s.changed.Broadcast()
	}
}

// room waits until there is room in the buffer. The caller holds the lock.
func (s *sink) room() error {
	for s.err == nil && s.ctx.Err() == nil && len(s.buf) >= sinkBuffer {
		s.changed.Wait()
	}
	if s.err != nil {
		return s.err
	}
	return context.Cause(s.ctx)
}

// raw writes bytes without a frame.
func (s *sink) raw(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(); err != nil {
		return err
	}
	s.buf, s.frame = append(s.buf, p...), -1
	s.total += int64(len(p))
	s.changed.Broadcast()
	return nil
}

// data writes bytes of the transfer.
func (s *sink) data(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		if err := s.room(); err != nil {
			return err
		}
		if s.frame < 0 || len(s.buf)-s.frame-4 == maxFrame {
			s.frame = len(s.buf)
			s.buf = append(s.buf, 0, 0, 0, frameData)
		}
		n := min(len(p), maxFrame-(len(s.buf)-s.frame-4))
		s.buf = append(s.buf, p[:n]...)
		binary.LittleEndian.PutUint32(s.buf[s.frame:], frameData<<24|uint32(len(s.buf)-s.frame-4))
		s.total += int64(n)
		p = p[n:]
		s.changed.Broadcast()
	}
	return nil
}

// message writes a text in a frame of its own.
func (s *sink) message(kind byte, text []byte) error {
	head := binary.LittleEndian.AppendUint32(nil, uint32(kind)<<24|uint32(len(text)))
	return s.raw(append(head, text...))
}

// sent is the number of bytes that were written.
func (s *sink) sent() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total
}

// close waits until all is written, w has failed, or the context is done. Nothing may be written after it.
func (s *sink) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.changed.Broadcast()
	s.mu.Unlock()
	select {
	case <-s.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
