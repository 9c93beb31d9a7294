package dump_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"io"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
)

// packed packs content, from the inside out.
func packed(tb testing.TB, content string, packings ...string) string {
	tb.Helper()
	for _, packing := range packings {
		var b bytes.Buffer
		if err := pack(&b, packing, content); err != nil {
			tb.Fatalf("pack %s: %v", packing, err)
		}
		content = b.String()
	}
	return content
}

func pack(b *bytes.Buffer, packing, content string) error {
	switch packing {
	case "zip": // as a person makes it
		return packZip(b, zip.Deflate, member{"backup/", ""}, member{"filestore/00/00a1", "x"},
			member{"backup/dump.sql", content})
	case "storedzip":
		return packZip(b, zip.Store, member{"README", "x"}, member{"db.dump", content})
	case "onlyzip":
		return packZip(b, zip.Deflate, member{"backup/", ""}, member{"backup/db", content})
	case "emptyzip":
		return packZip(b, zip.Deflate)
	case "tar":
		return packTar(b, member{"backup/README", "nothing of interest"}, member{"backup/db.sql", content})
	}
	var w io.WriteCloser
	var err error
	switch packing {
	case "gzip":
		w = gzip.NewWriter(b)
	case "xz":
		w, err = xz.NewWriter(b)
	case "zstd":
		w, err = zstd.NewWriter(b, zstd.WithEncoderConcurrency(1))
	case "lz4":
		w = lz4.NewWriter(b)
	default:
		panic("no packing " + packing)
	}
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Close()
	}
	return err
}

// A member of a zip or tar; a folder when the name ends in a slash.
type member struct{ name, content string }

func packZip(w io.Writer, method uint16, members ...member) error {
	z := zip.NewWriter(w)
	for _, m := range members {
		f, err := z.CreateHeader(&zip.FileHeader{Name: m.name, Method: method})
		if err == nil && m.content != "" {
			_, err = io.WriteString(f, m.content)
		}
		if err != nil {
			return err
		}
	}
	return z.Close()
}

func packTar(w io.Writer, members ...member) error {
	t := tar.NewWriter(w)
	for _, m := range members {
		if err := t.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.content)), Mode: 0o644}); err != nil {
			return err
		}
		if _, err := io.WriteString(t, m.content); err != nil {
			return err
		}
	}
	return t.Close()
}
