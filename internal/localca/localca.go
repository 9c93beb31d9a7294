// Package localca is a certificate authority for one machine: it lets clients speak HTTPS to a server on
// loopback, with verification switched on, by trusting one file.
//
// The authority is name-constrained (RFC 5280 section 4.2.1.10): whoever steals its key can impersonate
// loopback and the names it was made for, nothing else. Leaf certificates live for a day, are made when a client
// first asks for the name, and are renewed by the handshake that finds them half expired; nothing ticks.
package localca

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/internal/safefile"
)

const (
	caLife   = 5 * 365 * 24 * time.Hour
	leafLife = 24 * time.Hour
	skew     = time.Hour // certificates begin this long ago, for clients whose clock is behind
	maxLeafs = 1000      // names come from clients: the cache is emptied rather than grown beyond this

	// CertFile and keyFile are the files in an authority's directory. The key file holds the certificate too, so that
	// one rename makes both appear together; CertFile is its public half.
	CertFile = "ca.pem"
	keyFile  = "ca-key.pem"
	maxFile  = 1 << 20 // bytes of either
)

// subject is the name of every authority that this package makes, by which its files are known.
var subject = pkix.Name{CommonName: "upgrademock local CA", Organization: []string{"upgrademock (testing only)"}}

// always are the DNS names every authority may sign for: loopback's, and the platform's own domain.
var always = []string{"localhost", "odoo.com"}

// CA is a certificate authority. Its methods may be called concurrently.
type CA struct {
	cert    *x509.Certificate
	key     *ecdsa.PrivateKey
	certPEM []byte
	note    string

	mu    sync.Mutex
	leafs map[string]*tls.Certificate
}

// New makes an authority that lives in memory. Beside loopback and the platform's domain it may sign for hosts,
// each a DNS name (with all its subdomains) or an IP address.
func New(hosts ...string) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("localca: make key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               subject,
		NotBefore:             now.Add(-skew),
		NotAfter:              now.Add(caLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,

		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         slices.Clone(always),
		PermittedIPRanges: []*net.IPNet{
			{IP: net.IPv4(127, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)},
			{IP: net.IPv6loopback, Mask: net.CIDRMask(128, 128)},
		},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip == nil {
			template.PermittedDNSDomains = append(template.PermittedDNSDomains, host)
		} else {
			bits := 8 * len(shortest(ip))
			template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: shortest(ip), Mask: net.CIDRMask(bits, bits)})
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("localca: sign: %w", err)
	}
	return fromParts(der, key)
}

func fromParts(der []byte, key *ecdsa.PrivateKey) (*CA, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("localca: certificate: %w", err)
	}
	return &CA{
		cert:    cert,
		key:     key,
		certPEM: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		leafs:   make(map[string]*tls.Certificate),
	}, nil
}

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
	return nil, fmt.Errorf("localca: %s: %w (remove the file to have a new authority made, or choose another directory)", path, err)
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
		return fmt.Sprintf("%s had mode %04o, and is its owner's alone now; if others may have read it, remove it to have a new authority made", keyFile, was)
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
		return fmt.Errorf("localca: %s: %w, %w: move the file away, or choose another directory", filepath.Join(dir, CertFile), ErrForeign, err)
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
		if !slices.Contains(always, name) {
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

// Note is what an operator should know of the authority's files, as a sentence; "" is nothing.
func (ca *CA) Note() string { return ca.note }

// Certificate is the authority's certificate.
func (ca *CA) Certificate() *x509.Certificate { return ca.cert }

// PEM is the authority's certificate, which clients must trust.
func (ca *CA) PEM() []byte { return bytes.Clone(ca.certPEM) }

// Pool is a pool with nothing but this authority.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

func (ca *CA) keyPEM() []byte {
	der, err := x509.MarshalECPrivateKey(ca.key)
	if err != nil {
		panic("localca: a P-256 key that cannot be marshalled: " + err.Error())
	}
	return pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
}

// TLSConfig answers each client with a certificate for the name it asks for; one that names nobody (clients given
// an IP address send no name) gets one for the address it connected to.
func (ca *CA) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			host := hello.ServerName
			if host == "" {
				host = "localhost"
				if addr, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
					host = addr.IP.String()
				}
			}
			return ca.Leaf(host)
		},
	}
}

// Leaf returns a certificate for host, a DNS name or an IP address, good for at least half a day.
func (ca *CA) Leaf(host string) (*tls.Certificate, error) {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ca.mu.Lock()
	defer ca.mu.Unlock()
	if leaf := ca.leafs[host]; leaf != nil && time.Until(leaf.Leaf.NotAfter) > leafLife/2 {
		return leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("localca: make key: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    now.Add(-skew),
		NotAfter:     now.Add(leafLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(host) > 64 { // the upper bound of a common name; clients look at the alternative names anyway
		template.Subject = pkix.Name{}
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{shortest(ip)}
		if ip.IsLoopback() {
			template.DNSNames = []string{"localhost"}
		}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("localca: sign for %s: %w", host, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("localca: certificate for %s: %w", host, err)
	}
	leaf := &tls.Certificate{Certificate: [][]byte{der, ca.cert.Raw}, PrivateKey: crypto.Signer(key), Leaf: parsed}
	if len(ca.leafs) >= maxLeafs {
		clear(ca.leafs)
	}
	ca.leafs[host] = leaf
	return leaf, nil
}

// shortest is ip in 4 bytes where that is possible, as X.509 wants it.
func shortest(ip net.IP) net.IP {
	if v4 := ip.To4(); v4 != nil {
		return v4
	}
	return ip
}

// serial is a fresh serial number of 127 random bits (RFC 5280 section 4.1.2.2 allows 20 octets).
func serial() *big.Int {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		panic("localca: no random numbers: " + err.Error())
	}
	return n
}
