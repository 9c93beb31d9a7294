package transfer_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
)

// pair is an engine, and a client's program that it serves.
type pair struct {
	engine  rsync.Engine
	program string
}

// eachPair runs a test with both engines, of which the program's is the yardstick, and every client.
func eachPair(t *testing.T, test func(*testing.T, pair)) {
	t.Helper()
	engines := map[string]rsync.Engine{
		"in process": rsync.InProcess(), "program": rsync.Program(testprog.Need(t, "rsync", "rsync")),
	}
	for name, engine := range engines {
		for which, program := range testprog.Rsyncs(t) {
			t.Run(name+" "+which, func(t *testing.T) {
				t.Parallel()
				test(t, pair{engine, program})
			})
		}
	}
}

// client makes a client with the pair's program. See newClient.
func (p pair) client(tb testing.TB, key identity, to transfer.Transfer) *client {
	tb.Helper()
	c := newClient(tb, key, to)
	c.program = p.program
	return c
}

func withThe(engine rsync.Engine) func(*setting) { return func(s *setting) { s.Engine = engine } }

// client runs Debian's rsync and ssh as the upgrade script does, in a directory of its own.
type client struct {
	tb      testing.TB
	program string // rsync
	dir     string
	ssh     string // the value of --rsh
	host    string // of targets: odoo@HOST
	files   string // the working directory
	env     []string
}

// newClient makes a client that reaches the transfer with the key and trusts what the transfer says.
func newClient(tb testing.TB, key identity, to transfer.Transfer) *client {
	tb.Helper()
	program := testprog.Need(tb, "ssh", "openssh-client")
	c := &client{tb: tb, dir: tb.TempDir(), host: "odoo@127.0.0.1"}
	c.files = filepath.Join(c.dir, "files")
	known := filepath.Join(c.dir, "upgrade_known_hosts")
	text := ""
	if to.KnownHosts != nil {
		text = *to.KnownHosts
	}
	for _, err := range []error{os.MkdirAll(c.files, 0o755), os.WriteFile(known, []byte(text), 0o600)} {
		if err != nil {
			tb.Fatal(err)
		}
	}
	c.ssh = fmt.Sprintf("%s -F none -p %d -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes "+
		"-o UserKnownHostsFile=%s -i %s", program, to.Port, known, key.file)
	c.env = append(os.Environ(), "TMPDIR="+c.dir, "LC_ALL=C")
	return c
}

// outcome is how a run of a program has ended.
type outcome struct {
	err            error
	stdout, stderr string
}

func (o outcome) String() string {
	return fmt.Sprintf("%v\nstdout: %s\nstderr: %s", o.err, o.stdout, o.stderr)
}

// command is a program that has not begun.
func (c *client) command(ctx context.Context, program string, args ...string) (*exec.Cmd, *outcome) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.files, c.env, &stdout, &stderr
	return cmd, &outcome{}
}

// run runs a program to its end.
func (c *client) run(program string, args ...string) outcome {
	c.tb.Helper()
	cmd, o := c.command(c.tb.Context(), program, args...)
	o.err = cmd.Run()
	o.stdout, o.stderr = cmd.Stdout.(*bytes.Buffer).String(), cmd.Stderr.(*bytes.Buffer).String()
	return *o
}

func (c *client) rsync(args ...string) outcome {
	c.tb.Helper()
	return c.run(c.program, args...)
}

// uploading are the ways in which the copies of the script upload: what stands before source and destination (row 5
// and on of the script API).
var uploading = map[string]func(ssh string) []string{
	"V1–V8": func(ssh string) []string {
		return []string{"--chmod=u+rwx,g+rwx,o+r", "--info=progress2", "-are", ssh}
	},
	"V9–V10": func(ssh string) []string {
		return []string{"--chmod=u+rwx,g+rwx,o+r", "--info=progress2", "--delete-after", "-are", ssh}
	},
	"V11": func(ssh string) []string {
		return []string{"--info=progress2", "--delete-after", "--recursive", "--links", "--times", "--rsh=" + ssh}
	},
}

// upload sends what is at the source, as the copy of the script does.
func (c *client) upload(version, source, destination string, more ...string) outcome {
	c.tb.Helper()
	args := append(more, uploading[version](c.ssh)...)
	return c.rsync(append(args, source, c.host+":/data/"+destination)...)
}

// download fetches the four results into a new directory and returns it.
func (c *client) download(dump string, more ...string) (dir string, o outcome) {
	c.tb.Helper()
	dir, err := os.MkdirTemp(c.dir, "results")
	if err != nil {
		c.tb.Fatal(err)
	}
	args := append(more, "--info=progress2", "-are", c.ssh, "--ignore-missing-args")
	for _, name := range []string{dump, "filestore", "upgrade-report.html", "upgrade.log"} {
		args = append(args, c.host+":/data/"+name)
	}
	return dir, c.rsync(append(args, dir)...)
}

// tree is files, by their names with slashes.
type tree map[string]string

// write makes the files below a directory that is there, and returns the directory.
func (tr tree) write(tb testing.TB, dir string) string {
	tb.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		tb.Fatal(err)
	}
	defer root.Close()
	for name, content := range tr {
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			tb.Fatal(err)
		}
		err := root.WriteFile(name, []byte(content), 0o644)
		if err == nil {
			err = root.Chtimes(name, moment, moment)
		}
		if err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// readTree reads all that is below a directory. What is neither a file nor a directory fails the test.
func readTree(tb testing.TB, fsys fs.FS) tree {
	tb.Helper()
	got := tree{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			tb.Errorf("%s is a %v", name, d.Type())
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		got[name] = string(data)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// received is what has arrived for a request in state new.
func received(tb testing.TB, r *platform.Request) tree {
	tb.Helper()
	u, err := r.BeginUpload()
	if err != nil {
		tb.Fatal(err)
	}
	defer u.End(false, nil)
	return readTree(tb, u.Root().FS())
}

// wantTree compares files by their names and contents.
func wantTree(tb testing.TB, what string, want, got tree) {
	tb.Helper()
	short := func(tr tree) map[string]string {
		out := make(map[string]string)
		for name, content := range tr {
			if len(content) > 100 {
				content = fmt.Sprintf("%d bytes, %x", len(content), sum(content))
			}
			out[name] = content
		}
		return out
	}
	if d := cmp.Diff(short(want), short(got)); d != "" {
		tb.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// below is the tree in a directory of that name.
func (tr tree) below(dir string) tree {
	out := tree{}
	for name, content := range tr {
		out[dir+"/"+name] = content
	}
	return out
}

func (tr tree) with(more tree) tree {
	out := maps.Clone(tr)
	maps.Copy(out, more)
	return out
}

// size is that of all files.
func (tr tree) size() (bytes int64) {
	for _, content := range tr {
		bytes += int64(len(content))
	}
	return bytes
}

// forced has the request be done.
func forced(tb testing.TB, r *platform.Request) {
	tb.Helper()
	forcedWith(tb, r, "origin.sql", "SELECT 1;\n")
}

// forcedWith is forced of a dump that is one file.
func forcedWith(tb testing.TB, r *platform.Request, name, content string) {
	tb.Helper()
	u, err := r.BeginUpload()
	if err == nil {
		err = u.Root().WriteFile(name, []byte(content), 0o600)
	}
	if err == nil {
		size := int64(len(content))
		u.Note(platform.TreeFile{Name: name, Size: size, Sent: size}, false)
		_, err = u.End(true, nil)
	}
	if err == nil {
		_, err = r.Force("done", nil)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func versions() []string { return slices.Sorted(maps.Keys(uploading)) }

// oneLine is the text without its line ends.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// moment is when all files of these tests were changed last.
var moment = time.Date(2015, 9, 9, 7, 0, 0, 0, time.UTC)

func sum(content string) [4]byte {
	s := sha256.Sum256([]byte(content))
	return [4]byte(s[:])
}
