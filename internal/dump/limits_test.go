package dump_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
)

// allocated returns how many bytes f allots, all in all. Tests that use it are not parallel.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// A gigantic dump costs Sniff no more than its bounds: it does not look at the rest.
func TestSniff_bounded(t *testing.T) {
	line := strings.Repeat("x", 4094) + "\n"
	huge := &pattern{head: "COPY t (a) FROM stdin;\n", every: line}
	var info dump.Info
	if n := allocated(func() { info = dump.Sniff(huge, math.MaxInt64) }); n > 4<<20 {
		t.Errorf("%d bytes allotted", n)
	}
	if diff := cmp.Diff(dump.Info{Compressions: []string{"sql"}}, info); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if huge.read < 100<<20 || huge.read > 300<<20 {
		t.Errorf("%d bytes read, want some 256 MiB", huge.read)
	}
}

// pattern is an endless file: a head, then the same again and again.
type pattern struct {
	head, every string
	read        int64
}

func (p *pattern) ReadAt(b []byte, off int64) (int, error) {
	p.read += int64(len(b))
	n := 0
	if off < int64(len(p.head)) {
		n = copy(b, p.head[off:])
	}
	for n < len(b) {
		n += copy(b[n:], p.every[(off+int64(n)-int64(len(p.head)))%int64(len(p.every)):])
	}
	return n, nil
}

// Bombs: small files that become large ones.
func TestSniff_bombs(t *testing.T) {
	for name, tt := range map[string]struct {
		in   []byte
		want []string
	}{
		"gzip": {bomb(t, "--", '-'), []string{"gzip", "sql"}},
		// A zip has to be spooled, and this one is larger than what is.
		"gzip of a zip": {bomb(t, "PK\x03\x04", 0), []string{"gzip", "zip"}},
		// "xz" that asks for 4 GiB of memory at once.
		"xz": {[]byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x28\x00\x00\x00\xdf\x7a\x00\x1c"),
			[]string{"xz"}},
	} {
		var info dump.Info
		if n := allocated(func() { info = sniff(tt.in) }); n > 16<<20 {
			t.Errorf("%s: %d bytes allotted", name, n)
		}
		if diff := cmp.Diff(dump.Info{Compressions: tt.want}, info); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// bomb is a gzip of a head and 72 MiB of one byte, made of many small gzips.
func bomb(t *testing.T, head string, fill byte) []byte {
	t.Helper()
	mebibyte := packed(t, string(bytes.Repeat([]byte{fill}, 1<<20)), "gzip")
	return []byte(packed(t, head, "gzip") + strings.Repeat(mebibyte, 72))
}

// A zip's directory is read only up to a bound.
func TestSQL_zipDirectory(t *testing.T) {
	t.Parallel()
	const size = 1 << 40
	end := append([]byte("PK\x05\x06"), make([]byte, 18)...)
	binary.LittleEndian.PutUint16(end[8:], 0xffff)
	binary.LittleEndian.PutUint16(end[10:], 0xffff)
	binary.LittleEndian.PutUint32(end[12:], math.MaxUint32-1)
	binary.LittleEndian.PutUint32(end[16:], 4096)
	entry := append([]byte("PK\x01\x02"), make([]byte, 42)...)
	file := &zipFile{size: size, end: end, entries: pattern{every: string(entry)}}
	_, err := openSQL(t.Context(), file, size)
	if !errors.Is(err, dump.ErrNotSQL) {
		t.Errorf("error %v, want ErrNotSQL", err)
	}
	if file.entries.read > 80<<20 {
		t.Errorf("%d bytes of the directory read, want at most 64 MiB", file.entries.read)
	}
}

// zipFile is a zip of a local header, endless directory entries, and an end.
type zipFile struct {
	size    int64
	end     []byte
	entries pattern
}

func (z *zipFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := z.entries.ReadAt(b, off)
	if off < 4 {
		copy(b, "PK\x03\x04"[off:])
	}
	if from := z.size - int64(len(z.end)) - off; from < int64(len(b)) {
		copy(b[from:], z.end)
		return int(min(int64(n), z.size-off)), io.EOF
	}
	return n, err
}

// A table of any size goes through the same buffers.
func TestSQL_memoryStaysFlat(t *testing.T) {
	// The real archive with the data block of its first table made huge: from its table of contents on, chunks
	// without end.
	real := fixtures.Dump("openchs.stored.cdump")
	block := bytes.Index(real, append([]byte{1}, chunkHead(3407)...)) // the entry of a table
	if block < 0 {
		t.Fatal("no data block 3407: the fixtures have been made again; put the entry of a table here (pg_restore -l)")
	}
	const chunk = 64 << 10
	huge := &pattern{
		head:  string(real[:block+6]),
		every: string(chunkHead(chunk)) + strings.Repeat(strings.Repeat("x", 127)+"\n", chunk/128),
	}
	r, err := openSQL(t.Context(), huge, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n := allocated(func() {
		if n, err := io.CopyN(io.Discard, r, 256<<20); err != nil {
			t.Errorf("%d bytes, then %v", n, err)
		}
	}); n > 2<<20 {
		t.Errorf("%d bytes allotted for 256 MiB of SQL", n)
	}
}

// chunkHead is a positive integer as archives have it.
func chunkHead(n uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0}, n)
}
