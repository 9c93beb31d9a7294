package unpack

import (
	"bufio"
	"fmt"
	"io"

	"github.com/mikelolasagasti/xz"
	"github.com/ulikunitz/xz/lzma"
)

// xzDictionary is what a stream may always ask for, as "xz" does by default: blocks behind the first may
// ask for more than that one.
const xzDictionary = 8 << 20

// newXZ reads an xz file, of any filters. A block says how large a dictionary it wants, and all of it is allotted at
// once, so the first block is asked before; blocks of one file ask for the same, unless files were put
// behind each other.
func newXZ(in *bufio.Reader, reserve Reserve) (io.Reader, error) {
	// The stream's header is 12 bytes, a block's at most 1024.
	head, _ := in.Peek(12 + 1024)
	size := max(firstDictionary(head), xzDictionary)
	if err := reserve(size); err != nil {
		return nil, err
	}
	r, err := xz.NewReader(in, uint32(min(size, 1<<32-1)))
	if err != nil {
		return nil, fmt.Errorf("xz: %w", noEOF(err))
	}
	return r, nil
}

// firstDictionary returns what the first block of an xz file asks for, 0 where that is not known (section 3.1 of
// the xz file format: size, flags, sizes when the flags say so, then the filters, of which LZMA2 has the id 0x21 and
// one byte).
func firstDictionary(head []byte) int64 {
	if len(head) < 14 || head[12] == 0 {
		return 0
	}
	const hasCompressedSize, hasUncompressedSize = 0x40, 0x80
	flags, rest := head[13], head[14:]
	number := func() (v uint64) {
		for shift := 0; len(rest) > 0 && shift < 63; shift += 7 {
			b := rest[0]
			rest = rest[1:]
			v |= uint64(b&0x7f) << shift
			if b < 0x80 {
				break
			}
		}
		return v
	}
	if flags&hasCompressedSize != 0 {
		number()
	}
	if flags&hasUncompressedSize != 0 {
		number()
	}
	for range flags&3 + 1 {
		id, size := number(), number()
		if size > uint64(len(rest)) {
			return 0
		}
		if id == 0x21 && size == 1 {
			if dictionary, err := lzma.DecodeDictCap(rest[0]); err == nil {
				return dictionary
			}
		}
		rest = rest[size:]
	}
	return 0
}
