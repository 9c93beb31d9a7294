package rsync_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/client/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var moment = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// plant writes files, of which a name that ends in a slash is a directory.
func plant(tb testing.TB, dir string, files map[string][]byte) {
	tb.Helper()
	for name, data := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o700); err != nil {
				tb.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			tb.Fatal(err)
		}
		if err := os.Chtimes(path, moment, moment); err != nil {
			tb.Fatal(err)
		}
	}
}

// content returns what is below a directory: files with their content, directories with nil, links with their target.
func content(tb testing.TB, dir string) map[string][]byte {
	tb.Helper()
	out := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		name := filepath.ToSlash(rel)
		switch {
		case d.IsDir():
			out[name+"/"] = nil
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			out[name] = []byte("-> " + to)
			return err
		default:
			out[name], err = os.ReadFile(path)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// difference describes how two folders differ; it is empty if they do not.
func difference(want, got map[string][]byte) string {
	if maps.EqualFunc(want, got, bytes.Equal) {
		return ""
	}
	short := func(files map[string][]byte) map[string]string {
		out := map[string]string{}
		for name, raw := range files {
			out[name] = fmt.Sprintf("%d bytes, %.20q, CRC %x", len(raw), raw, crc32.ChecksumIEEE(raw))
		}
		return out
	}
	return cmp.Diff(short(want), short(got))
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// source returns a directory as a source.
func source(tb testing.TB, dir string) rsync.Source {
	tb.Helper()
	var src rsync.Source
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		src.Entries = append(src.Entries, rsync.Entry{Name: name, Size: info.Size(), ModTime: info.ModTime(), Mode: d.Type()})
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	src.Open = func(e rsync.Entry) (io.ReadCloser, error) { return os.Open(filepath.Join(dir, e.Name)) }
	return src
}

// server runs the command of a transfer in a directory that stands for /data.
func server(tb testing.TB, command string, use func(rsync.Stream) error) {
	tb.Helper()
	testprog.Need(tb, "rsync", "rsync")
	cmd := exec.Command("sh", "-c", command)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		tb.Fatal(err)
	}
	guard := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer guard.Stop()
	err := use(rsync.Stream{R: out, W: in})
	_ = in.Close()
	_, _ = io.Copy(io.Discard, out)
	if werr := cmd.Wait(); err != nil || werr != nil {
		tb.Fatalf("%v, %v\n%s", err, werr, stderr.String())
	}
}

var tree = map[string][]byte{
	"toc.dat": noise(5000), "1.dat.gz": noise(300_000), "2.dat.gz": noise(32 << 10), "blobs/": nil,
	"blobs/blob_1.dat": noise(1), "blobs/empty": {}, "z": noise(700_001), "with space é": noise(10),
}

func TestSend_toRsync(t *testing.T) {
	t.Parallel()
	from, data := t.TempDir(), t.TempDir()
	plant(t, from, tree)
	to := filepath.Join(data, "origin.dump")
	upload := func() *rsync.Sent {
		var sent *rsync.Sent
		server(t, rsync.UploadCommand(to), func(s rsync.Stream) (err error) {
			sent, err = rsync.Send(s, source(t, from))
			return err
		})
		if diff := difference(content(t, from), content(t, to)); diff != "" {
			t.Fatalf("-sent +arrived:\n%s", diff)
		}
		return sent
	}
	var total int64
	for _, data := range tree {
		total += int64(len(data))
	}
	if diff := cmp.Diff(&rsync.Sent{Bytes: total, Files: 7, Whole: 7}, upload()); diff != "" {
		t.Errorf("first -want +got:\n%s", diff)
	}
	// One file is other, one is gone, one is new: only those move.
	plant(t, from, map[string][]byte{"z": noise(50), "new": noise(60)})
	if err := os.Remove(filepath.Join(from, "1.dat.gz")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&rsync.Sent{Bytes: 110, Files: 2, Whole: 7}, upload()); diff != "" {
		t.Errorf("second -want +got:\n%s", diff)
	}
}

func TestSend_oneFile(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	raw := noise(100_000)
	src := rsync.Source{Entries: []rsync.Entry{{Name: "origin.zip", Size: int64(len(raw)), ModTime: moment}},
		Open: func(rsync.Entry) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }}
	server(t, rsync.UploadCommand(filepath.Join(data, "origin.zip")), func(s rsync.Stream) error {
		_, err := rsync.Send(s, src)
		return err
	})
	if diff := difference(map[string][]byte{"origin.zip": raw}, content(t, data)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func receive(t *testing.T, s rsync.Stream, dir string) (*rsync.Received, error) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	r := &rsync.Receiver{Root: root, Wanted: []string{"upgraded.dump", "filestore", "upgrade.log"}, Parts: ".parts"}
	got, err := r.Run(s)
	return got, err
}

func TestReceive_fromRsync(t *testing.T) {
	t.Parallel()
	data, to := t.TempDir(), t.TempDir()
	files := map[string][]byte{"upgraded.dump/": nil, "upgrade.log": noise(70_000), "filestore/": nil,
		"filestore/ab/": nil}
	for name, raw := range tree {
		files["upgraded.dump/"+name] = raw
	}
	for i := range 300 {
		files[fmt.Sprintf("filestore/ab/%03d", i)] = noise(i)
	}
	plant(t, data, files)
	var total int64
	for _, raw := range files {
		total += int64(len(raw))
	}
	download := func() *rsync.Received {
		var got *rsync.Received
		command := rsync.DownloadCommand(data+"/upgraded.dump", data+"/filestore", data+"/report.html", data+"/upgrade.log")
		server(t, command, func(s rsync.Stream) (err error) {
			got, err = receive(t, s, to)
			return err
		})
		if diff := difference(files, content(t, to)); diff != "" {
			t.Fatalf("-sent +arrived:\n%s", diff)
		}
		return got
	}
	if got := download(); got.Bytes != total || got.Files != 308 || got.Skipped != 0 || got.Total() != total {
		t.Errorf("%d bytes of %d, %d files, %d skipped", got.Bytes, total, got.Files, got.Skipped)
	}
	// One is gone, one is cut off, one has another time: those come again.
	name := filepath.Join(to, "upgraded.dump", "z")
	if err := errors.Join(os.Remove(filepath.Join(to, "upgrade.log")), os.Truncate(name, 5), os.Chtimes(name, moment,
		moment),
		os.Chtimes(filepath.Join(to, "filestore", "ab", "007"), time.Time{}, moment.Add(time.Second))); err != nil {
		t.Fatal(err)
	}
	if got := download(); got.Bytes != 770_008 || got.Files != 3 || got.Skipped != 305 {
		t.Errorf("%d bytes, %d files, %d skipped", got.Bytes, got.Files, got.Skipped)
	}
}

// TestReceive_links: what is neither file nor directory is left out.
func TestReceive_links(t *testing.T) {
	t.Parallel()
	data, to := t.TempDir(), t.TempDir()
	plant(t, data, map[string][]byte{"filestore/a": []byte("a")})
	if err := os.Symlink("/etc/passwd", filepath.Join(data, "filestore", "link")); err != nil {
		t.Fatal(err)
	}
	server(t, rsync.DownloadCommand(data+"/filestore"), func(s rsync.Stream) error {
		got, err := receive(t, s, to)
		if diff := cmp.Diff([]string{"filestore/link"}, got.Left); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		return err
	})
	if diff := difference(map[string][]byte{"filestore/": nil, "filestore/a": []byte("a")}, content(t, to)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestReceive_goesOn: of a file that was under way only the rest is sent, however the part ends.
func TestReceive_goesOn(t *testing.T) {
	t.Parallel()
	raw := noise(3 << 20)
	for name, part := range map[string][]byte{
		"the beginning":        raw[:2<<20+77],
		"nearly all":           raw[:len(raw)-1],
		"all":                  raw,
		"with a wrong end":     append(bytes.Clone(raw[:1<<20]), noise(1<<19)...),
		"of another file":      noise(1 << 20),
		"too small":            raw[:1000],
		"longer than the file": append(bytes.Clone(raw), noise(5000)...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, to := t.TempDir(), t.TempDir()
			plant(t, data, map[string][]byte{"upgrade.log": raw, "filestore/a": noise(100)})
			command := rsync.DownloadCommand(data+"/filestore", data+"/upgrade.log")
			// A run that breaks leaves a part; what is in it is then changed.
			sent := new(script).entry("upgrade.log", int32(len(raw)), file).end().int(0, 0, 0, 0, 0, 1<<20)
			_, _ = sent.Write(noise(1 << 20))
			_, err := receive(t, rsync.Stream{R: sent.framed(), W: io.Discard}, to)
			rsync.Join(err)
			parts, _ := filepath.Glob(filepath.Join(to, ".parts", "*"))
			if len(parts) != 1 {
				t.Fatalf("parts: %q", parts)
			}
			if err := os.WriteFile(parts[0], part, 0o600); err != nil {
				t.Fatal(err)
			}
			var got *rsync.Received
			server(t, command, func(s rsync.Stream) (err error) {
				got, err = receive(t, s, to)
				return err
			})
			want := map[string][]byte{"upgrade.log": raw, "filestore/": nil, "filestore/a": noise(100)}
			if diff := difference(want, content(t, to)); diff != "" {
				t.Errorf("-sent +arrived: %.500s", diff)
			}
			same := 0
			for same < min(len(raw), len(part)) && raw[same] == part[same] {
				same++
			}
			if len(part) < 256<<10 {
				same = 0
			}
			// A block or two at the end of what is the same may be sent again.
			if most := int64(len(raw)-same) + 100 + 8<<10; got.Bytes > most {
				t.Errorf("%d bytes were sent, want %d at most", got.Bytes, most)
			}
		})
	}
}

func TestReceive_nothing(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	server(t, rsync.DownloadCommand(data+"/upgraded.dump", data+"/filestore"), func(s rsync.Stream) error {
		got, err := receive(t, s, t.TempDir())
		if len(got.Entries) != 0 {
			t.Errorf("%d entries", len(got.Entries))
		}
		return err
	})
}

// script is what a server sends.
type script struct{ bytes.Buffer }

func (s *script) int(v ...int32) *script {
	for _, v := range v {
		_ = binary.Write(s, binary.LittleEndian, v)
	}
	return s
}

// framed returns what a server sends: its version, its seed, and frames of data.
func (s *script) framed() io.Reader {
	var out script
	out.int(27, 1)
	for raw := s.Bytes(); len(raw) > 0; {
		n := min(len(raw), 1000)
		out.int(7<<24 | int32(n))
		_, _ = out.Write(raw[:n])
		raw = raw[n:]
	}
	return &out
}

// entry adds a regular file to the list, or whatever mode says.
func (s *script) entry(name string, size, mode int32) *script {
	_ = s.WriteByte(1<<6 | 1<<3 | 1<<4) // a long name, the user and group before
	s.int(int32(len(name)))
	_, _ = s.WriteString(name)
	return s.int(size, int32(moment.Unix()), mode)
}

// end ends the list.
func (s *script) end() *script {
	_ = s.WriteByte(0)
	return s.int(0, 0, 0)
}

const file = 0o100644

// TestReceive_lies: whatever a server sends, the error says so, and nothing is made outside of what was asked for.
func TestReceive_lies(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sent *script
		says string
	}{
		"up":            {new(script).entry("../evil", 1, file).end(), "may lead out"},
		"up, inside":    {new(script).entry("filestore/../../evil", 1, file).end(), "may lead out"},
		"absolute":      {new(script).entry("/etc/evil", 1, file).end(), "may lead out"},
		"nothing":       {new(script).entry("", 1, file).end(), "may lead out"},
		"unclean":       {new(script).entry("filestore//a", 1, file).end(), "may lead out"},
		"NUL":           {new(script).entry("filestore/a\x00", 1, file).end(), "may lead out"},
		"not asked for": {new(script).entry(".bashrc", 1, file).end(), "was not asked for"},
		"the parts":     {new(script).entry(".parts/part", 1, file).end(), "was not asked for"},
		"twice":         {new(script).entry("filestore/a", 1, file).entry("filestore/a", 2, file).end(), "twice"},
		"negative":      {new(script).entry("filestore/a", -2, file).end(), "-2 bytes"},
		"long name":     {func() *script { s := new(script); s.WriteByte(1 << 6); return s.int(1 << 30) }(), "a name of"},
		"negative name": {func() *script { s := new(script); s.WriteByte(1 << 6); return s.int(-5) }(), "a name of"},
		"owners without end": {func() *script {
			s := new(script).entry("upgrade.log", 3, file)
			s.WriteByte(0)
			_, _ = s.Write(bytes.Repeat([]byte{1, 0, 0, 0, 0}, 1<<16))
			return s
		}(), "owners"},
		"long link":    {new(script).entry("filestore/l", 1, 0o120777).int(-7), "the target of the link"},
		"not wanted":   {new(script).entry("filestore", 0, 0o40755).end().int(0), "not asked for"},
		"out of range": {new(script).entry("upgrade.log", 3, file).end().int(7), "not asked for"},
		"too much":     {new(script).entry("upgrade.log", 3, file).end().int(0, 0, 0, 0, 0, 4), "more than the 3 bytes"},
		"a run of 2 GiB": {new(script).entry("upgrade.log", 3, file).end().int(0, 0, 0, 0, 0, 1<<31-1),
			"more than the 3 bytes"},
		"a block": {new(script).entry("upgrade.log", 3, file).end().int(0, 0, 0, 0, 0, -1), "names block 0 of 0"},
		"cut off": {new(script).entry("upgrade.log", 3, file).end().int(0, 0, 0, 0, 0, 2), "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			dir := filepath.Join(parent, "to")
			plant(t, parent, map[string][]byte{"to/": nil})
			_, err := receive(t, rsync.Stream{R: tt.sent.framed(), W: io.Discard}, dir)
			rsync.Join(err)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error with %q", err, tt.says)
			}
			for name := range content(t, parent) {
				if name != "to/" && name != "to/filestore/" {
					t.Errorf("%s was made", name)
				}
			}
		})
	}
}

// TestReceive_throughLinks: a link in the directory leads nowhere.
func TestReceive_throughLinks(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	plant(t, parent, map[string][]byte{"to/": nil, "outside/": nil})
	if err := os.Symlink("../outside", filepath.Join(parent, "to", "filestore")); err != nil {
		t.Fatal(err)
	}
	sent := new(script).entry("filestore/a", 0, file).end().int(0, 0, 0, 0, 0, 0)
	_, _ = sent.Write([]byte("0123456789abcdef"))
	_, err := receive(t, rsync.Stream{R: sent.framed(), W: io.Discard}, filepath.Join(parent, "to"))
	rsync.Join(err)
	if err == nil {
		t.Error("no error")
	}
	if left, _ := os.ReadDir(filepath.Join(parent, "outside")); len(left) > 0 {
		t.Errorf("%v is outside", left)
	}
}

// TestSend_runs: no run of bytes is longer than 32 KiB, and the checksum is right. The server here has blocks of the
// file, and they do not matter.
func TestSend_runs(t *testing.T) {
	t.Parallel()
	raw := noise(100_001)
	server := new(script).int(0, 1, 700, 2, 0)
	_, _ = server.WriteString("abcdef") // a checksum of four and one of two bytes
	server.int(-1, -1, -1)
	var wire bytes.Buffer
	sent, err := rsync.Send(rsync.Stream{R: server.framed(), W: &wire}, rsync.Source{
		Entries: []rsync.Entry{{Name: "f", Size: int64(len(raw)), ModTime: moment}},
		Open:    func(rsync.Entry) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil },
	})
	if err != nil || sent.Files != 1 {
		t.Fatal(sent, err)
	}
	r := bytes.NewReader(wire.Bytes())
	next := func() (v int32) { _ = binary.Read(r, binary.LittleEndian, &v); return v }
	// The version, no filters, the entry (first byte, length and byte of the name, size, time, mode), the end.
	_, _ = r.Seek(4+4+1+4+1+4+4+4+1+4, io.SeekStart)
	head := []int32{next(), next(), next(), next(), next()}
	if diff := cmp.Diff([]int32{0, 1, 700, 2, 0}, head); diff != "" {
		t.Fatalf("-want +got:\n%s", diff)
	}
	var got []byte
	for {
		n := next()
		if n == 0 {
			break
		}
		if n < 0 || n > 32<<10 {
			t.Fatalf("a run of %d bytes", n)
		}
		run := make([]byte, n)
		if _, err := io.ReadFull(r, run); err != nil {
			t.Fatal(err)
		}
		got = append(got, run...)
	}
	if !bytes.Equal(got, raw) || r.Len() != 16+8 {
		t.Errorf("%d bytes came, and %d follow", len(got), r.Len())
	}
}
