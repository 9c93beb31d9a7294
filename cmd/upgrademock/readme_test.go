//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// blocks are the indented programs of a page: their language, and their text.
var blocks = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// TestReadme runs what README.md says, in its order: the commands of its sh blocks, each block by one bash that stops
// at the first failure, and those of its console blocks, whose output is compared. A line with serve starts one, to
// which the addresses of the following commands lead. What tests this repository is left out.
func TestReadme(t *testing.T) {
	t.Parallel()
	bash := testprog.Need(t, "bash", "bash")
	for name, debianPackage := range map[string]string{
		"curl": "curl", "jq": "jq", "python3": "python3", "rsync": "rsync", "sftp": "openssh-client",
	} {
		testprog.Need(t, name, debianPackage)
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	work, home := t.TempDir(), t.TempDir()
	for name, content := range map[string][]byte{
		"my-wrapper.sh": []byte("#!/bin/sh\nexec python3 upgrade test -i db.zip -c M123456-abcdef -t 17.0\n"),
		"my-client.sh":  []byte("#!/bin/sh\ncurl -sSf https://upgrade.odoo.com/database/v1/status\n"),
	} {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"examples": examples, "upgrade": filepath.Join(examples, "script/upgrade_standin.py"),
	} {
		if err := os.Symlink(target, filepath.Join(work, name)); err != nil {
			t.Fatal(err)
		}
	}
	env := append(os.Environ(), "HOME="+home, "TMPDIR="+home, "XDG_CACHE_HOME="+home, "UPGRADE_STANDIN_POLL=0",
		"SSH_KEY_NAME="+keyIn(t, home))

	var running ready
	run := func(commands string) string {
		t.Helper()
		commands = strings.NewReplacer("go run ./cmd/upgrademock", "upgrademock", "POLL=1", "POLL=0.1",
			"sleep 5", "sleep 0.1",
			"http://127.0.0.1:8480", running.URL, "https://127.0.0.1:8443", running.HTTPSURL).Replace(commands)
		cmd := exec.CommandContext(t.Context(), bash, "-euo", "pipefail", "-c", commands)
		cmd.Dir, cmd.Env = work, env
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v\n%s%s%s", err, commands, out, stderr.String())
		}
		return string(out)
	}
	for _, block := range blocks.FindAllStringSubmatch(string(text), -1) {
		language, content := block[1], block[2]
		switch language {
		case "yaml":
			name, _, found := strings.Cut(strings.TrimPrefix(content, "# "), "\n")
			if !found {
				t.Fatalf("a scenario without a name:\n%s", content)
			}
			if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		case "console":
			command, want, _ := strings.Cut(strings.TrimPrefix(content, "$ "), "\n")
			if diff := cmp.Diff(want, run(command)); diff != "" {
				t.Errorf("%s (-README +got):\n%s", command, diff)
			}
		case "sh":
			lines := strings.SplitAfter(content, "\n")
			lines = slices.DeleteFunc(lines, func(line string) bool {
				if flags, ok := strings.CutPrefix(line, "go run ./cmd/upgrademock serve"); ok {
					flags, _, _ = strings.Cut(flags, "#")
					running = serveIn(t, work, env, strings.Fields(flags)...)
					return true
				}
				return strings.HasPrefix(line, "go test ")
			})
			if commands := strings.Join(lines, ""); strings.TrimSpace(commands) != "" {
				run(commands)
			}
		}
	}
	if got := left(t, work, "upgraded.*"); !cmp.Equal(got, []string{"upgraded.dump", "upgraded.zip"}) {
		t.Errorf("the commands have made %v", got)
	}
}

// serveIn starts serve in a directory and an environment. It is ended with the test, and has to end in order.
func serveIn(t *testing.T, dir string, env []string, flags ...string) ready {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	cmd := exec.Command("upgrademock", append([]string{"serve", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0",
		"--sftp", "127.0.0.1:0", "--ready-file", file}, flags...)...)
	cmd.Dir, cmd.Env = dir, env
	awaitBanner(t, cmd)
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve ends with %v", err)
		}
	})
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r ready
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
