package pgarchive

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// highWater grants to one decoder after the other what the largest of them takes. Only one of them is in use at a
// time.
func highWater(reserve unpack.Reserve, granted *int64) unpack.Reserve {
	var used int64
	return func(n int64) error {
		if more := used + n - *granted; more > 0 {
			if err := reserve(more); err != nil {
				return err
			}
			*granted += more
		}
		used += n
		return nil
	}
}

// decompress reads one piece of data of a custom-format archive. A piece with no bytes at all is empty, whatever the
// method.
func decompress(c Compression, r io.Reader, reserve unpack.Reserve) (io.Reader, error) {
	if c == None {
		return r, nil
	}
	buf := bufio.NewReader(r)
	if _, err := buf.Peek(1); errors.Is(err, io.EOF) {
		return eof{}, nil
	}
	method, ok := map[Compression]unpack.Method{Gzip: unpack.Zlib, LZ4: unpack.LZ4, Zstd: unpack.Zstd}[c]
	if !ok {
		return nil, fmt.Errorf("%w: unknown compression method %d", ErrFormat, c)
	}
	unpacked, err := unpack.New(method, buf, reserve)
	if err != nil {
		return nil, fmt.Errorf("%w: compressed data: %w", ErrFormat, err)
	}
	return unpacked, nil
}
