package pgarchive

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// maxWindow bounds the memory that a zstd stream may ask for: 128 MiB is what pg_dump's option "long" asks for.
const maxWindow = 128 << 20

// decompress reads one piece of data of a custom-format archive. A piece with no bytes at all is empty, whatever the method.
func decompress(c Compression, r io.Reader) (io.Reader, error) {
	if c == None {
		return r, nil
	}
	buf := bufio.NewReader(r)
	if _, err := buf.Peek(1); errors.Is(err, io.EOF) {
		return eof{}, nil
	}
	switch c {
	case Gzip:
		z, err := zlib.NewReader(buf)
		return z, broken(err)
	case LZ4:
		return lz4.NewReader(buf), nil
	case Zstd:
		return newZstd(buf)
	}
	return nil, fmt.Errorf("%w: unknown compression method %d", ErrFormat, c)
}

// newZstd decodes in the calling goroutine, so there is nothing to close.
func newZstd(r io.Reader) (io.Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	return z, broken(err)
}

func broken(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: compressed data: %w", ErrFormat, err)
}
