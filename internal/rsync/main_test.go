package rsync_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// The test binary is the remote shell of the rsync clients, too: with this variable it serves the command that it is
// given on its own standard streams, as the variable says.
const shellVariable = "RSYNC_TEST_SHELL"

func TestMain(m *testing.M) {
	if config := os.Getenv(shellVariable); config != "" {
		os.Exit(remoteShell(config, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// A host is what a remote shell serves.
type host struct {
	Program  string // the rsync of the engine Program; InProcess if empty
	Plain    bool   // the command line is run as it is; for benchmarks
	Root     string // of uploads
	Files    string // of downloads
	MaxBytes int64
	MaxFiles int
	Cut      int64  // bytes of file data after which the transfer is cut; 0 means none
	CutFile  string // the file that is cut, at its offset Cut; any if empty
	Report   string // where the report is written
	Tap      string // where what goes to the client is written; not if empty
	Mark     int64  // bytes of file data before which the shell writes its process id to Report+".mark"
	Hang     bool   // after that, nothing passes any more
}

// A report is what became of a command.
type report struct {
	Line   string
	Status uint8
	Err    string
	Files  []rsync.File
	Peak   int64 // kilobytes of memory
}

var errCut = errors.New("cut here")

// remoteShell does as ssh does: it is given a user, a host, and a command line.
func remoteShell(config string, args []string) int {
	var h host
	if err := json.Unmarshal([]byte(config), &h); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		args = args[2:]
	}
	r := report{Line: strings.Join(args[1:], " ")}
	err := h.serve(&r)
	if err != nil {
		r.Err = err.Error()
	}
	r.Peak = peak()
	b, err := json.Marshal(r)
	if err == nil {
		err = os.WriteFile(h.Report+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(h.Report+".new", h.Report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 255
	}
	return int(r.Status)
}

func (h *host) serve(r *report) error {
	if h.Plain {
		cmd := exec.Command("sh", "-c", r.Line)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	}
	c, err := rsync.Parse(r.Line)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		r.Status = 1
		return err
	}
	j := &rsync.Job{MaxBytes: h.MaxBytes, MaxFiles: h.MaxFiles, Done: func(f rsync.File) { r.Files = append(r.Files, f) }}
	if h.Cut > 0 {
		j.Data = h.cut()
	}
	if h.Mark > 0 {
		j.Data = h.mark()
	}
	if c.Sender {
		root, err := os.OpenRoot(h.Files)
		if err != nil {
			return err
		}
		defer root.Close()
		j.Files = root.FS()
	} else if j.Root, err = os.OpenRoot(h.Root); err != nil {
		return err
	} else {
		defer j.Root.Close()
	}
	var out io.Writer = os.Stdout
	if h.Tap != "" {
		tap, err := os.Create(h.Tap)
		if err != nil {
			return err
		}
		defer tap.Close()
		out = io.MultiWriter(os.Stdout, tap)
	}
	engine := rsync.InProcess()
	if h.Program != "" {
		engine = rsync.Program(h.Program)
	}
	r.Status, err = engine.Serve(context.Background(), rsync.Stream{In: os.Stdin, Out: out, Err: os.Stderr}, c, j)
	return err
}

func (h *host) cut() func(string, int64, int) (int, error) {
	left := h.Cut
	return func(name string, offset int64, n int) (int, error) {
		if h.CutFile != "" {
			if name != h.CutFile {
				return n, nil
			}
			left = h.Cut - offset
		}
		if int64(n) < left {
			left -= int64(n)
			return n, nil
		}
		return int(left), errCut
	}
}

func (h *host) mark() func(string, int64, int) (int, error) {
	left := h.Mark
	return func(_ string, _ int64, n int) (int, error) {
		was := left
		if left -= int64(n); was <= 0 {
			return n, awaitHangup(os.Stdin) // so that the client has something to send yet when it is killed
		}
		if left > 0 {
			return n, nil
		}
		if err := os.WriteFile(h.Report+".pid", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			return 0, err
		}
		if err := os.Rename(h.Report+".pid", h.Report+".mark"); err != nil {
			return 0, err
		}
		if h.Hang {
			<-time.After(time.Hour) // without a timer, the runtime could take it for a deadlock and end the process
		}
		return n, nil
	}
}

// peak is the most memory that this process has had, in kilobytes, where the system says so.
func peak() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb
		}
	}
	return 0
}

// engines calls f as a subtest for each engine with each client. The host has the engine.
func engines(t *testing.T, f func(t *testing.T, s *site)) {
	program := testprog.Need(t, "rsync", "rsync")
	for client, path := range testprog.Rsyncs(t) {
		for name, engine := range map[string]string{"in process": "", "program": program} {
			t.Run(name+" with client "+client, func(t *testing.T) {
				t.Parallel()
				f(t, newSite(t, path, engine))
			})
		}
	}
}

// A site is a client with its files and a host.
type site struct {
	host
	client string
	dir    string   // the client's working directory
	env    []string // of the client, beside ours
}

func newSite(tb testing.TB, client, engine string) *site {
	dir := tb.TempDir()
	s := &site{client: client, dir: filepath.Join(dir, "client")}
	s.host = host{Program: engine, Root: filepath.Join(dir, "data"), Files: filepath.Join(dir, "results"),
		Report: filepath.Join(dir, "report.json")}
	for _, d := range []string{s.dir, s.Root, s.Files} {
		if err := os.Mkdir(d, 0o700); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

// command is the client with its arguments, of which the last ones may lead to the host h.
func (s *site) command(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	config, err := json.Marshal(s.host)
	if err != nil {
		tb.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	os.Remove(s.Report)
	os.Remove(s.Report + ".mark")
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	tb.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, s.client, append([]string{"--rsh", self}, args...)...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), shellVariable+"="+string(config))
	cmd.Env = append(cmd.Env, s.env...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run runs the client, and returns its output, its exit status, and what the host reports.
func (s *site) run(tb testing.TB, args ...string) (output string, status int, r report) {
	tb.Helper()
	out, err := s.command(tb, args...).CombinedOutput()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		status = e.ExitCode()
	} else if err != nil {
		tb.Fatal(err)
	}
	return string(out), status, s.report(tb)
}

// report waits for what the shell reports: a client that fails does not wait for its shell.
func (s *site) report(tb testing.TB) (r report) {
	tb.Helper()
	check(tb, json.Unmarshal(await(tb, s.Report), &r))
	return r
}

// await waits for a file, which appears whole.
func await(tb testing.TB, path string) []byte {
	tb.Helper()
	for range 3000 {
		b, err := os.ReadFile(path)
		if err == nil {
			return b
		}
		time.Sleep(10 * time.Millisecond)
	}
	tb.Fatalf("%s does not appear", path)
	return nil
}

// ok runs the client, which must end well.
func (s *site) ok(tb testing.TB, args ...string) report {
	tb.Helper()
	out, status, r := s.run(tb, args...)
	if status != 0 || r.Status != 0 || r.Err != "" {
		tb.Fatalf("rsync %s: exit status %d, the host's %d (%s)\n%s", strings.Join(args, " "), status, r.Status, r.Err, out)
	}
	return r
}
