package client_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/fixtures"
)

// keyFile writes a private key as OpenSSH does, encrypted when there is a passphrase.
func keyFile(t *testing.T, key any, passphrase string) string {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "id")
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadSSHKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, want := range map[string]string{
		"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa",
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, fixtures.Key(name), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := client.LoadSSHKey(path, nil)
		if err != nil || s.PublicKey().Type() != want {
			t.Errorf("%s: got %v, %v", want, s, err)
		}
	}

	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	locked := keyFile(t, ed, "open sesame")
	asked := ""
	s, err := client.LoadSSHKey(locked, func(path string) ([]byte, error) {
		asked = path
		return []byte("open sesame"), nil
	})
	if err != nil || asked != locked || s.PublicKey().Type() != "ssh-ed25519" {
		t.Errorf("encrypted: got %v, %v after asking for %q", s, err, asked)
	}

	open := keyFile(t, ed, "")
	if err := os.Chmod(open, 0o640); err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(t.TempDir(), "id.pub")
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := errors.Join(os.WriteFile(public, client.AuthorizedKeys(s.PublicKey()), 0o600),
		os.WriteFile(garbage, []byte("hello"), 0o600)); err != nil {
		t.Fatal(err)
	}
	away := errors.New("nobody at home")
	for _, tt := range []struct {
		name, path string
		ask        func(string) ([]byte, error)
		says       string
	}{
		{"not there", filepath.Join(t.TempDir(), "missing"), nil, "no such file"},
		{"readable for others", open, nil, "mode 0640"},
		{"encrypted, nobody to ask", locked, nil, "is encrypted"},
		{"encrypted, nobody answers", locked, func(string) ([]byte, error) { return nil, away }, "nobody at home"},
		{"a public key", public, nil, "is a public key"},
		{"something else", garbage, nil, "no usable SSH private key"},
	} {
		_, err := client.LoadSSHKey(tt.path, tt.ask)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.says)
		}
		if err != nil && strings.Contains(err.Error(), "PRIVATE") {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestGenerateSSHKey(t *testing.T) {
	t.Parallel()
	s, file, err := client.GenerateSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ssh.ParsePrivateKey(file)
	if err != nil || again.PublicKey().Type() != "ssh-ed25519" ||
		ssh.FingerprintSHA256(again.PublicKey()) != ssh.FingerprintSHA256(s.PublicKey()) {
		t.Errorf("the file is not the key: %v", err)
	}
	if line := string(client.AuthorizedKeys(s.PublicKey())); !strings.HasPrefix(line, "ssh-ed25519 AAAA") ||
		!strings.HasSuffix(line, "\n") {
		t.Errorf("got %q", line)
	}
}

func TestAgentSigners(t *testing.T) {
	t.Parallel()
	// A socket's name has to be short.
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })

	if _, _, err := client.AgentSigners(socket); err == nil || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("an empty agent: got %v", err)
	}
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	signers, conn, err := client.AgentSigners(socket)
	if err != nil {
		t.Fatal(err)
	}
	// With these one can log in.
	d := newSSHD(t, signers[0].PublicKey())
	o := sftpOptions(t, signers[0])
	if _, err := newClient(t, "http://unused.invalid").UploadSFTP(t.Context(), d.access(), strings.NewReader("dump"), 4,
		o); err != nil {
		t.Error(err)
	}
	conn.Close()
	for _, bad := range []string{"", filepath.Join(dir, "missing")} {
		if _, _, err := client.AgentSigners(bad); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func newECDSA(t *testing.T) ssh.Signer {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
