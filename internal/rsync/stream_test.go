package rsync_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// A wire is what a client sends, built number by number.
type wire []byte

func (w *wire) number(numbers ...int32) *wire {
	for _, n := range numbers {
		*w = binary.LittleEndian.AppendUint32(*w, uint32(n))
	}
	return w
}

func (w *wire) text(s string) *wire {
	*w = append(*w, s...)
	return w
}

const (
	regular = 0o100644
	dir     = 0o040755
	link    = 0o120777
)

// entry adds an entry of a list, of a client without letters.
func (w *wire) entry(name string, size, mode int32) *wire {
	return w.text("\x40").number(int32(len(name))).text(name).number(size, 1_600_000_000, mode)
}

func (w *wire) end() *wire { return w.text("\x00").number(0) }

// A conversation serves a command to a client that sends first, waits until the server has asked for all files, and
// sends then. It reads nothing.
type conversation struct {
	first, then []byte
	patience    time.Duration // how long it waits if the list has no end; zero means half a minute
	job         rsync.Job

	status uint8
	err    error
	stderr string
}

func (c *conversation) serve(tb testing.TB, e rsync.Engine, line string) {
	tb.Helper()
	cmd, err := rsync.Parse(line)
	check(tb, err)
	asked := make(chan struct{})
	out := &watch{mark: []byte(strings.Repeat("\xff", 4)), seen: sync.OnceFunc(func() { close(asked) })}
	in, feed := io.Pipe()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		defer feed.Close()
		feed.Write(c.first)
		if len(c.then) == 0 {
			return
		}
		select {
		case <-asked:
		case <-ended:
		case <-time.After(cmp.Or(c.patience, 30*time.Second)):
		}
		feed.Write(c.then)
	}()
	var stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c.status, c.err = e.Serve(ctx, rsync.Stream{In: in, Out: out, Err: &stderr}, cmd, &c.job)
	in.Close()
	c.stderr = stderr.String()
	if ctx.Err() != nil {
		tb.Fatal("Serve hangs")
	}
	if (c.status == 0) != (c.err == nil) {
		tb.Errorf("exit status %d, error %v", c.status, c.err)
	}
}

// watch calls seen when the mark is written.
type watch struct {
	mark, last []byte
	seen       func()
}

func (w *watch) Write(p []byte) (int, error) {
	w.last = append(w.last, p...)
	if bytes.Contains(w.last, w.mark) {
		w.seen()
	}
	w.last = w.last[max(0, len(w.last)-len(w.mark)):]
	return len(p), nil
}

const (
	uploadLine   = "rsync --server -re.i . /data/origin.dump"
	downloadLine = "rsync --server --sender -re.i . /data/"
)

// both are the engines.
func both(tb testing.TB) map[string]rsync.Engine {
	return map[string]rsync.Engine{"in process": rsync.InProcess(),
		"program": rsync.Program(testprog.Need(tb, "rsync", "rsync"))}
}

// What no client sends ends the transfer, in words, with nothing written outside and little memory.
func TestUpload_broken(t *testing.T) {
	t.Parallel()
	begin := func() *wire { return new(wire).number(31) }
	one := *begin().entry("x", 10, regular).end()
	for _, tc := range []struct {
		name        string
		line        string
		first, then []byte
		says        string
		status      uint8
	}{
		{name: "no rsync", first: []byte("Welcome to this machine\n"), says: "of rsync's protocol", status: 1},
		{name: "an old rsync", first: *new(wire).number(20), says: "version 20 of rsync's protocol", status: 1},
		{name: "nothing", says: "ended before the transfer", status: 12},
		{name: "an end in the list", first: *begin().text("\x40").number(5).text("ab"), says: "ended before the transfer",
			status: 12},
		{name: "a name of 4 KB", first: *begin().entry(strings.Repeat("a/", 2048), 1, regular), says: "longer than 4095",
			status: 1},
		{name: "2000 directories in each other", first: *begin().entry(strings.Repeat("a/", 2000), 1, regular),
			says: "more than 128 directories in each other", status: 1},
		{name: "an element of 256 bytes", first: *begin().entry(strings.Repeat("a", 256), 1, regular),
			says: "longer than 255", status: 1},
		{name: "a name of 2 GB", first: *begin().text("\x40").number(math.MaxInt32), says: "longer than 4095", status: 1},
		{name: "a name of a negative length", first: *begin().text("\x40").number(-5), says: "longer than 4095", status: 1},
		{name: "an absolute name", first: *begin().entry("/etc/passwd", 1, regular), says: `"/etc/passwd" leads out`,
			status: 1},
		{name: "a name that leads out", first: *begin().entry("a/../../x", 1, regular), says: "leads out", status: 1},
		{name: "a name with a NUL", first: *begin().entry("a\x00b", 1, regular), says: "NUL", status: 1},
		{name: "an empty name", first: *begin().entry("", 1, regular), says: "leads out", status: 1},
		{name: "more of the last name than there is", first: *begin().text("\x20\x09\x01a"), says: "protocol error",
			status: 2},
		{name: "a negative size", first: *begin().text("\x01\x01a").number(-1, -1, -1, 0, regular), says: "a size of -1",
			status: 1},
		{name: "a name twice", first: *begin().entry("a", 1, regular).entry("./a", 1, regular).end(), says: "sent twice",
			status: 1},
		{name: "a link of a negative length", line: "rsync --server -lre.i . /data/x",
			first: *begin().entry("a", 1, link).number(-1), says: "protocol error", status: 2},
		{name: "a link of 2 GB", line: "rsync --server -lre.i . /data/x",
			first: *begin().entry("a", 1, link).number(math.MaxInt32), says: "protocol error", status: 2},
		{name: "filter rules", line: "rsync --server -re.i --delete . /data/x",
			first: *begin().number(5).text("- *.x").number(0),
			says:  "filter rules", status: 1},
		{name: "a file in place of a directory", first: *begin().entry("a", 1, regular).entry("a/b", 1, regular).end(),
			says: `"origin.dump/a" is a file and a directory`, status: 1},
		{name: "a file that was not asked for", first: one, then: *new(wire).number(7), says: "protocol error", status: 2},
		{name: "a file with a negative index", first: one, then: *new(wire).number(-2), says: "protocol error", status: 2},
		{name: "a file twice", first: one, then: *new(wire).number(0, 0, 0, 0, 0, 0).text(strings.Repeat("x", 16)).number(0,
			0, 0, 0, 0, 0),
			says: "", status: 11},
		{name: "a run of 2 GB", first: one, then: *new(wire).number(0, 0, 0, 0, 0, math.MaxInt32), says: "protocol error",
			status: 2},
		{name: "a block of none", first: one, then: *new(wire).number(0, 0, 0, 0, 0, -1), says: "protocol error", status: 2},
		{name: "the lowest block", first: one, then: *new(wire).number(0, 0, 0, 0, 0, math.MinInt32), says: "protocol error",
			status: 2},
		{name: "blocks that were not asked for", first: one, then: *new(wire).number(0, 1, 1<<29, 16, 0, -1),
			says: "protocol error", status: 2},
		{name: "blocks of a negative length", first: one, then: *new(wire).number(0, 1, -1, 16, 0, -1),
			says: "protocol error", status: 2},
		{name: "a wrong checksum", first: one, then: *new(wire).number(0, 0, 0, 0, 0, 3).text("abc").number(0).text(
			strings.Repeat("x", 16)),
			says: "", status: 11},
		{name: "an end in the data", first: one, then: *new(wire).number(0, 0, 0, 0, 0, 30).text("abc"),
			says: "ended before the transfer", status: 12},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for name, e := range both(t) {
				parent := t.TempDir()
				check(t, os.Mkdir(filepath.Join(parent, "data"), 0o700))
				root, err := os.OpenRoot(filepath.Join(parent, "data"))
				check(t, err)
				defer root.Close()
				c := conversation{first: tc.first, then: tc.then, job: rsync.Job{Root: root, Done: func(f rsync.File) {
					t.Errorf("whole: %+v", f)
				}}}
				line := tc.line
				if line == "" {
					line = uploadLine
				}
				c.serve(t, e, line)
				// What only the backend finds has its own words and status.
				if !strings.Contains(c.stderr, tc.says) || c.status != tc.status && (tc.says != "" || c.status == 0) {
					t.Errorf("%s: exit status %d (%v), want %d\n%s", name, c.status, c.err, tc.status, c.stderr)
				}
				got := read(t, parent)
				for _, allowed := range []string{"data/", "data/origin.dump/", "data/x/", "data/origin.dump/a/"} {
					delete(got, allowed)
				}
				equal(t, name+": files", files{}, got)
			}
		})
	}
}

var longDir = strings.Repeat("d", 250) + "/"

// Directories that files are in count, though the list does not have them.
func TestUpload_impliedDirectories(t *testing.T) {
	t.Parallel()
	for name, e := range both(t) {
		root, err := os.OpenRoot(t.TempDir())
		check(t, err)
		defer root.Close()
		list := new(wire).number(31)
		for i := range 5 {
			list.entry(strings.Repeat(fileName(i)+"/", 100)+"x", 1, regular)
		}
		c := conversation{first: *list.end(), job: rsync.Job{Root: root, MaxFiles: 10}}
		c.serve(t, e, uploadLine)
		if c.status != 1 || !strings.Contains(c.stderr, "more than 10 files and directories") {
			t.Errorf("%s: exit status %d (%v)\n%s", name, c.status, c.err, c.stderr)
		}
		equal(t, name+": files", files{}, read(t, root.Name()))
	}
}

// A client may announce as much as it likes: what it costs is bounded.
func TestUpload_endless(t *testing.T) {
	if testprog.Sample() {
		t.Skip("it takes seconds, and what the race detector needs would count")
	}
	for _, tc := range []struct {
		name  string
		files int
		next  func(i int) *wire
		says  string
	}{
		{"files", 0, func(i int) *wire { return new(wire).entry(fileName(i), 1, regular) }, "more than 1000000 files"},
		{"long names", 0, func(i int) *wire { return new(wire).entry(strings.Repeat(longDir, 15)+fileName(i), 1, regular) },
			"file names of more than"},
		{"few files", 10, func(i int) *wire { return new(wire).entry(fileName(i), 1, regular) }, "more than 10 files"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root, err := os.OpenRoot(t.TempDir())
			check(t, err)
			defer root.Close()
			cmd, err := rsync.Parse(uploadLine)
			check(t, err)
			in := &endless{next: tc.next, rest: *new(wire).number(31)}
			var stderr bytes.Buffer
			status, err := rsync.InProcess().Serve(t.Context(), rsync.Stream{In: in, Out: io.Discard, Err: &stderr}, cmd,
				&rsync.Job{Root: root, MaxFiles: tc.files})
			in.stop.Store(true)
			if status != 1 || !strings.Contains(stderr.String(), tc.says) {
				t.Errorf("exit status %d (%v)\n%s", status, err, stderr.String())
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			t.Logf("%d MiB from the system", m.Sys>>20)
			if m.Sys > 1<<30 {
				t.Errorf("%d MiB of memory", m.Sys>>20)
			}
			equal(t, "files", files{}, read(t, root.Name()))
		})
	}
}

func TestDownload_broken(t *testing.T) {
	t.Parallel()
	begin := func() *wire { return new(wire).number(31, 0) }
	done := []int32{-1, -1, -1}
	for _, tc := range []struct {
		name   string
		sends  []byte
		says   string
		status uint8
	}{
		{name: "no rsync", sends: []byte("Welcome to this machine\n"), says: "of rsync's protocol", status: 1},
		{name: "nothing", says: "ended before the transfer", status: 12},
		{name: "filter rules", sends: *new(wire).number(31, 3).text("- *"), says: "filter rules", status: 1},
		{name: "filter rules of 2 GB", sends: *new(wire).number(31, math.MaxInt32), says: "filter rules", status: 1},
		{name: "filter rules of a negative length", sends: *new(wire).number(31, -5), says: "filter rules", status: 1},
		{name: "a file of none", sends: *begin().number(99), says: "protocol error", status: 2},
		{name: "a negative file", sends: *begin().number(-2), says: "protocol error", status: 2},
		{name: "a directory", sends: *begin().number(0), says: "protocol error", status: 2},
		{name: "2^31 blocks", sends: *begin().number(1, math.MaxInt32, 700, 16, 0), says: "ended before the transfer",
			status: 12},
		{name: "blocks of nothing", sends: *begin().number(1, 5, 0, 16, 0), says: "protocol error", status: 2},
		{name: "blocks of a negative length", sends: *begin().number(1, 5, -700, 16, 0), says: "protocol error", status: 2},
		{name: "blocks of 2 GB", sends: *begin().number(1, 5, math.MaxInt32, 16, 0), says: "protocol error", status: 2},
		{name: "checksums of 2 GB", sends: *begin().number(1, 5, 700, math.MaxInt32, 0), says: "protocol error", status: 2},
		{name: "a last block of more", sends: *begin().number(1, 5, 700, 16, 701), says: "protocol error", status: 2},
		{name: "an end in the blocks", sends: *begin().number(1, 5, 700, 16, 0, 1, 2, 3), says: "ended before the transfer",
			status: 12},
		{name: "blocks of an empty file", sends: *begin().number(1, 1, 700, 2, 0, 7).text("ab").number(done...)},
		{name: "blocks without checksums", sends: *begin().number(2, 2, 700, 0, 0, 1, 2).number(done...)},
		{name: "blocks longer than the file", sends: *begin().number(2, 1, 1<<29, 2, 1<<29, 7).text("ab").number(done...)},
		{name: "a file five times", sends: *begin().number(2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0,
			0, 0, 0).
			number(done...)},
		{name: "nothing wanted", sends: *begin().number(done...)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for name, e := range both(t) {
				c := conversation{first: tc.sends, job: rsync.Job{
					Files: fstest.MapFS{"empty": {}, "small": {Data: []byte("data")}}}}
				c.serve(t, e, downloadLine)
				if !strings.Contains(c.stderr, tc.says) || c.status != tc.status {
					t.Errorf("%s: exit status %d (%v), want %d\n%s", name, c.status, c.err, tc.status, c.stderr)
				}
			}
		})
	}
}

// A client that stops, without ending, keeps no transfer once its context is done.
func TestServe_context(t *testing.T) {
	t.Parallel()
	for name, e := range both(t) {
		for line, sends := range map[string][]byte{
			uploadLine:   *new(wire).number(31).entry("x", 10, regular).end(),
			downloadLine: *new(wire).number(31, 0),
		} {
			t.Run(name+strings.TrimPrefix(line, "rsync"), func(t *testing.T) {
				t.Parallel()
				root, err := os.OpenRoot(t.TempDir())
				check(t, err)
				defer root.Close()
				cmd, err := rsync.Parse(line)
				check(t, err)
				ctx, cancel := context.WithCancelCause(context.Background())
				in, feed := io.Pipe()
				defer in.Close()
				go func() {
					feed.Write(sends)
					cancel(errCut)
				}()
				stuck, _ := io.Pipe() // nothing is ever read of what is written
				status, err := e.Serve(ctx, rsync.Stream{In: in, Out: &blocked{until: stuck}, Err: io.Discard}, cmd,
					&rsync.Job{Root: root, Files: fstest.MapFS{"a": {}}})
				stuck.Close()
				if !errors.Is(err, errCut) || status == 0 {
					t.Errorf("exit status %d, error %v", status, err)
				}
			})
		}
	}
}

// blocked takes nothing until the reader is closed.
type blocked struct{ until *io.PipeReader }

func (b *blocked) Write(p []byte) (int, error) {
	_, err := b.until.Read(make([]byte, 1))
	return 0, err
}

// endless is a client that always has one more entry.
type endless struct {
	next func(i int) *wire
	rest []byte
	n    int
	stop atomic.Bool
}

func (e *endless) Read(p []byte) (int, error) {
	if e.stop.Load() {
		return 0, io.EOF
	}
	if len(e.rest) == 0 {
		e.rest = *e.next(e.n)
		e.n++
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func fileName(i int) string { return strconv.Itoa(i) }
