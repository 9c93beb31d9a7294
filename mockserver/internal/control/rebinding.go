package control

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// keepPagesOut refuses the calls of web pages that came here under a name of their own, which they had made to
// lead to loopback (DNS rebinding): to their browser we are then the page's own site. It says so in no header
// of a call that only reads, so the name itself decides.
func (a api) keepPagesOut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isOurs(r.Host, a.Hosts()) {
			answerProblem(w, problem{http.StatusForbidden,
				fmt.Errorf("the control API does not answer as %q, which may be a web page's name for this machine: "+
					"call it by an IP address, as localhost, or by a name without a dot; or make the name the "+
					"emulator's own with %s or %s, or with PUT %s/advertise",
					r.Host, a.OptionName("PublicURL"), a.OptionName("CAHosts"), Base)})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs reports whether host, with or without a port, is an address, a name that no stranger can own, or one of
// our own. A browser always names one.
func isOurs(host string, own []string) bool {
	name := hostName(host)
	if _, err := netip.ParseAddr(name); err == nil || name == "" {
		return true
	}
	switch last := name[strings.LastIndexByte(name, '.')+1:]; {
	case last == name, last == "localhost", last == "internal": // no dot; RFC 6761; reserved for private networks
		return true
	case strings.Trim(last, "0123456789") == "": // an address, written otherwise
		return true
	}
	return slices.ContainsFunc(own, func(o string) bool { return o != "" && hostName(o) == name })
}

// hostName is the name or address in a Host header, as it is compared: without the port, brackets, and the dot
// that may end a name.
func hostName(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host // an IPv6 address whose brackets were forgotten
	}
	return strings.ToLower(strings.TrimSuffix((&url.URL{Host: host}).Hostname(), "."))
}
