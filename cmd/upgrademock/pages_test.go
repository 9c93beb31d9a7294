//go:build unix

package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// blocks are the indented programs of a page: their language, and their text.
var blocks = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// TestReadme runs what README.md says.
func TestReadme(t *testing.T) {
	t.Parallel()
	p := newPage(t, "curl", "jq", "python3", "rsync", "sftp")
	out, err := exec.Command("go", "build", "-o", p.dir, "../odoo-upgrade").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	p.follow("README.md")
	want := []string{"upgraded-again.dump", "upgraded.dump", "upgraded.zip"}
	got := append(left(t, p.dir, "upgraded*.dump"), left(t, p.dir, "upgraded*.zip")...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the commands have made (-want +got):\n%s", diff)
	}
}

// TestReadme_goTest runs the test file of README.md in a module of its own, which gets this one from its directory.
func TestReadme_goTest(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds a test, which takes some seconds")
	}
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	p := page{t: t, dir: t.TempDir()}
	for _, block := range blocks.FindAllStringSubmatch(string(text), -1) {
		if block[1] == "go" {
			p.addFile("upgrade_test.go", block[2])
		}
	}
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	p.addFile("go.sum", string(sums))
	p.addFile("go.mod", "module example.org/mine\n\ngo 1.26\n\n"+
		"require github.com/upgrademock/upgrademock v0.0.0\n\n"+
		"replace github.com/upgrademock/upgrademock => "+root+"\n")
	cmd := exec.Command("go", "test", "./...")
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "ok") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTutorial runs what the tutorial says.
func TestTutorial(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it judges two clients, which takes some seconds")
	}
	newPage(t, "curl", "jq").follow("docs/tutorial.md")
}

// TestHowtoPrograms runs what the page about programs says.
func TestHowtoPrograms(t *testing.T) {
	t.Parallel()
	p := newPage(t, "curl", "ssh-keygen")
	p.addFile("upgrade.sh", "#!/bin/sh\ncurl -sSf https://upgrade.odoo.com/database/v1/status\n")
	p.addFile("tuesday.yaml", "name: tuesday\nsteps: [{state: processing, for: 8h}, {state: done}]\n")
	p.follow("docs/howto/programs.md")
}

// A page is documentation that is followed in a directory of its own.
type page struct {
	t       *testing.T
	bash    string
	dir     string
	env     []string
	running ready // the emulator that a line with serve has started
}

func newPage(t *testing.T, programs ...string) *page {
	t.Helper()
	p := &page{t: t, bash: testprog.Need(t, "bash", "bash"), dir: t.TempDir()}
	for _, name := range programs {
		debian := name
		if strings.HasPrefix(name, "ssh") || name == "sftp" {
			debian = "openssh-client"
		}
		testprog.Need(t, name, debian)
	}
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(examples, filepath.Join(p.dir, "examples")); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	p.env = append(os.Environ(), "HOME="+home, "TMPDIR="+home, "XDG_CACHE_HOME="+home, "UPGRADE_STANDIN_POLL=0",
		"SSH_KEY_NAME="+keyIn(t, home),
		"PATH="+os.Getenv("PATH")+string(filepath.ListSeparator)+p.dir)
	return p
}

func (p *page) addFile(name, content string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(content), 0o700); err != nil {
		p.t.Fatal(err)
	}
}

// follow runs what a page says, in its order: the commands of its sh blocks, each block by one bash that stops at the
// first failure, and those of its console blocks, whose output is compared. A line with serve starts one, to which the
// addresses of the following commands lead, and programs sleep less.
func (p *page) follow(name string) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", name))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, block := range blocks.FindAllStringSubmatch(string(text), -1) {
		language, content := block[1], block[2]
		switch language {
		case "yaml":
			file, _, found := strings.Cut(strings.TrimPrefix(content, "# "), "\n")
			if !found {
				p.t.Fatalf("a scenario without a name:\n%s", content)
			}
			p.addFile(file, content)
		case "console":
			for dialogue := range strings.SplitSeq(strings.TrimPrefix(content, "$ "), "\n$ ") {
				command, want, _ := strings.Cut(dialogue, "\n")
				want = strings.TrimSuffix(want, "\n")
				got, stderr, _ := p.run(command)
				if !shown(want).MatchString(blanks.ReplaceAllString(strings.TrimSuffix(got, "\n"), " ")) {
					p.t.Errorf("%s: %s\nwanted:\n%s\nfound:\n%s\n%s", name, command, want, got, stderr)
				}
			}
		case "sh":
			p.commands(content)
		}
	}
}

// commands runs a block of them.
func (p *page) commands(content string) {
	p.t.Helper()
	lines := strings.SplitAfter(content, "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool {
		if flags, ok := strings.CutPrefix(line, "upgrademock serve"); ok {
			flags, _, _ = strings.Cut(flags, "#")
			p.running = serveIn(p.t, p.dir, p.env, strings.Fields(flags)...)
			return true
		}
		return false
	})
	block := strings.Join(lines, "")
	if strings.TrimSpace(block) == "" {
		return
	}
	if out, stderr, err := p.run(block); err != nil {
		p.t.Errorf("%v\n%s%s%s", err, block, out, stderr)
	}
}

// run runs commands in a bash.
func (p *page) run(commands string) (stdout, stderr string, err error) {
	p.t.Helper()
	commands = strings.NewReplacer("POLL=1", "POLL=0.1",
		"sleep 5", "sleep 0.1", "sleep 1\n", "sleep 0.1\n",
		"http://127.0.0.1:8480", p.running.URL, "https://127.0.0.1:8443", p.running.HTTPSURL).Replace(commands)
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Minute) // for commands that would wait for ever
	defer cancel()
	cmd := exec.CommandContext(ctx, p.bash, "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env = p.dir, p.env
	var out, trouble strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &trouble
	err = cmd.Run()
	return out.String(), trouble.String(), err
}

var (
	blanks = regexp.MustCompile(` +`)
	took   = regexp.MustCompile(`\b(\d+m)?\d+(\\\.\d+)?m?s\b`) // in a quoted pattern
)

// shown matches output as a page shows it: a line … stands for any lines, times differ, and so do the widths of
// columns.
func shown(want string) *regexp.Regexp {
	var pattern strings.Builder
	for line := range strings.Lines(blanks.ReplaceAllString(want, " ")) {
		if line == "…\n" {
			pattern.WriteString(`(?s:.*)`)
			continue
		}
		pattern.WriteString(took.ReplaceAllLiteralString(regexp.QuoteMeta(line), `[0-9ms.]+`))
	}
	return regexp.MustCompile(`^` + pattern.String() + `$`)
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
