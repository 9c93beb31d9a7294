package dump

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"iter"
	"math"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// Zips are read here entry by entry: archive/zip holds the whole directory, of which the filestore of a large database
// makes hundreds of megabytes. What the numbers mean is in PKWARE's APPNOTE.TXT.

// The numbers of zips.
var (
	short  = binary.LittleEndian.Uint16
	long   = binary.LittleEndian.Uint32
	longer = binary.LittleEndian.Uint64
)

// A zipEntry is an entry of a zip's directory.
type zipEntry struct {
	name          string
	flags, method uint16
	sum           uint32 // CRC-32
	packed, size  int64
	offset        int64 // of the local header
}

var errZip = errors.New("the directory of the zip is broken or cut off")

// zipEnd is the end record of a zip's directory: where that begins, how long it is, and how many bytes
// stand before the zip.
type zipEnd struct{ offset, size, before int64 }

func findZipEnd(at *io.SectionReader) (end zipEnd, err error) {
	const record, longestComment = 22, 1<<16 - 1
	tail := make([]byte, min(at.Size(), record+longestComment))
	from := at.Size() - int64(len(tail))
	if _, err := at.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return end, err
	}
	isEnd := func(i int) bool {
		return bytes.HasPrefix(tail[i:], []byte("PK\x05\x06")) && i+record+int(short(tail[i+20:])) <= len(tail)
	}
	i := len(tail) - record
	for i >= 0 && !isEnd(i) {
		i--
	}
	if i < 0 {
		return end, errZip
	}
	place := from + int64(i) // where the directory ends
	end.size, end.offset = int64(long(tail[i+12:])), int64(long(tail[i+16:]))
	// A zip64 has a record of its own, and a locator that stands right before this one.
	locator := make([]byte, 20)
	if n, _ := at.ReadAt(locator, place-20); place >= 20 && n == 20 && bytes.HasPrefix(locator, []byte("PK\x06\x07")) {
		record := make([]byte, 56)
		// The second place is that of a zip before which other bytes stand.
		for _, at64 := range []int64{int64(longer(locator[8:])), place - 20 - 56} {
			if n, _ := at.ReadAt(record, max(0, at64)); n == len(record) && bytes.HasPrefix(record, []byte("PK\x06\x06")) {
				end.size, end.offset = int64(longer(record[40:])), int64(longer(record[48:]))
				place = at64
				break
			}
		}
	}
	if end.size < 0 || end.offset < 0 || end.size > place || end.offset > place-end.size {
		return end, errZip
	}
	end.before = place - end.size - end.offset
	return end, nil
}

// zipEntries are the entries of the zip's directory, in its order. An error is the last.
func zipEntries(at *io.SectionReader) iter.Seq2[*zipEntry, error] {
	return func(yield func(*zipEntry, error) bool) {
		end, err := findZipEnd(at)
		if err != nil {
			yield(nil, err)
			return
		}
		directory := bufio.NewReaderSize(io.NewSectionReader(at, end.before+end.offset, end.size), 64<<10)
		var rest []byte
		for {
			if _, err := directory.Peek(1); errors.Is(err, io.EOF) {
				return
			}
			e, err := readZipEntry(directory, &rest)
			if err == nil {
				e.offset += end.before
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// readZipEntry reads the next entry, what is of no fixed length into buf.
func readZipEntry(r io.Reader, buf *[]byte) (*zipEntry, error) {
	var head [46]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, noEOF(err)
	}
	if !bytes.HasPrefix(head[:], []byte("PK\x01\x02")) {
		return nil, errZip
	}
	name, extra, comment := int(short(head[28:])), int(short(head[30:])), int(short(head[32:]))
	*buf = slices.Grow((*buf)[:0], name+extra+comment)
	rest := (*buf)[:name+extra+comment]
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, noEOF(err)
	}
	e := &zipEntry{
		name: string(rest[:name]), flags: short(head[8:]), method: short(head[10:]), sum: long(head[16:]),
		packed: int64(long(head[20:])), size: int64(long(head[24:])), offset: int64(long(head[42:])),
	}
	e.zip64(rest[name : name+extra])
	if e.packed < 0 || e.size < 0 || e.offset < 0 {
		return nil, errZip
	}
	return e, nil
}

// zip64 takes the numbers that did not fit from the extra fields.
func (e *zipEntry) zip64(extra []byte) {
	for len(extra) >= 4 {
		id, size := short(extra), int(short(extra[2:]))
		if extra = extra[4:]; size > len(extra) {
			return
		}
		field := extra[:size]
		extra = extra[size:]
		if id != 1 {
			continue
		}
		for _, number := range []*int64{&e.size, &e.packed, &e.offset} {
			if *number == math.MaxUint32 && len(field) >= 8 {
				*number = int64(longer(field))
				field = field[8:]
			}
		}
	}
}

// The methods that zips know.
var zipMethods = map[uint16]struct {
	name   string
	method unpack.Method // empty: this package cannot read it
}{
	1: {"Shrink", ""}, 6: {"Implode", ""}, 8: {"Deflate", unpack.Deflate}, 9: {"Deflate64", unpack.Deflate64},
	12: {"bzip2", unpack.Bzip2}, 14: {"LZMA", unpack.LZMA}, 20: {"zstd", unpack.Zstd}, 93: {"zstd", unpack.Zstd},
	95: {"xz", unpack.XZ}, 98: {"PPMd", ""},
}

// source is where the bytes of the entry are. They are compared with their checksum at the end.
func (e *zipEntry) source(zip *io.SectionReader, bound int64) (source, error) {
	const encrypted, aes = 1, 99
	if e.flags&encrypted != 0 || e.method == aes {
		return source{}, errors.New("it is encrypted")
	}
	var head [30]byte
	if _, err := zip.ReadAt(head[:], e.offset); err != nil {
		return source{}, noEOF(err)
	}
	if !bytes.HasPrefix(head[:], []byte("PK\x03\x04")) {
		return source{}, errZip
	}
	begin := e.offset + int64(len(head)) + int64(short(head[26:])) + int64(short(head[28:]))
	if begin > zip.Size() || e.packed > zip.Size()-begin {
		return source{}, errZip
	}
	packed := source{at: io.NewSectionReader(zip, begin, e.packed)}
	if e.method == 0 {
		packed.sum = &e.sum
		return packed, nil
	}
	m := zipMethods[e.method]
	if m.method == "" {
		const text = "it is packed with method %d (%s), which is not read; pack it with Deflate"
		return source{}, fmt.Errorf(text, e.method, cmp.Or(m.name, "unknown"))
	}
	plain := packed.unpacked(m.method, bound)
	return source{stream: func(g *grant) (io.ReadCloser, error) {
		r, err := plain.open(g)
		if err != nil {
			return nil, err
		}
		if e.size <= bound { // or the end is not seen
			return readCloser{newChecked(io.LimitReader(r, e.size), e.size, e.sum), r.Close}, nil
		}
		return r, nil
	}}, nil
}

// checked fails at the end of a member that is shorter than its zip says, or another.
type checked struct {
	r    io.Reader
	left int64
	hash hash.Hash32
	want uint32
}

func newChecked(r io.Reader, size int64, sum uint32) *checked {
	return &checked{r: r, left: size, hash: crc32.NewIEEE(), want: sum}
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.hash.Write(p[:n])
	c.left -= int64(n)
	switch {
	case !errors.Is(err, io.EOF):
	case c.left > 0:
		err = io.ErrUnexpectedEOF
	case c.hash.Sum32() != c.want:
		err = errors.New("zip: the checksum does not match")
	}
	return n, err
}

// zipMembers are the files in a zip, in the order of its directory, but dump.sql, which is where Odoo puts the dump,
// comes first. An error is the last.
func zipMembers(at *io.SectionReader, bound int64) iter.Seq2[*member, error] {
	return func(yield func(*member, error) bool) {
		for _, first := range []bool{true, false} {
			for e, err := range zipEntries(at) {
				if err != nil {
					if first {
						break
					}
					yield(nil, fmt.Errorf("zip: %w", err))
					return
				}
				if (e.name == "dump.sql") != first || strings.HasSuffix(e.name, "/") {
					continue
				}
				if !yield(&member{name: e.name, locate: func() (source, error) { return e.source(at, bound) }}, nil) {
					return
				}
			}
		}
	}
}

// IsOdooZip reports whether r, size bytes, is a zip as Odoo makes one: with dump.sql and something in filestore/.
func IsOdooZip(r io.ReaderAt, size int64) bool {
	var sql, filestore bool
	for e, err := range zipEntries(io.NewSectionReader(r, 0, size)) {
		if err != nil {
			return false
		}
		sql = sql || e.name == "dump.sql"
		filestore = filestore || strings.HasPrefix(e.name, "filestore/")
		if sql && filestore {
			return true
		}
	}
	return false
}

// noEOF is err where the end of the input is an error.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
