package mockserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Client returns an HTTP client for calls to the server, the same one each time. It trusts the server's CA.
// Calls to https://upgrade.odoo.com, to any other name below odoo.com, and to Options.CAHosts come to the
// server's own listeners, so that a program under test can keep its production URL. Calls to loopback go where
// they say, and those to any other host fail. Close closes the client's idle connections.
//
// Once Client was called, answers to calls under a name below odoo.com or in Options.CAHosts give the address
// of the SFTP listener as the hostname for SFTP clients, unless Options.SFTPHostname or SetAdvertise says
// otherwise.
func (s *Server) Client() *http.Client { return s.client.get() }

// client is the HTTP client of a server, which leads names that are not the server's to its listeners.
type client struct {
	own  []string                 // Options.CAHosts
	addr func(name string) string // where the named listener is reached
	used atomic.Bool              // get was called
	get  func() *http.Client
}

func newClient(s *Server) *client {
	c := &client{own: s.opts.CAHosts, addr: s.reachable}
	c.get = sync.OnceValue(func() *http.Client {
		transport := &http.Transport{
			DialContext:     c.dial,
			TLSClientConfig: &tls.Config{RootCAs: s.CertPool()},
		}
		c.used.Store(true)
		context.AfterFunc(s.ctx, transport.CloseIdleConnections)
		return &http.Client{Transport: transport}
	})
	return c
}

// dial connects to the listener that stands for addr, if there is one: that for HTTP on port 80, for HTTPS on
// any other.
func (c *client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	switch {
	case isLoopback(host):
	case c.standsFor(host):
		scheme := "https"
		if port == "80" {
			scheme = "http"
		}
		if addr = c.addr(scheme); addr == "" {
			return nil, fmt.Errorf("mockserver: %s leads to the server's %s listener, which does not listen: "+
				"call Start, and leave Options.%[2]sAddr on", host, strings.ToUpper(scheme))
		}
	default:
		return nil, fmt.Errorf("mockserver: %s is none of the server's names, and Server.Client calls no other host; "+
			"Options.CAHosts adds names", host)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, addr)
}

// sftpHost is the host of the SFTP server for a client that called the server as host.
func (c *client) sftpHost(host string) string {
	own, _, err := net.SplitHostPort(c.addr("sftp"))
	if !c.used.Load() || !c.standsFor(host) || err != nil {
		return host
	}
	return own
}

// standsFor reports whether calls to host are meant for the server.
func (c *client) standsFor(host string) bool {
	host = bareName(host)
	return isPlatform(host) || slices.ContainsFunc(c.own, func(own string) bool { return bareName(own) == host })
}

// isPlatform reports whether host is a name of the real platform.
func isPlatform(host string) bool {
	host = bareName(host)
	_, domain, _ := strings.Cut(platformHost, ".")
	return host == domain || strings.HasSuffix(host, "."+domain)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback() || bareName(host) == "localhost"
}

// bareName is a name as it is compared.
func bareName(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }
