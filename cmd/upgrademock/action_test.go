//go:build unix

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// action runs the steps of action.yml by bash, as a runner does.
type action struct {
	t     *testing.T
	root  string // of the repository
	temp  string // RUNNER_TEMP
	bash  string
	env   []string
	Steps map[string]step
	given map[string]string // the inputs' defaults
}

type step struct {
	Name, Run string
	Env       map[string]string
}

func newAction(t *testing.T) *action {
	a := &action{t: t, bash: testprog.Need(t, "bash", "bash"), temp: t.TempDir(), Steps: map[string]step{},
		given: map[string]string{}}
	testprog.Need(t, "curl", "curl")
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Inputs map[string]struct{ Default string }
		Runs   struct{ Steps []step }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name, input := range file.Inputs {
		a.given[name] = input.Default
	}
	for _, s := range file.Runs.Steps {
		a.Steps[s.Name] = s
	}
	if a.root, err = filepath.Abs("../.."); err != nil {
		t.Fatal(err)
	}
	return a
}

// run runs a step with these inputs, and returns what it printed.
func (a *action) run(name string, inputs map[string]string) (string, error) {
	a.t.Helper()
	s, ok := a.Steps[name]
	if !ok {
		a.t.Fatalf("the action has no step %q", name)
	}
	cmd := exec.CommandContext(a.t.Context(), a.bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", s.Run)
	cmd.Dir = a.temp
	cmd.Env = append(os.Environ(), "GITHUB_ACTION_PATH="+a.root, "RUNNER_TEMP="+a.temp, "RUNNER_OS=Linux",
		"RUNNER_ARCH=X64", "HOME="+a.temp, "XDG_CACHE_HOME="+a.temp, "TMPDIR="+a.temp)
	for _, file := range []string{"PATH", "OUTPUT", "STEP_SUMMARY"} {
		cmd.Env = append(cmd.Env, "GITHUB_"+file+"="+filepath.Join(a.temp, file))
	}
	cmd.Env = append(cmd.Env, a.env...)
	for variable, value := range s.Env {
		for input, text := range a.given {
			if given, ok := inputs[input]; ok {
				text = given
			}
			value = strings.ReplaceAll(value, "${{ inputs."+input+" }}", text)
		}
		cmd.Env = append(cmd.Env, variable+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// read returns a file that steps write, by the end of its variable's name.
func (a *action) read(file string) string {
	text, _ := os.ReadFile(filepath.Join(a.temp, file))
	return string(text)
}

// output is what the latest step to do so has put out under that name.
func (a *action) output(name string) string {
	value := ""
	for line := range strings.Lines(a.read("OUTPUT")) {
		if v, ok := strings.CutPrefix(line, name+"="); ok {
			value = strings.TrimSpace(v)
		}
	}
	return value
}

// release is an archive whose program is this one.
func release(t *testing.T) []byte {
	program, err := exec.LookPath("upgrademock")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec '" + program + "' \"$@\"\n"
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zip)
	archive.WriteHeader(&tar.Header{Name: "upgrademock", Mode: 0o755, Size: int64(len(script))})
	archive.Write([]byte(script))
	archive.Close()
	zip.Close()
	return packed.Bytes()
}

func TestAction_install(t *testing.T) {
	t.Parallel()
	a := newAction(t)
	archive := release(t)
	const name = "upgrademock_linux_amd64.tar.gz" // as .goreleaser.yaml has it
	sums := fmt.Sprintf("%x  %s\n%x  upgrademock_darwin_arm64.tar.gz\n", sha256.Sum256(archive), name,
		sha256.Sum256([]byte("another")))
	files := map[string]string{
		"/latest/download/checksums.txt": sums, "/latest/download/" + name: string(archive),
		"/download/v1.2.3/checksums.txt": sums, "/download/v1.2.3/" + name: string(archive),
		"/download/v6.6.6/checksums.txt": sums, "/download/v6.6.6/" + name: string(archive) + "more",
		"/latest/download/upgrademock_linux_arm64.tar.gz": "unlisted",
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Write([]byte(text))
	}))
	t.Cleanup(srv.Close)
	for _, tc := range []struct {
		version, env string
		says         string
		fails        bool
	}{
		{"latest", "", "installed upgrademock ", false},
		{"v1.2.3", "", "installed upgrademock ", false},
		{"v6.6.6", "", "is not what was released: its SHA-256 is", true},
		{"v9.9.9", "", "is v9.9.9 a release?", true},
		{"1.2.3", "", "wanted latest, source, or a release such as v1.2.3", true},
		{"latest", "RUNNER_ARCH=ARM64", "does not have upgrademock_linux_arm64.tar.gz", true},
		{"latest", "RUNNER_ARCH=S390X", "no release for the processor 'S390X'", true},
		{"latest", "RUNNER_OS=Plan9", "no release for the system 'Plan9'", true},
	} {
		a.env = []string{"RELEASES=" + srv.URL, tc.env}
		os.RemoveAll(filepath.Join(a.temp, "upgrademock"))
		out, err := a.run("Install upgrademock", map[string]string{"version": tc.version})
		if (err != nil) != tc.fails || !strings.Contains(out, tc.says) {
			t.Errorf("%s %s: %v\n%s", tc.version, tc.env, err, out)
		}
		if _, err := os.Stat(filepath.Join(a.temp, "upgrademock/upgrademock")); (err != nil) != tc.fails {
			t.Errorf("%s %s: the program: %v", tc.version, tc.env, err)
		}
	}
	if got := a.output("version"); got == "" || strings.Contains(got, " ") {
		t.Errorf("the output version is %q", got)
	}
	if path := filepath.Join(a.temp, "upgrademock") + "\n"; a.read("PATH") != path+path {
		t.Errorf("added to the path: %q", a.read("PATH"))
	}

	// From source, by the Go that is found: here, one that makes the program without compiling.
	bin := filepath.Join(a.temp, "bin")
	goProgram := "#!/bin/sh -eu\n" + `[ "$*" = "build -C $ROOT -o $RUNNER_TEMP/upgrademock/ ./cmd/upgrademock ./cmd/odoo-upgrade" ]
cd "$3"; [ -d "$6" ]; [ -d "$7" ]
printf '#!/bin/sh\necho upgrademock devel\n' > "$5/upgrademock"; chmod +x "$5/upgrademock"
`
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "go"), []byte(goProgram), 0o700); err != nil {
		t.Fatal(err)
	}
	a.env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "ROOT=" + a.root}
	if out, err := a.run("Install upgrademock", map[string]string{"version": "source"}); err != nil ||
		a.output("version") != "devel" {
		t.Errorf("source: %v\n%s", err, out)
	}
}

// installed is an action whose program is this one.
func installed(t *testing.T) *action {
	a := newAction(t)
	dir := filepath.Join(a.temp, "upgrademock")
	program, err := exec.LookPath("upgrademock")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "upgrademock")); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAction_run(t *testing.T) {
	t.Parallel()
	a := installed(t)
	for _, tc := range []struct {
		name   string
		inputs map[string]string
		says   string
		fails  bool
	}{
		{"exec", map[string]string{"run": "curl -sSf https://upgrade.odoo.com/database/v1/status"}, "KEY:MISSING",
			false},
		{"exec that fails", map[string]string{"run": "false\ntrue"}, "", true},
		{"lines and quotes", map[string]string{"flags": "\n--contract 'A *'\n--contract \"it's\"\n--doc=13.0\n",
			"run": `curl -sSf "$UPGRADEMOCK_URL/database/v1/create?contract=it's&target=12.0&aim=test&email=a@example.com&filename=f"`},
			`"failures":[]`, false},
		{"nothing is expanded", map[string]string{"flags": "--doc '$(touch expanded)`touch expanded`' ", "run": "true"},
			`$(touch expanded)`, true},
		{"a quote without an end", map[string]string{"flags": "--doc '13.0", "run": "true"}, "a quote has no end", true},
		{"certify", map[string]string{"run": "true {dump}", "mode": "certify",
			"flags": "--pack happy-path\n--via https"}, "0 passed, 1 failed", true},
		{"without run", map[string]string{"mode": "certify"}, "run is empty", true},
		{"another mode", map[string]string{"run": "true", "mode": "serve"}, "choose exec, certify or service", true},
		{"a service with run", map[string]string{"run": "true", "mode": "service"}, "leave run out", true},
		{"a service that cannot start", map[string]string{"mode": "service", "flags": "--doc 1"},
			"the emulator did not start", true},
	} {
		out, err := a.run("Run", tc.inputs)
		if (err != nil) != tc.fails || !strings.Contains(out, tc.says) {
			t.Errorf("%s: %v\n%s", tc.name, err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(a.temp, "expanded")); err == nil {
		t.Error("flags were run as commands")
	}
	if summary := a.read("STEP_SUMMARY"); !strings.Contains(summary, "### upgrademock certify\n\n~~~text\nSCENARIO") ||
		!strings.HasSuffix(summary, "0 passed, 1 failed\n~~~\n") {
		t.Errorf("the summary: %s", summary)
	}
	if report, err := os.ReadFile(a.output("report")); err != nil || !strings.Contains(string(report), "<testsuite ") {
		t.Errorf("the report %s: %v", a.output("report"), err)
	}
	own := filepath.Join(a.temp, "own report.xml")
	a.run("Run", map[string]string{"mode": "certify", "run": "true", "flags": "happy-path --junit '" + own + "'"})
	if _, err := os.Stat(own); err != nil || a.output("report") != own {
		t.Errorf("the report is %s: %v", a.output("report"), err)
	}
}

func TestAction_service(t *testing.T) {
	t.Parallel()
	a := installed(t)
	out, err := a.run("Run", map[string]string{"mode": "service", "flags": "--clock virtual"})
	pid, notRunning := strconv.Atoi(a.output("pid"))
	if notRunning == nil {
		t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) }) // before its files are removed
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"url", "https-url", "admin-url", "proxy-url", "sftp-host", "sftp-port", "ca-file",
		"known-hosts-file", "env"} {
		if a.output(name) == "" {
			t.Errorf("no output %s:\n%s", name, a.read("OUTPUT"))
		}
	}
	later := exec.CommandContext(t.Context(), a.bash, "-euo", "pipefail", "-c",
		`source "$1"; curl -sSf https://upgrade.odoo.com/database/v1/status; curl -sSf -d '{"by": "1h"}' "$2/clock/advance"`,
		"bash", a.output("env"), a.output("admin-url"))
	later.Env = append(os.Environ(), "TMPDIR="+a.temp)
	if out, err := later.CombinedOutput(); err != nil || !strings.Contains(string(out), "KEY:MISSING") ||
		!strings.Contains(string(out), `"now"`) {
		t.Errorf("a later step: %v\n%s", err, out)
	}
}
