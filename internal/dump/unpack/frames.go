package unpack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	zstdMagic      = 0xfd2fb528
	lz4Magic       = 0x184d2204
	lz4LegacyMagic = 0x184c2102
	// Both formats share the frames that decoders pass over: 16 magic numbers, and the size behind them.
	skippableMagic = 0x184d2a50
	// zstdHeader is the longest header of a frame.
	zstdHeader = 18
	// zstdRoom is what a decoder takes beside the window: two blocks, and tables.
	zstdRoom = 1 << 20
)

// Skippable returns how long the skippable frame is that head begins with, as pzstd writes one first; 0 where head
// begins with something else.
func Skippable(head []byte) int64 {
	if len(head) < 8 || binary.LittleEndian.Uint32(head)&^0xf != skippableMagic {
		return 0
	}
	return 8 + int64(binary.LittleEndian.Uint32(head[4:]))
}

// Recognize returns the method of a stream that begins with head; empty where it is none of those that have a
// magic number.
func Recognize(head []byte) Method {
	for _, m := range []struct {
		magic  string
		method Method
	}{{"\x1f\x8b\x08", Gzip}, {"BZh", Bzip2}, {"\xfd7zXZ\x00", XZ}} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.method
		}
	}
	if len(head) < 4 {
		return ""
	}
	switch binary.LittleEndian.Uint32(head) {
	case zstdMagic:
		return Zstd
	case lz4Magic, lz4LegacyMagic:
		return LZ4
	}
	return ""
}

// A zstdReader reads one frame after the other. Each asks for a window of its own, which is granted before the
// decoder sees the frame.
type zstdReader struct {
	in      *bufio.Reader
	reserve Reserve
	granted int64
	decoder *zstd.Decoder
	frame   *zstdFrame // nil: between two frames
}

func newZstd(in *bufio.Reader, reserve Reserve) (io.Reader, error) {
	z := &zstdReader{in: in, reserve: reserve}
	if err := z.next(); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return z, nil
}

func (z *zstdReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if z.frame == nil {
			if err := z.next(); err != nil {
				return 0, err
			}
		}
		n, err := z.decoder.Read(p)
		if errors.Is(err, io.EOF) {
			z.frame = nil
			err = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next goes to the next frame; io.EOF behind the last one.
func (z *zstdReader) next() error {
	for {
		head, err := z.in.Peek(zstdHeader)
		if len(head) == 0 {
			return err
		}
		if n := Skippable(head); n > 0 {
			if _, err := io.CopyN(io.Discard, z.in, n); err != nil {
				return fmt.Errorf("zstd: a skippable frame: %w", noEOF(err))
			}
			continue
		}
		var h zstd.Header
		if err := h.Decode(head); err != nil {
			return fmt.Errorf("zstd: %w", noEOF(err))
		}
		return z.begin(&h)
	}
}

func (z *zstdReader) begin(h *zstd.Header) error {
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	need := int64(min(window, 1<<50)) + zstdRoom
	if need > z.granted {
		if err := z.reserve(need - z.granted); err != nil {
			return err
		}
		z.granted = need
		// A decoder of its own for the larger window: the old one keeps its buffers. It works in the calling
		// goroutine, so there is nothing to close.
		decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(max(uint64(need), zstd.MinWindowSize)))
		if err != nil {
			return err
		}
		z.decoder = decoder
	}
	z.frame = &zstdFrame{in: z.in, left: h.HeaderSize, checksum: h.HasCheckSum}
	return z.decoder.Reset(z.frame)
}

// A zstdFrame reads the bytes of one frame (RFC 8878, 3.1.1): its header, its blocks, its checksum.
type zstdFrame struct {
	in       *bufio.Reader
	left     int  // bytes of the part that is being read
	last     bool // that is the last block
	checksum bool // one follows the last block
}

func (f *zstdFrame) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.left == 0 {
		if err := f.part(); err != nil {
			return 0, err
		}
	}
	n, err := f.in.Read(p[:min(len(p), f.left)])
	f.left -= n
	return n, noEOF(err)
}

// part goes to the next part of the frame; io.EOF behind the last one.
func (f *zstdFrame) part() error {
	if f.last {
		if !f.checksum {
			return io.EOF
		}
		f.checksum, f.left = false, 4
		return nil
	}
	head, err := f.in.Peek(3)
	if err != nil {
		return noEOF(err)
	}
	const repeated = 1 // a block of one byte, many times
	block := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
	f.last = block&1 != 0
	f.left = 3 + int(block>>3)
	if block>>1&3 == repeated {
		f.left = 3 + 1
	}
	return nil
}

// noEOF is err where the end of the input is an error.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
