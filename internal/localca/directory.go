package localca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

// ErrForeign is returned for a file under one of our names that is not ours: another authority's, a link, a
// directory. It stays as it is.
var ErrForeign = errors.New("not a file of this authority")

// Open returns the authority kept in dir, made there on first use: ca.pem for everybody, ca-key.pem (mode 0600) for
// us. One that may not sign for all of hosts, or is about to expire, is replaced by one that may sign for those it
// could and for these. Processes that open the same directory at once get the same authority. A file that is there
// and not ours is never changed: the error is ErrForeign then.
func Open(dir string, hosts ...string) (*CA, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	defer root.Close()
	path := filepath.Join(dir, keyFile)
	ca, err := load(root, path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := mayPublish(root, dir); err != nil { // before anything is made
		return nil, err
	}
	switch {
	case ca != nil && ca.serves(hosts):
		ca.note = private(root)
		return ca, ca.publish(root, dir)
	case ca != nil: // make room for one that may sign for these hosts too
		hosts = append(ca.hosts(), hosts...)
		if err := root.Remove(keyFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("localca: %w", err)
		}
	}
	ca, err = New(hosts...)
	if err != nil {
		return nil, err
	}
	err = safefile.Create(root, keyFile, append(ca.keyPEM(), ca.certPEM...), 0o600)
	if errors.Is(err, fs.ErrExist) { // another process was first
		if ca, err = load(root, path); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, fmt.Errorf("localca: make %s: %w", path, err)
	}
	return ca, ca.publish(root, dir)
}

// Find returns the authority that Open has made in dir. It changes nothing. The error is fs.ErrNotExist where there
// is none.
func Find(dir string) (*CA, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	defer root.Close()
	ca, err := load(root, filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	public, err := safefile.Read(root, CertFile, maxFile)
	if err == nil && !bytes.Equal(public, ca.certPEM) {
		err = fmt.Errorf("it is not the certificate in %s: %w", keyFile, ErrForeign)
	}
	if err != nil {
		return nil, fmt.Errorf("localca: %s: %w", filepath.Join(dir, CertFile), err)
	}
	return ca, nil
}

// load reads the key file. The error is fs.ErrNotExist where there is none.
func load(root *os.Root, path string) (*CA, error) {
	data, err := safefile.Read(root, keyFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("localca: %w", err)
	}
	if err == nil {
		var ca *CA
		if ca, err = parse(data); err == nil {
			return ca, nil
		}
	}
	if errors.Is(err, safefile.ErrNotRegular) {
		err = fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil, fmt.Errorf("localca: %s: %w (remove the file to have a new authority made, or choose another directory)",
		path, err)
}

func parse(data []byte) (_ *CA, err error) {
	var key *ecdsa.PrivateKey
	var der []byte
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "EC PRIVATE KEY":
			if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
				return nil, err
			}
		case "CERTIFICATE":
			der = block.Bytes
		}
	}
	if key == nil || der == nil {
		return nil, fmt.Errorf("it holds no key and certificate: %w", ErrForeign)
	}
	ca, err := fromParts(der, key)
	if err == nil && !isOurs(ca.cert) {
		err = fmt.Errorf("it is the authority %q: %w", ca.cert.Subject, ErrForeign)
	}
	if err == nil && !key.PublicKey.Equal(ca.cert.PublicKey) {
		err = errors.New("its key and its certificate do not belong together")
	}
	if err != nil {
		return nil, err
	}
	return ca, nil
}

// isOurs reports whether a certificate is that of an authority which this package made.
func isOurs(cert *x509.Certificate) bool {
	return cert.IsCA && cert.Subject.String() == subject.String()
}

// private takes the key file away from everybody but its owner, and returns what to say of it.
func private(root *os.Root) (note string) {
	was, changed, err := safefile.Private(root, keyFile)
	switch {
	case err != nil:
		return fmt.Sprintf("%s has mode %04o, and should be its owner's alone: %v", keyFile, was, err)
	case changed:
		return fmt.Sprintf(
			"%s had mode %04o, and is its owner's alone now; if others may have read it, remove it to have a new authority made",
			keyFile, was)
	}
	return ""
}

// mayPublish checks that the public file is ours to replace: it is not there, or holds a certificate of an
// authority of ours.
func mayPublish(root *os.Root, dir string) error {
	data, err := safefile.Read(root, CertFile, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !BeginsWithOurs(data) {
		err = errors.New("it holds something else")
	}
	if err != nil {
		return fmt.Errorf("localca: %s: %w, %w: move the file away, or choose another directory",
			filepath.Join(dir, CertFile), ErrForeign, err)
	}
	return nil
}

// BeginsWithOurs reports whether the first certificate in a PEM file is that of an authority which this package made.
func BeginsWithOurs(data []byte) bool {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	return err == nil && isOurs(cert)
}

// serves reports whether ca can sign for hosts for some weeks to come.
func (ca *CA) serves(hosts []string) bool {
	if time.Until(ca.cert.NotAfter) < 30*24*time.Hour {
		return false
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			if !slices.ContainsFunc(ca.cert.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(ip) }) {
				return false
			}
		} else if !slices.ContainsFunc(ca.cert.PermittedDNSDomains, func(d string) bool {
			return strings.EqualFold(host, d) || strings.HasSuffix(strings.ToLower(host), "."+strings.ToLower(d))
		}) {
			return false
		}
	}
	return true
}

// hosts are the names and addresses that ca may sign for, beside those that each authority may.
func (ca *CA) hosts() []string {
	var hosts []string
	for _, name := range ca.cert.PermittedDNSDomains {
		if !slices.Contains(ownNames, name) {
			hosts = append(hosts, name)
		}
	}
	for _, network := range ca.cert.PermittedIPRanges {
		if ones, bits := network.Mask.Size(); ones == bits && !network.IP.IsLoopback() {
			hosts = append(hosts, network.IP.String())
		}
	}
	return hosts
}

// publish writes the public half beside the key, unless it is there already.
func (ca *CA) publish(root *os.Root, dir string) error {
	if have, err := safefile.Read(root, CertFile, maxFile); err == nil && bytes.Equal(have, ca.certPEM) {
		return nil
	}
	if err := mayPublish(root, dir); err != nil {
		return err
	}
	if err := safefile.Replace(root, CertFile, ca.certPEM, 0o644); err != nil {
		return fmt.Errorf("localca: %w", err)
	}
	return nil
}
