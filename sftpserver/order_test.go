package sftpserver_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// side is a server with one file, spoken to in SFTP messages: ours, or OpenSSH's.
type side struct {
	*raw
	content func() []byte
	got     int // the id of the last answer
}

func ours(t *testing.T, base []byte) *side {
	t.Helper()
	h := start(t)
	h.share.set(base)
	return &side{raw: h.raw(), content: h.share.bytes}
}

// openSSH runs OpenSSH's server, the one that its sshd runs, in a directory with the file.
func openSSH(t *testing.T, base []byte) *side {
	t.Helper()
	program := testprog.Need(t, "/usr/lib/openssh/sftp-server", "openssh-sftp-server")
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, base, 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-d", filepath.Dir(file))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("sftp-server: %v", err)
		}
	})
	r := &raw{tb: t, stream: struct {
		io.Reader
		io.Writer
	}{out, in}}
	r.version()
	return &side{raw: r, content: func() []byte {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		return b
	}}
}

const base = "0123456789"

// TestAppend_anyOffsets sends WRITEs to a handle that was opened with APPEND: they are put at the end in the order of
// arrival (row 5.12), one by one and all at once. OpenSSH's server does the same.
func TestAppend_anyOffsets(t *testing.T) {
	t.Parallel()
	const far = 1<<64 - 1
	for _, offsets := range [][]uint64{
		{0, 0, 0},
		{10, 10, 10},
		{0, 4, 8},
		{10, 14, 18},
		{4, 8, 12},
		{14, 10, 18},
		{8, 4, 0},
		{20, 24},
		{0, 100, 8},
		{far, 0},
		{0, far, 1 << 63, 1<<63 - 1, 1<<63 - 5, 1 << 40},
		{10},
		{9, 10, 11},
	} {
		want, writes := base, make([]string, len(offsets))
		for i := range offsets {
			writes[i] = strings.Repeat(string(rune('A'+i)), 4)
			want += writes[i]
		}
		for server, begin := range map[string]func(*testing.T, []byte) *side{"ours": ours, "OpenSSH": openSSH} {
			for _, pipelined := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%v/pipelined=%v", server, offsets, pipelined), func(t *testing.T) {
					t.Parallel()
					s := begin(t, []byte(base))
					handle := s.open(name, fWrite|fAppend)
					for i, offset := range offsets {
						s.send(6, handle, offset, writes[i])
						if !pipelined {
							s.wantOK("write")
						}
					}
					for range offsets {
						if pipelined {
							s.wantOK("write")
						}
					}
					s.close(handle)
					if diff := cmp.Diff(want, string(s.content())); diff != "" {
						t.Errorf("the file (-want +got):\n%s", diff)
					}
				})
			}
		}
	}
}

// wantOK takes the next answer.
func (r *raw) wantOK(what string) {
	r.tb.Helper()
	if kind, _, rest := r.receive(); kind != 101 || statusCode(rest) != 0 {
		r.tb.Fatalf("%s was answered with type %d: %q", what, kind, rest)
	}
}

func statusCode(rest []byte) uint32 { return binary.BigEndian.Uint32(rest) }

// TestAppend_manyAtOnce appends as fast as the connection takes it, with offsets that say all kinds of things, from
// two handles and a plain one.
func TestAppend_manyAtOnce(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	s := ours(t, []byte(base))
	handles := []string{s.open(name, fWrite|fAppend), s.open(name, fRead|fWrite|fAppend|fCreate)}
	plain := s.open(name, fWrite)
	const each = 3000
	want, messages := []byte(base), []byte(nil)
	for i := range each {
		piece := bytes.Repeat([]byte{byte(i)}, 1+random.IntN(40))
		handle, offset := handles[random.IntN(2)], random.Uint64()>>random.IntN(64)
		if i%10 == 0 { // a plain write behind the end: the next append comes behind it
			handle, offset = plain, uint64(len(want))
		}
		messages = append(messages, message(6, i, handle, offset, string(piece))...)
		want = append(want, piece...)
	}
	go s.stream.Write(messages)
	for range each {
		s.wantOK("write")
	}
	if got := s.content(); !bytes.Equal(got, want) {
		t.Errorf("seed %d: the file has %d bytes, want %d; they differ from %d on", seed, len(got), len(want),
			differ(got, want))
	}
}

func differ(a, b []byte) int {
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	return at
}

// TestOrder_likeOpenSSH sends both servers the same messages, chosen at random and without waiting for answers, and
// compares every answer and the file: whatever is asked, in whatever order, it is as if each message had been answered
// before the next one came.
func TestOrder_likeOpenSSH(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	for i := range uint64(60) {
		t.Run(fmt.Sprintf("%d-%d", seed, i), func(t *testing.T) {
			t.Parallel()
			compareWithOpenSSH(t, rand.New(rand.NewPCG(seed, i)))
		})
	}
}

func FuzzOrder(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, a, b uint64) { compareWithOpenSSH(t, rand.New(rand.NewPCG(a, b))) })
}

func compareWithOpenSSH(t *testing.T, random *rand.Rand) {
	sides := [2]*side{ours(t, []byte(base)), openSSH(t, []byte(base))}
	type opened struct{ handles [2]string }
	var open []opened
	var log []string
	batch := func() {
		var asked int
		for range 1 + random.IntN(30) {
			var kind byte
			var fields func(side int) []any
			byHandle := func(more ...any) func(int) []any {
				h := open[random.IntN(len(open))]
				return func(side int) []any { return append([]any{h.handles[side]}, more...) }
			}
			byName := func(more ...any) func(int) []any {
				return func(int) []any { return append([]any{name}, more...) }
			}
			what := random.IntN(10)
			if len(open) == 0 {
				what = 8 + random.IntN(2)
			}
			switch what {
			case 0, 1, 2, 3, 4:
				letter := string(rune('a' + random.IntN(26)))
				kind, fields = 6, byHandle(randomOffset(random), strings.Repeat(letter, random.IntN(20)))
			case 5:
				kind, fields = 5, byHandle(uint64(random.IntN(250)), 1+random.IntN(100))
			case 6:
				kind, fields = 8, byHandle()
			case 7:
				kind, fields = 10, byHandle(1, uint64(random.IntN(300)))
			case 8:
				kind, fields = 17, byName()
			case 9:
				kind, fields = 9, byName(1, uint64(random.IntN(300)))
			}
			for i, s := range sides {
				s.send(kind, fields(i)...)
			}
			log = append(log, fmt.Sprintf("%d %v", kind, fields(0)))
			asked++
		}
		for range asked {
			compareAnswers(t, sides, log)
		}
	}
	for range 12 {
		if len(open) < 4 {
			flags := random.IntN(64)
			log = append(log, fmt.Sprintf("open %#x", flags))
			for _, s := range sides {
				s.send(3, name, flags, 0)
			}
			if answers, ok := compareAnswers(t, sides, log); ok {
				open = append(open, opened{answers})
			}
		}
		batch()
		if len(open) > 0 && random.IntN(3) == 0 {
			last := open[len(open)-1]
			open = open[:len(open)-1]
			for i, s := range sides {
				s.send(4, last.handles[i])
			}
			log = append(log, "close")
			compareAnswers(t, sides, log)
		}
	}
	if diff := cmp.Diff(string(sides[1].content()), string(sides[0].content())); diff != "" {
		t.Errorf("the file (-OpenSSH's +ours):\n%s\nafter\n%s", diff, strings.Join(log, "\n"))
	}
}

func randomOffset(random *rand.Rand) uint64 {
	switch random.IntN(8) {
	case 0:
		return 0
	case 1:
		return 1<<63 | random.Uint64() // no system takes these
	default:
		return random.Uint64N(200)
	}
}

// TestOpen_flagsLikeOpenSSH opens the file with every combination of flags, and tries what the handle is good for.
func TestOpen_flagsLikeOpenSSH(t *testing.T) {
	t.Parallel()
	for flags := range 64 {
		t.Run(fmt.Sprintf("%#x", flags), func(t *testing.T) {
			t.Parallel()
			sides := [2]*side{ours(t, []byte(base)), openSSH(t, []byte(base))}
			log := []string{fmt.Sprintf("open %#x", flags), "write", "write", "read", "read", "truncate", "size", "read"}
			for _, s := range sides {
				s.send(3, name, flags, 0)
			}
			handles, ok := compareAnswers(t, sides, log)
			for i, s := range sides {
				if ok {
					s.send(6, handles[i], uint64(2), "XY")
					s.send(6, handles[i], uint64(14), "Z")
					s.send(5, handles[i], uint64(0), 5)
					s.send(5, handles[i], uint64(100), 5)
					s.send(10, handles[i], 1, uint64(11))
					s.send(8, handles[i])
					s.send(5, handles[i], uint64(0), 100)
				}
			}
			for range log[1:] {
				if ok {
					compareAnswers(t, sides, log)
				}
			}
			if diff := cmp.Diff(string(sides[1].content()), string(sides[0].content())); diff != "" {
				t.Errorf("the file (-OpenSSH's +ours):\n%s", diff)
			}
		})
	}
}

// compareAnswers takes the next answer of both servers. Of a refusal the code may differ.
func compareAnswers(t *testing.T, sides [2]*side, log []string) (handles [2]string, isHandle bool) {
	t.Helper()
	var said [2]string
	for i, s := range sides {
		kind, id, rest := s.receive()
		s.got = int(id)
		switch kind {
		case 101:
			code := statusCode(rest)
			said[i] = fmt.Sprintf("%d: status %d", id, min(code, 2))
		case 102:
			said[i], handles[i], isHandle = fmt.Sprintf("%d: handle", id), string(rest[4:]), true
		case 105: // the size is the first of the attributes
			said[i] = fmt.Sprintf("%d: size %d", id, binary.BigEndian.Uint64(rest[4:]))
		default:
			said[i] = fmt.Sprintf("%d: type %d %q", id, kind, rest)
		}
	}
	if said[0] != said[1] {
		t.Fatalf("to %q we answer %s, OpenSSH's server %s, after\n%s", log[sides[0].got-1], said[0], said[1],
			strings.Join(log, "\n"))
	}
	return handles, isHandle
}
