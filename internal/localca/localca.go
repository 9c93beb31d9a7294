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
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
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

// ownNames are the DNS names every authority may sign for: loopback's, and the platform's own domain.
var ownNames = []string{"localhost", "odoo.com"}

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
		PermittedDNSDomains:         slices.Clone(ownNames),
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
			template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{IP: shortest(ip),
				Mask: net.CIDRMask(bits, bits)})
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
