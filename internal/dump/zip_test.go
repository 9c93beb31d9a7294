package dump_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/ulikunitz/xz/lzma"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// methodZip is a zip of dump.sql, whose bytes are packed already, with a method and flags of choice.
func methodZip(method, flags uint16, content, data string) []byte {
	var b []byte
	put16 := func(v ...uint16) {
		for _, v := range v {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
	}
	put32 := func(v ...uint32) {
		for _, v := range v {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
	}
	const name = "dump.sql"
	common := func() {
		put16(63, flags, method, 0, 33)
		put32(crc32.ChecksumIEEE([]byte(content)), uint32(len(data)), uint32(len(content)))
		put16(uint16(len(name)), 0)
	}
	b = append(b, "PK\x03\x04"...)
	common()
	b = append(b, name+data...)
	directory := len(b)
	b = append(b, "PK\x01\x02?\x03"...)
	common()
	put16(0, 0, 0)
	put32(0, 0)
	b = append(b, name...)
	size := len(b) - directory
	b = append(b, "PK\x05\x06"...)
	put16(0, 0, 1, 1)
	put32(uint32(size), uint32(directory))
	put16(0)
	return b
}

// Members of zips are read with every method that has a package to read it.
func TestSQL_zipMethods(t *testing.T) {
	t.Parallel()
	sql := string(fixtures.Dump("openchs.sql"))
	withLZMA := func() string {
		var b bytes.Buffer
		w, err := lzma.WriterConfig{EOSMarker: true}.NewWriter(&b)
		if err == nil {
			_, err = io.WriteString(w, sql)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		classic := b.String() // properties, 8 bytes of size, data
		return "\x09\x14\x05\x00" + classic[:5] + classic[13:]
	}
	for name, b := range map[string][]byte{
		"bzip2":            methodZip(12, 0, sql, bzipped(t, sql)),
		"LZMA":             methodZip(14, 2, sql, withLZMA()),
		"zstd":             methodZip(93, 0, sql, packed(t, sql, "zstd")),
		"zstd, at first":   methodZip(20, 0, sql, packed(t, sql, "zstd")),
		"xz":               methodZip(95, 0, sql, packed(t, sql, "xz")),
		"Deflate64, 7-Zip": testdata(t, "deflate64.zip"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := sql
			if strings.HasPrefix(name, "Deflate64") {
				want = "" // of another day; its checksum says that it is whole
			}
			if got := readSQL(t, b); want != "" && got != want || len(got) < 40_000 {
				t.Errorf("%d bytes of SQL, want %d", len(got), len(want))
			}
			info := dump.Info{Compressions: []string{"zip", "sql"}, PostgreSQL: "15", DatabaseVersion: "8.0",
				DatabaseUUID: "5c5ff0f6-56c4-11e5-9b25-3c970e9d8d32"}
			if diff := cmp.Diff(info, sniff(b)); diff != "" {
				t.Errorf("Sniff (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("as Python packs them", func(t *testing.T) {
		t.Parallel()
		python := testprog.Need(t, "python3", "python3")
		for _, method := range []string{"ZIP_STORED", "ZIP_DEFLATED", "ZIP_BZIP2", "ZIP_LZMA"} {
			file := filepath.Join(t.TempDir(), "python.zip")
			filter(t, sql, python, "-c", `import sys, zipfile
with zipfile.ZipFile(sys.argv[1], "w", getattr(zipfile, sys.argv[2])) as z:
    z.writestr("README", "hello")
    z.writestr("a/dump", sys.stdin.read())`, file, method)
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(sql, readSQL(t, b)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", method, diff)
			}
		}
	})
}
