package mockserver

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
)

// assigned is the host, with or without a port, that the script API assigns to the client of a call: where that client
// finds the server over HTTPS, and the host of its transfers (row S2.11).
//
// It is the one that the client called, if it did so over loopback. For others it is Advertise's URL, and without one
// what they called: loopback in place of the platform's own name, by which only a proxy leads here. SSH knows no proxy,
// so that it is never that name.
func (s *Server) assigned(r *http.Request) string {
	secure := r.TLS != nil || r.URL.Scheme == "https" // without TLS: through a proxy (RFC 9112 section 3.2.2)
	called := r.Host
	if called == "" { // HTTP/1.0
		called = api.LocalAddr(r)
	}
	host := hostOf(called)
	if isLoopback(host) {
		if secure {
			return called
		}
		return s.overHTTPS(host)
	}
	if host := s.assignedBy(s.advertise.Load().URL); host != "" {
		return host
	}
	switch {
	case host == "", isPlatform(host), s.client.standsFor(host) && !s.cameDirectly(r):
		return s.overHTTPS("127.0.0.1")
	case secure:
		return called
	}
	return s.overHTTPS(host)
}

// assignedBy is the host that a base URL of ours leads to over HTTPS; "" if it names none, or the platform.
func (s *Server) assignedBy(base string) string {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "" || isPlatform(u.Hostname()):
		return ""
	case u.Scheme == "https":
		return u.Host
	}
	return s.overHTTPS(u.Hostname())
}

// cameDirectly reports whether a call came to a listener of ours, from a client that found its host by itself.
func (s *Server) cameDirectly(r *http.Request) bool {
	_, port, err := net.SplitHostPort(api.LocalAddr(r))
	return err == nil && !s.client.used.Load() &&
		(port == portOf(s.addr("https")) || port == portOf(s.addr("http")))
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// overHTTPS is where the HTTPS listener is found by a client that reaches this machine as host. Without that listener
// it is where the HTTP listener is, which serves early copies of the script.
func (s *Server) overHTTPS(host string) string {
	addr := s.addr("https")
	if addr == "" {
		addr = s.addr("http")
	}
	listens, port, err := net.SplitHostPort(addr)
	if err != nil {
		return host
	}
	ip, err := netip.ParseAddr(listens)
	everywhere := err != nil || ip.IsUnspecified()
	if isLoopback(host) && !everywhere && !(host == "localhost" && ip.IsLoopback()) {
		host = listens // another address of loopback than that, or of the machine
	}
	return net.JoinHostPort(host, port)
}

// hostOf is a host without its port and its brackets.
func hostOf(hostport string) string { return (&url.URL{Host: hostport}).Hostname() }
