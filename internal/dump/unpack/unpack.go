// Package unpack reads compressed streams of every method that dumps come in, and has the memory that a stream
// asks for granted before it is allotted.
package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// A Method is a way to compress.
type Method string

// The methods that are known.
const (
	Gzip      Method = "gzip"
	Bzip2     Method = "bzip2"
	XZ        Method = "xz"
	Zstd      Method = "zstd"
	LZ4       Method = "lz4"
	Zlib      Method = "zlib"      // RFC 1950
	Deflate   Method = "deflate"   // RFC 1951, without any header
	Deflate64 Method = "deflate64" // as zip has it: Deflate with a window of 64 KiB
	LZMA      Method = "lzma"      // as zip has it: version, size of the properties, properties, and the data
)

// Reserve grants n more bytes of memory to a decoder, or says why not. Nil grants everything.
type Reserve func(n int64) error

// What the decoders take that have no window to ask for, with the buffers of their packages.
const (
	flateMemory = 64 << 10
	bzip2Memory = 5 << 20
	lz4Block    = 4 << 20 // the largest of a frame
	lz4Legacy   = 8 << 20 // every block of a legacy frame
)

// ErrMethod: the method is not known.
var ErrMethod = errors.New("unknown compression method")

// New returns a reader of what r unpacks to. It reads r ahead, and starts no goroutine. An error of reserve comes
// from New or from Read, as it is.
func New(m Method, r io.Reader, reserve Reserve) (io.Reader, error) {
	if reserve == nil {
		reserve = func(int64) error { return nil }
	}
	in, ok := r.(*bufio.Reader)
	if !ok {
		in = bufio.NewReaderSize(r, 16<<10)
	}
	switch m {
	case Gzip, Zlib, Deflate:
		if err := reserve(flateMemory); err != nil {
			return nil, err
		}
		switch m {
		case Gzip:
			return gzip.NewReader(in)
		case Zlib:
			return zlib.NewReader(in)
		}
		return flate.NewReader(in), nil
	case Deflate64:
		if err := reserve(deflate64Memory); err != nil {
			return nil, err
		}
		return newDeflate64(in), nil
	case Bzip2:
		if err := reserve(bzip2Memory); err != nil {
			return nil, err
		}
		return bzip2.NewReader(in), nil
	case XZ:
		return newXZ(in, reserve)
	case Zstd:
		return newZstd(in, reserve)
	case LZ4:
		return newLZ4(in, reserve)
	case LZMA:
		return newLZMA(in, reserve)
	}
	return nil, fmt.Errorf("%w %q", ErrMethod, m)
}

func newLZ4(in *bufio.Reader, reserve Reserve) (io.Reader, error) {
	block := int64(lz4Block)
	if head, _ := in.Peek(4); len(head) == 4 && binary.LittleEndian.Uint32(head) == lz4LegacyMagic {
		block = lz4Legacy
	}
	if err := reserve(2*block + 1<<20); err != nil { // a block packed and one unpacked
		return nil, err
	}
	return lz4.NewReader(in), nil
}

// newLZMA reads LZMA as a zip has it (APPNOTE 5.8.8) by giving it the header of a file of its own, where the size
// is not known: the data ends with a mark, or with the bytes.
func newLZMA(in *bufio.Reader, reserve Reserve) (io.Reader, error) {
	var head [4 + 5]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, fmt.Errorf("lzma: %w", err)
	}
	if size := binary.LittleEndian.Uint16(head[2:]); size != 5 {
		return nil, fmt.Errorf("lzma: properties of %d bytes, want 5", size)
	}
	dictionary := max(int64(binary.LittleEndian.Uint32(head[5:])), lzma.MinDictCap)
	if err := reserve(dictionary); err != nil {
		return nil, err
	}
	header := append(head[4:9:9], 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	return lzma.ReaderConfig{DictCap: int(dictionary)}.NewReader(io.MultiReader(bytes.NewReader(header), in))
}
