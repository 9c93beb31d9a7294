package rsync

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
)

// The protocol, as version 27 has it: every rsync since 2.6.0 speaks it, and settles on it with a server that speaks
// no later one.
const (
	protocolVersion = 27
	highestVersion  = 255 // greater ones are no version, but what a login shell has printed

	maxRun    = 32 << 10 // bytes of data in one run; patched versions of rsync refuse longer ones (row S5.17)
	maxClient = 1 << 20  // bytes of data in one run of a client
	sumLength = 16       // bytes of a file's checksum
	maxBlock  = 1 << 29

	phaseEnd = -1 // in place of a file's index
)

// errStopped is what a parser gets when nobody wants its output any more.
var errStopped = errors.New("stopped")

// A reader reads what fill returns piece by piece, each at least one byte.
type reader struct {
	fill func() ([]byte, error)
	buf  []byte
}

// some returns between 1 and n bytes, which are valid until the next call.
func (r *reader) some(n int) ([]byte, error) {
	if len(r.buf) == 0 {
		b, err := r.fill()
		if err != nil {
			return nil, noEOF(err)
		}
		r.buf = b
	}
	n = min(n, len(r.buf))
	b := r.buf[:n]
	r.buf = r.buf[n:]
	return b, nil
}

func (r *reader) Read(p []byte) (int, error) {
	b, err := r.some(len(p))
	return copy(p, b), err
}

// full fills p.
func (r *reader) full(p []byte) error {
	_, err := io.ReadFull(r, p)
	return err
}

func (r *reader) byte() (byte, error) {
	b, err := r.some(1)
	if err != nil {
		return 0, err
	}
	return b[0], nil
}

func (r *reader) int32() (int32, error) {
	var b [4]byte
	err := r.full(b[:])
	return int32(binary.LittleEndian.Uint32(b[:])), err
}

// int64 reads a number that takes 4 bytes if it fits into 31 bits, and else 12.
func (r *reader) int64() (int64, error) {
	n, err := r.int32()
	if err != nil || n != -1 {
		return int64(n), err
	}
	var b [8]byte
	err = r.full(b[:])
	return int64(binary.LittleEndian.Uint64(b[:])), err
}

// pass gives the next n bytes to emit, which may be nil.
func (r *reader) pass(n int64, emit func([]byte) error) error {
	for n > 0 {
		b, err := r.some(int(min(n, maxRun)))
		if err != nil {
			return err
		}
		n -= int64(len(b))
		if emit == nil {
			continue
		}
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

func appendInt32(b []byte, n int32) []byte { return binary.LittleEndian.AppendUint32(b, uint32(n)) }

func appendInt64(b []byte, n int64) []byte {
	if n >= 0 && n <= 1<<31-1 {
		return appendInt32(b, int32(n))
	}
	return binary.LittleEndian.AppendUint64(appendInt32(b, -1), uint64(n))
}

// version reads the version that the other side speaks.
func (r *reader) version() error {
	v, err := r.int32()
	if err != nil {
		return err
	}
	if v < protocolVersion || v > highestVersion {
		return refuse("version %d of rsync's protocol; install rsync 3.1 or later, and see that ssh prints nothing", v)
	}
	return nil
}

// A sumHead says how the receiver has cut its file into blocks, for each of which it sends two checksums.
type sumHead struct{ count, length, sum, last int32 }

func (r *reader) sumHead() (h sumHead, err error) {
	for _, field := range []*int32{&h.count, &h.length, &h.sum, &h.last} {
		if *field, err = r.int32(); err != nil {
			return h, err
		}
	}
	if h.count < 0 || h.length < 0 || h.length > maxBlock || h.count > 0 && h.length == 0 ||
		h.sum < 0 || h.sum > sumLength || h.last < 0 || h.last > h.length {
		return h, protocol("blocks %+v", h)
	}
	return h, nil
}

func (h sumHead) append(b []byte) []byte {
	return appendInt32(appendInt32(appendInt32(appendInt32(b, h.count), h.length), h.sum), h.last)
}

// sums is the number of bytes that the checksums of the blocks take.
func (h sumHead) sums() int64 { return int64(h.count) * int64(4+h.sum) }

// block is the length of the block with the index; false if there is none.
func (h sumHead) block(i int32) (int64, bool) {
	if i < 0 || i >= h.count {
		return 0, false
	}
	if i == h.count-1 && h.last != 0 {
		return int64(h.last), true
	}
	return int64(h.length), true
}

// demux returns a reader of the data in frames that raw has; messages are given to message.
func demux(raw *reader, message func(kind byte, text []byte) error) *reader {
	var left int
	return &reader{fill: func() ([]byte, error) {
		for left == 0 {
			head, err := raw.int32()
			if err != nil {
				return nil, err
			}
			kind, length := byte(uint32(head)>>24), int(head&0xffffff)
			if kind == frameData {
				left = length
				continue
			}
			if length > 64<<10 {
				return nil, protocol("a message of %d bytes", length)
			}
			text := make([]byte, length)
			if err := raw.full(text); err != nil {
				return nil, err
			}
			if err := message(kind, text); err != nil {
				return nil, err
			}
		}
		b, err := raw.some(left)
		left -= len(b)
		return b, err
	}}
}

// A filter is a parser between two programs. It is a function that reads from one side and writes to the other as if
// it were alone; it runs as a coroutine of whoever reads its output, or writes its input, without a pipe and without
// a goroutine of its own.
type filter struct {
	next func() ([]byte, bool)
	stop func()
	err  error // the parser's, once next returns false
	rest []byte
}

// pulled returns a filter that runs when it is read. What parse gives to emit must stay as it is until emit returns.
func pulled(parse func(emit func([]byte) error) error) *filter {
	f := new(filter)
	f.start(func(yield func([]byte) bool) error {
		return parse(func(b []byte) error {
			if len(b) > 0 && !yield(b) {
				return errStopped
			}
			return nil
		})
	})
	return f
}

func (f *filter) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		b, ok := f.next()
		if !ok {
			return 0, f.err
		}
		f.rest = b
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// pushed returns a filter that runs when it is written to.
func pushed(parse func(r *reader) error) *filter {
	f := new(filter)
	f.start(func(yield func([]byte) bool) error {
		return parse(&reader{fill: func() ([]byte, error) {
			for len(f.rest) == 0 {
				if !yield(nil) {
					return nil, errStopped
				}
			}
			b := f.rest
			f.rest = nil
			return b, nil
		}})
	})
	return f
}

// Write gives p to the parser. What comes after the parser's end is thrown away.
func (f *filter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	f.rest = p
	if _, ok := f.next(); !ok && f.err != io.EOF {
		return 0, f.err
	}
	return len(p), nil
}

func (f *filter) start(run func(yield func([]byte) bool) error) {
	f.err = errStopped
	f.next, f.stop = iter.Pull(func(yield func([]byte) bool) {
		defer func() {
			if p := recover(); p != nil {
				f.err = fmt.Errorf("rsync: panic: %v", p)
			}
		}()
		if f.err = run(yield); f.err == nil {
			f.err = io.EOF
		}
	})
}
