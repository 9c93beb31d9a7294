package refserver_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// client calls a server as the script does.
type client struct {
	t    *testing.T
	url  string
	http *http.Client
	dir  string // where it works: the key is there
	key  string // its public half
}

func newClient(t *testing.T, s *refserver.Script) *client {
	c := &client{t: t, url: s.URL(), dir: t.TempDir()}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.RootCAs()}, DisableKeepAlives: true}
	c.http = &http.Client{Transport: transport}
	file := filepath.Join(c.dir, "key")
	keygen := testprog.Need(t, "ssh-keygen", "openssh-client")
	if out, err := exec.Command(keygen, "-q", "-t", "rsa", "-N", "", "-f", file).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	line, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	c.key = string(line)
	return c
}

// call returns the result of a call, nil without one.
func (c *client) call(name string, params map[string]any) map[string]any {
	c.t.Helper()
	body, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": params})
	resp, err := c.http.Post(c.url+"/upgrade/request/"+name, "application/json", bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var out struct{ Result map[string]any }
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil && err != io.EOF {
		c.t.Fatalf("%s: %v", name, err)
	}
	return out.Result
}

// rsync runs the system's rsync over the system's ssh, with the answer to transfer/start.
func (c *client) rsync(start map[string]any, args ...string) error {
	c.t.Helper()
	known := filepath.Join(c.dir, "known_hosts")
	if err := os.WriteFile(known, []byte(start["known_hosts"].(string)), 0o600); err != nil {
		c.t.Fatal(err)
	}
	rsh := fmt.Sprintf("--rsh=ssh -F none -p %v -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes "+
		"-o UserKnownHostsFile=%s -i %s", start["ssh_port"], known, filepath.Join(c.dir, "key"))
	cmd := exec.CommandContext(c.t.Context(), "rsync", append([]string{rsh}, args...)...)
	cmd.Dir, cmd.WaitDelay = c.dir, time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("rsync %q: %w\n%s", args, err, out)
	}
	return nil
}

// The system's rsync and ssh upgrade a dump with the server, as the upgrade script runs them.
func TestScript_realPrograms(t *testing.T) {
	t.Parallel()
	rsync := testprog.Need(t, "rsync", "rsync")
	testprog.Need(t, "ssh", "openssh-client")
	for _, mutations := range [][]string{nil, {"differently"}} {
		t.Run(strings.Join(mutations, " "), func(t *testing.T) {
			t.Parallel()
			s := refserver.NewScript(t, rsync, mutations...)
			c := newClient(t, s)
			made := c.call("create", map[string]any{"contract": refserver.Contract, "target": "18.0", "aim": "test",
				"ssh_key": c.key})
			auth := map[string]any{"token": made["token"]}
			files := map[string]string{"toc.dat": strings.Repeat("toc", 50_000), "1 2.dat.gz": "data", "empty.dat": ""}
			for name, content := range files {
				path := filepath.Join(c.dir, "origin.dump", name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			transfer := func(kind string) map[string]any {
				return c.call("transfer/start", map[string]any{"token": made["token"], "transfer_type": kind})
			}
			host := fmt.Sprintf("odoo@%s", made["assigned_host_uri"])
			up := transfer("upload")
			for _, args := range [][]string{
				{"--chmod=u+rwx,g+rwx,o+r", "--info=progress2", "-a"},
				{"--info=progress2", "--delete-after", "--recursive", "--links", "--times", "-s"},
			} {
				if err := c.rsync(up, append(args, "origin.dump/", host+":/data/origin.dump")...); err != nil {
					t.Fatal(err)
				}
			}
			c.call("transfer/stop", auth)
			c.call("process", auth)
			for _, want := range s.Steps {
				if got := c.call("status", auth)["status"]; got != want {
					t.Errorf("status %v, want %s", got, want)
				}
			}
			down := transfer("download")
			name := down["dump_name"].(string)
			var sources []string
			for _, name := range []string{name, "filestore", "upgrade-report.html", "upgrade.log"} {
				sources = append(sources, host+":/data/"+name)
			}
			if err := c.rsync(down, append(append([]string{"-a", "--ignore-missing-args"}, sources...), ".")...); err != nil {
				t.Fatal(err)
			}
			for file, want := range files {
				got, err := os.ReadFile(filepath.Join(c.dir, name, file))
				if err != nil || string(got) != want {
					t.Errorf("%s: %d bytes, want %d: %v", file, len(got), len(want), err)
				}
			}
			if _, err := os.Stat(filepath.Join(c.dir, "upgrade.log")); err != nil {
				t.Error(err)
			}
			if err := c.rsync(down, "-a", host+":/data/../in/origin.dump", "."); err == nil {
				t.Error("what lies beside /data was handed out")
			}
		})
	}
}
