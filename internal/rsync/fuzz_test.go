package rsync_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/upgrademock/upgrademock/internal/rsync"
)

// The letters of the script's versions, and all that change what a client sends.
var lettered = []string{"-re.i", "-ltre.iLs", "-logDtpre.iLs"}

// FuzzUpload sends a list, and then files, to a directory that has some of them. Whatever comes, the process lives,
// nothing is written outside the destination, and what is in it are regular files and directories.
func FuzzUpload(f *testing.F) {
	list := new(wire).number(31).entry(".", 4096, dir).entry("old", 2000, regular).entry("new", 3, regular).
		entry("sub", 0, dir).
		entry("sub/x", 0, regular).entry("link", 5, link).end()
	// The client's indexes: . link new old sub sub/x
	sum := strings.Repeat("s", 16)
	rest := new(wire).number(2, 0, 0, 0, 0, 3).text("abc").number(0).text(sum).number(3, 2, 700, 16, 300, -1, -2, 5).
		text("hello").number(0).text(sum).number(-1, -1)
	f.Add(byte(0), false, []byte(*list), []byte(*rest))
	f.Add(byte(0), true, []byte(*new(wire).number(31, 0).text(string((*list)[4:]))), []byte(*rest))
	f.Add(byte(0), false, []byte(*new(wire).number(27).entry("single", 3, regular).end()),
		[]byte(*new(wire).number(0, 0, 0, 0, 0, 3).
			text("abc").number(0).text(sum).number(-1, -1)))
	f.Add(byte(2), false, []byte(*new(wire).number(31).text("\x40").number(1).text("a").number(5, 1, regular, 1000, 1000).
		text("\xba\x01\x01b").number(7).text("\x00").number(1000).text("\x01u").number(0, 1000).
		text("\x01g").number(0, 0)), []byte{})
	f.Add(byte(1), false, []byte(*new(wire).number(31).text("\x40").number(1).text("l").number(5, 1, link, 4).
		text("/etc").text("\x00").number(0)),
		[]byte(*new(wire).number(-1, -1)))
	f.Fuzz(func(t *testing.T, letters byte, del bool, list, rest []byte) {
		parent := t.TempDir()
		data := filepath.Join(parent, "data")
		files{"data/origin.dump/old": text(1, 1000), "data/origin.dump/stale/x": "s", "outside": "untouched"}.write(t, parent)
		root, err := os.OpenRoot(data)
		check(t, err)
		defer root.Close()
		line := "rsync --server " + lettered[int(letters)%len(lettered)]
		if del {
			line += " --delete-after"
		}
		line += " . /data/origin.dump"
		c := conversation{first: list, then: rest, patience: 20 * time.Millisecond}
		c.job = rsync.Job{Root: root, MaxBytes: 1 << 20, MaxFiles: 100,
			Done: func(file rsync.File) {
				if info, err := root.Lstat(file.Name); err != nil || !info.Mode().IsRegular() {
					t.Errorf("whole, but not there: %+v (%v)", file, err)
				}
			}}
		c.serve(t, rsync.InProcess(), line)
		if strings.Contains(c.stderr, "panic") {
			t.Errorf("a panic was met: %s", c.stderr)
		}
		for name, text := range read(t, parent) {
			switch inside := strings.HasPrefix(name, "data/origin.dump/"); {
			case name == "outside" && text == "untouched", name == "data/", inside, name == "data/origin.dump":
			default:
				t.Errorf("there is %q", name)
			}
		}
		check(t, filepath.WalkDir(data, func(path string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() && !d.Type().IsRegular() {
				t.Errorf("%s is %v", path, d.Type())
			}
			return err
		}))
	})
}

// FuzzDownload asks for files. Whatever is asked, the process lives.
func FuzzDownload(f *testing.F) {
	ask := func(numbers ...int32) *wire { return new(wire).number(31, 0).number(numbers...) }
	f.Add(byte(0), []byte(*ask(3, 0, 0, 0, 0, 1, 0, 0, 0, 0, -1, -1, -1)))
	f.Add(byte(0), []byte(*ask(3, 3, 700, 2, 600, 1).text("aa").number(2).text("bb").number(3).text("cc").
		number(-1, -1, -1)))
	f.Add(byte(0), []byte(*ask(1, 1, 700, 2, 600, 1).text("aa").number(-1, 2, 0, 0, 0, 0, -1, -1)))
	f.Add(byte(2), []byte(*ask(2, 1, 5, 16, 5, 1).text("aaaaaaaaaaaaaaaa").number(-1, -1, -1)))
	f.Fuzz(func(t *testing.T, letters byte, sends []byte) {
		c := conversation{first: sends, job: rsync.Job{Files: fstest.MapFS{
			"empty": {}, "small": {Data: []byte("data")}, "big": {Data: []byte(text(1, 300_000))}, "sub/x": {Data: []byte("x")},
		}}}
		c.serve(t, rsync.InProcess(), "rsync --server --sender "+lettered[int(letters)%len(lettered)]+" . /data/")
		if strings.Contains(c.stderr, "panic") {
			t.Errorf("a panic was met: %s", c.stderr)
		}
	})
}

// FuzzProtected begins with the arguments of a client that protects them.
func FuzzProtected(f *testing.F) {
	f.Add([]byte("rsync\x00--delete-after\x00.\x00443:/data/origin.dump\x00\x00" +
		string(*new(wire).number(31, 0).entry("a", 1, regular).end())))
	f.Add([]byte("rsync\x00.\x00/data/../x\x00\x00"))
	f.Fuzz(func(t *testing.T, sends []byte) {
		parent := t.TempDir()
		check(t, os.Mkdir(filepath.Join(parent, "data"), 0o700))
		root, err := os.OpenRoot(filepath.Join(parent, "data"))
		check(t, err)
		defer root.Close()
		c, err := rsync.Parse("rsync --server -sltre.iLs")
		check(t, err)
		stream := rsync.Stream{In: strings.NewReader(string(sends)), Out: io.Discard, Err: io.Discard}
		rsync.InProcess().Serve(context.Background(), stream, c, &rsync.Job{Root: root, MaxFiles: 100})
		entries, err := os.ReadDir(parent)
		check(t, err)
		if len(entries) != 1 {
			t.Errorf("there is %v", entries)
		}
	})
}
