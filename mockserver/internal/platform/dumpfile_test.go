package platform

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var errBroken = errors.New("the session broke")

// act is one thing that happens to a request's dump. Handles are numbered as they are opened.
type act struct {
	do     string // open, write, truncate, close, break, upload, kill
	handle int
	at     int64  // write: the offset; truncate: the size
	data   string // write, upload
	trunc  bool   // open: with truncation
}

func opens(trunc bool) act { return act{do: "open", trunc: trunc} }
func writes(handle int, at int64, d string) act {
	return act{do: "write", handle: handle, at: at, data: d}
}
func cuts(handle int, size int64) act { return act{do: "truncate", handle: handle, at: size} }
func closes(handle int) act           { return act{do: "close", handle: handle} }
func breaks(handle int) act           { return act{do: "break", handle: handle} }
func uploads(d string) act            { return act{do: "upload", data: d} }

// What is left of a dump after a story: the last complete one, and what an SFTP session sees.
func TestDumpFile(t *testing.T) {
	t.Parallel()
	const none = "(none)"
	for name, tc := range map[string]struct {
		story            []act
		original, shared string
	}{
		"nothing":            {nil, none, ""},
		"opened":             {[]act{opens(true)}, none, ""},
		"opened and closed":  {[]act{opens(false), closes(0)}, none, ""},
		"an empty file":      {[]act{opens(true), closes(0)}, "", ""},
		"written":            {[]act{opens(true), writes(0, 0, "abc")}, none, "abc"},
		"written and closed": {[]act{opens(true), writes(0, 0, "abc"), closes(0)}, "abc", "abc"},
		"out of order": {[]act{opens(true), writes(0, 3, "def"), writes(0, 0, "abc"), closes(0)}, "abcdef",
			"abcdef"},
		"broken": {[]act{opens(true), writes(0, 0, "abc"), breaks(0)}, none, "abc"},
		"broken with a hole": {[]act{opens(true), writes(0, 0, "abc"), writes(0, 6, "ghi"), breaks(0)}, none,
			"abc"},
		"broken with many holes": {[]act{opens(true), writes(0, 8, "i"), writes(0, 2, "c"), writes(0, 5, "fg"),
			writes(0, 0, "a"), breaks(0)}, none, "a"},
		"broken without a beginning": {[]act{opens(true), writes(0, 3, "def"), breaks(0)}, none, ""},
		"holes filled before": {[]act{opens(true), writes(0, 2, "c"), writes(0, 4, "ef"), writes(0, 0, "ab"),
			writes(0, 3, "d"), breaks(0)}, none, "abcdef"},
		"spans that overlap": {[]act{opens(true), writes(0, 4, "efgh"), writes(0, 2, "cde"), writes(0, 6, "ghi"),
			writes(0, 0, "abc"), breaks(0)}, none, "abcdefghi"},
		"a hole, closed in order": {[]act{opens(true), writes(0, 3, "def"), closes(0)}, "\x00\x00\x00def",
			"\x00\x00\x00def"},
		"resumed": {[]act{opens(true), writes(0, 0, "abc"), breaks(0), opens(false),
			writes(1, 3, "def"), closes(1)}, "abcdef", "abcdef"},
		"resumed after a hole": {[]act{opens(true), writes(0, 0, "abc"), writes(0, 6, "ghi"), breaks(0),
			opens(false), writes(1, 3, "def"), closes(1)}, "abcdef", "abcdef"},
		"shorter": {[]act{opens(true), writes(0, 0, "abcdef"), closes(0), opens(true),
			writes(1, 0, "xy"), closes(1)}, "xy", "xy"},
		"cut by its handle": {[]act{opens(true), writes(0, 0, "abcdef"), cuts(0, 2), closes(0)}, "ab", "ab"},
		"cut, then longer": {[]act{opens(true), writes(0, 0, "abcdef"), cuts(0, 2), cuts(0, 4), closes(0)},
			"ab\x00\x00", "ab\x00\x00"},
		"made longer, then broken": {[]act{opens(true), writes(0, 0, "ab"), cuts(0, 4), breaks(0)}, none, "ab"},
		"cut within a span": {[]act{opens(true), writes(0, 0, "a"), writes(0, 3, "def"), cuts(0, 4),
			writes(0, 1, "bc"), breaks(0)}, none, "abcd"},
		"cut before a span": {[]act{opens(true), writes(0, 0, "a"), writes(0, 3, "def"), cuts(0, 2),
			writes(0, 1, "b"), writes(0, 2, "c"), breaks(0)}, none, "abc"},
		"overwriting, the old stays": {[]act{opens(true), writes(0, 0, "abcdef"), closes(0), opens(true),
			writes(1, 0, "xy")}, "abcdef", "xy"},
		"overwriting, then broken": {[]act{opens(true), writes(0, 0, "abcdef"), closes(0), opens(true),
			writes(1, 0, "xy"), breaks(1)}, "abcdef", "xy"},
		"changed in the middle": {[]act{opens(true), writes(0, 0, "abcdef"), closes(0), opens(false),
			writes(1, 2, "XX")}, "abcdef", "abXXef"},
		"changed, then closed": {[]act{opens(true), writes(0, 0, "abcdef"), closes(0), opens(false),
			writes(1, 2, "XX"), closes(1)}, "abXXef", "abXXef"},
		"changed, then broken": {[]act{opens(true), writes(0, 0, "abcdef"), closes(0), opens(false),
			writes(1, 2, "XX"), breaks(1)}, "abcdef", "abXXef"},
		"appending, the old stays": {[]act{opens(true), writes(0, 0, "abc"), closes(0), opens(false),
			writes(1, 3, "def")}, "abc", "abcdef"},
		"appending, then broken": {[]act{opens(true), writes(0, 0, "abc"), closes(0), opens(false),
			writes(1, 3, "def"), writes(1, 9, "X"), breaks(1)}, "abc", "abcdef"},
		"two at once, both close": {[]act{opens(true), opens(false), writes(0, 0, "abc"), writes(1, 3, "def"),
			closes(0), closes(1)}, "abcdef", "abcdef"},
		"two at once, one closed": {[]act{opens(true), opens(false), writes(0, 0, "abc"), writes(1, 3, "def"),
			closes(0)}, "abcdef", "abcdef"},
		"two at once, one breaks": {[]act{opens(true), opens(false), writes(0, 0, "abc"), writes(1, 3, "def"),
			breaks(1), closes(0)}, "abcdef", "abcdef"},
		"two at once, a hole is left": {[]act{opens(true), opens(false), writes(0, 0, "abc"), writes(1, 6, "ghi"),
			breaks(1), closes(0)}, none, "abc"},
		"two at once, the hole filled": {[]act{opens(true), opens(false), writes(0, 0, "abc"), writes(1, 6, "ghi"),
			breaks(1), writes(0, 3, "def"), closes(0)}, "abcdefghi", "abcdefghi"},
		"two at once, both break": {[]act{opens(true), opens(false), writes(0, 0, "abc"), writes(1, 6, "ghi"),
			breaks(0), breaks(1)}, none, "abc"},
		"a second one truncates": {[]act{opens(true), writes(0, 0, "abcdef"), opens(true), writes(1, 0, "xy"),
			closes(1), closes(0)}, "xy", "xy"},
		"uploaded":            {[]act{uploads("abc")}, "abc", "abc"},
		"uploaded over":       {[]act{opens(true), writes(0, 0, "abcdef"), closes(0), uploads("xy")}, "xy", "xy"},
		"uploaded while open": {[]act{opens(true), writes(0, 0, "abcdef"), uploads("xy")}, "xy", "xy"},
		"uploaded while open, closed": {[]act{opens(true), writes(0, 0, "abcdef"), uploads("xy"), closes(0)}, "abcdef",
			"abcdef"},
		"uploaded while open, broken": {[]act{opens(true), writes(0, 0, "abcdef"), uploads("xy"), breaks(0)}, "xy", "xy"},
		"an upload over SFTP's start": {[]act{opens(true), writes(0, 0, "abc"), breaks(0), uploads("xy")}, "xy", "xy"},
		"uploaded, then appended": {[]act{uploads("abc"), opens(false), writes(0, 3, "def"), closes(0)}, "abcdef",
			"abcdef"},
		"uploaded, changing, uploaded": {[]act{uploads("abcdef"), opens(false), writes(0, 0, "X"), uploads("xy"), breaks(0)},
			"xy", "xy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, t.TempDir())
			ref := create(t, p)
			s := share(t, p, ref)
			var handles []ShareFile
			for _, a := range tc.story {
				var err error
				switch a.do {
				case "open":
					flag := os.O_RDWR
					if a.trunc {
						flag |= os.O_TRUNC
					}
					var f ShareFile
					f, err = s.Open(flag)
					handles = append(handles, f)
				case "write":
					_, err = handles[a.handle].WriteAt([]byte(a.data), a.at)
				case "truncate":
					err = handles[a.handle].Truncate(a.at)
				case "close":
					_, err = handles[a.handle].Finish()
					handles[a.handle] = nil
				case "break":
					err = handles[a.handle].Abort(errBroken)
					handles[a.handle] = nil
				case "upload":
					if fails := upload(t, p, ref, []byte(a.data)); fails != nil {
						t.Fatal(fails)
					}
				}
				if err != nil {
					t.Fatalf("%+v: %v", a, err)
				}
			}
			check := func(when string, p *Platform, s *Share, exact bool) {
				t.Helper()
				got := none
				if b := original(t, p, ref); b != nil {
					got = string(b)
				}
				if got != tc.original {
					t.Errorf("%s: the complete dump is %q, want %q", when, got, tc.original)
				}
				if got := string(shared(t, s)); exact && got != tc.shared || !strings.HasPrefix(tc.shared, got) &&
					got != tc.original {
					t.Errorf("%s: the shared file is %q, want %q", when, got, tc.shared)
				}
			}
			check("at the end", p, s, true)
			next := killed(t, p)
			check("after a kill", next, share(t, next, ref), false)
			for _, f := range handles {
				if f != nil {
					if err := f.Abort(errBroken); err != nil {
						t.Error(err)
					}
				}
			}
			noLeaks(t, p)
			noLeaks(t, next)
		})
	}
}

// Each handle that is gone gives the file beneath back.
func TestDumpFile_closesItsFile(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	ref := create(t, p)
	s := share(t, p, ref)
	for range 3 {
		a, err := s.Open(os.O_RDWR | os.O_TRUNC)
		b, err2 := s.Open(os.O_RDONLY)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if _, err := a.WriteAt([]byte("abc"), 0); err != nil {
			t.Fatal(err)
		}
		_, err = a.Finish()
		if err := errors.Join(err, b.Abort(errBroken)); err != nil {
			t.Fatal(err)
		}
		if d := p.requests[firstID].shared; d.file != nil {
			t.Error("the file is open, and no handle is")
		}
	}
}

// A file of ours that somebody gave another name, or put in the place of one, is not changed by what clients write.
func TestDumpFile_hardLink(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(*Share, ShareFile) error{
		"behind the end": func(_ *Share, f ShareFile) error { _, err := f.WriteAt([]byte("abc"), 10); return err },
		"over it":        func(_ *Share, f ShareFile) error { _, err := f.WriteAt([]byte("abc"), 3); return err },
		"shorter":        func(_ *Share, f ShareFile) error { return f.Truncate(5) },
		"longer":         func(_ *Share, f ShareFile) error { return f.Truncate(50) },
		"by name":        func(s *Share, _ ShareFile) error { return s.Truncate(5) },
		"nothing":        func(*Share, ShareFile) error { return nil },
	} {
		for _, complete := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/complete=%v", name, complete), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				p := open(t, dir)
				ref := create(t, p)
				s := share(t, p, ref)
				f, err := s.Open(os.O_RDWR)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteAt([]byte("0123456789"), 0); err != nil {
					t.Fatal(err)
				}
				end := func() error { _, err := f.Finish(); return err }
				if !complete {
					end = func() error { return f.Abort(errBroken) }
				}
				if err := end(); err != nil {
					t.Fatal(err)
				}

				const theirs = "0123456789, and more of theirs"
				other := filepath.Join(dir, "theirs")
				ours := filepath.Join(dir, "dumps", strconv.FormatInt(p.requests[firstID].shared.number(), 10))
				if err := errors.Join(os.WriteFile(other, []byte(theirs), 0o600), os.Remove(ours)); err != nil {
					t.Fatal(err)
				}
				if err := os.Link(other, ours); err != nil {
					t.Skipf("no hard links here: %v", err)
				}
				if f, err = s.Open(os.O_RDWR); err != nil {
					t.Fatal(err)
				}
				if err := write(s, f); err != nil {
					t.Fatal(err)
				}
				if _, err := f.Finish(); err != nil {
					t.Fatal(err)
				}
				if got, err := os.ReadFile(other); err != nil || string(got) != theirs {
					t.Errorf("the other name's file holds %q, %v", got, err)
				}
			})
		}
	}
}

// A resume by size after a kill finds no hole, although the transfer was begun anew, or cut, after a note of its
// progress was kept.
func TestDumpFile_killAfterTruncation(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), (wholeStep+1<<20)/16)
	for name, begin := range map[string]func(*Share, ShareFile) error{
		"by the handle": func(_ *Share, f ShareFile) error { return f.Truncate(10) },
		"by name":       func(s *Share, _ ShareFile) error { return s.Truncate(10) },
		"by another's open": func(s *Share, _ ShareFile) error {
			f, err := s.Open(os.O_RDWR | os.O_TRUNC)
			return errors.Join(err, f.Abort(errBroken))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := open(t, t.TempDir())
			ref := create(t, p)
			s := share(t, p, ref)
			f, err := s.Open(os.O_RDWR | os.O_TRUNC)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(big, 0); err != nil {
				t.Fatal(err)
			}
			if err := begin(s, f); err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt(big, 100); err != nil { // what is before 100 never came
				t.Fatal(err)
			}
			next := killed(t, p)
			if found := shared(t, share(t, next, ref)); len(found) > 10 {
				t.Errorf("%d bytes are said to be there after a kill; behind the tenth is a hole", len(found))
			}
			if err := f.Abort(errBroken); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What another session was appending when the process was killed is not seen behind the end of the complete dump.
func TestDumpFile_killWhileAnotherAppends(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	ref := create(t, p)
	s := share(t, p, ref)
	a, err := s.Open(os.O_RDWR)
	b, err2 := s.Open(os.O_RDWR)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if _, err := a.WriteAt([]byte("abc"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.WriteAt([]byte("fghi"), 5); err != nil {
		t.Fatal(err)
	}
	next := killed(t, p)
	s2 := share(t, next, ref)
	if got := string(shared(t, s2)); got != "abc" {
		t.Errorf("the shared file is %q, want %q", got, "abc")
	}
	f, err := s2.Open(os.O_RDWR)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(9); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Finish(); err != nil {
		t.Fatal(err)
	}
	if got := string(original(t, next, ref)); got != "abc\x00\x00\x00\x00\x00\x00" {
		t.Errorf("the file made longer is %q: what was written before the kill is in its hole", got)
	}
	if err := b.Abort(errBroken); err != nil {
		t.Fatal(err)
	}
}

// The last completed write wins, whichever is recorded first.
func TestDumpFile_closingAtOnce(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir(), func(o *Options) { o.Keep = false })
	ref := create(t, p)
	s := share(t, p, ref)
	for range 50 {
		var wg sync.WaitGroup
		for i := range 8 {
			f, err := s.Open(os.O_RDWR)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				_, err := f.WriteAt([]byte("abc"), int64(i*3))
				_, err2 := f.Finish()
				if err := errors.Join(err, err2); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got, want := len(original(t, p, ref)), len(shared(t, s)); got != want {
			t.Fatalf("the dump has %d bytes when all have closed, the file %d", got, want)
		}
		if err := s.Truncate(0); err != nil {
			t.Fatal(err)
		}
	}
	noLeaks(t, p)
}

// Eight writers of one file, as the SFTP server's workers are, and readers beside them.
func TestDumpFile_concurrently(t *testing.T) {
	t.Parallel()
	p := open(t, t.TempDir())
	ref := create(t, p)
	s := share(t, p, ref)
	want := bytes.Repeat([]byte("0123456789abcdef"), 64<<10)
	f, err := s.Open(os.O_RDWR | os.O_TRUNC)
	if err != nil {
		t.Fatal(err)
	}
	const piece = 4096
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := make([]byte, piece)
			for at := i * piece; at < len(want); at += 8 * piece {
				if _, err := f.WriteAt(want[at:at+piece], int64(at)); err != nil {
					t.Error(err)
				}
				if n, _ := f.ReadAt(b, int64(at)); !bytes.Equal(b[:n], want[at:at+piece]) {
					t.Errorf("at %d other bytes are read than were written", at)
				}
			}
		})
	}
	wg.Wait()
	if completed, err := f.Finish(); err != nil || completed == nil {
		t.Fatal(completed, err)
	}
	if !bytes.Equal(original(t, p, ref), want) {
		t.Error("the dump is not what was written")
	}
}

// An operation after the access has ended, and a file that was opened before.
func TestShare_ended(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ended := 0
	p := open(t, t.TempDir(), func(o *Options) {
		o.Now = func() time.Time { return now }
		o.AccessEnded = func(int64) { ended++ }
	})
	ref := create(t, p)
	s := share(t, p, ref)
	now = now.Add(time.Hour)
	if _, err := s.Stat(); !errors.Is(err, ErrAccessEnded) {
		t.Errorf("stat: %v", err)
	}
	if _, err := s.Open(os.O_RDONLY); !errors.Is(err, ErrAccessEnded) {
		t.Errorf("open: %v", err)
	}
	if err := s.Truncate(0); !errors.Is(err, ErrAccessEnded) {
		t.Errorf("truncate: %v", err)
	}
	if _, err := p.Share(SFTPUser(firstID), theKey); !errors.Is(err, ErrNoAccess) {
		t.Errorf("login: %v", err)
	}
	if ended != 1 {
		t.Errorf("the end of the access was reported %d times", ended)
	}
}
