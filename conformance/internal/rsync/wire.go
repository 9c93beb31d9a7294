package rsync

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// protocol is the version that is spoken: each server from 3.0 on knows it.
const protocol = 27

// The tags of the frames in which a server sends: data, and messages for people.
const (
	frameData = 7 + iota
	frameErrorXfer
	frameInfo
	frameError
	frameWarning
)

// Bounds of what is read.
const (
	maxMessage  = 8 << 10
	maxMessages = 20
	maxIdle     = 10_000 // frames without data, one behind the other
	maxName     = 4096
	maxNames    = 16 << 20
	maxEntries  = 100_000
	maxOwners   = 10_000
	maxBlocks   = 1 << 17
	maxRun      = 64 << 20
)

// done stands in place of a file's number where there are no more.
const done = -1

// conn is one conversation. The first error stays: after it, what is read is zero, and nothing is written.
type conn struct {
	in       *bufio.Reader
	out      *bufio.Writer
	framed   bool // the server's frames have begun
	left     int  // bytes of the frame that is being read
	seed     uint32
	version  int
	messages []string
	err      error
}

func newConn(stream io.ReadWriter) *conn {
	return &conn{in: bufio.NewReaderSize(stream, 64<<10), out: bufio.NewWriterSize(stream, 64<<10)}
}

func (c *conn) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// lost is what is wrong with a stream that ended with err.
func (c *conn) lost(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		c.fail("the server ended the stream in the middle")
		return
	}
	c.fail("the stream ended: %w", err)
}

// greet sends the arguments that did not come by the command line, if any, and agrees on the version.
func (c *conn) greet(args []string) {
	if args != nil {
		c.put([]byte("rsync\x00" + strings.Join(args, "\x00") + "\x00\x00"))
	}
	c.putInt(protocol)
	c.flush()
	if c.version = int(c.int()); c.err == nil && c.version < protocol {
		c.fail("the server speaks version %d of the protocol; every client needs %d", c.version, protocol)
	}
	c.seed = uint32(c.int())
	c.framed = true
}

func (c *conn) put(p []byte) {
	if c.err == nil {
		if _, err := c.out.Write(p); err != nil {
			c.lost(err)
		}
	}
}

func (c *conn) putByte(b byte) { c.put([]byte{b}) }

func (c *conn) putInt(v int32) { c.put(binary.LittleEndian.AppendUint32(nil, uint32(v))) }

func (c *conn) putLong(v int64) {
	if v>>31 == 0 {
		c.putInt(int32(v))
		return
	}
	c.putInt(-1)
	c.put(binary.LittleEndian.AppendUint64(nil, uint64(v)))
}

func (c *conn) flush() {
	if c.err == nil {
		if err := c.out.Flush(); err != nil {
			c.lost(err)
		}
	}
}

// read fills p with the server's data, and keeps the messages between.
func (c *conn) read(p []byte) {
	for len(p) > 0 && c.err == nil {
		n := len(p)
		if c.framed {
			for idle := 0; c.left == 0 && c.err == nil; idle++ {
				if c.frame(); idle > maxIdle {
					c.fail("the server sends messages without end")
				}
			}
			n = min(n, c.left)
		}
		if c.err != nil {
			break
		}
		if _, err := io.ReadFull(c.in, p[:n]); err != nil {
			c.lost(err)
			break
		}
		if c.framed {
			c.left -= n
		}
		p = p[n:]
	}
	if c.err != nil {
		clear(p)
	}
}

// frame reads the head of the next frame of data. Frames of messages before it are read whole.
func (c *conn) frame() {
	var head [4]byte
	if _, err := io.ReadFull(c.in, head[:]); err != nil {
		c.lost(err)
		return
	}
	v := binary.LittleEndian.Uint32(head[:])
	tag, n := int(v>>24), int(v&0xFFFFFF)
	switch {
	case tag == frameData:
		c.left = n
		return
	case tag > frameWarning || tag < frameData:
		c.fail("the server sent a frame of an unknown kind, %d", tag-frameData)
		return
	}
	text := make([]byte, min(n, maxMessage))
	if _, err := io.ReadFull(c.in, text); err != nil {
		c.lost(err)
		return
	}
	if _, err := c.in.Discard(n - len(text)); err != nil {
		c.lost(err)
		return
	}
	if len(c.messages) < maxMessages {
		c.messages = append(c.messages, strings.ToValidUTF8(strings.TrimSpace(string(text)), "\uFFFD"))
	}
}

func (c *conn) byte() byte {
	var b [1]byte
	c.read(b[:])
	return b[0]
}

func (c *conn) int() int32 {
	var b [4]byte
	c.read(b[:])
	return int32(binary.LittleEndian.Uint32(b[:]))
}

func (c *conn) long() int64 {
	if v := c.int(); v != -1 || c.err != nil {
		return int64(v)
	}
	var b [8]byte
	c.read(b[:])
	return int64(binary.LittleEndian.Uint64(b[:]))
}

// bytes reads n bytes, which the caller has bounded.
func (c *conn) bytes(n int) []byte {
	b := make([]byte, n)
	c.read(b)
	return b
}
