package pgarchive_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"testing"

	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// An archive is what a test writes: one machine has one pg_dump, and the versions before and after its own need
// tests too. Where this writes the version that the real pg_dump writes, the package's tests with real archives
// check both.
type archive struct {
	minor       int // version 1.minor
	server      string
	compression byte
	offsets     bool  // say where the data is
	order       []int // of the data, by entry id; nil: as in the table of contents
	intSize     int   // default 4
	entries     []entry
}

type entry struct {
	id                          int
	desc, tag, defn, drop, copy string
	namespace, owner            string
	tablespace, am              *string
	relkind                     byte
	deps                        []int
	data                        []byte // of a TABLE DATA entry
	blobs                       []blob // of a BLOBS entry
	offset                      int64  // a wrong one, in place of the right one
}

type blob struct {
	oid  int
	data []byte
}

func (e *entry) hasData() bool { return e.desc == "TABLE DATA" || e.desc == "BLOBS" }

type buffer struct {
	bytes.Buffer
	intSize int
}

func (b *buffer) int(v int) {
	sign := byte(0)
	if v < 0 {
		sign, v = 1, -v
	}
	b.WriteByte(sign)
	b.Write(binary.LittleEndian.AppendUint64(nil, uint64(v))[:b.intSize])
}

func (b *buffer) string(s string) {
	b.int(len(s))
	b.WriteString(s)
}

func (b *buffer) optional(s *string) {
	if s == nil {
		b.int(-1)
		return
	}
	b.string(*s)
}

// contents writes header and table of contents.
func (a *archive) contents(format byte, offsets map[int]int64) []byte {
	b := &buffer{intSize: 4}
	if a.intSize != 0 {
		b.intSize = a.intSize
	}
	b.WriteString("PGDMP")
	b.Write([]byte{1, byte(a.minor), 0, byte(b.intSize), 8, format})
	switch {
	case a.minor >= 15:
		b.WriteByte(a.compression)
	case a.compression == 1:
		b.int(-1) // the default level
	default:
		b.int(0)
	}
	for _, v := range []int{49, 13, 7, 9, 8, 115, 1} {
		b.int(v)
	}
	b.string("openchs")
	b.string(a.server)
	b.string("9.4.6")
	b.int(len(a.entries))
	for _, e := range a.entries {
		b.int(e.id)
		if e.hasData() {
			b.int(1)
		} else {
			b.int(0)
		}
		b.string("1259")
		b.string(strconv.Itoa(16384 + e.id))
		b.string(e.tag)
		b.string(e.desc)
		if a.minor >= 11 {
			b.int(2)
		}
		b.string(e.defn)
		b.string(e.drop)
		b.string(e.copy)
		b.string(e.namespace)
		b.optional(e.tablespace)
		if a.minor >= 14 {
			b.optional(e.am)
		}
		if a.minor >= 16 {
			b.int(int(e.relkind))
		}
		b.string(e.owner)
		b.string("false")
		for _, d := range e.deps {
			b.string(strconv.Itoa(d))
		}
		b.optional(nil)
		switch {
		case format != 1 && e.hasData():
			b.string(fmt.Sprintf("%d.dat", e.id))
		case format != 1:
			b.string("")
		case !e.hasData():
			b.WriteByte(3)
			b.Write(make([]byte, 8))
		case a.offsets:
			b.WriteByte(2)
			b.Write(binary.LittleEndian.AppendUint64(nil, uint64(offsets[e.id])))
		default:
			b.WriteByte(1)
			b.Write(make([]byte, 8))
		}
	}
	return b.Bytes()
}

// custom writes the archive in the custom format.
func (a *archive) custom(tb testing.TB) []byte {
	tb.Helper()
	offsets := map[int]int64{}
	head := len(a.contents(1, offsets)) // whatever the offsets are
	b := &buffer{intSize: 4}
	if a.intSize != 0 {
		b.intSize = a.intSize
	}
	for _, e := range a.inOrder() {
		offsets[e.id] = int64(head + b.Len())
		if e.offset != 0 {
			offsets[e.id] = e.offset
		}
		if e.desc == "BLOBS" {
			b.WriteByte(3)
			b.int(e.id)
			for _, blob := range e.blobs {
				b.int(blob.oid)
				a.chunks(tb, b, blob.data)
			}
			b.int(0)
			continue
		}
		b.WriteByte(1)
		b.int(e.id)
		a.chunks(tb, b, e.data)
	}
	return append(a.contents(1, offsets), b.Bytes()...)
}

// chunks writes a piece of data, compressed, in chunks that are small enough to be several.
func (a *archive) chunks(tb testing.TB, b *buffer, data []byte) {
	tb.Helper()
	var c bytes.Buffer
	var w io.WriteCloser
	var err error
	switch {
	case a.compression == 0 || len(data) == 0:
		c.Write(data)
	case a.compression == 1:
		w = zlib.NewWriter(&c)
	case a.compression == 2:
		w = lz4.NewWriter(&c)
	case a.compression == 3:
		w, err = zstd.NewWriter(&c, zstd.WithEncoderConcurrency(1))
	}
	if w != nil && err == nil {
		_, err = w.Write(data)
		if err == nil {
			err = w.Close()
		}
	}
	if err != nil {
		tb.Fatal(err)
	}
	for c.Len() > 0 {
		chunk := c.Next(7)
		b.int(len(chunk))
		b.Write(chunk)
	}
	b.int(0)
}

// tar writes the archive in the tar format.
func (a *archive) tar(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	member := func(name string, data []byte) {
		if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(len(data)), Mode: 0o600,
			Format: tar.FormatUSTAR}); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			tb.Fatal(err)
		}
	}
	member("toc.dat", a.contents(3, nil))
	for _, e := range a.inOrder() {
		if e.desc != "BLOBS" {
			member(fmt.Sprintf("%d.dat", e.id), e.data)
			continue
		}
		list := ""
		for _, blob := range e.blobs {
			member(fmt.Sprintf("blob_%d.dat", blob.oid), blob.data)
			list += fmt.Sprintf("%d blob_%d.dat\n", blob.oid, blob.oid)
		}
		name := "blobs.toc"
		if a.minor >= 16 {
			name = fmt.Sprintf("blobs_%d.toc", e.id)
		}
		member(name, []byte(list))
	}
	member("restore.sql", []byte("-- not for us\n"))
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// inOrder returns the entries with data in the order in which their data is written; what order leaves out has none.
func (a *archive) inOrder() (all []entry) {
	if a.order == nil {
		for _, e := range a.entries {
			if e.hasData() {
				all = append(all, e)
			}
		}
	}
	for _, id := range a.order {
		for _, e := range a.entries {
			if e.id == id {
				all = append(all, e)
			}
		}
	}
	return all
}
