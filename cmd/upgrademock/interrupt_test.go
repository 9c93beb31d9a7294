//go:build unix

package main

import (
	"bufio"
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// interrupted starts a command, sends SIGINT as soon as its standard error has a line that matches, and returns what it
// printed and its exit status.
func interrupted(t *testing.T, line string, args ...string) (stdout string, status int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "upgrademock", args...)
	cmd.Dir = t.TempDir()
	var out bytes.Buffer
	cmd.Stdout = &out
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wanted := regexp.MustCompile(line)
	var log strings.Builder
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if wanted.MatchString(lines.Text()) {
			cmd.Process.Signal(syscall.SIGINT)
		}
	}
	cmd.Wait()
	if !regexp.MustCompile("(?m)" + line).MatchString(log.String()) {
		t.Errorf("standard error has no %s:\n%s", line, log.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// What is judged by the time of an interrupt is shown.
func TestCertify_interrupted(t *testing.T) {
	t.Parallel()
	client := `[ "$UPGRADEMOCK_SCENARIO" = happy-path ] || { curl -s https://upgrade.odoo.com/database/v1/status; sleep 600; }`
	out, status := interrupted(t, "^upgrademock certify: happy-path +fail$",
		"certify", "--parallel", "1", "happy-path", "over-sftp", "filestore", "--", "sh", "-c", client)
	for _, want := range []string{`(?m)^happy-path +fail `, `(?m)^over-sftp +skipped .*the run was interrupted$`,
		`(?m)^filestore +skipped .*the run was interrupted$`, `(?m)^0 passed, 1 failed, 2 skipped$`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("standard output has no %s:\n%s", want, out)
		}
	}
	if status != 130 {
		t.Errorf("exit status %d", status)
	}
}
