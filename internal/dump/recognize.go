package dump

import (
	"bytes"
	"fmt"
	"io"
	"strconv"

	"github.com/upgrademock/upgrademock/internal/dump/pgarchive"
	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// A beginning is what the first bytes of a content say of it.
type beginning struct {
	packing string // as recognize names it
	head    []byte
	live    io.Reader // reads the content, from its first byte on that is not passed over
	from    source    // the same, to be opened anew
	close   func() error
}

// begin looks at the beginning of what live reads, which is what is at from; live may be nil, and is not used where
// from can be read at random.
func (s *search) begin(live io.Reader, from source, depth int) (b *beginning, err error) {
	if depth == MaxDepth {
		return nil, fmt.Errorf("more than %d packings inside each other", MaxDepth)
	}
	if s.limits.searched -= headSize; s.limits.searched < 0 {
		return nil, errBound
	}
	b = &beginning{from: from, close: func() error { return nil }}
	switch {
	case from.at != nil:
		live = from.section()
	case live == nil:
		r, err := from.open(s.grant)
		if err != nil {
			return nil, err
		}
		b.close = r.Close
		live = s.counted(r)
	}
	if err := s.recognize(b, live); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// recognize fills in what live begins with. Frames that decoders pass over may stand before the one that says what
// it is.
func (s *search) recognize(b *beginning, live io.Reader) (err error) {
	if b.head, b.live, err = peek(live); err != nil {
		return err
	}
	var passed int64
	for range 16 {
		n := unpack.Skippable(b.head)
		if n == 0 {
			break
		}
		passed += n
		if b.from.at != nil {
			b.live = b.from.from(passed).section()
		} else if _, err := io.CopyN(io.Discard, b.live, n); err != nil {
			return noEOF(err)
		}
		if b.head, b.live, err = peek(b.live); err != nil {
			return err
		}
	}
	b.packing = recognize(b.head)
	if passed > 0 {
		if m := unpack.Method(b.packing); m != unpack.Zstd && m != unpack.LZ4 {
			return errUnknown
		}
		b.from = b.from.from(passed)
	}
	return nil
}

// The packings that PostgreSQL's programs make.
const (
	pgCustom    = "pgdmp_custom"
	pgTar       = "pgdmp_tar"       // a tar file as pg_dump writes it
	pgDirectory = "pgdmp_directory" // the files of a directory-format dump, or of a tar-format one that was unpacked
	pgTOC       = "toc"             // the table of contents of one of these: not a packing
)

// recognize returns what begins with head: a packing, "sql", or "" for what is not known.
func recognize(head []byte) string {
	if bytes.HasPrefix(head, []byte(pgarchive.Magic)) {
		if pgarchive.InSeveralFiles(head) {
			return pgTOC
		}
		return pgCustom
	}
	if m := unpack.Recognize(head); m != "" {
		return string(m)
	}
	if bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) {
		return "zip"
	}
	if isTar(head) {
		return "tar"
	}
	if looksLikeSQL(head) {
		return "sql"
	}
	return ""
}

// isTar recognizes the header of a tar's first member by its checksum; those of before POSIX have no magic.
func isTar(head []byte) bool {
	const at, size = 148, 8
	if len(head) < 512 || head[0] == 0 {
		return false
	}
	sum := int64(size * ' ')
	for i, b := range head[:512] {
		if i < at || i >= at+size {
			sum += int64(b)
		}
	}
	stated, err := strconv.ParseInt(string(bytes.Trim(head[at:at+size], " \x00")), 8, 64)
	return err == nil && stated == sum
}

// sqlRank distinguishes the text that pg_dump or pg_dumpall wrote from other SQL.
func sqlRank(head []byte) int {
	for _, s := range []string{
		"PostgreSQL database dump", "PostgreSQL database cluster dump", "-- Dumped from database version",
	} {
		if bytes.Contains(head, []byte(s)) {
			return fullDump
		}
	}
	return someSQL
}
