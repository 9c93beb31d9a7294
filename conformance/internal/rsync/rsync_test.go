package rsync_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// pipes are a program's standard input and output.
type pipes struct {
	io.Reader
	io.WriteCloser
}

// serve runs the system's rsync as a server, in a directory, and has speak talk to it.
func serve(t *testing.T, dir string, args []string, speak func(io.ReadWriteCloser)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testprog.Need(t, "rsync", "rsync"), append([]string{"--server"}, args...)...)
	cmd.Dir = dir
	var said bytes.Buffer
	cmd.Stderr = &said
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
	speak(pipes{out, in})
	in.Close()
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Logf("rsync: %v: %s", err, &said)
	}
}

func files() []rsync.File {
	big := []byte(strings.Repeat("all that is in a large file, again and again\n", 3000))
	return []rsync.File{{Name: ".", Dir: true, ModTime: 1700000000}, {Name: "toc.dat", Data: big, ModTime: 1700000001},
		{Name: "sub", Dir: true, ModTime: 1700000002}, {Name: "sub/2.dat", Data: []byte("two"), ModTime: 1700000003},
		{Name: "empty", ModTime: 1700000004}}
}

// The system's rsync takes what is sent, by each of the command lines; the second time nothing is asked for, and of a
// file that has changed only what is new is sent.
func TestUpload_program(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		up   rsync.Upload
	}{
		"V8":  {[]string{"-logDtpre.iLsfxCIvu", ".", "dump"}, rsync.Upload{Owners: true}},
		"V10": {[]string{"-logDtpre.iLsfxCIvu", "--delete-after", ".", "dump"}, rsync.Upload{Owners: true, Delete: true}},
		"V11": {[]string{"-ltre.iLsfxC", "--delete-after", ".", "dump"}, rsync.Upload{Delete: true}},
		"-s": {[]string{"-sltre.iLsfxCIvu"},
			rsync.Upload{Delete: true, Args: []string{"--delete-after", ".", "dump"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			send := func(up rsync.Upload) (out rsync.Sent) {
				serve(t, dir, tt.args, func(s io.ReadWriteCloser) { out = up.Run(s) })
				return out
			}
			up := tt.up
			up.Files = files()
			if out := send(up); !out.Whole || fmt.Sprint(out.Asked) != "[empty sub/2.dat toc.dat]" {
				t.Fatalf("%+v", out)
			}
			for _, f := range up.Files {
				got, err := os.ReadFile(filepath.Join(dir, "dump", f.Name))
				if !f.Dir && (err != nil || !bytes.Equal(got, f.Data)) {
					t.Errorf("%s: %v, %d bytes", f.Name, err, len(got))
				}
			}
			if out := send(up); !out.Whole || len(out.Asked) > 0 {
				t.Errorf("again: %+v", out)
			}
			up.Files[1].Data = append(bytes.Clone(up.Files[1].Data), "and more"...)
			if out := send(up); !out.Whole || fmt.Sprint(out.Asked) != "[toc.dat]" || out.Matched < 100_000 {
				t.Errorf("changed: %+v", out)
			}
			if got, _ := os.ReadFile(filepath.Join(dir, "dump", "toc.dat")); !bytes.Equal(got, up.Files[1].Data) {
				t.Error("the changed file did not arrive")
			}
			up.Break, up.BreakAt = "toc.dat", 50_000
			up.Files[1].Data = bytes.Repeat([]byte("other text"), 10_000)
			if out := send(up); !out.Broke || out.Whole {
				t.Errorf("broken off: %+v", out)
			}
		})
	}
}

// What the system's rsync sends arrives, and what the client has already is not sent.
func TestDownload_program(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := strings.Repeat("a line of a report, many times\n", 5000)
	for name, data := range map[string]string{"up/toc.dat": text, "up/1.dat": "one", "up.log": "", "report": "<p>"} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("report", filepath.Join(dir, "up", "link")); err != nil {
		t.Fatal(err)
	}
	sources := []string{".", "up", "filestore", "report", "up.log"}
	fetch := func(d rsync.Download, args ...string) (out rsync.Got) {
		d.Keep = 1 << 20
		serve(t, dir, args, func(s io.ReadWriteCloser) { out = d.Run(s) })
		return out
	}
	line := append([]string{"--sender", "-logDtpre.iLsfxCIvu", "--ignore-missing-args"}, sources...)
	out := fetch(rsync.Download{Most: 1 << 20}, line...)
	got := map[string]string{}
	for _, f := range out.Files {
		got[f.Name] = string(f.Kept)
	}
	want := map[string]string{"up/toc.dat": text, "up/1.dat": "one", "up.log": "", "report": "<p>"}
	if diff := cmp.Diff(want, got); diff != "" || !out.Whole || out.LongestRun > 32<<10 || len(out.List) != 6 {
		t.Errorf("%+v (-want +got):\n%s", out, diff)
	}
	have := []byte(text[:100_000] + "something else" + text[100_014:])
	out = fetch(rsync.Download{Most: 1 << 20, Have: map[string][]byte{"up/toc.dat": have}}, line...)
	for _, f := range out.Files {
		if f.Name == "up/toc.dat" && (string(f.Kept) != text || f.Matched < 150_000) {
			t.Errorf("%d bytes, of which %d were there: %s", f.Size, f.Matched, out.Problem)
		}
	}
	if out = fetch(rsync.Download{Most: 10}, line...); !out.Whole || len(out.Files) != 3 || out.Left != 1 {
		t.Errorf("bounded: %+v", out)
	}
	args := append([]string{"--ignore-missing-args"}, sources...)
	if out = fetch(rsync.Download{Most: 1 << 20, Args: args}, "--sender", "-slogDtpre.iLsfxCIvu"); len(out.Files) != 4 {
		t.Errorf("-s: %+v", out)
	}
	if out = fetch(rsync.Download{}, "--sender", "-logDtpre.iLsfxC", "--ignore-missing-args", ".", "none"); !out.Whole {
		t.Errorf("nothing there: %+v", out)
	}
}
