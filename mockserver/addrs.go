package mockserver

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"strconv"

	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	gossh "golang.org/x/crypto/ssh"
)

// addr is where the named listener listens, "" if it does not.
func (s *Server) addr(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.listeners[name]; l != nil {
		return l.Addr().String()
	}
	return ""
}

// reachable is where programs of this machine reach the named listener: one that listens on all addresses, which no
// program can call and no certificate can name, at 127.0.0.1. It is "" if there is none.
func (s *Server) reachable(name string) string {
	addr, err := netip.ParseAddrPort(s.addr(name))
	if err != nil || !addr.Addr().IsUnspecified() {
		return s.addr(name)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(addr.Port())))
}

// URL is the base URL over HTTP for programs of this machine, such as http://127.0.0.1:8480; "" without an HTTP
// listener.
func (s *Server) URL() string { return withScheme("http", s.reachable("http")) }

// HTTPSURL is the base URL over HTTPS for programs of this machine; "" without an HTTPS listener.
func (s *Server) HTTPSURL() string { return withScheme("https", s.reachable("https")) }

// SFTPAddr is the host:port of the SFTP server for programs of this machine; "" without one.
func (s *Server) SFTPAddr() string { return s.reachable("sftp") }

// AdminURL is the base URL of the control API: of its own listener if Options.ControlAddr names one, else of the HTTP
// listener, else of the HTTPS listener. It is "" if nothing serves it.
func (s *Server) AdminURL() string {
	base := withScheme("http", s.reachable("control"))
	if base == "" {
		base = s.URL()
	}
	if base == "" {
		base = s.HTTPSURL()
	}
	if base == "" {
		return ""
	}
	return base + "/_mock"
}

func withScheme(scheme, addr string) string {
	if addr == "" {
		return ""
	}
	return scheme + "://" + addr
}

// CAFile is the path of a PEM file with the certificate of the CA that HTTPS clients must trust.
func (s *Server) CAFile() string { return s.trust.caFile }

// Certificate is the certificate of the CA in CAFile.
func (s *Server) Certificate() *x509.Certificate { return s.trust.ca.Certificate() }

// CertPool returns a pool that holds Certificate and nothing else.
func (s *Server) CertPool() *x509.CertPool { return s.trust.ca.Pool() }

// CertificateFor returns a certificate of the CA to show as host, a DNS name or an IP address. It is for a
// program that leads connections to the server in another way than its listeners, as a proxy does.
func (s *Server) CertificateFor(host string) (*tls.Certificate, error) { return s.trust.ca.Leaf(host) }

// KnownHostsFile is the path of a known_hosts file with the keys of the SFTP server. Start writes it.
func (s *Server) KnownHostsFile() string { return s.home.File(datadir.KnownHosts) }

// HostKeys are the public keys that the SFTP server shows, one of each type that it has.
func (s *Server) HostKeys() []gossh.PublicKey {
	keys := make([]gossh.PublicKey, len(s.trust.hostKeys))
	for i, key := range s.trust.hostKeys {
		keys[i] = key.PublicKey()
	}
	return keys
}
