//go:build !linux

package safefile

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// NextData returns where the next bytes of f are that are not zeros, at or behind the offset and before n, in
// pieces; from is n when there are none.
func NextData(f *os.File, at, n int64) (from, to int64, err error) {
	const piece = 64 << 10
	var buf, zeros [piece]byte
	for ; at < n; at += piece {
		got, err := f.ReadAt(buf[:min(piece, n-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		if !bytes.Equal(buf[:got], zeros[:got]) {
			return at, at + int64(got), nil
		}
		if err != nil {
			break
		}
	}
	return n, n, nil
}
