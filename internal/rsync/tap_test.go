package rsync_test

import (
	"encoding/binary"
	"testing"
)

// dataRuns reads what a server has sent for a download, up to where it was cut, and returns the lengths of the runs
// of file data, as far as they were sent. The owners take so many bytes of an entry. It is written anew: an error in
// how the engines write would be right twice.
func dataRuns(t *testing.T, b []byte, owners int) (runs []int) {
	t.Helper()
	if len(b) < 8 {
		return nil
	}
	b = b[8:] // version and seed
	var data []byte
	for len(b) >= 4 {
		head := binary.LittleEndian.Uint32(b)
		b = b[4:]
		n := min(int(head&0xffffff), len(b))
		if head>>24 == 7 {
			data = append(data, b[:n]...)
		}
		b = b[n:]
	}
	number := func() (int32, bool) {
		if len(data) < 4 {
			return 0, false
		}
		n := int32(binary.LittleEndian.Uint32(data))
		data = data[4:]
		return n, true
	}
	skip := func(n int) { data = data[min(n, len(data)):] }
	for len(data) > 0 && data[0] != 0 { // an entry: flags, name, size, time, mode, and perhaps the owner
		skip(1)
		n, _ := number()
		skip(int(n) + 4 + 4 + 4 + owners)
	}
	skip(1 + owners + 4)
	for {
		if index, ok := number(); !ok || index == -1 {
			return runs
		}
		skip(16)
		for {
			n, ok := number()
			if !ok {
				return runs
			}
			if n == 0 {
				break
			}
			if n > 0 {
				runs = append(runs, min(int(n), len(data)))
				skip(int(n))
			}
		}
		skip(16)
	}
}
