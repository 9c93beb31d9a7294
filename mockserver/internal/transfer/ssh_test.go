package transfer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// TestSSH has OpenSSH's client ask for what is not served.
func TestSSH(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key, other := newIdentity(t), newIdentity(t)
	started := b.start(b.request(key), platform.Uploading)
	scp := testprog.Need(t, "sftp", "openssh-client")
	elsewhere := started
	text := strings.ReplaceAll(*started.KnownHosts, fmt.Sprint(started.Port), "1")
	elsewhere.KnownHosts = &text
	silent := started
	silent.KnownHosts = nil
	password := []string{"-o", "PreferredAuthentications=password", "-o", "BatchMode=yes", "odoo@127.0.0.1"}
	ls := []string{"odoo@127.0.0.1", "ls"}
	const noPty, noKey, noHost = "PTY allocation request failed", "Permission denied", "Host key verification failed"
	for name, test := range map[string]struct {
		client *client
		args   []string
		says   string
	}{
		"a shell":            {newClient(t, key, started), []string{"odoo@127.0.0.1"}, "shell refused"},
		"a terminal":         {newClient(t, key, started), []string{"-tt", "odoo@127.0.0.1"}, noPty},
		"a command":          {newClient(t, key, started), ls, "refused"},
		"another user":       {newClient(t, key, started), []string{"root@127.0.0.1", "ls"}, noKey},
		"another key":        {newClient(t, other, started), ls, noKey},
		"a password":         {newClient(t, other, started), password, noKey},
		"a forwarded port":   {newClient(t, key, started), []string{"-W", "127.0.0.1:1", "odoo@127.0.0.1"}, "forwarding"},
		"no known_hosts":     {newClient(t, key, silent), ls, noHost},
		"another known_host": {newClient(t, key, elsewhere), ls, noHost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			words := strings.Fields(test.client.ssh)
			o := test.client.run(words[0], append(words[1:], test.args...)...)
			if o.err == nil || !strings.Contains(o.stderr, test.says) {
				t.Errorf("want a failure that says %q: %v", test.says, o)
			}
		})
	}
	t.Run("sftp", func(t *testing.T) {
		t.Parallel()
		c := newClient(t, key, started)
		words := strings.Fields(strings.ReplaceAll(c.ssh, " -p ", " -P "))
		if o := c.run(scp, append(words[1:], "odoo@127.0.0.1")...); o.err == nil {
			t.Errorf("sftp was served: %v", o)
		}
	})
}

// V1 to V5 leave the host key to ssh, which asks at each new port (row S4.4), or takes it where it was told to.
func TestSSH_newHost(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	key := newIdentity(t)
	r := b.request(key)
	var ports []int
	for range 2 {
		started := b.start(r, platform.Uploading)
		ports = append(ports, started.Port)
		started.KnownHosts = nil
		c := newClient(t, key, started)
		c.program = testprog.Need(t, "rsync", "rsync")
		tree{"toc.dat": "x"}.write(t, filepath.Join(c.files, "origin.dump"))
		ssh := c.ssh
		c.ssh = strings.Replace(ssh, "StrictHostKeyChecking=yes", "StrictHostKeyChecking=ask -o BatchMode=yes", 1)
		if o := c.upload("V1–V8", "origin.dump/", "origin.dump"); o.err == nil ||
			!strings.Contains(o.stderr, "Host key verification failed") {
			t.Errorf("with nobody to answer: %v", o)
		}
		c.ssh = strings.Replace(ssh, "StrictHostKeyChecking=yes", "StrictHostKeyChecking=accept-new", 1)
		if o := c.upload("V1–V8", "origin.dump/", "origin.dump"); o.err != nil {
			t.Errorf("with accept-new: %v", o)
		}
		known, err := os.ReadFile(filepath.Join(c.dir, "upgrade_known_hosts"))
		if host := fmt.Sprintf("[127.0.0.1]:%d ", started.Port); err != nil || !strings.Contains(string(known), host) {
			t.Errorf("ssh has noted %q (%v), want a line of %s", known, err, host)
		}
	}
	if ports[0] == ports[1] {
		t.Errorf("both transfers had port %d", ports[0])
	}
}
