package dump

import (
	"bufio"
	"fmt"
	"io"

	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// maxWindow bounds the memory that a compressed stream may ask for; "xz -9" asks for 64 MiB.
const maxWindow = 128 << 20

// newXZ reads an xz stream. The package allots at once the whole dictionary that a block asks for, up to 4 GiB, so the
// first block is asked before; blocks of one file ask for the same.
func newXZ(r io.Reader) (io.Reader, error) {
	buf := bufio.NewReader(r)
	// The stream's header is 12 bytes, a block's at most 1024.
	head, _ := buf.Peek(12 + 1024)
	if size := xzDictionary(head); size > maxWindow {
		return nil, fmt.Errorf("it asks for a dictionary of %d bytes, more than %d", size, maxWindow)
	}
	return xz.NewReader(buf)
}

// xzDictionary returns what the first block of an xz file asks for, 0 where that cannot be told (section 3.1 of the xz file
// format: size, flags, sizes when the flags say so, then the filters, of which LZMA2 has the id 0x21 and one byte).
func xzDictionary(head []byte) int64 {
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
