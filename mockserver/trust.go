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
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// trust is what clients must trust: the CA, and the SSH host keys.
type trust struct {
	ca       *localca.CA
	caFile   string
	hostKeys []gossh.Signer
}

// openTrust gets the CA and the SSH host key, from the data directory if there is one.
func openTrust(opts *Options, home *home) (trust, error) {
	var t trust
	var err error
	caDir := opts.CADir
	if caDir == "" && !home.temporary {
		caDir = home.Path()
	}
	if caDir != "" {
		t.ca, err = localca.Open(caDir, opts.CAHosts...)
		t.caFile = filepath.Join(caDir, localca.CertFile)
	} else if t.ca, err = localca.New(opts.CAHosts...); err == nil {
		t.caFile = home.File(localca.CertFile)
		err = safefile.Create(home.Root(), localca.CertFile, t.ca.PEM(), 0o644)
	}
	if err != nil {
		return t, fmt.Errorf("mockserver: %w", err)
	}
	if note := t.ca.Note(); note != "" {
		home.Note("%s", note)
	}
	switch {
	case len(opts.SFTPHostKeys) > 0:
		t.hostKeys = opts.SFTPHostKeys
	case home.temporary:
		t.hostKeys, err = alone(newHostKey())
	default:
		t.hostKeys, err = alone(keptHostKey(home.Dir))
	}
	if err != nil {
		return t, fmt.Errorf("mockserver: SSH host key: %w", err)
	}
	_, err = readKnownHosts(home.Dir)
	return t, err
}

// newHostKey makes a key of the type that known clients pin (row 5.9).
func newHostKey() (gossh.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return gossh.NewSignerFromKey(key)
}

// keptHostKey is the key in the directory, which is made on first use.
func keptHostKey(dir *datadir.Dir) (gossh.Signer, error) {
	data, err := safefile.Read(dir.Root(), datadir.HostKey, 1<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return makeHostKey(dir)
	}
	var signer gossh.Signer
	if err == nil {
		signer, err = gossh.ParsePrivateKey(data)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w (remove the file to have a new key made)", dir.File(datadir.HostKey), err)
	}
	dir.Private(datadir.HostKey)
	return signer, nil
}

func makeHostKey(dir *datadir.Dir) (gossh.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := gossh.MarshalPrivateKey(key, "upgrademock")
	if err != nil {
		return nil, err
	}
	if err := safefile.Create(dir.Root(), datadir.HostKey, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return gossh.NewSignerFromKey(key)
}

// writeKnownHosts writes the host keys beside every name and port under which the SFTP server that listens at
// addr may be called.
func writeKnownHosts(dir *datadir.Dir, addr string, advertised Advertise, keys []gossh.Signer) error {
	lines, err := knownHostsLines(addr, advertised, keys)
	if err != nil {
		return err
	}
	return replaceKnownHosts(dir, lines)
}

// knownHostsLines are a line for each host key with all names and ports, those given among them.
func knownHostsLines(addr string, advertised Advertise, keys []gossh.Signer, called ...string) ([]string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("mockserver: %w", err)
	}
	names := append([]string{host, "127.0.0.1", "localhost", "::1", advertised.SFTPHost}, called...)
	if u, err := url.Parse(advertised.URL); err == nil {
		names = append(names, u.Hostname())
	}
	ports := []string{port}
	if advertised.SFTPPort != 0 {
		ports = append(ports, strconv.Itoa(advertised.SFTPPort))
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
	lines := make([]string, len(keys))
	for i, key := range keys {
		lines[i] = knownhosts.Line(addrs, key.PublicKey()) + "\n"
	}
	return lines, nil
}

// replaceKnownHosts puts ours in the place of the lines with the same keys. Lines that others added, such as
// ssh itself, stay.
func replaceKnownHosts(dir *datadir.Dir, ours []string) error {
	have, err := readKnownHosts(dir)
	if err != nil {
		return err
	}
	lines := strings.Join(ours, "")
	for line := range strings.Lines(have) {
		line = strings.TrimSuffix(line, "\n") + "\n"
		same := func(our string) bool {
			_, key, _ := strings.Cut(our, " ")
			return strings.HasSuffix(line, " "+key)
		}
		if !slices.ContainsFunc(ours, same) {
			lines += line
		}
	}
	err = safefile.Replace(dir.Root(), datadir.KnownHosts, []byte(lines), 0o644)
	if err != nil {
		return fmt.Errorf("mockserver: %s: %w", dir.File(datadir.KnownHosts), err)
	}
	return nil
}

// readKnownHosts returns what stands in the file so far. It must be a file if it is there.
func readKnownHosts(dir *datadir.Dir) (string, error) {
	have, err := safefile.Read(dir.Root(), datadir.KnownHosts, 1<<20)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("mockserver: %s: %w; move it away, or choose another data directory",
			dir.File(datadir.KnownHosts), err)
	}
	return string(have), nil
}
