package livepage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
)

// What the page copies does what its button says, pasted as it stands, for both APIs.
func TestPage_copies(t *testing.T) {
	t.Parallel()
	inFull(t)
	for _, program := range []string{"curl", "jq", "rsync", "sftp", "ssh-keygen", "sh"} {
		testprog.Need(t, program, program)
	}
	srv := started(t, &mockserver.Options{Scenarios: parsed(t, `
name: twice
when: {api: database}
steps:
  - {state: pending, for: 1 poll}
  - {state: processing, for: 2 polls}
  - {state: done}
faults:
  - {on: status, skip: 1, times: 2, http: {status: 502, body: "<html>'''bad \"gateway\"</html>"}}
`)})
	files := t.TempDir()
	dump := bytes.Repeat([]byte("a dump\n"), 1000)
	write(t, files, "db.dump", dump)
	write(t, files, "origin.dump", dump)
	write(t, files, "id", fixtures.Key("ed25519"))
	pasted := t.TempDir() // the tests
	c := newClient(t, srv, "M123456-abcdef")
	p := newTab(t, 1400, 900)
	p.open(srv, "#"+c.id)
	shell(t, files, p.copied("sftp"))
	if out := shell(t, files, p.copied("curl")); !strings.Contains(out, `"filesize":"6.84 Kb"`) {
		t.Errorf("curl, after the upload: %s", out)
	}
	c.do("process", "")
	p.says(".heading .pill", "pending")
	p.await(`[...document.querySelectorAll(".copies button")].find((b) => b.textContent === "sftp").disabled`)
	for range 6 {
		c.do("status", "")
	}
	p.says(".heading .pill", "done")
	shell(t, files, p.copied("sftp"))
	if got, err := os.ReadFile(filepath.Join(files, "upgraded_db.dump")); err != nil || !bytes.Equal(got, dump) {
		t.Errorf("fetched: %d bytes, %v", len(got), err)
	}
	write(t, pasted, "database/upgrade_test.go", []byte(p.copied("Go")))
	write(t, pasted, "test_database.py", []byte(p.copied("pytest")))

	s := newScriptClient(t, srv)
	p.run(chromedp.Navigate("about:blank"))
	p.open(srv, "#"+s.id)
	shell(t, files, p.copied("rsync"))
	if out := shell(t, files, p.copied("curl")); !strings.Contains(out, `"status":"new"`) {
		t.Errorf("curl: %s", out)
	}
	s.rpc("process")
	for range 6 {
		s.rpc("status")
	}
	p.says(".heading .pill", "done")
	shell(t, files, p.copied("rsync"))
	if got, err := os.ReadFile(filepath.Join(files, "upgrade.log")); err != nil || len(got) == 0 {
		t.Errorf("fetched: %d bytes, %v", len(got), err)
	}
	write(t, pasted, "script/upgrade_test.go", []byte(p.copied("Go")))
	write(t, pasted, "test_script.py", []byte(p.copied("pytest")))
	t.Run("Go", func(t *testing.T) { runGo(t, pasted) })
	t.Run("pytest", func(t *testing.T) { runPytest(t, pasted) })
}

// copied is what a button of the page copies.
func (p *tab) copied(button string) string {
	p.Helper()
	script[bool](p, `navigator.clipboard.writeText = async (text) => { window.copied = text }, window.copied = "", true`)
	p.click(".copies", button)
	p.await(`window.copied`)
	return script[string](p, `window.copied`)
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// shell pastes lines into a shell, and returns what they print.
func shell(t *testing.T, dir, lines string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-e")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(lines+"\n")
	cmd.Env = append(os.Environ(), "SSH_KEY=id", "NO_PROXY=*")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s\n%s", err, lines, out)
	}
	return string(out)
}

// runGo runs the tests that are in directories of dir in a fresh module.
func runGo(t *testing.T, dir string) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/upgrademock/upgrademock"
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(mod), "module "+module, "module pasted", 1)
	write(t, dir, "go.mod", fmt.Appendf(nil, "%s\nrequire %s v0.0.0\n\nreplace %[2]s => %q\n", text, module, root))
	write(t, dir, "go.sum", sum)
	format := exec.CommandContext(t.Context(), "gofmt", "-d", dir)
	if out, err := format.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("gofmt: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-mod=mod", "./...")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// runPytest runs the tests that are in dir with the plugin, which starts the program.
func runPytest(t *testing.T, dir string) {
	python := testprog.NeedPython(t, "pytest", "python3-pytest")
	program := filepath.Join(t.TempDir(), "upgrademock")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program,
		"github.com/upgrademock/upgrademock/cmd/upgrademock")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	plugin, err := filepath.Abs("../../../python/src")
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp",
		filepath.Join(home, "pytest"))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "UPGRADEMOCK_BIN="+program, "PYTHONPATH="+plugin, "PYTHONDONTWRITEBYTECODE=1",
		"PYTEST_PLUGINS=pytest_upgrademock.plugin", "PYTEST_ADDOPTS=", "HOME="+home, "XDG_CACHE_HOME="+home, "TMPDIR="+home)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// scriptClient makes the calls of a client of the script API.
type scriptClient struct {
	testing.TB
	base      string
	id, token string
}

func newScriptClient(t testing.TB, srv *mockserver.Server) *scriptClient {
	t.Helper()
	c := &scriptClient{TB: t, base: srv.URL() + "/upgrade/request/"}
	made := c.call("create", map[string]any{
		"contract": "M123456-abcdef", "target": "17.0", "aim": "test", "actuator": "cli", "api_version": "0.2",
		"env_vars": []string{}, "ssh_key": string(fixtures.PublicKey("ed25519")),
	})
	c.id, c.token = fmt.Sprint(made["request_id"]), made["token"].(string)
	return c
}

func (c *scriptClient) rpc(method string) map[string]any {
	c.Helper()
	return c.call(method, map[string]any{"token": c.token})
}

func (c *scriptClient) call(method string, params map[string]any) map[string]any {
	c.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "not_used", "params": params})
	if err != nil {
		c.Fatal(err)
	}
	resp, err := http.Post(c.base+method, "application/json", bytes.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Result map[string]any }
	json.NewDecoder(resp.Body).Decode(&answer) // what a fault has spoilt is none
	return answer.Result
}
