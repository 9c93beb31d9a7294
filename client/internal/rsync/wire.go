package rsync

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

const (
	// version is the protocol that is spoken: every server since rsync 2.6 has it, and numbers in it have a fixed
	// size.
	version     = 27
	leastServer = 27
	mostServer  = 255

	// maxRun is the longest run of literal bytes that is sent (row S5.17).
	maxRun = 32 << 10

	done = -1 // in place of a file's index: the end of a phase
)

// A Stream is a connection to an rsync server.
type Stream struct {
	R io.Reader
	W io.Writer
}

// conn reads and writes the protocol's numbers. Errors of writing stay, and are returned by flush.
type conn struct {
	in   *bufio.Reader
	mux  bool   // whether what comes is in frames, among which are messages
	left uint32 // bytes of the frame of data that is being read
	out  *bufio.Writer
	said *messages

	shared bool // whether another goroutine writes, which then flushes
	seed   [4]byte
}

// open exchanges versions and reads the seed of the checksums.
func open(s Stream, said *messages) (*conn, error) {
	c := &conn{out: bufio.NewWriterSize(s.W, 64<<10), said: said}
	c.in = bufio.NewReaderSize(flushingReader{c, s.R}, 64<<10)
	c.putInt(version)
	head, err := c.in.Peek(4)
	if len(head) == 0 && err != nil {
		return nil, noEOF(err)
	}
	server, err := c.int()
	if err != nil {
		return nil, err
	}
	if server < leastServer || server > mostServer {
		return nil, transfer.Contradiction("the other end does not speak rsync: it began with %q", head)
	}
	if _, err := io.ReadFull(c, c.seed[:]); err != nil {
		return nil, noEOF(err)
	}
	c.mux = true
	return c, nil
}

// Read reads data. Messages between it go to c.said.
func (c *conn) Read(p []byte) (int, error) {
	if !c.mux {
		return c.in.Read(p)
	}
	for c.left == 0 {
		var raw [4]byte
		if _, err := io.ReadFull(c.in, raw[:]); err != nil {
			return 0, err
		}
		head := binary.LittleEndian.Uint32(raw[:])
		code, n := int(head>>24)-7, head&0xffffff
		switch {
		case code == 0:
			c.left = n
		case code < 0:
			return 0, transfer.Contradiction("a frame begins with %q, which is no head of rsync's", raw[:])
		default:
			text := make([]byte, min(n, 4<<10))
			if _, err := io.ReadFull(c.in, text); err != nil {
				return 0, err
			}
			if _, err := c.in.Discard(int(n) - len(text)); err != nil {
				return 0, err
			}
			if code <= 4 || code == 8 { // errors, information, warnings
				c.said.add(string(text))
			}
		}
	}
	n, err := c.in.Read(p[:min(len(p), int(c.left))])
	c.left -= uint32(n)
	return n, err
}

// flushingReader flushes what is written before it waits for what answers it, unless another goroutine writes.
type flushingReader struct {
	c *conn
	r io.Reader
}

func (r flushingReader) Read(p []byte) (int, error) {
	if !r.c.shared {
		if err := r.c.flush(); err != nil {
			return 0, err
		}
	}
	return r.r.Read(p)
}

func (c *conn) int() (int32, error) {
	var raw [4]byte
	if _, err := io.ReadFull(c, raw[:]); err != nil {
		return 0, noEOF(err)
	}
	return int32(binary.LittleEndian.Uint32(raw[:])), nil
}

// long reads a number that has four bytes where they suffice.
func (c *conn) long() (int64, error) {
	short, err := c.int()
	if err != nil || short != -1 {
		return int64(short), err
	}
	var raw [8]byte
	if _, err := io.ReadFull(c, raw[:]); err != nil {
		return 0, noEOF(err)
	}
	return int64(binary.LittleEndian.Uint64(raw[:])), nil
}

func (c *conn) byte() (byte, error) {
	var raw [1]byte
	_, err := io.ReadFull(c, raw[:])
	return raw[0], noEOF(err)
}

func (c *conn) text(n int) (string, error) {
	raw := make([]byte, n)
	_, err := io.ReadFull(c, raw)
	return string(raw), noEOF(err)
}

// The put methods write into the buffer. Their errors come from flush.

func (c *conn) putInt(v int32) {
	var raw [4]byte
	binary.LittleEndian.PutUint32(raw[:], uint32(v))
	_, _ = c.out.Write(raw[:])
}

func (c *conn) putLong(v int64) {
	if v >= 0 && v < 1<<31-1 {
		c.putInt(int32(v))
		return
	}
	c.putInt(-1)
	var raw [8]byte
	binary.LittleEndian.PutUint64(raw[:], uint64(v))
	_, _ = c.out.Write(raw[:])
}

func (c *conn) flush() error { return c.out.Flush() }

// noEOF returns err, and io.ErrUnexpectedEOF for io.EOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// messages are the last lines that the server said.
type messages struct{ lines []string }

const maxMessages = 8

func (m *messages) add(text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			m.lines = append(m.lines, line)
		}
	}
	if extra := len(m.lines) - maxMessages; extra > 0 {
		m.lines = m.lines[extra:]
	}
}

func (m *messages) String() string { return strings.Join(m.lines, "; ") }
