package client

import (
	"net/netip"
	"net/url"
	"regexp"
	"strings"
)

// hostName is a name or an address as it stands in a URL, perhaps with a port.
var hostName = regexp.MustCompile(
	`^(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$`)

// assigned checks the host to which a server assigns a request (row S2.11), and returns it; an empty one stands for
// the platform's own.
//
// The host gets the request's token and the dump. It is called by https alone, so that its certificate must be good
// for that name. The server that names it was called in the same way, and has the token itself; so it may name any
// host of the network, as production does. But it must not lead the caller to servers that only the caller can
// reach: a platform on the network cannot name an address of this machine or of a private network, unless that is its
// own.
func (s *Script) assigned(host string) (string, error) {
	if host == "" {
		return s.c.base.Host, nil
	}
	u := &url.URL{Host: host}
	if !hostName.MatchString(host) || u.Port() != "" && !validPort(u.Port()) {
		return "", refuse("the platform assigns the request to %q, which is neither a host nor host:port",
			printable(host, 100))
	}
	base := s.c.base
	if strings.EqualFold(u.Hostname(), base.Hostname()) || within(u.Hostname()) <= within(base.Hostname()) {
		return host, nil
	}
	return "", refuse("the platform at %s assigns the request to %s, which is an address of this machine "+
		"or of a private network", base.Host, host)
}

// number is what ends in a number.
var number = regexp.MustCompile(`(?:^|\.)(?:[0-9]+|0x[0-9a-f]*)$`)

// reach says how few can reach a host.
type reach int

const (
	network     reach = iota // the internet, or a name of which nothing is known
	private                  // a private network
	thisMachine              // this machine, or its link
)

// within returns the reach of a host, by its name alone.
func within(host string) reach {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return thisMachine
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		// Resolvers take 127.1, 2130706433 and 0x7f000001 for addresses. No name ends in a number.
		if number.MatchString(host) {
			return thisMachine
		}
		return network
	}
	ip = ip.Unmap()
	switch {
	case ip.IsLoopback(), ip.IsUnspecified(), ip.IsLinkLocalUnicast(), ip.IsMulticast():
		return thisMachine
	case ip.IsPrivate():
		return private
	}
	return network
}
