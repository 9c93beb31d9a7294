package dump_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// zstdBomb is a frame that asks for a window of 2^log bytes and becomes mebibytes of a comment.
func zstdBomb(log, mebibytes int) string {
	const block = 128 << 10
	header := func(last int) string {
		b := binary.LittleEndian.AppendUint32(nil, uint32(block<<3|1<<1|last))
		return string(b[:3]) + "-"
	}
	return zstdHead(log) + strings.Repeat(header(0), 8*mebibytes-1) + header(1)
}

// rawZstd is a frame of content as it is, less than 128 KiB, that asks for a window of 2^log bytes.
func rawZstd(log int, content string) string {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(content)<<3|1))
	return zstdHead(log) + string(b[:3]) + content
}

func zstdHead(log int) string { return "\x28\xb5\x2f\xfd\x00" + string([]byte{byte((log - 10) << 3)}) }

// xzBomb is an xz file of "SELECT 1;" whose block asks for a dictionary; the size is a code (5.3.1 of the format).
func xzBomb(tb testing.TB, code byte) string {
	tb.Helper()
	b := xzDictionary(tb, "SELECT 1;", 1<<20)
	b[12+4] = code // 12 bytes of the stream's header; of the block's: size, flags, id, size, and this
	binary.LittleEndian.PutUint32(b[12+8:], crc32.ChecksumIEEE(b[12:12+8]))
	return string(b)
}

// lzmaBomb is a member of a zip whose properties ask for a dictionary.
func lzmaBomb(dictionary uint32) string {
	return "\x09\x14\x05\x00\x5d" + string(binary.LittleEndian.AppendUint32(nil, dictionary)) + "\x00\x00\x00\x00\x00\x00"
}

// tocBomb is the beginning of an archive in the custom format with that many entries, the smallest that can be.
func tocBomb(entries int) string {
	integer := func(v int) string { return "\x00" + string(binary.LittleEndian.AppendUint32(nil, uint32(v))) }
	absent := "\x01\x01\x00\x00\x00"
	entry := integer(1) + integer(0) + strings.Repeat(absent, 4) + integer(2) + strings.Repeat(absent,
		9) + "\x03" + strings.Repeat("\x00", 8)
	head := "PGDMP\x01\x0e\x00\x04\x08\x01" + strings.Repeat(integer(0), 8) + strings.Repeat(absent, 3)
	return head + integer(entries) + strings.Repeat(entry, entries)
}

// giantHeaders is a tar whose member has a PAX header of that many bytes.
func giantHeaders(tb testing.TB, size int) string {
	tb.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	record := fmt.Sprintf("%d comment=%s\n", size, strings.Repeat("x", size-len(fmt.Sprint(size))-len(" comment=\n")))
	if err := w.WriteHeader(&tar.Header{Name: "PaxHeaders/a", Size: int64(len(record)),
		Typeflag: tar.TypeReg}); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.WriteString(w, record); err != nil {
		tb.Fatal(err)
	}
	if err := w.WriteHeader(&tar.Header{Name: "a", Size: int64(len(theDump))}); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.WriteString(w, theDump); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	tarred := b.Bytes()
	head := tarred[:512]
	head[156] = tar.TypeXHeader
	copy(head[148:156], "        ")
	sum := 0
	for _, c := range head {
		sum += int(c)
	}
	copy(head[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return string(tarred)
}

// manyEntries is a zip of dump.sql and so many files without names or content.
func manyEntries(tb testing.TB, entries int) *bytes.Reader {
	tb.Helper()
	one := zipped(tb, zip.Store, member{"dump.sql", theDump}, member{"folder/", ""})
	at := strings.Index(one, "PK\x01\x02")
	end := strings.Index(one, "PK\x05\x06")
	second := at + 4 + strings.Index(one[at+4:], "PK\x01\x02")
	directory := one[at:second] + strings.Repeat(one[second:end], entries)
	b := []byte(one[:at] + directory)
	put := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	record := len(b)
	b = append(b, "PK\x06\x06\x2c\x00\x00\x00\x00\x00\x00\x00\x2d\x00\x2d\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	put(uint64(entries + 1))
	put(uint64(entries + 1))
	put(uint64(len(directory)))
	put(uint64(at))
	b = append(b, "PK\x06\x07\x00\x00\x00\x00"...)
	put(uint64(record))
	b = append(b, "\x01\x00\x00\x00PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
	return bytes.NewReader(b)
}

// bombs are small dumps that ask for much, with what is allowed to become of them.
func bombs(tb testing.TB) map[string]struct {
	in      string
	refused string // what the error says; "" when there is SQL
} {
	return map[string]struct{ in, refused string }{
		"zstd --long=27":       {zstdBomb(27, 16), ""},
		"zstd --long=27 twice": {packed(tb, zstdBomb(27, 1), "gzip") + packed(tb, zstdBomb(27, 1), "gzip"), ""},
		"zstd --long=28":       {zstdBomb(28, 1), "asks for"},
		"zstd --long=31":       {zstdBomb(31, 1), "asks for"},
		"zstd, later":          {packed(tb, theDump, "zstd") + zstdBomb(31, 1), "asks for"},
		"zstd in a zip":        {string(methodZip(93, 0, "", zstdBomb(31, 1))), "asks for"},
		"xz, 192 MiB":          {xzBomb(tb, 31), ""},
		"xz, 1 GiB":            {xzBomb(tb, 36), "asks for"},
		"xz, 4 GiB":            {xzBomb(tb, 40), "asks for"},
		"LZMA in a zip, 1 GiB": {string(methodZip(14, 0, "x", lzmaBomb(1<<30))), "asks for"},
		"LZMA in a zip, 4 GiB": {string(methodZip(14, 0, "x", lzmaBomb(math.MaxUint32))), "asks for"},
		"a TOC of 50,000":      {tocBomb(50_000), ""},
		"a TOC of two billion": {strings.Replace(tocBomb(1), "\x00\x01\x00\x00\x00", "\x00\xff\xff\xff\x7f", 1),
			"ends too early"},
		"such a TOC, packed":     {packed(tb, tocBomb(50_000), "zstd"), ""},
		"PAX headers of 512 KiB": {giantHeaders(tb, 512<<10), ""},
		"PAX headers of 64 MiB":  {packed(tb, giantHeaders(tb, 64<<20), "gzip"), "tar"},
		"gzip, seven times": {packed(tb, strings.Repeat("-- comment\n", 2<<20), "gzip", "gzip", "gzip", "gzip", "gzip",
			"gzip", "gzip"), ""},
	}
}

// heap is how much memory objects take that are in use, or not collected yet.
func heap() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// Bombs of all kinds, several readers of each at the same time, take no more than the budget, but for what is not
// collected yet.
func TestSQL_bombs(t *testing.T) {
	const budget = 256 << 20
	for name, bomb := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			testprog.OneIn(t, 4)
			runtime.GC()
			before := heap()
			var peak atomic.Uint64
			look := func() {
				for now := heap(); ; {
					seen := peak.Load()
					if now <= seen || peak.CompareAndSwap(seen, now) {
						return
					}
				}
			}
			var readers sync.WaitGroup
			count := 8
			if strings.Contains(name, "TOC") { // which takes time to read
				count = 3
			}
			for range count {
				readers.Go(func() {
					r, err := openSQL(t.Context(), strings.NewReader(bomb.in), int64(len(bomb.in)))
					if err == nil {
						defer r.Close()
						for buf := make([]byte, 1<<20); err == nil; {
							_, err = r.Read(buf)
							look()
						}
					}
					look()
					switch {
					case bomb.refused == "" && !errors.Is(err, io.EOF):
						t.Errorf("error %v, want SQL", err)
					case bomb.refused != "" && (!errors.Is(err, dump.ErrNotSQL) && !errors.Is(err, dump.ErrBroken) ||
						!strings.Contains(err.Error(), bomb.refused)):
						t.Errorf("error %v, want one that says %q", err, bomb.refused)
					}
				})
			}
			readers.Wait()
			t.Logf("peak %s above %s", dump.Size(int64(peak.Load()-min(before, peak.Load()))), dump.Size(int64(before)))
			if peak.Load() > before+budget+budget/4 {
				t.Errorf("%d bytes at the peak, %d before", peak.Load(), before)
			}
			if n := allocated(func() { sniff([]byte(bomb.in)) }); n > 512<<20 {
				t.Errorf("Sniff allots %d bytes", n)
			}
		})
	}
}

// A directory of millions of entries is read, and not held.
func TestZip_manyEntries(t *testing.T) {
	in := &watched{Reader: manyEntries(t, 1_000_000)}
	for name, f := range map[string]func(){
		"IsOdooZip": func() {
			if dump.IsOdooZip(in, in.Size()) {
				t.Error("the zip is Odoo's, for IsOdooZip")
			}
		},
		"SQL": func() {
			r, err := dump.SQL(t.Context(), in, in.Size())
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if sql, err := io.ReadAll(r); string(sql) != theDump || err != nil {
				t.Errorf("%d bytes of SQL, %v", len(sql), err)
			}
		},
		"Sniff": func() {
			if diff := cmp.Diff([]string{"zip", "sql"}, dump.Sniff(in, in.Size()).Compressions); diff != "" {
				t.Errorf("Compressions (-want +got):\n%s", diff)
			}
		},
	} {
		runtime.GC()
		before := heap()
		in.peak = 0
		f()
		if in.peak == 0 || in.peak > before+16<<20 {
			t.Errorf("%s: %d bytes in use at the peak, %d before", name, in.peak, before)
		}
	}
}

// A watched file looks now and then how much memory is in use while it is read.
type watched struct {
	*bytes.Reader
	reads int
	peak  uint64
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	if w.reads++; w.reads%500 == 0 {
		runtime.GC()
		w.peak = max(w.peak, heap())
	}
	return w.Reader.ReadAt(p, off)
}

// What is not free is waited for; not for ever, and the error says what was waited for. Whoever gives up gets nothing.
func TestSQL_waitsForMemory(t *testing.T) {
	bomb := zstdBomb(27, 1)
	open := func(ctx context.Context) (io.ReadCloser, error) {
		return dump.SQL(ctx, strings.NewReader(bomb), int64(len(bomb)))
	}
	synctest.Test(t, func(t *testing.T) {
		first, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := open(t.Context()); !errors.Is(err, dump.ErrBusy) || errors.Is(err, dump.ErrNotSQL) ||
			!strings.Contains(err.Error(), "waited 30s for 130.") {
			t.Errorf("error %v, want ErrBusy", err)
		}
		if waited := time.Since(begin); waited != 30*time.Second {
			t.Errorf("waited %v, want 30s", waited)
		}

		gone, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() {
			if _, err := open(gone); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that of the context", err)
			}
		})
		synctest.Wait()
		cancel()
		done.Wait()

		done.Go(func() {
			second, err := open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			second.Close()
		})
		synctest.Wait()
		time.Sleep(10 * time.Second) // of the bubble's clock
		first.Close()
		done.Wait()

		// A small dump does not wait for a large one that is read.
		large, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer large.Close()
		begin = time.Now()
		small, err := dump.SQL(t.Context(), strings.NewReader(theDump), int64(len(theDump)))
		if err != nil {
			t.Fatal(err)
		}
		small.Close()
		// Describing an upload does not wait for downloads.
		if diff := cmp.Diff([]string{"zstd", "sql"}, sniff([]byte(bomb)).Compressions); diff != "" {
			t.Errorf("Compressions (-want +got):\n%s", diff)
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited %v", waited)
		}
	})
}

// Two streams that each need a second window while they hold one do not wait for each other.
func TestSQL_waitsHoldingNothing(t *testing.T) {
	bomb := rawZstd(26, zstdBomb(26, 1))
	synctest.Test(t, func(t *testing.T) {
		var readers sync.WaitGroup
		for range 6 { // more than the budget has room for
			readers.Go(func() {
				r, err := dump.SQL(t.Context(), strings.NewReader(bomb), int64(len(bomb)))
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Close()
				if n, err := io.Copy(io.Discard, r); n != 1<<20 || err != nil {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
		}
		readers.Wait()
	})
}
