//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// These tests run the stand-in for the upgrade script, examples/script/upgrade_standin.py, which drives the real rsync
// and ssh, against a real serve, and with real databases. Each run has a HOME and a TMPDIR of its own.

// TestStandin_scripts runs the stand-in where no more than a script is needed.
func TestStandin_scripts(t *testing.T) {
	t.Parallel()
	params := scripts("testdata/standin")
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error {
		env.Setenv("SSH_KEY_NAME", keyIn(t, env.WorkDir))
		return setup(env)
	}
	testscript.Run(t, params)
}

// TestStandin runs the stand-in in the ways of several copies of the script, with both engines.
func TestStandin(t *testing.T) {
	t.Parallel()
	standin, err := filepath.Abs("../../examples/script/upgrade_standin.py")
	if err != nil {
		t.Fatal(err)
	}
	script := []string{testprog.Need(t, "python3", "python3"), standin}
	rsyncs := testprog.Rsyncs(t)
	testprog.Need(t, "ssh", "openssh-client")
	testprog.Need(t, "ssh-keygen", "openssh-client")
	pg := testprog.StartPostgres(t)
	pg.Load(t, "openchs", bytes.NewReader(fixtures.Dump("openchs.source.sql")))
	pg.Run(t, nil, "createdb", "-T", "openchs", "untouched") // a database that is in use cannot be copied
	pg.Run(t, nil, "pg_dump", "-Fd", "-f", "tree", "openchs")
	tree := filepath.Join(t.TempDir(), "tree") // its owner is another user
	if err := os.CopyFS(tree, os.DirFS(filepath.Join(pg.Dir, "tree"))); err != nil {
		t.Fatal(err)
	}

	for engine, flags := range map[string][]string{"internal": nil, "system": {"--rsync", rsyncs["rsync"]}} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && engine == "system" {
				t.Skip("-short: the client runs dozens of times under each engine")
			}
			p := &platform{ready: startPlatform(t, flags...), engine: engine, script: script, pg: pg, tree: tree}
			for client, path := range rsyncs {
				if testing.Short() && client != "rsync" {
					continue
				}
				one := *p
				one.rsync = path
				t.Run("files, "+client, one.testFiles)
				t.Run("breaks, "+client, one.testBreaks)
			}
			t.Run("databases", p.testDatabases)
			t.Run("failures", p.testFailures)
			t.Run("questions", p.testQuestions)
			t.Run("commands", p.testCommands)
			if testing.Short() {
				return
			}
			t.Run("20 at once", func(t *testing.T) {
				t.Parallel()
				p.testMany(t)
			})
			t.Run("20 at once on one port", func(t *testing.T) {
				t.Parallel()
				one := *p
				one.ready = startPlatform(t, append(flags, "--transfer", quietPort(t))...)
				one.testMany(t)
			})
		})
	}
}

// A platform is a running emulator, and what is sent to it.
type platform struct {
	ready
	engine string
	script []string // the command that runs the stand-in
	rsync  string   // the client; "" is the one of the PATH
	pg     *testprog.Postgres
	tree   string // a dump in several files
}

// startPlatform starts serve in an environment of its own; it ends with the test.
func startPlatform(t *testing.T, flags ...string) ready {
	t.Helper()
	dir := t.TempDir()
	return serveIn(t, dir, append(os.Environ(), "HOME="+dir, "TMPDIR="+dir, "XDG_CACHE_HOME="+dir), flags...)
}

// quietPort returns an address of loopback that is free, with a port that the system gives to nobody by itself.
func quietPort(t *testing.T) string {
	t.Helper()
	for range 100 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))); err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free between 20000 and 32000")
	return ""
}

// control makes a call to the control API, and decodes the answer into value unless that is nil.
func (p *platform) control(t *testing.T, method, path, body string, value any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.AdminURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s, %v\n%s", method, path, resp.Status, err, answer)
	}
	if value != nil {
		if err := json.Unmarshal(answer, value); err != nil {
			t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
		}
	}
}

// events returns what the journal has of a kind for a request.
func (p *platform) events(t *testing.T, request, on string) []journal.Event {
	t.Helper()
	var answer struct{ Events []journal.Event }
	p.control(t, "GET", "/journal?request="+request+"&on="+url.QueryEscape(on), "", &answer)
	return answer.Events
}

// contracts makes the contracts of tests different, so that each can have a scenario of its own.
var contracts atomic.Int64

// scenario posts a scenario for a contract that no other test has, and returns the contract.
func (p *platform) scenario(t *testing.T, text string) string {
	t.Helper()
	contract := fmt.Sprintf("M%06d-abcdef", contracts.Add(1))
	if text != "" {
		head := "name: %s\ndescription: a test\nwhen: {contract: %s, api: script}\n"
		p.control(t, "POST", "/scenarios", fmt.Sprintf(head, strings.ToLower(contract), contract)+text+"\n", nil)
	}
	return contract
}

// A machine is where somebody runs the stand-in.
type machine struct {
	t       *testing.T
	p       *platform
	work    string
	tmp     string
	env     []string
	request string // of the last run that made one
	token   string
}

func (p *platform) machine(t *testing.T, env ...string) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t: t, p: p, work: filepath.Join(dir, "work"), tmp: filepath.Join(dir, "tmp")}
	home := filepath.Join(dir, "home")
	for _, dir := range []string{m.work, m.tmp, home} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m.env = append([]string{
		"HOME=" + home, "TMPDIR=" + m.tmp, "SSH_KEY_NAME=" + keyIn(t, home),
		"UPGRADE_SERVER_NAME=" + p.HTTPSURL, "SSL_CERT_FILE=" + p.CAFile, "UPGRADE_STANDIN_POLL=0",
	}, p.pg.Env()...)
	m.env = append(m.env, env...)
	if p.rsync != "" {
		m.program("rsync", "exec "+p.rsync+" \"$@\"\n")
	}
	return m
}

// keyIn writes an SSH key into a directory, with its public half beside it, and returns its path: the RSA key that the
// script makes where it is given none takes a second.
func keyIn(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "key")
	for _, half := range []string{"", ".pub"} {
		if err := os.WriteFile(path+half, fixtures.Key("ed25519"+half), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// file writes a file, by its path or in the working directory.
func (m *machine) file(name string, content []byte) string {
	m.t.Helper()
	if !filepath.IsAbs(name) {
		name = filepath.Join(m.work, name)
	}
	if err := os.WriteFile(name, content, 0o600); err != nil {
		m.t.Fatal(err)
	}
	return name
}

// dump writes a copy of the dump in several files into the working directory, under the name tree.
func (m *machine) dump() {
	m.t.Helper()
	if err := os.CopyFS(filepath.Join(m.work, "tree"), os.DirFS(m.p.tree)); err != nil {
		m.t.Fatal(err)
	}
}

// program writes a shell script that stands before a program of the system.
func (m *machine) program(name, text string) {
	m.t.Helper()
	bin := filepath.Join(filepath.Dir(m.work), "bin")
	if err := os.MkdirAll(bin, 0o700); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		m.t.Fatal(err)
	}
	for i, variable := range m.env {
		if path, ok := strings.CutPrefix(variable, "PATH="); ok && !strings.HasPrefix(path, bin+":") {
			m.env[i] = "PATH=" + bin + ":" + path
		}
	}
}

// standin is the stand-in in the way of one copy of the script, in a process group of its own.
func (m *machine) standin(way string, args ...string) *exec.Cmd {
	m.t.Helper()
	command := append(slices.Clone(m.p.script), args...)
	ctx, cancel := context.WithTimeout(m.t.Context(), 3*time.Minute)
	m.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Dir, cmd.Env = m.work, slices.Clone(m.env)
	if way != "" {
		cmd.Env = append(cmd.Env, "UPGRADE_STANDIN_AS="+way)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // with rsync and ssh
	return cmd
}

var announced = regexp.MustCompile(`the request has the number (\d+) and the token (\S+)`)

// output is what a run has said and how it ended.
type output struct {
	stdout, stderr string
	exit           int
}

// run runs the stand-in to its end, with input on its standard input.
func (m *machine) run(way, input string, args ...string) output {
	m.t.Helper()
	cmd := m.standin(way, args...)
	var stdout, stderr strings.Builder
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		m.t.Fatal(err)
	}
	m.remember(stderr.String())
	return output{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// remember takes the request from what a run has said.
func (m *machine) remember(stderr string) {
	if found := announced.FindStringSubmatch(stderr); found != nil {
		m.request, m.token = found[1], found[2]
	}
}

// succeed runs the stand-in, which has to go all the way without a word of error.
func (m *machine) succeed(way, input string, args ...string) output {
	m.t.Helper()
	out := m.run(way, input, args...)
	if out.exit != 0 || strings.Contains(out.stderr, "ERROR") {
		m.t.Fatalf("%s %v: exit status %d\n%s%s", way, args, out.exit, out.stdout, out.stderr)
	}
	return out
}

// left returns the names in a directory that match one of the patterns.
func left(t *testing.T, dir string, patterns ...string) []string {
	t.Helper()
	names := []string{}
	for _, pattern := range patterns {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			names = append(names, filepath.Base(path))
		}
	}
	return names
}
