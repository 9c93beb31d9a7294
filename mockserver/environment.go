package mockserver

import (
	"cmp"
	"encoding/pem"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/upgrademock/upgrademock/internal/clientenv"
)

// Authority is the certificate of the CA as PEM.
func (s steered) Authority() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
}

// KnownHosts is a known_hosts file for who reaches the SFTP server under that host; "" without one.
func (s steered) KnownHosts(host string) (string, error) {
	addr := s.SFTPAddr()
	if addr == "" {
		return "", nil
	}
	lines, err := knownHostsLines(addr, s.Server.Advertise(), s.trust.hostKeys, host, s.opts.SFTPHostname)
	return strings.Join(lines, ""), err
}

// Addresses are where the caller reaches the server: under the host that it called, on the listeners' ports, where
// Advertise and the options do not say otherwise.
func (s steered) Addresses(r *http.Request) clientenv.Addresses {
	advertised := s.Server.Advertise()
	host := (&url.URL{Host: r.Host}).Hostname()
	at := func(name string) string {
		_, port, err := net.SplitHostPort(s.addr(name))
		if err != nil {
			return ""
		}
		return net.JoinHostPort(host, port)
	}
	a := clientenv.Addresses{
		URL: withScheme("http", at("http")), HTTPSURL: withScheme("https", at("https")),
		AdminURL: "http://" + r.Host + "/_mock", TransferHost: host,
	}
	switch {
	case r.TLS != nil:
		a.AdminURL, a.HTTPSURL = "https://"+r.Host+"/_mock", "https://"+r.Host
	case s.addr("control") == "":
		a.URL = "http://" + r.Host
	}
	switch base := strings.TrimSuffix(cmp.Or(advertised.URL, s.opts.PublicURL), "/"); {
	case strings.HasPrefix(base, "https:"):
		a.HTTPSURL = base
	case base != "":
		a.URL = base
	}
	if addr := at("sftp"); addr != "" {
		_, port, _ := net.SplitHostPort(addr)
		if advertised.SFTPPort != 0 {
			port = strconv.Itoa(advertised.SFTPPort)
		}
		a.SFTP = net.JoinHostPort(cmp.Or(advertised.SFTPHost, s.opts.SFTPHostname, host), port)
	}
	s.mu.Lock()
	proxy := s.proxy
	s.mu.Unlock()
	if proxy != nil {
		if addr, err := netip.ParseAddrPort(proxy.String()); err == nil {
			a.Proxy = "http://" + net.JoinHostPort(host, strconv.Itoa(int(addr.Port())))
		}
	}
	return a
}
