package client

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// checkURL decides about the URL that a download begins with. It holds the request's key, and usually came in an
// answer of the platform at base. The platform may name another server, which then gets the key, but only over https:
// by http, everybody on the way could read key and dump. Plain http is for platforms that are called by http
// themselves, and leads to the platform's own server; or to this machine, from a platform on this machine.
func checkURL(base, u *url.URL) error {
	switch {
	case u.Scheme == "https", sameServer(base, u):
		return nil
	case base.Scheme == "http" && onThisMachine(base) && onThisMachine(u):
		return nil
	}
	return refuse("the URL to download from leads by http to %s, "+
		"where everybody on the way could read the request's key; "+
		"for another server than %s, the platform must name an https URL", Redact(u.Host, keyIn(u)), base)
}

func onThisMachine(u *url.URL) bool {
	host := strings.ToLower(u.Hostname())
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback()
}

// checkRedirect decides about a redirection of a download. The request's key is in the URL, so the URL is never sent
// to the next server as Referer, and a redirection that carries the key itself to another server is refused. So is
// one from https to http, where the dump could be read on the way.
func checkRedirect(next *http.Request, via []*http.Request) error {
	next.Header.Del("Referer")
	first, last := via[0].URL, via[len(via)-1].URL
	switch {
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return refuse("the server sends us on to a URL that is not http or https")
	case last.Scheme == "https" && next.URL.Scheme == "http":
		return refuse("the server sends us on from https to http (%s), where everybody on the way could read along",
			next.URL.Host)
	case !sameServer(first, next.URL) && carries(next.URL, keyIn(first)):
		return refuse("the server sends us on to %s with the request's key, which is nobody else's",
			Redact(next.URL.Host, keyIn(first)))
	case len(via) >= 10:
		return refuse("the server sent us on 10 times")
	}
	return nil
}

func refuse(format string, args ...any) error {
	return &permanentError{fmt.Errorf(format+": refused", args...)}
}

// sameServer reports whether two URLs lead to one server: scheme, host and port are the same, or http became
// https, each at its own port.
func sameServer(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	upgraded := a.Scheme == "http" && b.Scheme == "https" && port(a) == "80" && port(b) == "443"
	return upgraded || (a.Scheme == b.Scheme && port(a) == port(b))
}

func port(u *url.URL) string {
	switch p := u.Port(); {
	case p != "":
		return p
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// carries reports whether a key stands anywhere in a URL, however it is escaped.
func carries(u *url.URL, key Key) bool {
	bare := strings.TrimRight(strings.ToLower(string(key)), "=")
	if bare == "" {
		return false
	}
	text := u.String()
	for range 4 { // escaped, and escaped again
		if strings.Contains(strings.ToLower(text), bare) {
			return true
		}
		next, err := url.PathUnescape(text)
		if err != nil {
			next = strings.ReplaceAll(text, "%25", "%")
		}
		if next == text {
			return false
		}
		text = next
	}
	return true // what is escaped so often is meant to be hidden
}
