package platform

import (
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// newChecksum begins the checksum of a dump. It is a CRC, which costs next to nothing beside the transfer. It finds
// damage, not forgery.
func newChecksum() hash.Hash32 { return crc32.New(castagnoli) }

// shown is a checksum as the journal has it.
func shown(sum uint32) string { return fmt.Sprintf("crc32c:%08x", sum) }

// checksumOf reads the first size bytes of a file; what it has holes for is counted without being read. It fails when
// stop is closed.
func checksumOf(f *os.File, size int64, stop <-chan struct{}) (string, error) {
	var sum uint32
	buffer := make([]byte, min(size, 256<<10)) // uploads over rsync are many small files
	for at := int64(0); at < size; {
		from, to := at, size
		if size > int64(len(buffer)) { // in a small file, reading costs less than looking for holes
			var err error
			if from, to, err = safefile.NextData(f, at, size); err != nil {
				return "", fmt.Errorf("platform: read the dump back: %w", err)
			}
		}
		sum = withZeros(sum, from-at)
		for at = from; at < to; {
			select {
			case <-stop:
				return "", errClosing
			default:
			}
			n, err := f.ReadAt(buffer[:min(int64(len(buffer)), to-at)], at)
			sum = crc32.Update(sum, castagnoli, buffer[:n])
			if at += int64(n); err != nil && (err != io.EOF || at < to) {
				return "", fmt.Errorf("platform: read the dump back: %w", err)
			}
		}
	}
	return shown(sum), nil
}

// withZeros is the checksum of what sum is the checksum of, followed by n zeros: a CRC is a remainder of polynomials
// over GF(2), and each zero byte multiplies it by x to the 8th.
func withZeros(sum uint32, n int64) uint32 {
	power, factor := uint32(1)<<31, uint32(1)<<23 // 1, and x to the 8th: the highest bit is the lowest power
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			power = timesModulo(power, factor)
		}
		factor = timesModulo(factor, factor)
	}
	return ^timesModulo(power, ^sum)
}

// timesModulo multiplies two polynomials modulo Castagnoli's.
func timesModulo(a, b uint32) (product uint32) {
	for bit := uint32(1) << 31; bit > 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		if b&1 == 1 {
			b = b>>1 ^ crc32.Castagnoli
		} else {
			b >>= 1
		}
	}
	return product
}
