package client

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

// LoadSSHKey reads a file with a private key, in any form that OpenSSH writes. Like OpenSSH, it refuses a file that
// other users may read. For the passphrase of an encrypted key, passphrase is called; if it is nil, encrypted keys are
// refused.
func LoadSSHKey(path string, passphrase func(path string) ([]byte, error)) (ssh.Signer, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("client: SSH key: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("client: the SSH key %s can be read by others (mode %04o) and is not used; "+
			"make it private: chmod 600 %s", path, mode, path)
	}
	text, err := safefile.ReadNamed(path, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("client: SSH key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if _, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
		if passphrase == nil {
			return nil, fmt.Errorf("client: the SSH key %s is encrypted and there is nobody to ask for its passphrase; "+
				"use ssh-agent or another key", path)
		}
		pass, perr := passphrase(path)
		if perr != nil {
			return nil, fmt.Errorf("client: the passphrase of %s: %w", path, perr)
		}
		signer, err = ssh.ParsePrivateKeyWithPassphrase(text, pass)
		clear(pass)
	}
	if err != nil {
		if _, _, _, _, perr := ssh.ParseAuthorizedKey(text); perr == nil {
			return nil, fmt.Errorf("client: %s is a public key; "+
				"the private one is wanted, usually the same name without .pub", path)
		}
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("client: the passphrase of the SSH key %s is another one: %w", path, err)
		}
		return nil, fmt.Errorf("client: %s holds no usable SSH private key; expected a file as ssh-keygen writes it, "+
			"such as ~/.ssh/id_ed25519", path)
	}
	return signer, nil
}

// GenerateSSHKey makes a new ed25519 key. The second result is the private key in the form of OpenSSH's files.
func GenerateSSHKey() (ssh.Signer, []byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("client: making an SSH key: %w", err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return nil, nil, fmt.Errorf("client: making an SSH key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(private, "odoo-upgrade")
	if err != nil {
		return nil, nil, fmt.Errorf("client: making an SSH key: %w", err)
	}
	return signer, pem.EncodeToMemory(block), nil
}

// AgentSigners returns the keys of the ssh-agent that listens on socket, which is the value of SSH_AUTH_SOCK. They can
// be used until the Closer is closed. It is an error if there is no agent, or if it has no key.
func AgentSigners(socket string) ([]ssh.Signer, io.Closer, error) {
	if socket == "" {
		return nil, nil, errors.New("client: no ssh-agent is running here: SSH_AUTH_SOCK is not set")
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("client: ssh-agent: %w", err)
	}
	signers, err := agent.NewClient(conn).Signers()
	if err == nil && len(signers) == 0 {
		err = errors.New("it holds no key; ssh-add puts one in")
	}
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("client: ssh-agent: %w", err)
	}
	return signers, conn, nil
}
