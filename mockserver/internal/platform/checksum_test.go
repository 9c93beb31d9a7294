package platform

import (
	"bytes"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// The checksum of a file with holes is that of its bytes.
func TestChecksumOf(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 5_000_001
	want := make([]byte, size)
	for at, data := range map[int]string{0: "begin", 1_000_000: "middle",
		4_000_000: string(bytes.Repeat([]byte("abc"), 100_000)), size - 3: "end"} {
		copy(want[at:], data)
		if _, err := f.WriteAt([]byte(data), int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int64{0, 1, 5, 6, 999_999, 1_000_003, 4_100_000, size} {
		got, err := checksumOf(f, n, nil)
		if err != nil || got != shown(crc32.Checksum(want[:n], castagnoli)) {
			t.Errorf("%d bytes: %s, %v", n, got, err)
		}
	}
	stop := make(chan struct{})
	close(stop)
	if _, err := checksumOf(f, size, stop); !errors.Is(err, errClosing) {
		t.Errorf("it was not stopped: %v", err)
	}
}
