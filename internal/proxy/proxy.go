// Package proxy is the way into the emulator for programs that have https://upgrade.odoo.com written in them: an HTTP
// proxy (RFC 9110 sections 7.2 and 9.3.6) that answers for some hosts itself and keeps the others out.
//
// A call to one of the proxy's hosts never leaves the process. Inside a CONNECT tunnel the proxy is the TLS server,
// with a certificate for whatever name the client asks for, and the connection then belongs to an http.Server of
// its own: handlers may hijack it, reset it, or take hours over it, as on a listener. Loopback is let through for
// clients that are on loopback themselves, since nothing leaves the machine there. Every other host is refused with
// a sentence, so that a run meant to be offline is offline, unless Options let it through.
package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/elazarl/goproxy"
)

const (
	headerTimeout = 10 * time.Second // to send a request's headers, or the TLS handshake
	idleTimeout   = 2 * time.Minute  // of a kept-alive connection
	dialTimeout   = 30 * time.Second // to reach a host that is let through
	lingerTimeout = 5 * time.Second  // to go on sending to a host that is refused
)

// Production is the host that programs have written in them.
const Production = "upgrade.odoo.com"

// Options of a Proxy. Handler and Certificate are required.
type Options struct {
	// Handler answers the calls to Hosts. It sees them as an origin server does: Host as the client has it, TLS set
	// if the client speaks TLS, and a URL without a host. The URL of a call outside a tunnel has the scheme that
	// the client asked for, which may be https without TLS.
	Handler http.Handler
	// Certificate returns the certificate to show as host, a DNS name or an IP address.
	Certificate func(host string) (*tls.Certificate, error)

	// Private are paths of Handler's, each with all below it, that only clients of this machine get to.
	Private []string

	// Hosts are the names that Handler answers for, beside Production. A host:port is answered for in plain HTTP only.
	Hosts []string
	// Also reports whether Handler answers for a further host:port at this moment; nil: for none.
	Also func(hostport string) bool
	// AllowHosts are globs (as path.Match has them) of the hosts that are let through, beside loopback.
	AllowHosts []string
	// Passthrough lets every host through.
	Passthrough bool

	// Guard returns the proxy's listener as it is to be used, such as with a bound on its connections; nil leaves
	// it as it is.
	Guard func(net.Listener) net.Listener

	// Logger gets what was refused and what went wrong; nil discards it.
	Logger *slog.Logger
}

// Proxy is an intercepting proxy. Its methods may be called concurrently.
type Proxy struct {
	opts   Options
	log    *slog.Logger
	listen net.Listener
	outer  *http.Server // of the proxy's own protocol
	inner  *http.Server // of what comes inside the tunnels to Hosts
	fed    *fedListener // inner's
	engine *goproxy.ProxyHttpServer

	serving sync.WaitGroup // the servers and the tunnels

	mu      sync.Mutex
	closed  bool
	tunnels map[net.Conn]struct{} // both ends of those to hosts that are let through
	refused map[string]int        // host → how often
	taken   int                   // tunnels to Hosts
	calls   int                   // to Handler
}

// Start begins to listen on addr, a host:port; port 0 takes a free one.
func Start(addr string, opts Options) (*Proxy, error) {
	if opts.Handler == nil || opts.Certificate == nil {
		return nil, errors.New("proxy: Options need a Handler and a Certificate")
	}
	for _, glob := range opts.AllowHosts {
		if _, err := path.Match(glob, ""); err != nil {
			return nil, fmt.Errorf("proxy: host glob %q: %w", glob, err)
		}
	}
	listen, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("proxy: listen: %w; choose another address, or port 0 for a free one", err)
	}
	if opts.Guard != nil {
		listen = opts.Guard(listen)
	}
	opts.Hosts = append([]string{Production}, opts.Hosts...)
	for i, host := range opts.Hosts {
		opts.Hosts[i] = canonical(host)
	}
	p := &Proxy{
		opts: opts, log: opts.Logger, listen: listen, fed: newFedListener(listen.Addr()),
		tunnels: make(map[net.Conn]struct{}), refused: make(map[string]int),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.engine = p.newEngine()
	p.outer = p.newServer(http.HandlerFunc(p.serveOuter))
	p.inner = p.newServer(http.HandlerFunc(p.serveOwn))
	p.serving.Go(func() { p.outer.Serve(listen) })
	p.serving.Go(func() { p.inner.Serve(p.fed) })
	return p, nil
}

func (p *Proxy) newServer(handler http.Handler) *http.Server {
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(p.log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	srv.Protocols.SetHTTP1(true)
	return srv
}

// newEngine sets goproxy up: CONNECT goes to connect, and plain calls to hosts that are let through go out.
func (p *Proxy) newEngine() *goproxy.ProxyHttpServer {
	engine := goproxy.NewProxyHttpServer()
	engine.Logger = logger{p.log}
	engine.KeepAcceptEncoding = true
	engine.Tr = &http.Transport{
		Proxy:              http.ProxyFromEnvironment,
		DialContext:        dial,
		DisableCompression: true,
		DisableKeepAlives:  true, // a connection that was made for one client is not another's
	}
	engine.NonproxyHandler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w,
			"this is upgrademock's proxy, for HTTPS_PROXY and HTTP_PROXY; call the emulator's own URL directly",
			http.StatusBadRequest)
	})
	engine.OnRequest().HandleConnectFunc(p.connect)
	return engine
}

// URL is for HTTPS_PROXY and HTTP_PROXY: http://127.0.0.1:NNNN.
func (p *Proxy) URL() string { return "http://" + p.listen.Addr().String() }

// serveOuter answers what comes to the proxy itself.
func (p *Proxy) serveOuter(w http.ResponseWriter, r *http.Request) {
	switch host := r.URL.Host; {
	case r.Method == http.MethodConnect || !r.URL.IsAbs():
		p.engine.ServeHTTP(&hijackWriter{w}, r)
	case p.answersFor(host, r):
		p.serveOwn(w, originForm(r))
	case p.allowed(host, r):
		p.engine.ServeHTTP(w, guarded(r))
	default:
		resp := refusal(p.refuse(host, r))
		// Deliberately: a name without a dot is hardly meant as one. The documented upload has an unquoted header,
		// of which curl takes the second half for an address; the answer to it must not end up in what the script
		// reads.
		if name, _ := split(host); !strings.Contains(name, ".") {
			resp.Body, resp.ContentLength = http.NoBody, 0
		}
		p.respond(w, r, resp)
	}
}

// serveOwn gives a call to the handler.
func (p *Proxy) serveOwn(w http.ResponseWriter, r *http.Request) {
	if p.private(r.URL.Path) && !fromLoopback(r) {
		http.Error(w,
			"upgrademock refuses this path to clients of other machines that come through its proxy: call it from its own "+
				"machine, "+
				"or on a listener of the emulator's", http.StatusForbidden)
		return
	}
	p.mu.Lock()
	p.calls++
	p.mu.Unlock()
	p.opts.Handler.ServeHTTP(w, r)
}

func (p *Proxy) private(urlPath string) bool {
	clean := path.Clean("/" + urlPath)
	return slices.ContainsFunc(p.opts.Private,
		func(base string) bool { return clean == base || strings.HasPrefix(clean, base+"/") })
}

// originForm is the request as an origin server gets it (RFC 9112 section 3.2.1).
func originForm(r *http.Request) *http.Request {
	r = r.Clone(r.Context())
	r.URL.Host = ""
	r.URL.Path = cmp.Or(r.URL.Path, "/")
	r.RequestURI = r.URL.RequestURI()
	r.Header.Del("Proxy-Connection")
	r.Header.Del("Proxy-Authorization")
	return r
}

// answersFor reports whether the handler answers for host, which may have a port, when r's client asks.
func (p *Proxy) answersFor(host string, r *http.Request) bool {
	name, _ := split(host)
	if loopback(name) && !fromLoopback(r) {
		return false
	}
	return slices.Contains(p.opts.Hosts, name) || slices.Contains(p.opts.Hosts, canonical(host))
}

// allowed reports whether host, which may have a port, is let through when r's client asks.
func (p *Proxy) allowed(host string, r *http.Request) bool {
	name, _ := split(host)
	if loopback(name) {
		return fromLoopback(r)
	}
	return p.opts.Passthrough || slices.ContainsFunc(p.opts.AllowHosts, func(glob string) bool {
		ok, _ := path.Match(strings.ToLower(glob), name)
		return ok
	})
}

// refuse counts a host that is kept out when r's client asks, and returns the sentence about it.
func (p *Proxy) refuse(host string, r *http.Request) string {
	name, _ := split(host)
	p.mu.Lock()
	p.refused[name]++
	p.mu.Unlock()
	p.log.Debug("proxy: refused", "host", name)
	if loopback(name) && !fromLoopback(r) {
		return fmt.Sprintf(
			"upgrademock refuses %s: what is on its own machine is there for clients of that machine only; "+
				"call the platform as %s", name, Production)
	}
	return Refusal(name)
}

// Refusal is the sentence for a host that is kept out.
func Refusal(host string) string {
	return fmt.Sprintf(
		"upgrademock refuses %s: it lets only calls to the upgrade platform through; allow this host with --allow-host "+
			"%[1]s, or all with --passthrough", host)
}

// Refused are the hosts that were kept out, sorted.
func (p *Proxy) Refused() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.refused))
}

// Taken is how many tunnels were opened to the proxy's hosts, and how many calls the handler got, through them or
// without. Tunnels and no calls are a client that did not trust the certificate.
func (p *Proxy) Taken() (tunnels, calls int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken, p.calls
}

// Shutdown stops accepting, lets calls that are under way end until ctx does, and closes the proxy.
func (p *Proxy) Shutdown(ctx context.Context) error {
	var ending sync.WaitGroup
	for _, srv := range []*http.Server{p.outer, p.inner} {
		ending.Go(func() { srv.Shutdown(ctx) })
	}
	ending.Wait()
	return p.Close()
}

// Close breaks off what is under way and waits for the proxy's goroutines. Calls that are with the handler get an
// error from their connection, and are the handler's to wait for. It may be called more than once.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	for conn := range p.tunnels {
		conn.Close()
	}
	p.mu.Unlock()
	err := errors.Join(p.outer.Close(), p.inner.Close(), p.fed.Close())
	p.serving.Wait()
	p.engine.Tr.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("proxy: close: %w", err)
	}
	return nil
}

// canonical is a host, or host:port, as it is compared.
func canonical(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// split parts a host from its port, if there is one.
func split(hostport string) (host, port string) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		host, port = hostport, ""
	}
	return canonical(strings.Trim(host, "[]")), port
}

// logger is for goproxy, whose messages nobody but a developer wants.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.log.Debug("proxy: " + strings.TrimSpace(fmt.Sprintf(format, args...)))
}
