package proxy

import (
	"bufio"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/elazarl/goproxy"
)

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

// connect decides about a CONNECT: a connection to a host of ours is answered here, one to a host that is let
// through is tunnelled.
func (p *Proxy) connect(host string, ctx *goproxy.ProxyCtx) (*goproxy.ConnectAction, string) {
	name, _ := split(host)
	switch {
	case p.answersFor(name, ctx.Req), p.opts.Also != nil && p.opts.Also(canonical(host)):
		return &goproxy.ConnectAction{Action: goproxy.ConnectHijack, Hijack: p.intercept}, host
	case p.allowed(name, ctx.Req):
		return &goproxy.ConnectAction{Action: goproxy.ConnectHijack, Hijack: p.tunnel}, host
	}
	ctx.Resp = refusal(p.refuse(name, ctx.Req))
	return goproxy.RejectConnect, host
}

// refusal carries its sentence twice: some clients show a refused CONNECT's body, others its reason phrase.
func refusal(sentence string) *http.Response {
	return &http.Response{
		Status: "403 " + sentence, StatusCode: http.StatusForbidden, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"text/plain; charset=utf-8"}},
		Body:          io.NopCloser(strings.NewReader(sentence + "\n")),
		ContentLength: int64(len(sentence) + 1),
		Close:         true,
	}
}

// respond writes an answer with its own reason phrase, which a ResponseWriter cannot, and ends the connection. What
// the client still sends is read for a moment, so that it gets to read the answer.
func (p *Proxy) respond(w http.ResponseWriter, r *http.Request, resp *http.Response) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if !p.enter(conn) {
		return
	}
	defer p.leave(conn)
	conn.SetDeadline(time.Now().Add(lingerTimeout))
	resp.Request = r
	if resp.Write(conn) != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	io.Copy(io.Discard, rw)
}

// intercept hands the inside of a tunnel to the inner server. The connection stays the client's own, so that a
// handler can do to it whatever it can do on a listener.
func (p *Proxy) intercept(r *http.Request, client net.Conn, _ *goproxy.ProxyCtx) {
	p.mu.Lock()
	p.taken++
	p.mu.Unlock()
	if _, err := io.WriteString(client, established); err != nil {
		client.Close()
		return
	}
	host, port := split(r.URL.Host)
	if port != "80" {
		client = tls.Server(client, &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
				return p.opts.Certificate(cmp.Or(hello.ServerName, host)) // for an IP address clients send no name
			},
		})
	}
	p.fed.feed(client)
}

// tunnel connects the client with the host that it wants, and returns when both are done.
func (p *Proxy) tunnel(r *http.Request, client net.Conn, ctx *goproxy.ProxyCtx) {
	if !p.enter(client) {
		return
	}
	defer p.leave(client)
	server, err := p.dial(r, ctx)
	if err != nil {
		sentence := fmt.Sprintf("upgrademock cannot reach %s: %v", r.URL.Host, err)
		p.log.Warn("proxy: cannot reach a host that is let through", "host", r.URL.Host, "error", err)
		resp := refusal(sentence)
		resp.Status, resp.StatusCode = "502 "+sentence, http.StatusBadGateway
		resp.Write(client)
		return
	}
	if !p.enter(server) {
		return
	}
	defer p.leave(server)
	if _, err := io.WriteString(client, established); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { pass(server, client) })
	both.Go(func() { pass(client, server) })
	both.Wait()
}

// dial reaches the host through the proxy of our own environment where there is one.
func (p *Proxy) dial(r *http.Request, ctx *goproxy.ProxyCtx) (net.Conn, error) {
	if name, _ := split(r.URL.Host); ctx.Proxy.ConnectDial != nil && !loopback(name) {
		return ctx.Proxy.ConnectDial("tcp", r.URL.Host)
	}
	return dial(guarded(r).Context(), "tcp", r.URL.Host)
}

// pass copies what comes from one end to the other, and in the end passes on how it ended: in order, or with a reset.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if errors.Is(err, syscall.ECONNRESET) {
		if tcp, ok := to.(interface{ SetLinger(int) error }); ok {
			tcp.SetLinger(0)
		}
		to.Close()
		from.Close()
		return
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		half.CloseWrite()
		return
	}
	to.Close()
}

// enter takes a connection into the care of Close, which refuses it, closed, when it was called already.
func (p *Proxy) enter(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		conn.Close()
		return false
	}
	p.tunnels[conn] = struct{}{}
	p.serving.Add(1)
	return true
}

func (p *Proxy) leave(conn net.Conn) {
	conn.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.tunnels, conn)
	p.serving.Done()
}

// hijackWriter keeps what a client sent before its CONNECT was answered, which goproxy forgets.
type hijackWriter struct{ http.ResponseWriter }

func (w *hijackWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil || rw.Reader.Buffered() == 0 {
		return conn, rw, err
	}
	ahead, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, err
	}
	tcp, ok := conn.(tcpConn)
	if !ok {
		return nil, nil, fmt.Errorf("proxy: a connection is a %T, which cannot be handed on", conn)
	}
	return &aheadConn{tcpConn: tcp, ahead: ahead}, rw, nil
}

// tcpConn is what handlers may do to a connection.
type tcpConn interface {
	net.Conn
	syscall.Conn
	CloseWrite() error
	SetLinger(sec int) error
}

// aheadConn is a connection with bytes that were read ahead.
type aheadConn struct {
	tcpConn
	ahead []byte
}

func (c *aheadConn) Read(p []byte) (int, error) {
	if len(c.ahead) == 0 {
		return c.tcpConn.Read(p)
	}
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// fedListener accepts the connections that it is fed with.
type fedListener struct {
	addr  net.Addr
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newFedListener(addr net.Addr) *fedListener {
	return &fedListener{addr: addr, conns: make(chan net.Conn), done: make(chan struct{})}
}

// feed waits until the connection is accepted; it closes it when that will not be.
func (l *fedListener) feed(conn net.Conn) {
	select {
	case l.conns <- conn:
	case <-l.done:
		conn.Close()
	}
}

func (l *fedListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *fedListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *fedListener) Addr() net.Addr { return l.addr }
