package main

import (
	"errors"
	"io"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

// sshFlags choose the key to log in with, and whom to trust.
type sshFlags struct {
	keyFiles   []string
	agent      bool
	generate   bool
	knownHosts []string
	acceptNew  bool

	agentConn io.Closer
}

func (s *sshFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&s.keyFiles, "ssh-key", nil,
		"log in to the SFTP server with the private key in this `file` (may be repeated)")
	f.BoolVar(&s.agent, "ssh-agent", false, "log in with the keys of the ssh-agent")
	f.BoolVar(&s.generate, "generate-key", false,
		"log in with an ed25519 key made for the occasion (the default when no other key is named)")
	s.registerHosts(cmd)
}

// check refuses flags that exclude each other.
func (s *sshFlags) check(cmd *cobra.Command) error {
	if s.generate && (s.agent || len(s.keyFiles) > 0) {
		return usagef(cmd, "--generate-key makes the key to log in with; it cannot go with --ssh-key or --ssh-agent")
	}
	return nil
}

func (s *sshFlags) registerHosts(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&s.knownHosts, "known-hosts", nil,
		"the `file` with the known SSH hosts' keys (may be repeated; new ones go to the first; default ~/.ssh/known_hosts)")
	f.BoolVar(&s.acceptNew, "accept-new-host-key", false,
		"trust an SSH host that is met for the first time, and remember it")
}

// signers returns the private keys that the flags name. A key made for the occasion never touches a disk: the next
// process makes another and asks for the access again.
func (s *sshFlags) signers(a *app) ([]ssh.Signer, error) {
	var out []ssh.Signer
	for _, path := range s.keyFiles {
		k, err := client.LoadSSHKey(path, a.askPassphrase)
		if err != nil {
			return nil, usageError{error: err}
		}
		out = append(out, k)
	}
	if s.agent {
		keys, conn, err := client.AgentSigners(a.getenv("SSH_AUTH_SOCK"))
		if err != nil {
			return nil, err
		}
		s.agentConn = conn
		out = append(out, keys...)
	}
	if len(out) == 0 {
		k, _, err := client.GenerateSSHKey()
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

func (s *sshFlags) hostKeys(a *app) (*client.HostKeys, error) {
	h := &client.HostKeys{Files: s.knownHosts, Accept: a.askHost}
	if len(h.Files) == 0 {
		file := defaultKnownHosts()
		if file == "" {
			return nil, errors.New("there is no home directory to keep known SSH hosts in: name a file with --known-hosts")
		}
		h.Files = []string{file}
	}
	if s.acceptNew {
		h.Accept = client.AcceptNew
	}
	return h, nil
}

func (s *sshFlags) close() {
	if s.agentConn != nil {
		_ = s.agentConn.Close()
	}
}
