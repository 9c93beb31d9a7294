package isolate_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/isolate"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

func TestMain(m *testing.M) {
	isolate.Init()
	goleak.VerifyTestMain(m)
}

// start makes a space, and skips the test where the kernel refuses it.
func start(t *testing.T) *isolate.Space {
	t.Helper()
	space, err := isolate.Start()
	if refused := (*isolate.RefusedError)(nil); errors.As(err, &refused) {
		testprog.Refused(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := space.Close(); err != nil {
			t.Error(err)
		}
	})
	return space
}

// run runs a program in the space, and returns what it printed.
func run(t *testing.T, space *isolate.Space, cmd *exec.Cmd) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := space.Run(cmd); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	printed, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(printed)
}

// A listener in the space is served from outside, on a port for which others have to be root, and is not outside.
func TestListen(t *testing.T) {
	t.Parallel()
	space := start(t)
	l, err := space.Listen("tcp", "127.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := space.Listen("tcp", "127.0.0.1:443"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port that is taken: %v", err)
	}
	served := make(chan string)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err.Error()
			return
		}
		io.WriteString(conn, "from outside\n")
		conn.Close()
		served <- l.Addr().String()
	}()
	printed := run(t, space, exec.Command("bash", "-c", "cat < /dev/tcp/127.0.0.1/443; exit 3"))
	if addr := <-served; printed != "from outside\n" || addr != "127.0.0.1:443" {
		t.Errorf("%q from %s", printed, addr)
	}
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	_, port, _ := net.SplitHostPort(outside.Addr().String())
	for _, addr := range []string{"127.0.0.1/" + port, "192.0.2.1/443"} {
		printed := run(t, space, exec.Command("bash", "-c", "cat < /dev/tcp/"+addr))
		if !strings.Contains(printed, "connect:") {
			t.Errorf("%s was reached from the space: %q", addr, printed)
		}
	}
}

// A program in the space is what it would be outside: its user, groups, directory, parent and process group, limits,
// arguments and environment that are no UTF-8, its status.
func TestRun(t *testing.T) {
	t.Parallel()
	space := start(t)
	const script = `id -u; id -g; umask; ulimit -n; pwd; echo $PPID; printf %s "$1$WEIRD" | od -An -tx1
		[ $(ps -o pgid= $$) = $$ ] && echo leader; kill -9 $$`
	command := func() *exec.Cmd {
		cmd := exec.Command("bash", "-c", script, "bash", "a\xff")
		cmd.Env, cmd.Dir = append(os.Environ(), "WEIRD=\xfe\n"), t.TempDir()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd
	}
	var want bytes.Buffer
	plain := command()
	plain.Stdout = &want
	plain.Run()
	cmd := command()
	cmd.Dir = plain.Dir
	if printed := run(t, space, cmd); printed != want.String() || !strings.Contains(printed, "leader") {
		t.Errorf("in the space:\n%s\noutside:\n%s", printed, want.String())
	}
	if got, want := cmd.ProcessState.String(), plain.ProcessState.String(); got != want {
		t.Errorf("it ended with %s, outside with %s", got, want)
	}
}

// What cannot be executed is the same error as outside.
func TestRun_errors(t *testing.T) {
	t.Parallel()
	space := start(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, "/there/is/none"} {
		got := space.Run(&exec.Cmd{Path: path, Args: []string{path}})
		want := (&exec.Cmd{Path: path, Args: []string{path}}).Start()
		if got == nil || got.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// A program that is not root cannot take down what isolates it, and a file in the place of another is seen in the space
// alone.
func TestMount(t *testing.T) {
	t.Parallel()
	space := start(t)
	dir := t.TempDir()
	source, target := filepath.Join(dir, "source"), filepath.Join(dir, "target")
	for file, text := range map[string]string{source: "ours\n", target: "theirs\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := space.Mount(isolate.Mount{Source: source, Target: target}); err != nil {
		t.Fatal(err)
	}
	if printed := run(t, space, exec.Command("cat", target)); printed != "ours\n" {
		t.Errorf("in the space it is %q", printed)
	}
	if data, err := os.ReadFile(target); err != nil || string(data) != "theirs\n" {
		t.Errorf("outside it is %q, %v", data, err)
	}
	err := space.Mount(isolate.Mount{Source: source, Target: filepath.Join(dir, "missing")})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a place that is not there: %v", err)
	}
	if os.Geteuid() != 0 {
		if printed := run(t, space, exec.Command("grep", "CapEff", "/proc/self/status")); !strings.Contains(printed,
			"0000000000000000") {
			t.Errorf("the program's capabilities: %s", printed)
		}
	}
}
