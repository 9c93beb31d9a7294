package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
)

// loopback reports whether a name, without a port, leads to this machine by itself (RFC 6761 section 6.3).
func loopback(name string) bool {
	if isLocalhost(name) {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && staysHere(ip)
}

func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// staysHere reports whether a connection to the address ends on this machine. That to an unspecified one does.
func staysHere(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsUnspecified()
}

// fromLoopback reports whether a call comes from this machine, over loopback.
func fromLoopback(r *http.Request) bool {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && peer.Addr().Unmap().IsLoopback()
}

// targetKey is for the host that a client asks for which is not on loopback.
type targetKey struct{}

// guarded is the request with a context in which dial keeps its client from what is on loopback, whatever the name
// leads to.
func guarded(r *http.Request) *http.Request {
	if fromLoopback(r) {
		return r
	}
	name, _ := split(r.URL.Host)
	return r.WithContext(context.WithValue(r.Context(), targetKey{}, name))
}

// errStaysHere is why a client elsewhere is not connected.
var errStaysHere = errors.New("the name leads to loopback, which is there for clients of this machine only")

// dial connects to a host and port. Names of loopback are not looked up: no resolver is to say that they lead
// elsewhere.
func dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("wanted HOST:PORT, found %q", addr)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	name := canonical(host)
	// A client elsewhere may reach loopback by way of a proxy of our environment only, which is not what it asked for.
	if target, ok := ctx.Value(targetKey{}).(string); ok && target == name {
		dialer.Control = func(_, address string, _ syscall.RawConn) error {
			if to, err := netip.ParseAddrPort(address); err != nil || staysHere(to.Addr()) {
				return errStaysHere
			}
			return nil
		}
	}
	if !isLocalhost(name) {
		return dialer.DialContext(ctx, network, addr)
	}
	conn, err := dialer.DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		if six, errSix := dialer.DialContext(ctx, network, net.JoinHostPort("::1", port)); errSix == nil {
			return six, nil
		}
	}
	return conn, err
}
