package likeness_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/likeness"
)

// binary has every byte, NULs, line ends of each kind, and what is no UTF-8; it does not repeat itself.
func binary() []byte {
	data := []byte("PGDMP\x01\x0e\x00é à la ligne\r\nnext\nlast\r")
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 300_000)
	random.Read(noise)
	return append(data, noise...)
}

// text is ASCII with line ends.
func text() []byte {
	var b bytes.Buffer
	for i := range 5000 {
		fmt.Fprintf(&b, "INSERT INTO t VALUES (%d, 'what?', NULL); \n", i)
	}
	return b.Bytes()
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func zeros(n int) []byte { return make([]byte, n) }

func form(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", "db.dump")
	if err != nil {
		t.Fatal(err)
	}
	part.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func compress(t *testing.T, w io.WriteCloser, packed *bytes.Buffer, data []byte) []byte {
	t.Helper()
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}

func gzipped(t *testing.T, data []byte) []byte {
	var b bytes.Buffer
	return compress(t, gzip.NewWriter(&b), &b, data)
}

func xzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	return compress(t, w, &b, data)
}

func zstandard(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	return compress(t, w, &b, data)
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range map[string][]byte{"manifest.json": []byte("{}"), "dump.sql": data} {
		f, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(content)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "db.dump", Mode: 0o600, Size: int64(len(data))}); err != nil {
		t.Fatal(err)
	}
	w.Write(data)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func chunked(data []byte) []byte {
	var b bytes.Buffer
	w := httputil.NewChunkedWriter(&b)
	w.Write(data[:100_000])
	w.Write(data[100_000:])
	w.Close()
	return b.Bytes()
}

func latin1AsUTF8(data []byte) []byte {
	var b strings.Builder
	for _, c := range data {
		b.WriteRune(rune(c))
	}
	return []byte(b.String())
}

func compare(t *testing.T, got, want []byte) likeness.Likeness {
	t.Helper()
	l, err := likeness.Compare(likeness.Bytes(got), likeness.Bytes(want), "the dump")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestCompare_same(t *testing.T) {
	t.Parallel()
	want := binary()
	sql := fixtures.Dump("openchs.sql")
	for _, tc := range []struct {
		name      string
		got, want []byte
		text      string
	}{
		{"itself", want, want, "the dump, byte for byte"},
		{"nothing for nothing", nil, nil, "the dump, byte for byte"},
		{"gzip", gzipped(t, want), want, "the dump, packed as gzip"},
		{"two gzip members", join(gzipped(t, want[:1000]), gzipped(t, want[1000:])), want, "the dump, packed as gzip"},
		{"bzip2", fixtures.Dump("openchs.sql.bz2"), sql, "the dump, packed as bzip2"},
		{"xz", xzipped(t, want), want, "the dump, packed as xz"},
		{"zstd", zstandard(t, want), want, "the dump, packed as zstd"},
		{"zip", zipped(t, want), want, "the dump, packed as zip"},
		{"tar", tarred(t, want), want, "the dump, packed as tar"},
		{"tar in gzip", gzipped(t, tarred(t, want)), want, "the dump, packed as gzip, tar"},
		{"gzip in zip", zipped(t, gzipped(t, want)), want, "the dump, packed as zip, gzip"},
		{"zip in gzip", gzipped(t, zipped(t, want)), want, "the dump, packed as gzip, zip"},
		{"a packed file, as it is", gzipped(t, want), gzipped(t, want), "the dump, byte for byte"},
		{"a packed file, packed again", gzipped(t, gzipped(t, want)), gzipped(t, want), "the dump, packed as gzip"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := compare(t, tc.got, tc.want); !got.Same || got.Text != tc.text {
				t.Errorf("%+v, want the same: %s", got, tc.text)
			}
		})
	}
}

func TestCompare_different(t *testing.T) {
	t.Parallel()
	want, plain := binary(), text()
	const mib = 1 << 17 // stands for it
	other := bytes.Clone(want)
	other[mib] ^= 1
	for _, tc := range []struct {
		name      string
		got, want []byte
		text      string
		offset    int64
	}{
		{"nothing", nil, want, "an empty file", 0},
		{"something else", []byte("SELECT 1;"), want,
			"something else of 9 bytes; the first difference is at offset 0 of ", 0},
		{"a page", []byte("<!DOCTYPE html>\n<html><body>oh</body></html>"), want,
			"something else of 44 bytes, an HTML page", 0},
		{"an answer", []byte(`{"failures": []}`), want, "something else of 16 bytes, a JSON object", 0},
		{"a multipart form", form(t, want), want, `a multipart form with the dump in its field "file"`, 0},
		{"a multipart form of something else", form(t, plain), want, "a multipart form, in which the dump is not", 0},
		{"an urlencoded body", []byte(url.QueryEscape(string(want))), want, "the dump as an urlencoded body", 0},
		{"an urlencoded form", []byte("file=" + url.QueryEscape(string(want))), want,
			"the dump as an urlencoded form", 0},
		{"base64", []byte(base64.StdEncoding.EncodeToString(want)), want, "the dump as base64", 0},
		{"base64 for URLs", []byte(base64.RawURLEncoding.EncodeToString(want)), want, "the dump as base64", 0},
		{"half of it in base64", []byte(base64.StdEncoding.EncodeToString(want[:1000])), want,
			"the dump, or its beginning, as base64", 0},
		{"a data URL", []byte("data:;base64," + base64.StdEncoding.EncodeToString(want)), want,
			"the dump as base64", 0},
		{"hexadecimal", []byte(hex.EncodeToString(want)), want, "the dump as hexadecimal digits", 0},
		{"JSON", func() []byte { b, _ := json.Marshal(string(plain)); return b }(), plain,
			"the dump as a JSON text", 0},
		{"chunks", chunked(want), want, "the dump as chunks with their sizes between them", 0},
		{"CRLF", bytes.ReplaceAll(plain, []byte("\n"), []byte("\r\n")), plain, "every LF became CRLF", 41},
		{"CRLF in what is no text", bytes.ReplaceAll(want, []byte("\n"), []byte("\r\n")), want,
			"every LF became CRLF", 23},
		{"LF", bytes.ReplaceAll(want, []byte("\r\n"), []byte("\n")), want, "CRLF became LF", 22},
		{"curl --data", bytes.Map(dropping("\r\n"), plain), plain, "its line ends stripped (as curl's --data does",
			41},
		{"white space stripped", bytes.ReplaceAll(plain, []byte(" \n"), []byte("\n")), plain,
			"the white space at its line ends stripped", 40},
		{"the last line end", bytes.TrimSuffix(plain, []byte("\n")), plain, "line ends at its end stripped",
			int64(len(plain) - 1)},
		{"Latin-1 to UTF-8", latin1AsUTF8(want), want, "decoded as Latin-1 and encoded as UTF-8", 9},
		{"UTF-8 to Latin-1", []byte("\xe9\n"), []byte("é\n"), "decoded as UTF-8 and encoded as Latin-1", 0},
		{"replaced", bytes.ToValidUTF8(want, []byte("\ufffd")), want, "what is no UTF-8 is lost", 0},
		{"ignored", bytes.ToValidUTF8(want, nil), want, "what is no UTF-8 is lost", 0},
		{"only ASCII", bytes.Map(asciiOnly, plainWith("é", plain)), plainWith("é", plain),
			"what is no ASCII is lost", 0},
		{"a byte order mark", join([]byte("\ufeff"), plain), plain, "the dump behind a byte order mark", 0},
		{"cut at a NUL", want[:7], want, "only the first 7 of the 300034 bytes of the dump: it was cut at a NUL", 7},
		{"without NULs", bytes.ReplaceAll(want, zeros(1), nil), want, "the dump without its NULs", 7},
		{"half", plain[:len(plain)/2], plain, "only the first 111945 of the 223890 bytes of the dump", 111945},
		{"twice", join(want, want), want, "the dump 2 times, one behind the other", 300034},
		{"whole again behind a partial", join(want[:mib], want), want,
			"the whole of the dump again behind its first 131072 bytes", mib},
		{"continued too early", join(want[:mib], want[mib-1000:]), want,
			"the dump with 1000 of its bytes twice, from offset 131072 on", mib},
		{"continued too late", join(want[:mib], want[mib+1000:]), want,
			"the dump with 1000 bytes missing from offset 131072 on", mib},
		{"a hole", join(want[:mib], zeros(1000), want[mib+1000:]), want,
			"the dump with a hole: 1000 zero bytes from offset 131072 on", mib},
		{"zeros put in", join(want[:mib], zeros(1000), want[mib:]), want,
			"the dump with 1000 zero bytes put in at offset 131072", mib},
		{"zeros behind it", join(want, zeros(10)), want, "the dump, and 10 zero bytes behind it", 300034},
		{"the tail", want[mib:], want,
			"only the last 168962 of the 300034 bytes of the dump, as when a file is sent again", 0},
		{"more behind it", join(want, []byte("--boundary--")), want, "the dump, and 12 bytes too many behind it",
			300034},
		{"more before it", join([]byte("Header: value\r\n\r\n"), want), want,
			"the dump behind 17 bytes that are not its own", 0},
		{"one byte", other, want, "the dump with 1 other bytes from offset 131072 on", mib},
		{"unpacked", plain, gzipped(t, plain), "the dump unpacked: it was gzip", 0},
		{"gzip of something else", gzipped(t, plain), want, "a packed one", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := compare(t, tc.got, tc.want)
			if got.Same || !strings.Contains(got.Text, tc.text) {
				t.Errorf("%+v, want not the same: %s", got, tc.text)
			}
			if tc.offset != 0 && got.Offset != tc.offset {
				t.Errorf("the first difference is at %d, want %d", got.Offset, tc.offset)
			}
			if len(got.Text) > 300 {
				t.Errorf("%d bytes of text: %s", len(got.Text), got.Text)
			}
		})
	}
}

func dropping(set string) func(rune) rune {
	return func(r rune) rune {
		if strings.ContainsRune(set, r) {
			return -1
		}
		return r
	}
}

func asciiOnly(r rune) rune {
	if r > 127 {
		return '?'
	}
	return r
}

func plainWith(more string, plain []byte) []byte { return join([]byte(more), plain) }

// PostgreSQL's archives hold the SQL that was to be sent as tables and data: what they unpack to is compared.
func TestCompare_archives(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"openchs.cdump", "openchs.cdump.gz", "openchs.tar"} {
		archive := fixtures.Dump(name)
		sql, err := dump.SQL(t.Context(), bytes.NewReader(archive), int64(len(archive)))
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(sql)
		if err := errors.Join(err, sql.Close()); err != nil {
			t.Fatal(err)
		}
		if got := compare(t, archive, want); !got.Same || !strings.Contains(got.Text, "packed as ") {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzCompare(f *testing.F) {
	f.Add([]byte("a\nb"), []byte("a\r\nb"))
	f.Add(zeros(10), []byte("PK\x03\x04"))
	f.Add([]byte("--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--"), []byte("a"))
	f.Fuzz(func(t *testing.T, got, want []byte) {
		l := compare(t, got, want)
		if same := bytes.Equal(got, want); same && !l.Same {
			t.Errorf("equal files differ: %+v", l)
		}
		if l.Text == "" || l.Offset < 0 || l.Offset > int64(len(want)) || len(l.Text) > 400 {
			t.Errorf("%+v", l)
		}
	})
}
