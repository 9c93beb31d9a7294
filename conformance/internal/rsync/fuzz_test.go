package rsync_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/mmcloughlin/md4"

	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

// server is what a server sends, as it is being written.
type server []byte

func (s server) int(values ...int32) server {
	for _, v := range values {
		s = binary.LittleEndian.AppendUint32(s, uint32(v))
	}
	return s
}

func (s server) text(t string) server { return append(s, t...) }

// framed is the greeting, and data in one frame behind a message.
func framed(data server) []byte {
	const seed = 5
	out := server(nil).int(31, seed, 9<<24|6).text("hello\n")
	return append(out.int(int32(7<<24|len(data))), data...)
}

// listed is a list with one file of one byte, and one directory.
func listed() server {
	s := append(server(nil), 0x40).int(1).text("d").int(0, 1, 0o040755, 0, 0)
	s = append(s, 0x40).int(3).text("d/f").int(1, 1, 0o100644, 0, 0)
	return append(s, 0).int(0, 0, 0)
}

// sum is the whole checksum of a file, with the seed of framed.
func sum(data string) string {
	h := md4.New()
	h.Write(server(nil).int(5))
	h.Write([]byte(data))
	return string(h.Sum(nil))
}

// stream is what a server sends, and takes all that is sent to it.
type stream struct{ io.Reader }

func (stream) Write(p []byte) (int, error) { return len(p), nil }
func (stream) Close() error                { return nil }

func download(data []byte) rsync.Got {
	d := rsync.Download{Most: 1 << 20, Keep: 1 << 10, Have: map[string][]byte{"d/f": bytes.Repeat([]byte("x"), 1500)}}
	return d.Run(stream{bytes.NewReader(data)})
}

func upload(data []byte) rsync.Sent {
	u := rsync.Upload{Files: []rsync.File{{Name: ".", Dir: true}, {Name: "a", Data: []byte("a")}, {Name: "b"}}}
	return u.Run(stream{bytes.NewReader(data)})
}

// What a good server sends by hand is understood, so that the fuzz targets begin with it.
func TestByHand(t *testing.T) {
	t.Parallel()
	good := framed(listed().int(1, 3, 700, 16, 100, 1).text("!").int(0).text(sum("!")).int(-1, -1, 0, 0, 0))
	if got := download(good); !got.Whole || len(got.Files) != 1 || string(got.Files[0].Kept) != "!" ||
		len(got.Messages) != 1 {
		t.Errorf("%+v", got)
	}
	if sent := upload(framed(server(nil).int(1, 0, 0, 0, 0, -1, -1, -1))); !sent.Whole || len(sent.Asked) != 1 {
		t.Errorf("%+v", sent)
	}
	for name, tt := range map[string]struct {
		data []byte
		says string
	}{
		"a wrong sum": {framed(listed().int(1, 3, 700, 16, 100, 1).text("!").int(0).text(sum("?"))), "checksum"},
		"too much":    {framed(listed().int(1, 3, 700, 16, 100, 2).text("!!").int(0).text(sum("!!"))), "more of"},
		"other sizes": {framed(listed().int(1, 3, 800, 16, 100, 0)), "other sizes"},
		"not asked":   {framed(listed().int(0, 0, 0, 0, 0)), "not asked for"},
		"nothing":     {framed(listed().int(-1)), "did not send"},
		"old":         {server(nil).int(26, 5), "version 26"},
		"no block":    {framed(listed().int(1, 3, 700, 16, 100, -4)), "took block 3"},
		"cut":         {framed(listed())[:60], "in the middle"},
		"chatter":     {append(server(nil).int(31, 5), strings.Repeat("\x00\x00\x00\x09", 20_000)...), "without end"},
		"frames":      {server(nil).int(31, 5, 60<<24), "unknown kind"},
	} {
		if got := download(tt.data); got.Whole || !strings.Contains(got.Problem, tt.says) {
			t.Errorf("%s: %q, want %q", name, got.Problem, tt.says)
		}
	}
	for name, data := range map[string]server{
		"no such file": server(nil).int(7), "a directory": server(nil).int(0), "below": server(nil).int(-2),
		"blocks": server(nil).int(1, 1<<30, 700, 16, 0), "behind the end": server(nil).int(-1, -1, 1),
		"without end": server(nil).int(slices.Repeat([]int32{1, 0, 0, 0, 0}, 10)...),
	} {
		if sent := upload(framed(data)); sent.Whole || sent.Problem == "" {
			t.Errorf("%s: %+v", name, sent)
		}
	}
}

// FuzzDownload lets a server send anything: what is kept is bounded, and every conversation ends.
func FuzzDownload(f *testing.F) {
	f.Add(framed(listed().int(1, 3, 700, 16, 100, 1).text("!").int(0).text(sum("!")).int(-1, -1, 0, 0, 0)))
	f.Add(framed(listed().int(1, 3, 700, 16, 100, -1, -3, 0)))
	f.Add(framed(listed().int(-1)))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := download(data)
		if got.Whole != (got.Problem == "") || len(got.Messages) > 21 || len(got.Files) > len(got.List) {
			t.Fatalf("%+v", got)
		}
		for _, file := range got.Files {
			if len(file.Kept) > 1<<10 || file.Size > 1<<20 {
				t.Fatalf("%s: %d bytes, %d kept", file.Name, file.Size, len(file.Kept))
			}
		}
	})
}

// FuzzUpload lets a server answer an upload with anything.
func FuzzUpload(f *testing.F) {
	f.Add(framed(server(nil).int(1, 0, 0, 0, 0, -1, -1, -1)))
	f.Add(framed(server(nil).int(1, 1, 700, 2, 1, 5).text("ab").int(-1, 2)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if sent := upload(data); sent.Whole != (sent.Problem == "") || len(sent.Asked) > 7 {
			t.Fatalf("%+v", sent)
		}
	})
}
