//go:build unix

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/testprog"
)

// The default addresses, and the other defaults of serve.
func TestServe_defaults(t *testing.T) {
	t.Parallel()
	flags := newServeCommand().Flags()
	for name, want := range map[string]string{
		"http": "127.0.0.1:8480", "https": "127.0.0.1:8443", "sftp": "127.0.0.1:2200", "doc": "11.0", "failure-status": "200",
		"sftp-access-ttl": "24h0m0s", "region": "eu1", "data-dir": "", "public-url": "", "ready-file": "",
		"log-format": "text",
	} {
		if flag := flags.Lookup(name); flag == nil || flag.DefValue != want {
			t.Errorf("--%s: %+v, want the default %q", name, flag, want)
		}
	}
}

// serving starts the command in an environment of its own, and waits for the end of its banner.
func serving(t *testing.T, args ...string) (cmd *exec.Cmd, banner string, tmp string) {
	t.Helper()
	return servingWith(t, nil, args...)
}

// servingWith is serving with more environment variables.
func servingWith(t *testing.T, env []string, args ...string) (cmd *exec.Cmd, banner string, tmp string) {
	t.Helper()
	program, err := exec.LookPath("upgrademock")
	if err != nil {
		t.Fatal(err)
	}
	tmp = t.TempDir()
	cmd = exec.Command(program, append([]string{"serve", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--sftp",
		"127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp, "XDG_CACHE_HOME="+t.TempDir(), "HOME="+t.TempDir())
	cmd.Env = append(cmd.Env, env...)
	return cmd, awaitBanner(t, cmd), tmp
}

// awaitBanner starts a serve, which ends with the test, and returns its banner.
func awaitBanner(t *testing.T, cmd *exec.Cmd) (banner string) {
	t.Helper()
	cmd.Stderr = t.Output()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		banner += lines.Text() + "\n"
		if strings.HasPrefix(lines.Text(), "Press Ctrl-C") {
			return banner
		}
	}
	t.Fatalf("the command ended (%v) after\n%s", lines.Err(), banner)
	return ""
}

// When the ready file is there, every listener accepts; after an interrupt nothing is left, and the exit status is 0.
func TestServe_readyAndInterrupted(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			readyFile := filepath.Join(t.TempDir(), "ready.json")
			cmd, banner, tmp := serving(t, "--ready-file", readyFile)
			data, err := os.ReadFile(readyFile)
			if err != nil {
				t.Fatal(err)
			}
			var keys map[string]any
			var r ready
			if err := errors.Join(json.Unmarshal(data, &keys), json.Unmarshal(data, &r)); err != nil {
				t.Fatalf("%v: %s", err, data)
			}
			var names []string
			for key := range keys {
				names = append(names, key)
			}
			slices.Sort(names)
			if d := cmp.Diff([]string{"admin_url", "ca_file", "https_url", "known_hosts_file", "pid", "script_url", "sftp_host",
				"sftp_port", "url"}, names); d != "" {
				t.Errorf("the ready file's keys (-want +got):\n%s", d)
			}
			if r.PID != cmd.Process.Pid || r.AdminURL != r.URL+"/_mock" || r.ScriptURL != r.HTTPSURL ||
				r.SFTPHost != "127.0.0.1" || !filepath.IsAbs(r.CAFile) || !filepath.IsAbs(r.KnownHostsFile) {
				t.Errorf("the ready file: %s", data)
			}
			for _, file := range []string{r.CAFile, r.KnownHostsFile} {
				if _, err := os.Stat(file); err != nil {
					t.Error(err)
				}
			}
			for _, want := range []string{r.URL, r.HTTPSURL, fmt.Sprintf("sftp -b - -P %d", r.SFTPPort),
				`eval "$(curl -sSf ` + r.AdminURL + `/env)"`, "CA        " + r.CAFile, "Clock     real, ", "Seed      none",
				"Page      " + r.AdminURL + "/", "Scenario  none"} {
				if !strings.Contains(banner, want) {
					t.Errorf("the banner does not say %q:\n%s", want, banner)
				}
			}
			transport := &http.Transport{DisableKeepAlives: true}
			resp, err := (&http.Client{Transport: transport}).Get(r.URL + "/database/v1/status")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			for _, addr := range []string{strings.TrimPrefix(r.HTTPSURL, "https://"),
				fmt.Sprintf("%s:%d", r.SFTPHost, r.SFTPPort)} {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				conn.Close()
			}
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("after %v: %v", signal, err)
			}
			if _, err := os.Stat(readyFile); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the ready file is still there: %v", err)
			}
			if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A command line that is wrong is 2, one that cannot be done is 1, and both say why.
func TestServe_exitStatus(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"unknown flag":     {[]string{"--htp", "x"}, exitUsage, "--htp"},
		"no port":          {[]string{"--http", "localhost"}, exitUsage, "HOST:PORT"},
		"log format":       {[]string{"--log-format", "xml"}, exitUsage, "text or json"},
		"nothing to serve": {[]string{"--http", "", "--https", ""}, exitUsage, "nothing to serve"},
		"an argument":      {[]string{"now"}, exitUsage, "now"},
		"port in use":      {[]string{"--http", taken.Addr().String()}, exitFailed, "address already in use"},
		"data is a file":   {[]string{"--data-dir", file}, exitFailed, file},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("upgrademock", append([]string{"serve", "--https", "127.0.0.1:0", "--sftp", "127.0.0.1:0"},
				tc.args...)...)
			cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+t.TempDir())
			out, err := cmd.CombinedOutput()
			exit, _ := errors.AsType[*exec.ExitError](err)
			if exit == nil || exit.ExitCode() != tc.status || !strings.Contains(string(out), tc.says) {
				t.Errorf("%v, want exit status %d and a word about %q:\n%s", err, tc.status, tc.says, out)
			}
		})
	}
}

// Where the authority cannot be kept, serve has one of its own and says so, with HTTPS and without.
func TestServe_cacheThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	notADir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(notADir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		env  []string
		args []string
	}{
		"cache below a file": {[]string{"XDG_CACHE_HOME=" + notADir}, nil},
		"cache nowhere":      {[]string{"XDG_CACHE_HOME=/proc/nowhere"}, nil},
		"without HTTPS":      {[]string{"XDG_CACHE_HOME=" + notADir}, []string{"--https", ""}},
		"no home":            {[]string{"XDG_CACHE_HOME=", "HOME="}, nil},
		"home cannot be":     {[]string{"XDG_CACHE_HOME=", "HOME=/proc"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("upgrademock", append([]string{"serve", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0",
				"--sftp", "127.0.0.1:0"}, tc.args...)...)
			cmd.Env = append(append(os.Environ(), "TMPDIR="+t.TempDir()), tc.env...)
			stderr, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill() })
			lines, ready := bufio.NewScanner(stdout), false
			for !ready && lines.Scan() {
				ready = strings.HasPrefix(lines.Text(), "Press Ctrl-C")
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			said, _ := io.ReadAll(stderr)
			if err := errors.Join(lines.Err(), cmd.Wait()); err != nil || !ready {
				t.Errorf("ready: %v, ended with %v:\n%s", ready, err, said)
			}
			if !strings.Contains(string(said), "this run has one of its own") {
				t.Errorf("nothing is said:\n%s", said)
			}
		})
	}
}

// A ready file replaces an empty file and an earlier ready file; everything else that has the name stays as it is.
func TestServe_readyFileOfAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "ready.json")
	r := ready{PID: os.Getpid(), CAFile: "x", URL: "http://a"}
	for name, tc := range map[string]struct {
		make func() error
		good bool
	}{
		"nothing":        {func() error { return nil }, true},
		"an empty file":  {func() error { return os.WriteFile(path, nil, 0o600) }, true},
		"an earlier one": {func() error { return replaceReadyFile(path, r) }, true},
		"a letter":       {func() error { return os.WriteFile(path, []byte("Dear aunt,"), 0o600) }, false},
		"another's JSON": {func() error { return os.WriteFile(path, []byte(`{"url": "x"}`), 0o600) }, false},
		"a link":         {func() error { return os.Symlink("/dev/null", path) }, false},
		"a link to a file": {func() error {
			return errors.Join(os.WriteFile(path+"2", nil, 0o600), os.Symlink(path+"2", path))
		}, false},
		"a directory": {func() error { return os.Mkdir(path, 0o700) }, false},
		"a pipe":      {func() error { return syscall.Mkfifo(path, 0o600) }, false},
	} {
		if err := errors.Join(os.RemoveAll(path), tc.make()); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path)
		err := replaceReadyFile(path, r)
		after, _ := os.Lstat(path)
		if (err == nil) != tc.good || !tc.good && !os.SameFile(before, after) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("files are left: %v, %v", entries, err)
	}
}

// One line has the programs of a shell reach the emulator, as in another container.
func TestServe_env(t *testing.T) {
	t.Parallel()
	sh := testprog.Need(t, "sh", "dash")
	testprog.Need(t, "curl", "curl")
	testprog.Need(t, "ssh-keyscan", "openssh-client")
	readyFile := filepath.Join(t.TempDir(), "ready.json")
	serving(t, "--proxy", "127.0.0.1:0", "--ready-file", readyFile)
	var r ready
	if data, err := os.ReadFile(readyFile); err != nil || json.Unmarshal(data, &r) != nil {
		t.Fatalf("%v: %s", err, data)
	}
	cmd := exec.CommandContext(t.Context(), sh, "-euc", `
eval "$(curl -fsS "$1/env")"
curl -fsS https://upgrade.odoo.com/database/v1/status | grep KEY:MISSING
curl -fsS "$UPGRADEMOCK_HTTPS_URL/database/v1/status" | grep KEY:MISSING
ssh-keyscan -p "$UPGRADEMOCK_SFTP_PORT" "$UPGRADEMOCK_SFTP_HOST" 2>/dev/null | cut -d ' ' -f 3 | grep -F -f - "$UPGRADEMOCK_KNOWN_HOSTS"
grep -q -c 'BEGIN CERTIFICATE' "$UPGRADEMOCK_CA_FILE"
`, "sh", r.AdminURL)
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// --open opens the live page in the browser, which the banner names, and without a browser says where it is.
func TestServe_open(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the program that opens a browser has another name here")
	}
	dir := t.TempDir()
	opened := filepath.Join(dir, "opened")
	script := "#!/bin/sh\necho \"$1\" > " + opened + ".part && mv " + opened + ".part " + opened + "\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	_, banner, _ := servingWith(t, []string{"PATH=" + dir + ":/usr/bin:/bin"}, "--open")
	var url []byte
	for err := error(os.ErrNotExist); err != nil; url, err = os.ReadFile(opened) {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	got := strings.TrimSpace(string(url))
	if !strings.HasSuffix(got, "/_mock/") || !strings.Contains(banner, "Page      "+got) {
		t.Errorf("opened %q, and the banner is\n%s", got, banner)
	}
}
