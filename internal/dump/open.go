package dump

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/upgrademock/upgrademock/internal/dump/pgarchive"
)

// limits bound what opening a dump may cost.
type limits struct {
	unpacked int64 // bytes out of each decompressor; what is behind them is not seen
	spooled  int64 // bytes of a temporary file, for a packing that has to be read at random inside another
	members  int   // members of a tar file that are looked at for a dump
}

// An opened dump: what it is packed in, and what is at the bottom: plain text or an archive, or neither.
type opened struct {
	packings []string
	text     io.Reader
	archive  *pgarchive.Archive
	manifest []byte // manifest.json of Odoo's backup

	limits  limits
	closers []func() error
}

// open peels r, packing by packing, down to the SQL. An *io.SectionReader can be read at random, any other reader is a
// stream. The error says why the bottom was not reached; what was seen by then is in the result, which is
// never nil and has to be closed.
func open(r io.Reader, l limits) (*opened, error) {
	o := &opened{packings: []string{}, limits: l}
	for range MaxDepth {
		inner, err := o.peel(r)
		if err != nil || inner == nil {
			return o, err
		}
		r = inner
	}
	return o, fmt.Errorf("more than %d packings inside each other", MaxDepth)
}

func (o *opened) close() error {
	var errs []error
	for _, c := range slices.Backward(o.closers) {
		errs = append(errs, c())
	}
	o.closers = nil
	return errors.Join(errs...)
}

// peel takes one packing off, and returns what is in it; nil at the bottom.
func (o *opened) peel(r io.Reader) (inner io.Reader, err error) {
	head, r, err := peek(r)
	if err != nil {
		return nil, err
	}
	packing := recognize(head)
	switch packing {
	case "":
		if len(head) == 0 {
			return nil, errors.New("it is empty")
		}
		return nil, errors.New("neither SQL nor any packing that is known")
	case "sql":
		o.packings = append(o.packings, "sql")
		o.text = r
		return nil, nil
	case "pgdmp_custom":
		o.packings = append(o.packings, packing, "sql")
		o.archive, err = pgarchive.Open(r)
		return nil, err
	case "pgdmp_tar":
		o.packings = append(o.packings, packing, "sql")
		o.archive, err = pgarchive.OpenTar(r)
		return nil, err
	}
	o.packings = append(o.packings, packing)
	switch packing {
	case "zip":
		return o.zip(r)
	case "tar":
		return o.tar(r)
	}
	inner, err = decompress(packing, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", packing, err)
	}
	return io.LimitReader(inner, o.limits.unpacked), nil
}

// peek returns the first bytes of r, fewer than wanted only where there are no more, and a reader that still has them.
func peek(r io.Reader) (head []byte, all io.Reader, err error) {
	if at, ok := r.(*io.SectionReader); ok {
		at.Seek(0, io.SeekStart) // cannot fail
		head = make([]byte, headSize)
		n, err := at.ReadAt(head, 0)
		if n == 0 && err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, err
		}
		return head[:n], at, nil
	}
	buf := bufio.NewReaderSize(r, 64<<10)
	head, err = buf.Peek(headSize)
	if len(head) == 0 && err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	// An error behind the first bytes comes again when they have been read.
	return head, buf, nil
}

func decompress(packing string, r io.Reader) (io.Reader, error) {
	if _, ok := r.(*bufio.Reader); !ok {
		r = bufio.NewReaderSize(r, 64<<10)
	}
	switch packing {
	case "gzip":
		return gzip.NewReader(r)
	case "bzip2":
		return bzip2.NewReader(r), nil
	case "xz":
		return newXZ(r)
	case "zstd":
		// In the calling goroutine, so there is nothing to close; "zstd --long" asks for windows up to 128 MiB.
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	case "lz4":
		return lz4.NewReader(r), nil
	}
	return nil, errors.New("no decompressor")
}

// tar finds the dump in a tar file that is not PostgreSQL's.
func (o *opened) tar(r io.Reader) (io.Reader, error) {
	members := tar.NewReader(r)
	for range o.limits.members {
		h, err := members.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("tar: no dump in it")
		}
		if err != nil {
			return nil, fmt.Errorf("tar: %w", err)
		}
		if h.Typeflag == tar.TypeReg && dumpName(h.Name) {
			return members, nil
		}
	}
	return nil, fmt.Errorf("tar: no dump among the first %d members", o.limits.members)
}

// headSize is how much recognize has to see: a tar header, and some lines of SQL.
const headSize = 4096

// recognize tells what begins with head: a packing, "sql", or "" for what is not known.
func recognize(head []byte) string {
	for _, m := range []struct{ packing, magic string }{
		{"pgdmp_custom", pgarchive.Magic},
		{"gzip", "\x1f\x8b\x08"},
		{"bzip2", "BZh"},
		{"xz", "\xfd7zXZ\x00"},
		{"zstd", "\x28\xb5\x2f\xfd"},
		{"lz4", "\x04\x22\x4d\x18"},
		{"zip", "PK\x03\x04"},
		{"zip", "PK\x05\x06"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.packing
		}
	}
	if len(head) >= 512 && string(head[257:262]) == "ustar" {
		if string(head[:8]) == "toc.dat\x00" && bytes.HasPrefix(head[512:], []byte(pgarchive.Magic)) {
			return "pgdmp_tar"
		}
		return "tar"
	}
	if looksLikeSQL(head) {
		return "sql"
	}
	return ""
}
