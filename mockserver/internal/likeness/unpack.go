package likeness

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"context"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"github.com/upgrademock/upgrademock/internal/dump"
)

const (
	maxDepth  = 4        // of packings in each other
	maxWindow = 64 << 20 // of a decoder
)

// packings are those of a single stream.
var packings = []struct {
	name, magic string
	open        func(io.Reader) (io.Reader, func(), error)
}{
	{"gzip", "\x1f\x8b", func(r io.Reader) (io.Reader, func(), error) {
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	}},
	{"bzip2", "BZh", func(r io.Reader) (io.Reader, func(), error) { return bzip2.NewReader(r), func() {}, nil }},
	{"xz", "\xfd7zXZ\x00", func(r io.Reader) (io.Reader, func(), error) {
		z, err := xz.ReaderConfig{DictCap: maxWindow}.NewReader(r)
		return z, func() {}, err
	}},
	{"zstd", "\x28\xb5\x2f\xfd", func(r io.Reader) (io.Reader, func(), error) {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}},
	{"lz4", "\x04\x22\x4d\x18", func(r io.Reader) (io.Reader, func(), error) { return lz4.NewReader(r), func() {}, nil }},
}

// An opener opens what is packed in a file anew, and returns how to close it.
type opener func() (r io.Reader, closeIt func(), err error)

// unpacks names the packings that got has around the wanted file; "" if that is not in there.
func unpacks(got, want File) string {
	how := packed(func() (io.Reader, func(), error) { return got.open(), func() {}, nil }, want, maxDepth)
	if how == "" {
		how = zipped(got, want)
	}
	if how == "" {
		how = written(got, want)
	}
	return how
}

func packed(outer opener, want File, depth int) string {
	r, closeIt, err := outer()
	if err != nil || depth == 0 {
		return ""
	}
	var head [512]byte
	n, _ := io.ReadFull(r, head[:])
	closeIt()
	for _, p := range packings {
		if !bytes.HasPrefix(head[:n], []byte(p.magic)) {
			continue
		}
		inner := func() (io.Reader, func(), error) {
			r, closeOuter, err := outer()
			if err != nil {
				return nil, nil, err
			}
			z, closeInner, err := p.open(r)
			if err != nil {
				closeOuter()
				return nil, nil, err
			}
			return z, func() { closeInner(); closeOuter() }, nil
		}
		if holds(inner, want) {
			return p.name
		}
		if how := packed(inner, want, depth-1); how != "" {
			return p.name + ", " + how
		}
	}
	if n == len(head) && string(head[257:262]) == "ustar" && tarHolds(outer, want) {
		return "tar"
	}
	return ""
}

// holds reports whether all of what open opens is the wanted file.
func holds(open opener, want File) bool {
	r, closeIt, err := open()
	if err != nil {
		return false
	}
	defer closeIt()
	same, err := commonStream(r, want.open())
	if err != nil || same != want.Size {
		return false
	}
	// commonStream may have read ahead: what follows is looked for from the beginning.
	again, closeAgain, err := open()
	if err != nil {
		return false
	}
	defer closeAgain()
	n, err := io.Copy(io.Discard, io.LimitReader(again, want.Size+1))
	return err == nil && n == want.Size
}

func tarHolds(open opener, want File) bool {
	r, closeIt, err := open()
	if err != nil {
		return false
	}
	defer closeIt()
	for archive := tar.NewReader(r); ; {
		member, err := archive.Next()
		if err != nil {
			return false
		}
		if member.Size != want.Size {
			continue
		}
		if same, err := commonStream(archive, want.open()); err == nil && same == want.Size {
			return true
		}
	}
}

func zipped(got, want File) string {
	archive, err := zip.NewReader(got, got.Size)
	if err != nil {
		return ""
	}
	for _, member := range archive.File {
		open := func() (io.Reader, func(), error) {
			r, err := member.Open()
			if err != nil {
				return nil, nil, err
			}
			return r, func() { r.Close() }, nil
		}
		if member.UncompressedSize64 == uint64(want.Size) && holds(open, want) {
			return "zip"
		}
		if how := packed(open, want, maxDepth-1); how != "" {
			return "zip, " + how
		}
	}
	return ""
}

// written is for the archives of PostgreSQL, which hold the wanted SQL as tables and data.
func written(got, want File) string {
	forms := dump.Sniff(got, got.Size).Compressions
	if len(forms) < 2 || forms[len(forms)-1] != "sql" {
		return ""
	}
	open := func() (io.Reader, func(), error) {
		sql, err := dump.SQL(context.Background(), got, got.Size)
		if err != nil {
			return nil, nil, err
		}
		return sql, func() { sql.Close() }, nil
	}
	if !holds(open, want) {
		return ""
	}
	return strings.Join(forms[:len(forms)-1], ", ")
}
