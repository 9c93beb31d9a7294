//go:build unix

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// onTerminal starts a serve on a terminal with so many columns, which ends with the test. lines are what it prints
// after its banner.
func onTerminal(t *testing.T, columns uint16, env []string, args ...string) (url string, lines *bufio.Reader) {
	t.Helper()
	program, err := exec.LookPath("upgrademock")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, append([]string{"serve", "--http", "127.0.0.1:0", "--https", "", "--sftp", "",
		"--scenario", "bad-gateway"}, args...)...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", "XDG_CACHE_HOME="+t.TempDir())
	cmd.Env = append(cmd.Env, env...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		terminal.Close()
	})
	lines = bufio.NewReader(terminal)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if name, addr, _ := strings.Cut(strings.TrimSpace(line), " "); name == "HTTP" {
			url = strings.TrimSpace(addr)
		}
		if strings.HasPrefix(line, "Press Ctrl-C") {
			return url, lines
		}
	}
}

func call(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const createCall = "/database/v1/create?contract=M123456-abcdef&aim=test&target=8.0&email=a@b.cd&filename=db.sql"

// A terminal is shown colours, unless it is not to have any, and no line that is longer than it is wide.
func TestServe_lines(t *testing.T) {
	t.Parallel()
	escapes := regexp.MustCompile("\x1b\\[[0-9;]*m")
	long := strings.Repeat("long/", 30)
	for name, tc := range map[string]struct {
		env     []string
		columns uint16
		colours bool
		cut     int
	}{
		"narrow":   {columns: 60, colours: true, cut: 60},
		"wide":     {columns: 300, colours: true},
		"NO_COLOR": {env: []string{"NO_COLOR=1"}, columns: 80, cut: 80},
		"dumb":     {env: []string{"TERM=dumb"}, columns: 80, cut: 80},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, lines := onTerminal(t, tc.columns, tc.env)
			call(t, url+createCall)
			call(t, url+"/database/v1/"+long)
			for _, what := range []string{"#10534 create → draft", "GET /database/v1/long/"} {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				line = strings.TrimRight(line, "\r\n")
				plain := escapes.ReplaceAllString(line, "")
				if !strings.Contains(plain, what) || tc.colours != (plain != line) {
					t.Errorf("the line is %q; want %s, colours %t", line, what, tc.colours)
				}
				if got := len([]rune(plain)); tc.cut != 0 && got > tc.cut || what[0] == 'G' && tc.cut != 0 && got != tc.cut {
					t.Errorf("%d columns on a terminal with %d: %s", got, tc.columns, plain)
				}
			}
		})
	}
}

// Where nobody looks any more, or nothing is to be said, the emulator goes on, and ends as it should.
func TestServe_unread(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args  []string
		close bool
		want  string
	}{
		"closed":  {nil, true, ""},
		"quiet":   {[]string{"-q"}, false, "\nStopping …\n"},
		"verbose": {[]string{"-v"}, false, "\nStopping …\n"},
		"lines":   {nil, false, "create → draft"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			program, err := exec.LookPath("upgrademock")
			if err != nil {
				t.Fatal(err)
			}
			ready := filepath.Join(t.TempDir(), "ready.json")
			cmd := exec.Command(program, append([]string{"serve", "--http", "127.0.0.1:0", "--https", "", "--sftp", "",
				"--ready-file", ready}, tc.args...)...)
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir())
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill() })
			var url string
			lines := bufio.NewReader(stdout)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if name, addr, _ := strings.Cut(strings.TrimSpace(line), " "); name == "HTTP" {
					url = strings.TrimSpace(addr)
				}
				if strings.HasPrefix(line, "Press Ctrl-C") {
					break
				}
			}
			if tc.close {
				stdout.Close()
			}
			for i := range 30 {
				call(t, fmt.Sprintf("%s%s&n=%d", url, createCall, i))
			}
			cmd.Process.Signal(syscall.SIGTERM)
			rest, _ := io.ReadAll(lines)
			if err := cmd.Wait(); err != nil {
				t.Errorf("after calls and a SIGTERM: %v", err)
			}
			if tc.want == "" {
				return
			}
			if quiet := tc.want[0] == '\n'; quiet && string(rest) != tc.want || !strings.Contains(string(rest), tc.want) {
				t.Errorf("it printed %q, want %q", rest, tc.want)
			}
		})
	}
}

// The banner's own example works as it stands, in any directory.
func TestServe_bannerWorks(t *testing.T) {
	t.Parallel()
	bash := testprog.Need(t, "bash", "bash")
	testprog.Need(t, "curl", "curl")
	testprog.Need(t, "jq", "jq")
	_, banner, _ := serving(t)
	_, example, _ := strings.Cut(banner, "until it is done.\n\n")
	example, _, found := strings.Cut(example, "\n\n")
	_, trust, _ := strings.Cut(banner, "have them trust the CA:\n\n")
	trust, _, _ = strings.Cut(trust, "\n\n")
	if !found || strings.Count(example, "\n") < 8 {
		t.Fatalf("the banner has no example:\n%s", banner)
	}
	dir := t.TempDir()
	for _, lines := range []string{example, trust + "\ncurl -sSf \"$UPGRADEMOCK_HTTPS_URL/_mock/healthz\" || " +
		"curl -sS \"$UPGRADEMOCK_HTTPS_URL/database/v1/status\""} {
		cmd := exec.Command(bash, "-euo", "pipefail", "-c", lines)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s\nof\n%s", err, out, lines)
		}
	}
	if got, err := os.ReadFile(filepath.Join(dir, "upgraded.sql")); string(got) != "SELECT 1;\n" {
		t.Errorf("the upgraded dump is %q (%v)", got, err)
	}
}
