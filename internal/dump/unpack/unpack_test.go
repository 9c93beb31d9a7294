package unpack_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"github.com/upgrademock/upgrademock/internal/dump/unpack"
)

// writers are those of the methods that have one.
var writers = map[unpack.Method]func(w io.Writer) (io.WriteCloser, error){
	unpack.Gzip:    func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	unpack.Zlib:    func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil },
	unpack.Deflate: func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 6) },
	unpack.XZ:      func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) },
	unpack.Zstd: func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	},
	unpack.LZ4: func(w io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(w), nil },
	unpack.LZMA: func(w io.Writer) (io.WriteCloser, error) {
		return lzma.WriterConfig{EOSMarker: true}.NewWriter(&zipLZMA{w: w})
	},
}

// zipLZMA puts the header of a zip's LZMA in the place of that of a file.
type zipLZMA struct {
	w    io.Writer
	head []byte
}

func (z *zipLZMA) Write(p []byte) (int, error) {
	n := len(p)
	if more := 13 - len(z.head); more > 0 {
		more = min(more, n)
		z.head = append(z.head, p[:more]...)
		p = p[more:]
		if len(z.head) == 13 {
			if _, err := z.w.Write(append([]byte{9, 20, 5, 0}, z.head[:5]...)); err != nil {
				return 0, err
			}
		}
	}
	_, err := z.w.Write(p)
	return n, err
}

func pack(tb testing.TB, m unpack.Method, content string) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, err := writers[m](&b)
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

var text = strings.Repeat("INSERT INTO t VALUES (1, 'a text that comes again');\n", 3000) + "-- the end\n"

// Every method gives back what was packed, however it is read, and asks for memory before.
func TestNew(t *testing.T) {
	t.Parallel()
	for m := range writers {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			b := pack(t, m, text)
			var asked int64
			for name, in := range map[string]io.Reader{"whole": bytes.NewReader(b),
				"byte by byte": iotest.OneByteReader(bytes.NewReader(b))} {
				r, err := unpack.New(m, in, func(n int64) error { asked += n; return nil })
				if err != nil {
					t.Fatal(err)
				}
				if err := iotest.TestReader(r, []byte(text)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			if asked < 64<<10 || asked > 64<<20 {
				t.Errorf("%d bytes of memory asked for", asked)
			}
			errNone := errors.New("there is no memory")
			if _, err := unpack.New(m, bytes.NewReader(b), func(int64) error { return errNone }); !errors.Is(err, errNone) {
				t.Errorf("error %v, want that there is no memory", err)
			}
		})
	}
	if _, err := unpack.New("stuffit", strings.NewReader(""), nil); !errors.Is(err, unpack.ErrMethod) {
		t.Errorf("error %v, want ErrMethod", err)
	}
}

// What is cut anywhere is an error, never a shorter text. (Legacy lz4 ends where the file ends; it is not among
// these.)
func TestNew_cut(t *testing.T) {
	t.Parallel()
	for m := range writers {
		b := pack(t, m, text)
		for size := 1; size < len(b); size += 1 + len(b)/50 {
			r, err := unpack.New(m, bytes.NewReader(b[:size]), nil)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if err == nil {
				t.Errorf("%s: no error for %d of %d bytes", m, size, len(b))
			}
		}
	}
}

// Frames of zstd ask one by one: the second for what it needs beyond the first.
func TestNew_zstdFrames(t *testing.T) {
	t.Parallel()
	frame := func(log int) string { // of one byte, 1024 times
		b := binary.LittleEndian.AppendUint32(nil, 1024<<3|1<<1|1)
		return "\x28\xb5\x2f\xfd\x00" + string([]byte{byte((log - 10) << 3)}) + string(b[:3]) + "x"
	}
	var asked []int64
	in := frame(20) + frame(20) + "\x50\x2a\x4d\x18\x03\x00\x00\x00abc" + frame(23) + frame(10)
	r, err := unpack.New(unpack.Zstd, strings.NewReader(in), func(n int64) error { asked = append(asked, n); return nil })
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != strings.Repeat("x", 4096) {
		t.Errorf("%d bytes, %v; want 4096", len(got), err)
	}
	if want := []int64{2 << 20, 7 << 20}; fmt.Sprint(want) != fmt.Sprint(asked) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
	errNone := errors.New("there is no memory")
	r, err = unpack.New(unpack.Zstd, strings.NewReader(in), func(n int64) error {
		if n > 4<<20 {
			return errNone
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); len(got) != 2048 || !errors.Is(err, errNone) {
		t.Errorf("%d bytes, then %v; want 2048, then that there is no memory", len(got), err)
	}
}

func TestRecognize(t *testing.T) {
	t.Parallel()
	for _, m := range []unpack.Method{unpack.Gzip, unpack.XZ, unpack.Zstd, unpack.LZ4} {
		if got := unpack.Recognize(pack(t, m, text)); got != m {
			t.Errorf("%s is taken for %q", m, got)
		}
	}
	for in, want := range map[string]unpack.Method{"BZh91AY": unpack.Bzip2, "\x02\x21\x4c\x18": unpack.LZ4, "": "",
		"PK": "", "-- SQL": ""} {
		if got := unpack.Recognize([]byte(in)); got != want {
			t.Errorf("%q is taken for %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]int64{"\x50\x2a\x4d\x18\x04\x00\x00\x00": 12,
		"\x5f\x2a\x4d\x18\xff\xff\xff\xff": 8 + 1<<32 - 1, "\x60\x2a\x4d\x18\x04\x00\x00\x00": 0, "\x50\x2a\x4d\x18": 0} {
		if got := unpack.Skippable([]byte(in)); got != want {
			t.Errorf("%q is a skippable frame of %d bytes, want %d", in, got, want)
		}
	}
}

// Whatever the bytes, they unpack or there is an error; and what is asked for is not beyond reason.
func FuzzNew(f *testing.F) {
	methods := []unpack.Method{unpack.Gzip, unpack.Bzip2, unpack.XZ, unpack.Zstd, unpack.LZ4, unpack.Zlib, unpack.Deflate,
		unpack.Deflate64, unpack.LZMA}
	for i, m := range methods {
		if writers[m] != nil {
			f.Add(byte(i), pack(f, m, "SELECT 1;\n"))
		}
	}
	errMuch := errors.New("too much")
	f.Fuzz(func(t *testing.T, which byte, b []byte) {
		var asked int64
		r, err := unpack.New(methods[int(which)%len(methods)], bytes.NewReader(b), func(n int64) error {
			if n <= 0 {
				t.Errorf("%d bytes asked for", n)
			}
			if asked += n; asked > 32<<20 {
				return errMuch
			}
			return nil
		})
		if err == nil {
			_, _ = io.CopyN(io.Discard, r, 4<<20)
		}
	})
}
