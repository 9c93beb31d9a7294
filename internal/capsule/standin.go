package capsule

import (
	"bytes"
	"compress/gzip"
	"io"
	"math"
	"os"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
)

// The kinds of stand-ins: what a file is made up as, so that who looks into it finds what was there.
const (
	kindZip    = "zip"    // a backup of Odoo's
	kindCustom = "custom" // an archive of PostgreSQL's in the custom format
	kindGzip   = "gzip"   // SQL, compressed
	kindText   = "text"   // lines that are comments in SQL
)

var kinds = []string{kindZip, kindCustom, kindGzip, kindText}

// MaxMadeUp is how many bytes a file has that is made up. A larger one is made so large.
const MaxMadeUp = 1 << 30

// kindOf returns the kind of stand-in for a file that begins so.
func kindOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return kindZip
	case bytes.HasPrefix(head, []byte("PGDMP")):
		return kindCustom
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return kindGzip
	}
	return kindText
}

// makeUp writes a file of that kind. It has the size, if the smallest of the kind is not larger.
func makeUp(file *os.File, kind string, size int64) error {
	size = min(size, MaxMadeUp)
	switch kind {
	case kindZip:
		return padded(size, file, func(w io.Writer, padding int64) error {
			return dump.BuildOdooZip(w, dump.OdooZip{Padding: padding})
		})
	case kindGzip:
		return gzipped(file, size)
	case kindCustom: // no reader of archives looks behind their end
		archive := fixtures.Dump("openchs.cdump")
		if _, err := file.Write(archive); err != nil {
			return err
		}
		return file.Truncate(max(size, int64(len(archive))))
	}
	_, err := io.CopyN(file, comments{}, size)
	return err
}

// padded writes what build makes with so much padding that it has the size.
func padded(size int64, file *os.File, build func(w io.Writer, padding int64) error) error {
	var least counter
	if err := build(&least, 1); err != nil {
		return err
	}
	return build(file, max(1, size-int64(least)+1))
}

// gzipped writes lines that are packed, but no smaller for that. What the blocks cost is evened out by the header.
func gzipped(file *os.File, size int64) error {
	lines := max(0, size-size/math.MaxUint16*6-64)
	build := func(w io.Writer, extra int64) error {
		z, err := gzip.NewWriterLevel(w, gzip.NoCompression)
		if err != nil {
			return err
		}
		z.Extra = make([]byte, extra)
		if _, err := io.CopyN(z, comments{}, lines); err != nil {
			return err
		}
		return z.Close()
	}
	return padded(size, file, build)
}

// counter counts bytes.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// comments are lines without an end.
type comments struct{}

func (comments) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = "-- dump\n"[i%8]
	}
	return len(b), nil
}
