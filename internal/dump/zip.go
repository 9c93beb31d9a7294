package dump

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
)

const (
	zipDirectory = 64 << 20 // bytes of a zip's directory that are read: some half a million files
	manifestSize = 4 << 20  // bytes of manifest.json that are read
)

// zip finds the dump in a zip: Odoo's dump.sql, else the first file that is named like a dump, else the only file.
func (o *opened) zip(r io.Reader) (io.Reader, error) {
	at, ok := r.(*io.SectionReader)
	if !ok {
		var err error
		if at, err = o.spool(r); err != nil {
			return nil, err
		}
	}
	bounded := &meter{r: at, left: zipDirectory}
	z, err := zip.NewReader(bounded, at.Size())
	if err != nil {
		return nil, fmt.Errorf("zip: %w", err)
	}
	bounded.left = math.MaxInt64 // the directory was what had to be bounded
	z.RegisterDecompressor(zip.Deflate, flate.NewReader)

	files := slices.DeleteFunc(slices.Clone(z.File), func(f *zip.File) bool { return f.FileInfo().IsDir() })
	find := func(match func(name string) bool) *zip.File {
		if i := slices.IndexFunc(files, func(f *zip.File) bool { return match(f.Name) }); i >= 0 {
			return files[i]
		}
		return nil
	}
	found := find(func(name string) bool { return name == "dump.sql" })
	if found == nil {
		found = find(dumpName)
	}
	if found == nil && len(files) == 1 {
		found = files[0]
	}
	if found == nil {
		return nil, errors.New("zip: no dump in it")
	}
	if f := find(func(name string) bool { return name == "manifest.json" }); f != nil {
		if m, err := f.Open(); err == nil {
			o.manifest, _ = io.ReadAll(io.LimitReader(m, manifestSize))
			m.Close()
		}
	}
	if found.Flags&1 != 0 {
		return nil, fmt.Errorf("zip: %s is encrypted", found.Name)
	}
	if found.Method == zip.Store {
		if offset, err := found.DataOffset(); err == nil {
			return io.NewSectionReader(at, offset, int64(min(found.CompressedSize64, math.MaxInt64))), nil
		}
	}
	f, err := found.Open()
	if err != nil {
		return nil, fmt.Errorf("zip: %s: %w", found.Name, err)
	}
	o.closers = append(o.closers, f.Close)
	return io.LimitReader(f, o.limits.unpacked), nil
}

// dumpName tells whether a file in a zip or tar is named like a dump. Attachments of a filestore have no extensions.
func dumpName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".sql", ".dump", ".cdump", ".pgdump", ".backup", ".tar", ".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip":
		return !strings.HasPrefix(path.Base(name), ".") && !strings.HasPrefix(name, "__MACOSX/")
	}
	return false
}

// spool writes a stream into a temporary file, for what has to be read at random.
func (o *opened) spool(r io.Reader) (*io.SectionReader, error) {
	f, err := os.CreateTemp("", "dump-*.zip")
	if err != nil {
		return nil, fmt.Errorf("a zip inside another packing needs a temporary file: %w", err)
	}
	o.closers = append(o.closers, func() error { return errors.Join(f.Close(), os.Remove(f.Name())) })
	n, err := io.Copy(f, io.LimitReader(r, o.limits.spooled+1))
	if err != nil {
		return nil, fmt.Errorf("unpack a zip inside another packing: %w", err)
	}
	if n > o.limits.spooled {
		return nil, fmt.Errorf("a zip of more than %d bytes inside another packing: upload the zip itself", o.limits.spooled)
	}
	return io.NewSectionReader(f, 0, n), nil
}

// A meter lets only so many bytes be read, where even a short read counts as a page, and then fails.
type meter struct {
	r    io.ReaderAt
	left int64
}

var errMeter = errors.New("too much would have to be read")

func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	if m.left <= 0 {
		return 0, errMeter
	}
	n, err := m.r.ReadAt(p, off)
	m.left -= int64(max(n, 4096))
	return n, err
}
