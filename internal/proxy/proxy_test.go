package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/internal/proxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// saw is what the handler reports of a call.
func saw(r *http.Request) string {
	return fmt.Sprintf("%s host=%s uri=%s path=%s url=%s tls=%t", r.Method, r.Host, r.RequestURI, r.URL.Path, r.URL.Host,
		r.TLS != nil)
}

type world struct {
	*proxy.Proxy
	client *http.Client // that uses the proxy and trusts its authority
	ca     *localca.CA
}

func start(t *testing.T, opts proxy.Options) world {
	t.Helper()
	ca, err := localca.New("upgrade.example.com")
	if err != nil {
		t.Fatal(err)
	}
	opts.Certificate = ca.Leaf
	if opts.Handler == nil {
		opts.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, saw(r)) })
	}
	p, err := proxy.Start("127.0.0.1:0", opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	transport := &http.Transport{
		Proxy:           func(*http.Request) (*url.URL, error) { return url.Parse(p.URL()) },
		TLSClientConfig: &tls.Config{RootCAs: ca.Pool()},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return world{p, &http.Client{Transport: transport}, ca}
}

func get(t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestProxy_ownHosts(t *testing.T) {
	t.Parallel()
	w := start(t, proxy.Options{Hosts: []string{"Upgrade.Example.com", "192.0.2.1:8480"}})
	for url, want := range map[string]string{
		"https://upgrade.odoo.com/a/b?c=d":  "GET host=upgrade.odoo.com uri=/a/b?c=d path=/a/b url= tls=true",
		"https://UPGRADE.odoo.com./a":       "GET host=UPGRADE.odoo.com. uri=/a path=/a url= tls=true",
		"https://upgrade.odoo.com:8443/a":   "GET host=upgrade.odoo.com:8443 uri=/a path=/a url= tls=true",
		"https://upgrade.example.com/a":     "GET host=upgrade.example.com uri=/a path=/a url= tls=true",
		"http://upgrade.odoo.com/a%2Fb?c=d": "GET host=upgrade.odoo.com uri=/a%2Fb?c=d path=/a/b url= tls=false",
		"http://upgrade.odoo.com":           "GET host=upgrade.odoo.com uri=/ path=/ url= tls=false",
		"http://192.0.2.1:8480/what-it-is-called": "GET host=192.0.2.1:8480 uri=/what-it-is-called " +
			"path=/what-it-is-called url= tls=false",
	} {
		if status, got := get(t, w.client, url); status != 200 || got != want {
			t.Errorf("%s: %d\n%s", url, status, cmp.Diff(want, got))
		}
	}
	if refused := w.Refused(); len(refused) != 0 {
		t.Errorf("refused %v, want none", refused)
	}
	if _, calls := w.Taken(); calls != 7 {
		t.Errorf("%d calls, want 7", calls)
	}
}

func TestProxy_refusesOthers(t *testing.T) {
	t.Parallel()
	w := start(t, proxy.Options{AllowHosts: []string{"*.example.org"}})
	const sentence = "upgrademock refuses www.example.com: "
	status, body := get(t, w.client, "http://WWW.example.com/")
	if status != http.StatusForbidden || !strings.Contains(body, sentence) ||
		!strings.Contains(body, "--allow-host www.example.com") {
		t.Errorf("plain: %d %q", status, body)
	}
	if _, err := w.client.Get("https://www.example.com/"); err == nil || !strings.Contains(err.Error(), sentence) {
		t.Errorf("CONNECT: %v, want the sentence", err)
	}
	// The body, for the clients that show it.
	conn := dial(t, w.URL())
	fmt.Fprint(conn, "CONNECT www.example.com:443 HTTP/1.1\r\nHost: www.example.com:443\r\n\r\n")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(answer), "--passthrough\n") || !strings.HasPrefix(string(answer),
		"HTTP/1.1 403 "+sentence) {
		t.Errorf("%q, %v", answer, err)
	}
	// What the documented upload's unquoted header makes of its second half: nothing of the answer must reach the
	// script.
	status, body = get(t, w.client, "http://application/octet-stream")
	if status != http.StatusForbidden || body != "" {
		t.Errorf("no name: %d %q, want no body", status, body)
	}
	if got := w.Refused(); !cmp.Equal(got, []string{"application", "www.example.com"}) {
		t.Errorf("refused %v", got)
	}
	if status, body := get(t, http.DefaultClient, w.URL()+"/"); status != http.StatusBadRequest ||
		!strings.Contains(body, "HTTPS_PROXY") {
		t.Errorf("called as a server: %d %q", status, body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestProxy_letsThrough(t *testing.T) {
	t.Parallel()
	origin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "origin "+saw(r)) })
	plain, secure := httptest.NewServer(origin), httptest.NewTLSServer(origin)
	defer plain.Close()
	defer secure.Close()
	w := start(t, proxy.Options{})
	w.client.Transport.(*http.Transport).TLSClientConfig.RootCAs.AddCert(secure.Certificate())
	for _, srv := range []*httptest.Server{plain, secure} {
		status, body := get(t, w.client, srv.URL+"/x")
		want := fmt.Sprintf("origin GET host=%s uri=/x path=/x url= tls=%t", srv.Listener.Addr(), srv == secure)
		if status != 200 || body != want {
			t.Errorf("%s: %d\n%s", srv.URL, status, cmp.Diff(want, body))
		}
	}
	if _, calls := w.Taken(); calls != 0 {
		t.Errorf("the handler got %d calls", calls)
	}
}

func TestProxy_passthroughThatCannotBeReached(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	w := start(t, proxy.Options{Passthrough: true})
	_, err = w.client.Get("https://" + closed.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "upgrademock cannot reach "+closed.Addr().String()) {
		t.Errorf("%v, want a sentence", err)
	}
}

func TestProxy_handlerResets(t *testing.T) {
	t.Parallel()
	reset := func(conn net.Conn) {
		if secure, ok := conn.(*tls.Conn); ok {
			conn = secure.NetConn()
		}
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		reset(conn)
	})
	through := httptest.NewTLSServer(handler) // a tunnel passes a reset on
	defer through.Close()
	w := start(t, proxy.Options{Handler: handler})
	w.client.Transport.(*http.Transport).TLSClientConfig.RootCAs.AddCert(through.Certificate())
	for _, url := range []string{"https://upgrade.odoo.com/", "http://upgrade.odoo.com/", through.URL} {
		if resp, err := w.client.Get(url); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, %v; want a reset connection", url, resp, err)
		}
	}
}

func TestProxy_untrusted(t *testing.T) {
	t.Parallel()
	w := start(t, proxy.Options{})
	transport := &http.Transport{Proxy: w.client.Transport.(*http.Transport).Proxy}
	if _, err := (&http.Client{Transport: transport}).Get("https://upgrade.odoo.com/"); err == nil {
		t.Error("a client that trusts nobody was content")
	}
	if tunnels, calls := w.Taken(); tunnels != 1 || calls != 0 {
		t.Errorf("%d tunnels and %d calls, want one and none", tunnels, calls)
	}
}

// A client may send its first words before the tunnel is there.
func TestProxy_eagerClient(t *testing.T) {
	t.Parallel()
	w := start(t, proxy.Options{})
	conn := dial(t, w.URL())
	fmt.Fprint(conn,
		"CONNECT upgrade.odoo.com:80 HTTP/1.1\r\nHost: upgrade.odoo.com\r\n\r\nGET /early HTTP/1.1\r\nHost: "+
			"upgrade.odoo.com\r\nConnection: close\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: http.MethodConnect})
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp, err = http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if want := "GET host=upgrade.odoo.com uri=/early path=/early url= tls=false"; err != nil || string(body) != want {
		t.Errorf("%q, %v; want %q", body, err, want)
	}
}

// Close ends tunnels and calls that are under way.
func TestProxy_closeUnderWay(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	w := start(t, proxy.Options{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	})})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	tunnel := dial(t, w.URL())
	fmt.Fprintf(tunnel, "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", silent.Addr())
	if resp, err := http.ReadResponse(bufio.NewReader(tunnel), &http.Request{Method: http.MethodConnect}); err != nil ||
		resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	called := make(chan error)
	go func() {
		_, err := w.client.Get("https://upgrade.odoo.com/")
		called <- err
	}()
	<-entered
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := <-called; err == nil {
		t.Error("the call was answered")
	}
	if _, err := tunnel.Read(make([]byte, 1)); err == nil {
		t.Error("the tunnel is open")
	}
	if err := w.Shutdown(context.Background()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func TestStart_mistakes(t *testing.T) {
	t.Parallel()
	good := proxy.Options{Handler: http.NotFoundHandler(), Certificate: func(string) (*tls.Certificate, error) {
		return nil, nil
	}}
	glob := good
	glob.AllowHosts = []string{"[a"}
	for _, tc := range []struct {
		name, addr, want string
		opts             proxy.Options
	}{
		{"no handler", "127.0.0.1:0", "need a Handler", proxy.Options{}},
		{"glob", "127.0.0.1:0", `host glob "[a"`, glob},
		{"address", "127.0.0.1:99999", "choose another address", good},
	} {
		p, err := proxy.Start(tc.addr, tc.opts)
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error with %q", tc.name, err, tc.want)
		}
	}
}

func dial(t *testing.T, proxyURL string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(proxyURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
