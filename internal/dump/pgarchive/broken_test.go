package pgarchive_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/fstest"

	"github.com/upgrademock/upgrademock/internal/dump/pgarchive"
)

// What is broken is an error that says so, not a panic and not a text that looks whole.
func TestOpen_broken(t *testing.T) {
	t.Parallel()
	a := small()
	a.minor, a.offsets = 14, true
	good := a.custom(t)
	edit := func(at int, with ...byte) []byte {
		b := bytes.Clone(good)
		copy(b[at:], with)
		return b
	}
	for name, b := range map[string][]byte{
		"nothing":                nil,
		"another file":           []byte("PK\x03\x04 and so on"),
		"only the magic":         []byte("PGDMP"),
		"version 1.9":            edit(5, 1, 9),
		"version 1.17":           edit(5, 1, 17),
		"version 2.12":           edit(5, 2, 12),
		"integers of 0 bytes":    edit(8, 0),
		"integers of 99 bytes":   edit(8, 99),
		"offsets of 99 bytes":    edit(9, 99),
		"the tar format":         edit(10, 3),
		"a huge string":          edit(11+5+7*5, 0, 0xff, 0xff, 0xff, 0x7f),
		"a string beyond bounds": edit(11+5+7*5, 0, 1, 0, 0, 4),
	} {
		for way, reader := range readers {
			if _, err := openCustom(reader(b)); !errors.Is(err, pgarchive.ErrFormat) {
				t.Errorf("%s, %s: error %v, want ErrFormat", name, way, err)
			}
		}
	}
	for _, b := range [][]byte{nil, []byte("PGDMP"), good, bytes.Repeat([]byte{0}, 1024)} {
		if _, err := pgarchive.OpenFS(fstest.MapFS{"toc.dat": {Data: b}}, nil); !errors.Is(err, pgarchive.ErrFormat) {
			t.Errorf("toc.dat of %.10q: error %v, want ErrFormat", b, err)
		}
	}
	if _, err := pgarchive.OpenFS(fstest.MapFS{}, nil); !errors.Is(err, pgarchive.ErrNoData) {
		t.Errorf("no toc.dat: error %v, want ErrNoData", err)
	}
}

func TestWriteSQL_broken(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		break_ func(*archive)
		want   error
	}{
		"a table without data":   {func(a *archive) { a.order = []int{7, 9, 10} }, pgarchive.ErrNoData},
		"large objects without":  {func(a *archive) { a.order = []int{7, 8, 9} }, pgarchive.ErrNoData},
		"an offset into a block": {func(a *archive) { a.offsets = true; a.entries[5].offset = 700 }, pgarchive.ErrFormat},
		"an offset behind the end": {func(a *archive) { a.offsets = true; a.entries[5].offset = 1 << 40 },
			pgarchive.ErrFormat},
	} {
		a := small()
		a.minor = 14
		tt.break_(&a)
		b := a.custom(t)
		_, err := writeSQL(openCustom, io.NewSectionReader(bytes.NewReader(b), 0, int64(len(b))))
		if !errors.Is(err, tt.want) {
			t.Errorf("custom, %s: error %v, want %v", name, err, tt.want)
		}
		if errors.Is(tt.want, pgarchive.ErrNoData) {
			b = a.tar(t)
			if _, err := writeSQL(openTar, bytes.NewReader(b)); !errors.Is(err, tt.want) {
				t.Errorf("tar, %s: error %v, want %v", name, err, tt.want)
			}
		}
	}
}

var errFull = errors.New("the disk is full")

type fullWriter struct{ left int }

func (w *fullWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// A writer that fails ends the writing, also inside large objects.
func TestWriteSQL_writeError(t *testing.T) {
	t.Parallel()
	a := small()
	a.minor = 14
	a.entries[7].blobs[0].data = bytes.Repeat([]byte("large"), 1<<20)
	counted := &countingReader{r: bytes.NewReader(a.custom(t))}
	opened, err := openCustom(counted)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.WriteSQL(&fullWriter{left: 100 << 10}); !errors.Is(err, errFull) {
		t.Errorf("error %v, want that of the writer", err)
	}
	if counted.n > 1<<20 {
		t.Errorf("%d bytes were read behind the error of the writer", counted.n)
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += n
	return n, err
}
