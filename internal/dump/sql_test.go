package dump_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// realDumps are the fixtures that pg_dump made.
var realDumps = []string{
	"openchs.sql", "openchs.inserts.sql", "openchs.columns.sql",
	"openchs.cdump", "openchs.stored.cdump", "openchs.piped.cdump", "openchs.tar",
	"openchs.sql.gz", "openchs.sql.bz2", "openchs.sql.xz", "openchs.cdump.gz", "openchs.tar.gz", "openchs.zip",
}

// openSQL is dump.SQL, but waits for memory for as long as it takes: other tests hold some at the same time.
func openSQL(ctx context.Context, r io.ReaderAt, size int64) (io.ReadCloser, error) {
	for {
		sql, err := dump.SQL(ctx, r, size)
		if !errors.Is(err, dump.ErrBusy) {
			return sql, err
		}
	}
}

// readSQL returns what SQL gives for b.
func readSQL(t *testing.T, b []byte) string {
	t.Helper()
	r, err := openSQL(t.Context(), bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	sql, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(sql)
}

// Plain SQL comes byte for byte, whatever is around it.
func TestSQL_plain(t *testing.T) {
	t.Parallel()
	want := string(fixtures.Dump("openchs.sql"))
	for _, name := range []string{"openchs.sql", "openchs.sql.gz", "openchs.sql.bz2", "openchs.sql.xz"} {
		if diff := cmp.Diff(want, readSQL(t, fixtures.Dump(name))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Every way to keep the same database in an archive gives the same text.
func TestSQL_archivesAgree(t *testing.T) {
	t.Parallel()
	want := readSQL(t, fixtures.Dump("openchs.cdump"))
	for _, name := range []string{"openchs.stored.cdump", "openchs.piped.cdump", "openchs.cdump.gz", "openchs.tar",
		"openchs.tar.gz"} {
		if diff := cmp.Diff(want, readSQL(t, fixtures.Dump(name))); diff != "" {
			t.Errorf("%s (-openchs.cdump +%s):\n%s", name, name, diff)
		}
	}
}

// The reader keeps the promises of io.Reader however it is read, and being copied gives the same as being read.
func TestSQL_reader(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"openchs.cdump", "openchs.tar.gz", "openchs.sql.xz"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := fixtures.Dump(name)
			want := readSQL(t, b)
			open := func() io.ReadCloser {
				r, err := openSQL(t.Context(), bytes.NewReader(b), int64(len(b)))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { r.Close() })
				return r
			}
			if err := iotest.TestReader(open(), []byte(want)); err != nil {
				t.Error(err)
			}
			var copied strings.Builder
			if n, err := io.Copy(&copied, open()); err != nil || n != int64(len(want)) || copied.String() != want {
				t.Errorf("io.Copy: %d bytes, %v; want the %d bytes that reading gives", n, err, len(want))
			}
			half := open()
			var first [100]byte
			if _, err := io.ReadFull(half, first[:]); err != nil {
				t.Fatal(err)
			}
			copied.Reset()
			copied.Write(first[:])
			if _, err := io.Copy(&copied, half); err != nil || copied.String() != want {
				t.Errorf("io.Copy behind the first bytes: %v, %d bytes; want %d", err, copied.Len(), len(want))
			}
		})
	}
}

// A reader that is closed half-way does not read its file any more, and leaves nothing behind (TestMain looks).
func TestSQL_closeHalfWay(t *testing.T) {
	t.Parallel()
	for _, name := range realDumps {
		file := &countingReaderAt{ReaderAt: bytes.NewReader(fixtures.Dump(name))}
		r, err := openSQL(t.Context(), file, int64(len(fixtures.Dump(name))))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close: %v", name, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close again: %v", name, err)
		}
		before := file.calls
		if n, err := io.Copy(io.Discard, r); n > 0 || !errors.Is(err, fs.ErrClosed) {
			t.Errorf("%s: %d bytes and error %v after Close, want fs.ErrClosed", name, n, err)
		}
		if file.calls != before {
			t.Errorf("%s: the file is read after Close", name)
		}
	}
}

type countingReaderAt struct {
	io.ReaderAt
	calls int
}

func (c *countingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	c.calls++
	return c.ReaderAt.ReadAt(p, off)
}

// Where there is no SQL the error says so and why, whatever the bytes.
func TestSQL_none(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, says string }{
		"empty":               {"", "empty"},
		"text":                {"Dear upgrade team,\nplease find attached", "neither SQL nor any packing"},
		"binary":              {"SELECT \x00\x01", "neither SQL nor any packing"},
		"gzip of nothing":     {packed(t, "", "gzip"), "empty"},
		"gzip of text":        {packed(t, "just text", "gzip"), "neither"},
		"cut gzip":            {packed(t, "SELECT 1", "gzip")[:8], "gzip"},
		"cut archive":         {string(fixtures.Dump("openchs.cdump")[:2000]), "ends too early"},
		"archive of the year": {"PGDMP\x01\x63\x00\x04\x08\x01", "version 1.99"},
		"cut tar":             {string(fixtures.Dump("openchs.tar")[:2000]), "tar: unexpected EOF"},
		"zip of nothing":      {packed(t, "", "emptyzip"), "no dump in it"},
		"cut zip":             {string(fixtures.Dump("openchs.zip")[:2000]), "zip"},
		"too deep": {packed(t, "SELECT 1;", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip", "gzip"),
			"more than 8 packings"},
	} {
		r, err := openSQL(t.Context(), strings.NewReader(tt.in), int64(len(tt.in)))
		if !errors.Is(err, dump.ErrNotSQL) {
			t.Errorf("%s: error %v, want ErrNotSQL", name, err)
			continue
		}
		if r != nil {
			t.Errorf("%s: a reader beside the error", name)
		}
		if !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: error %q, want it to say %q", name, err, tt.says)
		}
	}
}

// A dump that is broken further on fails while it is read: never a text that looks whole.
func TestSQL_cut(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"openchs.cdump", "openchs.piped.cdump", "openchs.tar", "openchs.sql.gz",
		"openchs.sql.xz", "openchs.sql.bz2", "openchs.cdump.gz"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 3)
			b := fixtures.Dump(name)
			whole := readSQL(t, b)
			for size := 0; size < len(b); size += 1 + len(b)/31 {
				r, err := openSQL(t.Context(), bytes.NewReader(b[:size]), int64(size))
				if err != nil {
					if !errors.Is(err, dump.ErrNotSQL) {
						t.Errorf("cut at %d: %v is not ErrNotSQL", size, err)
					}
					continue
				}
				sql, err := io.ReadAll(r)
				r.Close()
				if err == nil && string(sql) != whole { // tar: what is cut may be what nobody reads
					t.Errorf("cut at %d: no error, and %d of %d bytes", size, len(sql), len(whole))
				}
			}
		})
	}
}

// A member that is cut off, or another than its archive says, is never served as if it were whole, whatever reads it.
func TestSQL_damagedMember(t *testing.T) {
	t.Parallel()
	text := "-- PostgreSQL database dump\n" + strings.Repeat("INSERT INTO t VALUES (1234567);\n", 20_000)
	for container, pack := range containers {
		whole := pack(t, member{"dump.sql", text})
		if got := readSQL(t, []byte(whole)); got != text {
			t.Fatalf("%s: %d bytes of SQL, want %d", container, len(got), len(text))
		}
		end := len(whole) - 1
		if begin := strings.Index(whole, text); begin >= 0 {
			end = begin + len(text) - 1
		}
		for name, damaged := range map[string]string{
			"cut":          whole[:len(whole)/2],
			"cut early":    whole[:600],
			"cut by one":   whole[:end],
			"another byte": strings.Replace(whole, "1234567", "1234568", 1),
		} {
			if name == "another byte" && (container == "tar" || damaged == whole) {
				continue // a tar has no checksum; what is deflated has its own test
			}
			t.Run(container+"/"+name, func(t *testing.T) {
				t.Parallel()
				r, err := openSQL(t.Context(), strings.NewReader(damaged), int64(len(damaged)))
				if err != nil {
					return
				}
				defer r.Close()
				if n, err := io.Copy(io.Discard, r); err == nil {
					t.Errorf("no error, and %d of %d bytes", n, len(text))
				}
			})
		}
	}
}

// An error of the medium comes through as it is.
func TestSQL_readError(t *testing.T) {
	t.Parallel()
	for _, name := range realDumps {
		b := fixtures.Dump(name)
		for _, good := range []int64{0, int64(len(b)) / 2} {
			r, err := openSQL(t.Context(), &failingReaderAt{bytes.NewReader(b), good}, int64(len(b)))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				r.Close()
			}
			if !errors.Is(err, errMedium) || errors.Is(err, dump.ErrNotSQL) {
				t.Errorf("%s, unreadable from byte %d: error %v, want that of the medium", name, good, err)
			}
		}
	}
}

var errMedium = errors.New("the disk is on fire")

// failingReaderAt fails from a byte on.
type failingReaderAt struct {
	r    io.ReaderAt
	good int64
}

func (f *failingReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.good {
		return 0, errMedium
	}
	if off+int64(len(p)) > f.good {
		n, err := f.r.ReadAt(p[:f.good-off], off)
		return n, errors.Join(err, errMedium)
	}
	return f.r.ReadAt(p, off)
}
