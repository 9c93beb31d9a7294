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
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

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
		"true": 0, "exit 3": 3, "exit 255": 255, "kill -TERM $$": 128 + 15, "kill -KILL $$": 128 + 9,
		"no-such-program-anywhere": 127,
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

// aMoment is how long what is deaf to SIGTERM is given.
const aMoment = 50 * time.Millisecond

// What a program leaves running is ended with it, and so is what it started in a session of its own.
func TestRun_leftBehind(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		linux  bool
		grace  time.Duration
	}{
		"in the background": {script: "sleep 1000 & echo $!"},
		"deaf to SIGTERM": {script: `mkfifo ready
			sh -c 'trap "" TERM; echo >ready; while :; do sleep 1; done' & read line <ready; echo $!`, grace: aMoment},
		"in a session of its own":   {script: "setsid sleep 1000 & echo $!", linux: true},
		"stopped":                   {script: "sleep 1000 & kill -STOP $!; echo $!"},
		"a grandchild's grandchild": {script: "echo $(sh -c 'sh -c \"sleep 1000 >/dev/null & echo \\$!\"')"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.linux && runtime.GOOS != "linux" {
				t.Skip("only Linux shows the environment of other processes")
			}
			mark := "MARK=" + t.Name()
			result, printed, err := run(t, t.Context(), child.Command{Env: append(os.Environ(), mark), Mark: mark,
				Dir: t.TempDir(), Grace: tc.grace}, tc.script)
			if err != nil || result.Status != 0 {
				t.Fatal(result, err, printed)
			}
			isGone(t, printed)
		})
	}
}

// isGone fails the test if there is a process.
func isGone(t *testing.T, pid string) {
	t.Helper()
	number, err := strconv.Atoi(strings.TrimSpace(pid))
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(number, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: %v, want it gone", number, err)
	}
}

// daemon is a script that starts a process in a session of its own that has nothing of the environment, and whose
// parent ends; it prints its number.
const daemon = `echo $(env -i setsid sh -c 'sleep 1000 >/dev/null 2>&1 & echo $!')`

// A daemon is ended, too, though only its parents show to whom it belongs.
func TestRun_daemon(t *testing.T) { // not parallel: no other program runs meanwhile
	if runtime.GOOS != "linux" {
		t.Skip("only Linux makes us the parent of orphans")
	}
	for name, script := range map[string]string{
		"one":                         daemon,
		"that has orphans of its own": `echo $(env -i setsid sh -c '(sleep 999 & exec sleep 1000) >/dev/null 2>&1 & echo $!')`,
		"that lost its parent early":  daemon + "; sleep 0.1",
		"that has ended already":      `echo $(env -i setsid sh -c 'true & echo $!')`,
	} {
		t.Run(name, func(t *testing.T) {
			_, printed, err := run(t, t.Context(), child.Command{Env: os.Environ()}, script)
			if err != nil {
				t.Fatal(err)
			}
			isGone(t, printed)
		})
	}
}

// fifo makes a named pipe that a script reads or writes, and opens it for the other end when that is there.
func fifo(t *testing.T, path string) (read func() string, write func()) {
	t.Helper()
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	read = func() string {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return string(data)
	}
	return read, func() {
		if err := os.WriteFile(path, []byte("\n"), 0); err != nil {
			t.Error(err)
		}
	}
}

// Nothing else is touched: what this process has started by itself, and a program that runs at the same time with
// the daemon that it has.
func TestRun_leavesOthersAlone(t *testing.T) { // not parallel: no other program runs meanwhile
	if runtime.GOOS != "linux" {
		t.Skip("only Linux makes us the parent of orphans")
	}
	start := func() *exec.Cmd {
		cmd := exec.Command("sleep", "1000")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		return cmd
	}
	ours := []*exec.Cmd{start()}

	dir := t.TempDir()
	ready, _ := fifo(t, filepath.Join(dir, "ready"))
	_, goOn := fifo(t, filepath.Join(dir, "go"))
	other := make(chan string)
	go func() {
		_, printed, err := run(t, t.Context(), child.Command{Env: os.Environ(), Dir: dir},
			`pid=$(`+daemon+`); echo $pid >ready; read line <go; kill -0 $pid && echo $pid lives`)
		if err != nil {
			t.Error(err)
		}
		other <- printed
	}()
	daemonOfOther := strings.TrimSpace(ready())
	ours = append(ours, start())
	_, printed, err := run(t, t.Context(), child.Command{Env: os.Environ()}, daemon)
	if err != nil {
		t.Error(err)
	}
	goOn()
	if got, want := <-other, daemonOfOther+" lives\n"; got != want {
		t.Errorf("the other program printed %q, want %q", got, want)
	}
	// It was the last one: now all daemons are gone.
	isGone(t, daemonOfOther)
	isGone(t, printed)
	for _, cmd := range ours {
		if err := cmd.Process.Signal(syscall.Signal(0)); err != nil {
			t.Errorf("a process of our own: %v", err)
		}
	}
}

// What the program left running has a while to end by itself.
func TestRun_linger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, goOn := fifo(t, filepath.Join(dir, "go"))
	var lingering []string
	c := child.Command{Dir: dir, Linger: time.Hour, Lingering: func(processes []string) {
		lingering = processes
		goOn()
	}}
	result, printed, err := run(t, t.Context(), c, `(read line <go; echo done >restored) & exit 3`)
	if err != nil || result.Status != 3 || result.Ended != nil {
		t.Errorf("%+v, %v, %s; want status 3 and nothing that had to be ended", result, err, printed)
	}
	if len(lingering) != 1 || !strings.HasPrefix(lingering[0], "sh (") {
		t.Errorf("lingering were %q, want one sh", lingering)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "restored")); err != nil || string(data) != "done\n" {
		t.Errorf("what it did: %q, %v", data, err)
	}
}

// That time ends early when the program is interrupted.
func TestRun_lingerEnds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		linger time.Duration
		script string
		when   func(interrupt, cancel func())
		cause  bool
		grace  time.Duration
	}{
		"in time": {linger: 300 * time.Millisecond, script: "sleep 1000 & echo $!"},
		"at once": {script: "sleep 1000 & echo $!"},
		"with a signal": {linger: time.Hour, script: "sleep 1000 & echo $!", when: func(interrupt, _ func()) {
			interrupt()
		}},
		"with the context": {linger: time.Hour, script: "sleep 1000 & echo $!", when: func(_, cancel func()) {
			cancel()
		}, cause: true},
		"for a program that was ended": {linger: time.Hour, script: "sleep 1000 & echo $!; kill -KILL $$"},
		"for a deaf one": {linger: time.Millisecond, script: `
			mkfifo ready; (trap "" TERM; echo >ready; sleep 1000; sleep 1000) & read line <ready; echo $!`, grace: aMoment},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			signals := make(chan os.Signal, 1)
			c := child.Command{Dir: t.TempDir(), Linger: tc.linger, Signals: signals, Grace: tc.grace}
			if tc.when != nil {
				c.Lingering = func([]string) { tc.when(func() { signals <- syscall.SIGINT }, cancel) }
			}
			result, printed, err := run(t, ctx, c, tc.script)
			if (err != nil) != tc.cause {
				t.Fatal(err)
			}
			pid := strings.TrimSpace(printed)
			if len(result.Ended) == 0 || !strings.HasSuffix(result.Ended[0], " ("+pid+")") {
				t.Errorf("ended were %q, want process %s", result.Ended, pid)
			}
			isGone(t, pid)
		})
	}
}

// A program that is asked to end is not waited for any longer than it takes.
func TestRun_lingerInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ready, _ := fifo(t, filepath.Join(dir, "ready"))
	signals := make(chan os.Signal, 1)
	left := make(chan string, 1)
	go func() {
		left <- ready()
		signals <- syscall.SIGTERM
	}()
	mark := "MARK=" + t.Name() // other programs run meanwhile
	c := child.Command{Env: append(os.Environ(), mark), Mark: mark, Dir: dir, Linger: time.Hour, Signals: signals}
	result, _, err := run(t, t.Context(), c, `
		trap 'exit 7' TERM
		setsid sh -c 'echo $$ >ready; exec sleep 1000' & while :; do sleep 0.05; done`)
	if err != nil || result.Status != 7 {
		t.Errorf("%+v, %v; want status 7", result, err)
	}
	if pid := <-left; runtime.GOOS == "linux" {
		isGone(t, pid)
	}
}

func TestRun_signals(t *testing.T) {
	t.Parallel()
	// The program says when it is ready, in its way: only then is the signal sent.
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			if signal.Ignored(sig) {
				t.Skip("the test runs with this signal ignored, as under nohup: a shell cannot trap it then")
			}
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
		trap  string
		want  syscall.Signal
		grace time.Duration
	}{
		"ends when asked": {":", syscall.SIGTERM, 0},
		"has to be made":  {`trap "" TERM`, syscall.SIGKILL, aMoment},
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
			c := child.Command{Args: []string{"sh", "-c", tc.trap + "; echo; while :; do sleep 1; done"}, Stdout: w,
				Grace: tc.grace}
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
