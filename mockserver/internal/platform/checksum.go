package platform

import (
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newChecksum begins the checksum of a dump. It is a CRC, which costs next to nothing beside the transfer; it tells apart what was damaged, not
// what somebody forged.
func newChecksum() hash.Hash32 { return crc32.New(castagnoli) }

// shown is a checksum as the journal has it.
func shown(sum hash.Hash32) string { return fmt.Sprintf("crc32c:%08x", sum.Sum32()) }

// checksumOf reads the first size bytes of a file.
func checksumOf(f io.ReaderAt, size int64) (string, error) {
	sum := newChecksum()
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, struct{ io.Reader }{io.NewSectionReader(f, 0, size)}, make([]byte, 256<<10))
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return "", fmt.Errorf("platform: read the dump back: %w", err)
	}
	return shown(sum), nil
}
