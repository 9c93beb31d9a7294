package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/proxy"
)

// from is a listener whose clients seem to come from elsewhere.
type from struct {
	net.Listener
	peer string
}

func (l from) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return fromConn{conn.(*net.TCPConn), l.peer}, nil
}

type fromConn struct {
	*net.TCPConn
	peer string
}

func (c fromConn) RemoteAddr() net.Addr { return peerAddr(c.peer) }

type peerAddr string

func (a peerAddr) Network() string { return "tcp" }
func (a peerAddr) String() string  { return string(a) }

// Clients elsewhere get to the proxy's own hosts, and to nothing on loopback, whatever it is called; clients of
// this machine get to both.
func TestProxy_loopbackIsForThisMachine(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the origin")
	}))
	defer origin.Close()
	_, port, err := net.SplitHostPort(origin.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, peer := range []struct {
		addr string
		here bool
	}{
		{"127.0.0.1:50000", true}, {"127.9.9.9:50000", true}, {"[::1]:50000", true}, {"[::ffff:127.0.0.1]:50000", true},
		{"192.0.2.1:50000", false}, {"[2001:db8::1]:50000", false}, {"[fe80::1%eth0]:50000", false},
		{"172.17.0.1:50000", false},
	} {
		for _, passthrough := range []bool{false, true} {
			w := start(t, proxy.Options{
				// as the emulator's own listener is one of them
				Passthrough: passthrough, Hosts: []string{origin.Listener.Addr().String()},
				Guard: func(l net.Listener) net.Listener { return from{l, peer.addr} },
			})
			name := fmt.Sprintf("%s, passthrough %t: ", peer.addr, passthrough)
			for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST.", "some.localhost", "127.3.2.1", "0.0.0.0",
				"[::ffff:127.0.0.1]"} {
				target := host + ":" + port
				for _, call := range []string{"CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n\r\n",
					"GET http://" + target + "/ HTTP/1.1\r\nHost: " + target + "\r\n\r\n"} {
					conn := dial(t, w.URL())
					io.WriteString(conn, call)
					resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: call[:strings.IndexByte(call, ' ')]})
					if err != nil {
						t.Fatalf("%s%s: %v", name, call, err)
					}
					// 127.3.2.1 and its like may not be listened on: the proxy tries, and says so.
					if refused := resp.StatusCode == http.StatusForbidden; refused == peer.here {
						t.Errorf("%s%q: answered %s", name, call, resp.Status)
					}
					resp.Body.Close()
					conn.Close()
				}
			}
			for _, url := range []string{"https://upgrade.odoo.com/a", "http://upgrade.odoo.com/a"} {
				if status, body := get(t, w.client, url); status != 200 || !strings.Contains(body, "host=upgrade.odoo.com") {
					t.Errorf("%s%s: %d %s", name, url, status, body)
				}
			}
		}
	}
}

// Private paths are for clients of this machine, however they are written, in a tunnel and without.
func TestProxy_private(t *testing.T) {
	t.Parallel()
	for peer, here := range map[string]bool{"127.0.0.1:50000": true, "[::1]:50000": true, "192.0.2.1:50000": false,
		"172.17.0.1:50000": false} {
		w := start(t, proxy.Options{
			Private: []string{"/_mock"},
			Guard:   func(l net.Listener) net.Listener { return from{l, peer} },
		})
		for path, private := range map[string]bool{
			"/_mock": true, "/_mock/": true, "/_mock/requests": true, "/%5fmock/requests": true, "//_mock/requests": true,
			"/a/../_mock/requests": true,
			"/":                    false, "/_mocks": false, "/a/_mock/requests": false, "/database/v1/status": false,
		} {
			want := http.StatusOK
			if private && !here {
				want = http.StatusForbidden
			}
			for _, scheme := range []string{"http", "https"} {
				if status, body := get(t, w.client, scheme+"://upgrade.odoo.com"+path); status != want {
					t.Errorf("%s asks for %s of %s: %d, want %d: %s", peer, path, scheme, status, want, body)
				}
			}
		}
	}
}

// A name that is let through is no way to loopback for clients elsewhere.
func TestProxy_namesThatLeadToLoopback(t *testing.T) {
	t.Parallel()
	w := start(t, proxy.Options{Passthrough: true, Guard: func(l net.Listener) net.Listener {
		return from{l, "192.0.2.1:50000"}
	}})
	// as far as the system knows them
	for _, host := range []string{"127.1", "2130706433", "0x7f000001", "ip6-localhost"} {
		conn := dial(t, w.URL())
		fmt.Fprintf(conn, "CONNECT %s:%s HTTP/1.1\r\nHost: x\r\n\r\n", host, w.URL()[strings.LastIndexByte(w.URL(), ':')+1:])
		resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == http.StatusOK {
			t.Errorf("CONNECT %s: answered %s", host, resp.Status)
		}
		conn.Close()
	}
}

// Names below localhost lead to loopback, without a resolver: none knows this one.
func TestProxy_namesBelowLocalhost(t *testing.T) {
	t.Parallel()
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "the origin")
	}))
	defer origin.Close()
	w := start(t, proxy.Options{})
	_, port, err := net.SplitHostPort(origin.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("a", 64) + ".localhost" // longer than a label of DNS may be
	if status, body := get(t, w.client, "http://"+long+":"+port+"/"); status != 200 || body != "the origin" {
		t.Errorf("%d %s", status, body)
	}
	conn := dial(t, w.URL())
	fmt.Fprintf(conn, "CONNECT %s:%s HTTP/1.1\r\nHost: x\r\n\r\n", long, port)
	if resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect}); err != nil ||
		resp.StatusCode != 200 {
		t.Errorf("CONNECT: %v, %v", resp, err)
	}
}

// A call outside a tunnel has the scheme of its target: some clients ask a proxy for https without CONNECT.
func TestProxy_schemeOfTheTarget(t *testing.T) {
	t.Parallel()
	w := start(t, proxy.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "scheme=%s host=%s uri=%s tls=%t", r.URL.Scheme, r.Host, r.RequestURI, r.TLS != nil)
	})})
	for target, want := range map[string]string{
		"https://upgrade.odoo.com/a?b":     "scheme=https host=upgrade.odoo.com uri=/a?b tls=false",
		"https://upgrade.odoo.com:443/a?b": "scheme=https host=upgrade.odoo.com:443 uri=/a?b tls=false",
		"HTTPS://upgrade.odoo.com/a?b":     "scheme=https host=upgrade.odoo.com uri=/a?b tls=false",
		"http://upgrade.odoo.com/a?b":      "scheme=http host=upgrade.odoo.com uri=/a?b tls=false",
	} {
		conn := dial(t, w.URL())
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: other\r\n\r\n", target)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != want {
			t.Errorf("%s: %q, %v, want %q", target, body, err, want)
		}
		resp.Body.Close()
	}
}

// A handler can reset a connection whose client began to speak TLS before its CONNECT was answered, as any other.
func TestProxy_earlyTLSCanBeReset(t *testing.T) {
	t.Parallel()
	w := start(t, proxy.Options{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		raw := conn.(*tls.Conn).NetConn()
		if tcp, ok := raw.(interface{ SetLinger(int) error }); ok {
			tcp.SetLinger(0)
		} else {
			t.Errorf("a %T cannot be reset", raw)
		}
		raw.Close()
	})})
	early := &earlyConn{Conn: dial(t, w.URL()), connect: "CONNECT upgrade.odoo.com:443 HTTP/1.1\r\nHost: x\r\n\r\n"}
	client := tls.Client(early, &tls.Config{RootCAs: w.ca.Pool(), ServerName: "upgrade.odoo.com"})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(client, "GET / HTTP/1.1\r\nHost: upgrade.odoo.com\r\n\r\n")
	if n, err := client.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("read %d bytes, %v: want a reset", n, err)
	}
}

// earlyConn sends a CONNECT together with the first bytes, and drops the answer to it.
type earlyConn struct {
	net.Conn
	connect string
	in      *bufio.Reader
}

func (c *earlyConn) Write(p []byte) (int, error) {
	if c.connect == "" {
		return c.Conn.Write(p)
	}
	_, err := c.Conn.Write(append([]byte(c.connect), p...))
	c.connect = ""
	return len(p), err
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if c.in == nil {
		c.in = bufio.NewReader(c.Conn)
		if _, err := http.ReadResponse(c.in, &http.Request{Method: http.MethodConnect}); err != nil {
			return 0, err
		}
	}
	return c.in.Read(p)
}
