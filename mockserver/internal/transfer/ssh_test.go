package transfer_test

import (
	"fmt"
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
