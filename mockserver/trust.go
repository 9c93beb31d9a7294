package mockserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

const knownHostsName = "known_hosts"

// newHostKey makes a key of the type that known clients pin (row 5.9).
func newHostKey() (gossh.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return gossh.NewSignerFromKey(key)
}

// keptHostKey is the key in the file, which is made on first use.
func keptHostKey(path string) (gossh.Signer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return makeHostKey(path)
	}
	if err != nil {
		return nil, err
	}
	signer, err := gossh.ParsePrivateKey(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w (remove the file to have a new key made)", path, err)
	}
	return signer, nil
}

func makeHostKey(path string) (gossh.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := gossh.MarshalPrivateKey(key, "upgrademock")
	if err != nil {
		return nil, err
	}
	// Beside and renamed, so that a kill leaves no half key.
	tmp := path + ".new"
	if err := os.WriteFile(tmp, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, path); err != nil {
		return nil, err
	}
	return gossh.NewSignerFromKey(key)
}

// writeKnownHostsLocked writes the host key beside every name and port under which the SFTP server may be called.
func (s *Server) writeKnownHostsLocked() error {
	l := s.listeners["sftp"]
	if l == nil {
		return nil
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return fmt.Errorf("mockserver: %w", err)
	}
	advertise := s.advertise.Load()
	names := []string{host, "127.0.0.1", "localhost", "::1", advertise.SFTPHost}
	if u, err := url.Parse(advertise.URL); err == nil {
		names = append(names, u.Hostname())
	}
	ports := []string{port}
	if advertise.SFTPPort != 0 {
		ports = append(ports, strconv.Itoa(advertise.SFTPPort))
	}
	var addrs []string
	for _, name := range names {
		if ip := net.ParseIP(name); name == "" || ip != nil && ip.IsUnspecified() {
			continue
		}
		for _, port := range ports {
			if addr := knownhosts.Normalize(net.JoinHostPort(name, port)); !slices.Contains(addrs, addr) {
				addrs = append(addrs, addr)
			}
		}
	}
	line := knownhosts.Line(addrs, s.hostKey.PublicKey()) + "\n"
	if err := os.WriteFile(filepath.Join(s.dir, knownHostsName), []byte(line), 0o644); err != nil {
		return fmt.Errorf("mockserver: %w", err)
	}
	return nil
}
