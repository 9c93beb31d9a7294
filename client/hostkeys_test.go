package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/upgrademock/upgrademock/client"
)

func TestHostKeys(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	d := newSSHD(t, key.PublicKey())
	addr, host := d.access().Addr(), d.hostKey.PublicKey()
	other := newSigner(t).PublicKey()
	hashed := knownhosts.HashHostname(knownhosts.Normalize(addr))
	line := func(names string, k ssh.PublicKey) string { return names + " " + string(client.AuthorizedKeys(k)) }
	no := errors.New("no")
	tests := []struct {
		name   string
		known  string
		accept func(string, ssh.PublicKey) error
		ok     bool
		says   string
		after  string // of the file, "" for unchanged
	}{
		{name: "known", known: knownhosts.Line([]string{addr}, host) + "\n", ok: true},
		{name: "known by a hashed name", known: line(hashed, host), ok: true},
		{name: "known among others", known: line("elsewhere", other) + knownhosts.Line([]string{addr}, host), ok: true},
		{name: "unknown", says: "is not a known SSH host"},
		{name: "unknown, accepted", accept: client.AcceptNew, ok: true, after: knownhosts.Line([]string{addr}, host) + "\n"},
		{name: "unknown, accepted, no last newline", known: strings.TrimSpace(line("elsewhere", other)),
			accept: client.AcceptNew, ok: true,
			after: line("elsewhere", other) + knownhosts.Line([]string{addr}, host) + "\n"},
		{name: "unknown, not accepted", accept: func(string, ssh.PublicKey) error { return no },
			says: ssh.FingerprintSHA256(host)},
		{name: "changed", known: line(knownhosts.Normalize(addr), other), accept: client.AcceptNew, says: "has changed"},
		{name: "revoked", known: "@revoked " + line("*", host), accept: client.AcceptNew, says: "revoked"},
		{name: "another line is damaged", known: "!!! nonsense\n", accept: client.AcceptNew,
			says: "expected lines as ssh-keyscan prints them"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "sub", "known_hosts")
			if tt.known != "" {
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(tt.known), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := sftpOptions(t, key)
			o.HostKeys = &client.HostKeys{Files: []string{file}, Accept: tt.accept}
			c := newClient(t, "http://unused.invalid")
			up := func() error {
				_, err := c.UploadSFTP(t.Context(), d.access(), strings.NewReader("dump"), 4, o)
				return err
			}
			err := up()
			if (err == nil) != tt.ok || (err != nil && !strings.Contains(err.Error(), tt.says)) {
				t.Fatalf("got %v, want %v and %q", err, tt.ok, tt.says)
			}
			want := tt.known
			if tt.after != "" {
				want = tt.after
				// The second time it is known.
				o.HostKeys.Accept = nil
				if err := up(); err != nil {
					t.Errorf("the second time: %v", err)
				}
			}
			if got, _ := os.ReadFile(file); string(got) != want {
				t.Errorf("the file is %q, want %q", got, want)
			}
		})
	}
}

// TestHostKeys_severalKinds: a server with keys of two kinds must be asked for the one that is known.
func TestHostKeys_severalKinds(t *testing.T) {
	t.Parallel()
	key := newSigner(t)
	d := newSSHD(t, key.PublicKey())
	second := newECDSA(t)
	d.mu.Lock()
	d.moreKeys = append(d.moreKeys, second)
	d.mu.Unlock()
	for _, known := range []ssh.PublicKey{d.hostKey.PublicKey(), second.PublicKey()} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(file, []byte(knownhosts.Line([]string{d.access().Addr()}, known)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		o := sftpOptions(t, key)
		o.HostKeys = &client.HostKeys{Files: []string{file}}
		if _, err := newClient(t, "http://unused.invalid").UploadSFTP(t.Context(), d.access(), strings.NewReader("dump"), 4,
			o); err != nil {
			t.Errorf("with the %s key known: %v", known.Type(), err)
		}
	}
}
