//go:build unix

package child_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run runs a shell script and returns what it printed.
func run(t *testing.T, ctx context.Context, c child.Command, script string) (child.Result, string, error) {
	t.Helper()
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c.Args, c.Stdout, c.Stderr = []string{"sh", "-c", script}, out, out
	result, err := c.Run(ctx)
	printed, readErr := os.ReadFile(out.Name())
	if readErr != nil {
		t.Fatal(readErr)
	}
	return result, string(printed), err
}

func TestRun_status(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]int{
		"true": 0, "exit 3": 3, "exit 255": 255, "kill -TERM $$": 128 + 15, "kill -KILL $$": 128 + 9, "no-such-program-anywhere": 127,
	} {
		result, _, err := run(t, t.Context(), child.Command{}, script)
		if err != nil || result.Status != want {
			t.Errorf("%s: status %d, %v; want %d", script, result.Status, err, want)
		}
	}
}

func TestRun_cannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, tc := range []struct {
		name, program, says string
		status              int
	}{
		{"not in PATH", "no-such-program-anywhere", "command not found in PATH", child.StatusNotFound},
		{"no such file", filepath.Join(dir, "gone"), "no such file", child.StatusNotFound},
		{"interpreter", write("interpreter", "#!/no/such/shell\n", 0o755), "#! line", child.StatusNotFound},
		{"not executable", write("plain", "#!/bin/sh\n", 0o644), "permission denied", child.StatusNotExecutable},
		{"no #! line", write("bare", "exit 0\n", 0o755), "a script needs a #! line", child.StatusNotExecutable},
		{"a directory", dir, dir, child.StatusNotExecutable},
	} {
		_, err := (&child.Command{Args: []string{tc.program}}).Run(t.Context())
		start := (*child.StartError)(nil)
		if !errors.As(err, &start) || start.Status != tc.status || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, %+v; want status %d and %q", tc.name, err, start, tc.status, tc.says)
		}
	}
}

func TestRun_files(t *testing.T) {
	t.Parallel()
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	fmt.Fprint(w, "from us")
	w.Close()
	_, got, err := run(t, t.Context(), child.Command{Stdin: in, Env: []string{"X=1"}, Dir: "/"}, "cat; echo; pwd; echo $X")
	if want := "from us\n/\n1\n"; err != nil || got != want {
		t.Errorf("%v\n%s", err, cmp.Diff(want, got))
	}
}

// What a program leaves running is ended with it, and so is what it started in a session of its own.
func TestRun_leftBehind(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		linux  bool
	}{
		"in the background": {script: "sleep 1000 & echo $!"},
		"deaf to SIGTERM": {script: `mkfifo ready
			sh -c 'trap "" TERM; echo >ready; while :; do sleep 1; done' & read line <ready; echo $!`},
		"in a session of its own":   {script: "setsid sleep 1000 & echo $!", linux: true},
		"stopped":                   {script: "sleep 1000 & kill -STOP $!; echo $!"},
		"a grandchild's grandchild": {script: "echo $(sh -c 'sh -c \"sleep 1000 >/dev/null & echo \\$!\"')"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.linux && runtime.GOOS != "linux" {
				t.Skip("only Linux tells the environment of other processes")
			}
			mark := "MARK=" + t.Name()
			result, printed, err := run(t, t.Context(), child.Command{Env: append(os.Environ(), mark), Mark: mark, Dir: t.TempDir()}, tc.script)
			if err != nil || result.Status != 0 {
				t.Fatal(result, err, printed)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(printed))
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d: %v, want it gone", pid, err)
			}
		})
	}
}

func TestRun_signals(t *testing.T) {
	t.Parallel()
	// The program says when it is ready, in its way: only then is the signal sent.
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			signals := make(chan os.Signal, 1)
			go func() {
				defer w.Close()
				script := fmt.Sprintf(`trap 'echo caught; exit 7' %d; echo ready; while :; do sleep 0.05; done`, sig)
				c := child.Command{Args: []string{"sh", "-c", script}, Stdout: w, Signals: signals}
				if result, err := c.Run(context.Background()); err != nil || result.Status != 7 {
					t.Errorf("%+v, %v; want status 7", result, err)
				}
			}()
			ready := make([]byte, len("ready\n"))
			if _, err := io.ReadFull(r, ready); err != nil {
				t.Fatal(err)
			}
			signals <- sig
			if rest, err := io.ReadAll(r); err != nil || string(rest) != "caught\n" {
				t.Errorf("%q, %v", rest, err)
			}
		})
	}
}

func TestRun_cancelled(t *testing.T) {
	t.Parallel()
	why := errors.New("enough")
	for name, tc := range map[string]struct {
		trap string
		want syscall.Signal
	}{
		"ends when asked": {":", syscall.SIGTERM},
		"has to be made":  {`trap "" TERM`, syscall.SIGKILL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			go func() {
				io.ReadFull(r, make([]byte, 1))
				cancel(why)
			}()
			c := child.Command{Args: []string{"sh", "-c", tc.trap + "; echo; while :; do sleep 1; done"}, Stdout: w}
			if result, err := c.Run(ctx); !errors.Is(err, why) || result.Signal != tc.want {
				t.Errorf("%+v, %v; want signal %v and %v", result, err, tc.want, why)
			}
		})
	}
}

// A program has the terminal, may ask there for a password, and is stopped and continued as in a shell.
func TestRun_terminal(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("script(1) has other options elsewhere")
	}
	script := testprog.Need(t, "script", "bsdutils")
	helper, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(script, "-qec", helper+" -test.run=^TestHelper_terminal$ -test.v", "/dev/null")
	cmd.Env = append(os.Environ(), "CHILD_TEST_HELPER=1")
	cmd.Stdin = strings.NewReader("typed\n")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("got <typed>")) || !bytes.Contains(out, []byte("ours again: true")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestHelper_terminal runs inside the terminal that TestRun_terminal made.
func TestHelper_terminal(t *testing.T) {
	if os.Getenv("CHILD_TEST_HELPER") == "" {
		t.Skip("runs inside TestRun_terminal")
	}
	c := child.Command{
		Args:   []string{"sh", "-c", `read line </dev/tty && echo "got <$line>"`},
		Stdout: os.Stdout, Stderr: os.Stderr, Terminal: true,
	}
	if result, err := c.Run(context.Background()); err != nil || result.Status != 0 {
		t.Error(result, err)
	}
	// A background process would be stopped by this.
	out, err := exec.Command("sh", "-c", "stty -a </dev/tty >/dev/null && echo true").Output()
	fmt.Printf("ours again: %s %v\n", bytes.TrimSpace(out), err)
}

func TestEnviron(t *testing.T) {
	t.Parallel()
	got := child.Environ([]string{"A=1", "B=2", "C=3", "AB=4"}, []string{"B=x=y", "D="}, []string{"C", "E"})
	if diff := cmp.Diff([]string{"A=1", "AB=4", "B=x=y", "D="}, got); diff != "" {
		t.Error(diff)
	}
}
