package client_test

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/client"
)

// folder returns what is in a folder: names and contents.
func folder(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch {
		case e.Type()&os.ModeSymlink != 0:
			to, _ := os.Readlink(name)
			files[e.Name()] = "-> " + to
		case e.Type().IsRegular():
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			files[e.Name()] = string(raw)
		default:
			files[e.Name()] = e.Type().String()
		}
	}
	return files
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDownload_touchesNothingElse: whatever the user has beside the file, also under names that a temporary file
// could have, stays.
func TestDownload_touchesNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	for _, name := range []string{"out.part", "out.part.json", "out.new", "out.tmp", "out.lock", "out.0123456789ab.part",
		"out~", "precious"} {
		write(t, filepath.Join(dir, name), "of the user: "+name)
	}
	for _, name := range []string{"out.1", "out.download"} {
		if err := os.Symlink("precious", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	want := folder(t, dir)
	file := noise(1 << 20)
	a := &archive{data: file, etag: `"a"`, ranges: true, cuts: []int64{1 << 19, 1 << 18}}
	srv := httptest.NewServer(a)
	defer srv.Close()
	got, err := newClient(t, srv.URL).Download(t.Context(), srv.URL+archivePath, out,
		&client.DownloadOptions{Retry: impatient})
	if err != nil || len(got.SHA256) != 64 {
		t.Fatalf("%+v, %v", got, err)
	}
	want["out"] = string(file)
	if diff := cmp.Diff(want, folder(t, dir)); diff != "" {
		t.Errorf("the folder (-want +got):\n%.2000s", diff)
	}
}

func TestOpenOutput_refuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		make func(t *testing.T, dir string) string
		says string
	}{
		{"a link", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "target"), "precious")
			return link(t, "target", filepath.Join(dir, "out"))
		}, "is a link to target"},
		{"a link to nothing", func(t *testing.T, dir string) string { return link(t, "nothing", filepath.Join(dir, "out")) },
			"is a link to nothing"},
		{"a folder", func(_ *testing.T, dir string) string { return dir }, "is a folder"},
		{"a folder's name", func(_ *testing.T, dir string) string { return filepath.Join(dir, "out") + "/" },
			"the name of a folder"},
		{"no name", func(*testing.T, string) string { return "" }, "the name of a folder"},
		{"no such folder", func(_ *testing.T, dir string) string { return filepath.Join(dir, "no", "out") },
			"there is no such file or folder"},
		{"below a file", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "file"), "precious")
			return filepath.Join(dir, "file", "out")
		}, "not a directory"},
		{"a FIFO", func(t *testing.T, dir string) string {
			makeFIFO(t, filepath.Join(dir, "out"))
			return filepath.Join(dir, "out")
		}, "is no regular file"},
		{"a socket", func(t *testing.T, dir string) string {
			l, err := net.Listen("unix", filepath.Join(dir, "s"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			return filepath.Join(dir, "s")
		}, "is no regular file"},
		{"a device", func(*testing.T, string) string { return os.DevNull }, "is no regular file"},
		{"the lock's name is the user's", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "out.odoo-upgrade"), "of the user")
			return filepath.Join(dir, "out")
		}, "was not made by odoo-upgrade"},
		{"the lock's name is a link", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "target"), "")
			link(t, "target", filepath.Join(dir, "out.odoo-upgrade"))
			return filepath.Join(dir, "out")
		}, "is no regular file"},
		{"the lock's name has another", func(t *testing.T, dir string) string {
			write(t, filepath.Join(dir, "target"), "")
			if err := os.Link(filepath.Join(dir, "target"), filepath.Join(dir, "out.odoo-upgrade")); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "out")
		}, "several names"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "out") // a socket's name must be short
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			path := tt.make(t, dir)
			want := folder(t, dir)
			o, err := client.OpenOutput(path)
			if err == nil {
				o.Close()
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %q", err, tt.says)
			}
			if diff := cmp.Diff(want, folder(t, dir)); diff != "" {
				t.Errorf("the folder (-want +got):\n%s", diff)
			}
		})
	}
}

func link(t *testing.T, to, name string) string {
	t.Helper()
	if err := os.Symlink(to, name); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestOpenOutput_locks: a file is written by one at a time, also where it is named by another way.
func TestOpenOutput_locks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	link(t, "real", filepath.Join(dir, "linked"))
	first, err := client.OpenOutput(filepath.Join(dir, "real", "out"))
	if err != nil {
		t.Fatal(err)
	}
	if second, err := client.OpenOutput(filepath.Join(dir, "linked", "out")); err == nil ||
		!strings.Contains(err.Error(), "another odoo-upgrade is at work") {
		if err == nil {
			second.Close()
		}
		t.Errorf("the second: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	third, err := client.OpenOutput(filepath.Join(dir, "linked", "out"))
	if err != nil {
		t.Fatal(err)
	}
	if err := third.Close(); err != nil {
		t.Error(err)
	}
	if left := folder(t, filepath.Join(dir, "real")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestOpenOutput_emptyFileOfTheUser: an empty file with the lock's name is there and empty afterwards.
func TestOpenOutput_emptyFileOfTheUser(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "out.odoo-upgrade"), "")
	o, err := client.OpenOutput(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"out.odoo-upgrade": ""}, folder(t, dir)); diff != "" {
		t.Errorf("the folder (-want +got):\n%s", diff)
	}
}

// TestDownload_afterAKill continues from what a killed process leaves, at every moment at which something is
// written. A copy of the folder, made in the middle of a download, is what a kill would leave.
func TestDownload_afterAKill(t *testing.T) {
	t.Parallel()
	file := noise(2<<20 + 5)
	dir := t.TempDir()
	a := &archive{data: file, etag: `"a"`, ranges: true}
	srv := httptest.NewServer(a)
	defer srv.Close()
	c := newClient(t, srv.URL)
	var left []map[string]string
	_, err := c.Download(t.Context(), srv.URL+archivePath, filepath.Join(dir, "out"),
		&client.DownloadOptions{Retry: impatient,
			Progress: func(client.Progress) { left = append(left, folder(t, dir)) }})
	if err != nil || len(left) < 3 {
		t.Fatalf("%v after %d steps", err, len(left))
	}
	tests := []struct {
		name   string
		stays  bool // the part is not the one that was written any more, and is left alone
		change func(name, text string) string
	}{
		{name: "as it was", change: func(_, text string) string { return text }},
		{name: "the note is cut", change: func(name, text string) string { return cutNote(name, text, 1) }},
		{name: "the note is cut by a line", change: func(name, text string) string { return cutNote(name, text, 60) }},
		{name: "a byte changed", stays: true, change: func(name, text string) string {
			if strings.HasSuffix(name, ".part") && len(text) > 0 {
				text = "!" + text[1:]
			}
			return text
		}},
		{name: "another file", stays: true, change: func(name, text string) string {
			if strings.HasSuffix(name, ".part") {
				text = "of the user"
			}
			return text
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i, files := range left {
				dir := t.TempDir()
				kept := map[string]string{"out": string(file)}
				for name, text := range files {
					text = tt.change(name, text)
					write(t, filepath.Join(dir, name), text)
					if tt.stays && text != files[name] {
						kept[name] = text
					}
				}
				got, err := c.Download(t.Context(), srv.URL+archivePath, filepath.Join(dir, "out"),
					&client.DownloadOptions{Retry: impatient})
				if err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
				now := folder(t, dir)
				if now["out"] != string(file) {
					t.Errorf("step %d: the file differs from the server's", i)
				}
				if tt.name == "as it was" && i > 1 && got.From == 0 {
					t.Errorf("step %d: began again", i)
				}
				for name, text := range now {
					// Without a sum, this part cannot be distinguished from a file of the user's: as a copy it is not the
					// file that was made.
					if strings.HasPrefix(tt.name, "the note is cut") && strings.HasSuffix(name, ".part") && text == files[name] {
						kept[name] = text
					}
				}
				if !maps.Equal(kept, now) {
					t.Errorf("step %d: the folder (-want +got):\n%.500s", i, cmp.Diff(keys(kept), keys(now)))
				}
			}
		})
	}
}

func keys(m map[string]string) []string {
	var out []string
	for k, v := range m {
		out = append(out, fmt.Sprintf("%s: %d bytes", k, len(v)))
	}
	return out
}

func cutNote(name, text string, n int) string {
	if strings.HasSuffix(name, ".odoo-upgrade") && len(text) > n+200 {
		return text[:len(text)-n]
	}
	return text
}

func TestDownload_partIsWhole(t *testing.T) {
	t.Parallel()
	// The process ended after the last byte and before the renaming.
	file := noise(1 << 20)
	for name, data := range map[string][]byte{"the same file": file,
		"another one of that size": append(bytes.Clone(file[:len(file)-1]), file[len(file)-1]^1)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var left map[string]string
			dir := t.TempDir()
			a := &archive{data: file, etag: `"a"`, ranges: true}
			srv := httptest.NewServer(a)
			defer srv.Close()
			c := newClient(t, srv.URL)
			o, err := client.OpenOutput(filepath.Join(dir, "out"))
			if err != nil {
				t.Fatal(err)
			}
			// An order to the disk that fails keeps the part: the file's name is a folder's in the end.
			_, err = c.DownloadTo(t.Context(), srv.URL+archivePath, o,
				&client.DownloadOptions{Retry: impatient, Progress: func(p client.Progress) {
					if p.Done == p.Total {
						_ = os.Mkdir(filepath.Join(dir, "out"), 0o700)
					}
				}})
			if err == nil || !strings.Contains(err.Error(), "is a folder") {
				t.Fatalf("got %v", err)
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(dir, "out")); err != nil {
				t.Fatal(err)
			}
			left = folder(t, dir)
			if len(left) != 2 {
				t.Fatalf("there is %v", keys(left))
			}
			a.mu.Lock()
			a.data, a.asked = data, nil
			a.mu.Unlock()
			got, err := c.Download(t.Context(), srv.URL+archivePath, filepath.Join(dir, "out"),
				&client.DownloadOptions{Retry: impatient})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"out": string(data)}, folder(t, dir)); diff != "" {
				t.Errorf("the folder is wrong: %.300s", diff)
			}
			if want := "bytes=1048575-"; a.asked[0] != want ||
				(name == "the same file" && (len(a.asked) != 1 || got.From != int64(len(file)-1))) {
				t.Errorf("asked for %q, took up at %d", a.asked, got.From)
			}
		})
	}
}
