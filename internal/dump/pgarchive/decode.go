package pgarchive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// A cursor reads an archive forward, knows where it is, and jumps where the archive allows it.
type cursor struct {
	at  *io.SectionReader // nil: forward only
	buf *bufio.Reader
	pos int64
}

func newCursor(r io.Reader) *cursor {
	c := &cursor{buf: bufio.NewReaderSize(r, 64<<10)}
	if at, ok := r.(*io.SectionReader); ok {
		c.at = at
		c.jump(0)
	}
	return c
}

func (c *cursor) random() bool { return c.at != nil }

// jump goes to an absolute position of an archive that can be read at random.
func (c *cursor) jump(pos int64) {
	c.buf.Reset(io.NewSectionReader(c.at, pos, max(0, c.at.Size()-pos)))
	c.pos = pos
}

func (c *cursor) Read(p []byte) (int, error) {
	n, err := c.buf.Read(p)
	c.pos += int64(n)
	return n, err
}

func (c *cursor) ReadByte() (byte, error) {
	b, err := c.buf.ReadByte()
	if err == nil {
		c.pos++
	}
	return b, err
}

// A decoder reads the scalars of an archive. Its first error stays, and everything read after it is zero, so
// callers look at err once, at the end of what belongs together.
type decoder struct {
	c       *cursor
	intSize int
	offSize int
	left    int64 // bytes that may still be read: a bound on memory
	reserve unpack.Reserve
	err     error
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = fmt.Errorf("%w: at byte %d: %s", ErrFormat, d.c.pos, fmt.Sprintf(format, args...))
	}
}

// check keeps an error of the reader; the end of the archive is never a good one here.
func (d *decoder) check(err error) bool {
	switch {
	case d.err != nil:
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		d.fail("the archive ends too early")
	case err != nil:
		d.err = err
	}
	return d.err == nil
}

// keep asks for the memory of what has been read.
func (d *decoder) keep(n int64) {
	if d.err == nil && d.reserve != nil {
		d.err = d.reserve(n)
	}
}

// spend takes n bytes from what may still be read.
func (d *decoder) spend(n int64) bool {
	if d.left -= n; d.left < 0 {
		d.fail("more than %d bytes of contents", MaxTOC)
	}
	return d.err == nil
}

func (d *decoder) byte() byte {
	if d.err != nil || !d.spend(1) {
		return 0
	}
	b, err := d.c.ReadByte()
	if !d.check(err) {
		return 0
	}
	return b
}

// unsigned reads size bytes, the lowest first.
func (d *decoder) unsigned(size int) uint64 {
	var v uint64
	for i := range size {
		b := uint64(d.byte())
		if i >= 8 {
			if b != 0 {
				d.fail("a number of more than 64 bits")
			}
			continue
		}
		v |= b << (8 * i)
	}
	return v
}

// int reads an integer: a byte for the sign, then the bytes of its absolute value.
func (d *decoder) int() int {
	negative := d.byte() != 0
	v := d.unsigned(d.intSize)
	if v > 1<<32 {
		d.fail("the integer %d is out of range", v)
		return 0
	}
	if negative {
		return -int(v)
	}
	return int(v)
}

// longString is how long a string is that takes more memory while it is read than others leave behind.
const longString = 1 << 20

// optional reads a string that may be absent: nil, which is not the same as empty.
func (d *decoder) optional() *string {
	n := d.int()
	if n < 0 || d.err != nil || !d.spend(int64(n)) {
		return nil
	}
	if n > longString {
		d.keep(2 * int64(n)) // the buffer that grows
	}
	// Read in pieces: memory grows with what is there, not with what a broken length promises.
	var b bytes.Buffer
	if _, err := io.CopyN(&b, d.c, int64(n)); !d.check(err) {
		return nil
	}
	s := b.String()
	return &s
}

func (d *decoder) string() string {
	if s := d.optional(); s != nil {
		return *s
	}
	return ""
}
