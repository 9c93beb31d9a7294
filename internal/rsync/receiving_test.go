package rsync_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/mmcloughlin/md4"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// A single file's temporary file is not in a directory of the upload's own. The next upload removes it all the same.
func TestBreak_serverKilledSingle(t *testing.T) {
	t.Parallel()
	s := newSite(t, testprog.Need(t, "rsync", "rsync"), "")
	files{"a.zip": text(1, 900_000)}.write(t, s.dir)
	s.Mark, s.Hang = 500_000, true
	cmd := s.command(t, "-a", "a.zip", "h:/data/origin.zip")
	check(t, cmd.Start())
	pid, err := strconv.Atoi(string(await(t, s.Report+".mark")))
	check(t, err)
	server, err := os.FindProcess(pid)
	check(t, err)
	check(t, server.Kill())
	if cmd.Wait() == nil {
		t.Error("the client ended well")
	}
	if left := read(t, s.Root); len(left) != 1 {
		t.Errorf("%d files are left, want one", len(left))
	}
	s.Mark, s.Hang = 0, false
	s.ok(t, "-a", "a.zip", "h:/data/origin.zip")
	equal(t, "files", files{"origin.zip": text(1, 900_000)}, read(t, s.Root))
}

// A file that comes with a wrong checksum is asked for once more, and is not there before it is right.
func TestUpload_wrongChecksum(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		second string // what comes the second time
		whole  bool
	}{
		"right then": {second: "right", whole: true},
		"wrong then": {second: "wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root, err := os.OpenRoot(t.TempDir())
			check(t, err)
			defer root.Close()
			cmd, err := rsync.Parse("rsync --server -tre.i . /data/origin.dump/")
			check(t, err)
			in, toServer := io.Pipe()
			fromServer, out := io.Pipe()
			defer in.Close()
			defer fromServer.Close()
			go func() {
				c := dialogue{t, fromServer, toServer, nil}
				c.send(new(wire).number(31).entry("x", 5, regular).end())
				c.raw(4)
				seed := c.raw(4)
				sum := func(s string) string {
					h := md4.New()
					h.Write(append(seed, s...))
					return string(h.Sum(nil))
				}
				c.expect(0, 0, 0, 0, 0, -1)
				c.send(new(wire).number(0, 0, 0, 0, 0, 5).text("wrong").number(0).text(sum("right")).number(-1))
				c.expect(0, 0, 0, 0, 0, -1)
				c.send(new(wire).number(0, 0, 0, 0, 0, 5).text(tc.second).number(0).text(sum("right")).number(-1))
				io.Copy(io.Discard, fromServer)
			}()
			var done []rsync.File
			status, err := rsync.InProcess().Serve(t.Context(), rsync.Stream{In: in, Out: out, Err: io.Discard}, cmd,
				&rsync.Job{Root: root, Done: func(f rsync.File) { done = append(done, f) }})
			out.Close()
			want, report := files{"origin.dump/": ""}, []rsync.File(nil)
			if tc.whole {
				want["origin.dump/x"], report = "right", []rsync.File{sent("origin.dump/x", 5)}
			}
			if (status == 0) != tc.whole {
				t.Errorf("exit status %d (%v)", status, err)
			}
			equal(t, "files", want, read(t, root.Name()))
			equal(t, "report", report, done)
		})
	}
}

// A dialogue is a client that waits for what it expects before it sends on.
type dialogue struct {
	t    *testing.T
	from io.Reader
	to   io.Writer
	data []byte // of frames, and not expected yet
}

func (d *dialogue) send(w *wire) { d.to.Write(*w) }

// raw reads bytes that are in no frame.
func (d *dialogue) raw(n int) []byte {
	b := make([]byte, n)
	if _, err := io.ReadFull(d.from, b); err != nil {
		d.t.Errorf("the server sends no %d bytes: %v", n, err)
	}
	return b
}

// expect reads numbers in frames.
func (d *dialogue) expect(numbers ...int32) {
	want := []byte(*new(wire).number(numbers...))
	for len(d.data) < len(want) {
		head := binary.LittleEndian.Uint32(d.raw(4))
		if head>>24 != 7 {
			d.t.Errorf("a frame of the kind %d", head>>24)
			return
		}
		d.data = append(d.data, d.raw(int(head&0xffffff))...)
	}
	if !bytes.Equal(d.data[:len(want)], want) {
		d.t.Errorf("the server sends %v, want %v", d.data[:len(want)], want)
	}
	d.data = d.data[len(want):]
}
