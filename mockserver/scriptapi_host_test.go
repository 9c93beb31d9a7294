package mockserver_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

// Row S2.11: the host that a client is assigned is one by which it finds the emulator over HTTPS, whatever way it came.
// It is never the platform's own.
func TestScriptAPI_assignedHost(t *testing.T) {
	t.Parallel()
	const sameCall = "that of the call"
	public := func(u string) mockserver.Options { return mockserver.Options{PublicURL: u} }
	on := func(https string) mockserver.Options { return mockserver.Options{HTTPSAddr: https} }
	for name, tc := range map[string]struct {
		opts   mockserver.Options
		scheme string
		host   string // of the call; P is the port that was called, S that of HTTPS
		want   string
	}{
		"by address":                   {scheme: "https", host: "127.0.0.1:P", want: sameCall},
		"by localhost":                 {scheme: "https", host: "localhost:P", want: sameCall},
		"by IPv6":                      {scheme: "https", host: "[::1]:P", want: sameCall},
		"by a port that leads here":    {scheme: "https", host: "127.0.0.1:9443", want: sameCall},
		"by the port of HTTPS":         {scheme: "https", host: "localhost", want: sameCall},
		"over HTTP":                    {scheme: "http", host: "127.0.0.1:P", want: "127.0.0.1:S"},
		"over HTTP by localhost":       {scheme: "http", host: "localhost:P", want: "localhost:S"},
		"over HTTP by another address": {scheme: "http", host: "127.0.0.7:P", want: "127.0.0.1:S"},
		"over HTTP, no HTTPS":          {opts: on(mockserver.Off), scheme: "http", host: "localhost:P", want: sameCall},
		"behind a proxy":               {scheme: "https", host: "upgrade.odoo.com", want: "127.0.0.1:S"},
		"behind a proxy, over HTTP":    {scheme: "http", host: "upgrade.odoo.com", want: "127.0.0.1:S"},
		"behind a proxy, with a port":  {scheme: "https", host: "Upgrade.Odoo.com.:443", want: "127.0.0.1:S"},
		"a sister of the platform":     {scheme: "https", host: "upgrade-2.odoo.com", want: "127.0.0.1:S"},
		"by a name":                    {scheme: "https", host: "emulator:P", want: sameCall},
		"by a name, over HTTP":         {scheme: "http", host: "emulator:P", want: "emulator:S"},
		"configured": {opts: public("https://upgrade.example.com:444/x"), scheme: "https", host: "emulator:P",
			want: "upgrade.example.com:444"},
		"configured, behind a proxy": {opts: public("https://upgrade.example.com"), scheme: "https", host: "upgrade.odoo.com",
			want: "upgrade.example.com"},
		"configured without TLS": {opts: public("http://upgrade.example.com:80"), scheme: "https", host: "emulator:P",
			want: "upgrade.example.com:S"},
		"configured, from this machine": {opts: public("https://upgrade.example.com"), scheme: "https",
			host: "127.0.0.1:P", want: sameCall},
		"configured to be the platform": {opts: public("https://upgrade.odoo.com"), scheme: "https", host: "upgrade.odoo.com",
			want: "127.0.0.1:S"},
		"a name of its own, called": {opts: mockserver.Options{CAHosts: []string{"emulator"}}, scheme: "https",
			host: "emulator:P", want: sameCall},
		"listening on all addresses": {opts: on("0.0.0.0:0"), scheme: "http", host: "127.0.0.7:P", want: "127.0.0.7:S"},
		"on all addresses, by a proxy": {opts: on("0.0.0.0:0"), scheme: "https", host: "upgrade.odoo.com",
			want: "127.0.0.1:S"},
		"on another address of loopback": {opts: on("127.0.0.3:0"), scheme: "https", host: "upgrade.odoo.com",
			want: "127.0.0.3:S"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &tc.opts)
			secure := addressOf(w.srv.HTTPSURL())
			addr := addressOf(w.srv.URL())
			if tc.scheme == "https" {
				addr = secure
			}
			_, port, _ := net.SplitHostPort(addr)
			_, securePort, _ := net.SplitHostPort(secure)
			ports := strings.NewReplacer(":P", ":"+port, ":S", ":"+securePort)
			host := ports.Replace(tc.host)
			want := ports.Replace(tc.want)
			if tc.want == sameCall {
				want = host
			}
			w.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				_, p, _ := net.SplitHostPort(addr)
				if tc.opts.HTTPSAddr != "127.0.0.3:0" || tc.scheme == "http" {
					return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+p)
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			}
			w.http.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true // names that no test may look up
			w.base = tc.scheme + "://" + host
			a := w.rpc("create", scriptParams()...)
			if got := a.Result["assigned_host_uri"]; got != want {
				t.Errorf("assigned_host_uri %v, want %s", got, want)
			}
			token, _ := a.Result["token"].(string)
			if got := w.rpc("status", "token", token).Result["host_uri"]; got != want {
				t.Errorf("host_uri %v, want %s", got, want)
			}
			start := w.rpc("transfer/start", "token", token, "transfer_type", "upload").Result
			name, _, err := net.SplitHostPort(want)
			if err != nil {
				name = want
			}
			knownHosts, _ := start["known_hosts"].(string)
			if line := fmt.Sprintf(
				"[%s]:%v",
				name,
				start["ssh_port"],
			); !strings.Contains(
				","+strings.Replace(knownHosts, " ", ",", 1),
				","+line+",",
			) {
				t.Errorf("known_hosts has not %s: %q", line, knownHosts)
			}
			if strings.Contains(knownHosts, "odoo.com") || strings.Contains(a.Body, "odoo.com") {
				t.Errorf("answers lead to the real platform: %s, %s", a.Body, knownHosts)
			}
		})
	}
}

func addressOf(base string) string {
	_, addr, _ := strings.Cut(base, "://")
	return addr
}

// A call without a Host, as HTTP/1.0 has it, came to the address that was dialled.
func TestScriptAPI_assignedHostWithoutHost(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	addr := addressOf(w.srv.HTTPSURL())
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: w.srv.CertPool()})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := createWith(t)
	fmt.Fprintf(
		conn,
		"POST /upgrade/request/create HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		len(body),
		body,
	)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data := make([]byte, resp.ContentLength)
	if _, err := bufio.NewReader(resp.Body).Read(data); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `"assigned_host_uri":"`+addr+`"`) {
		t.Errorf("%s, want %s", data, addr)
	}
}

// The server's own client keeps the production URL, and the server may be a handler of another one.
func TestScriptAPI_assignedHostOfClients(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{CAHosts: []string{"upgrade.example.com"}})
	w.http = w.srv.Client()
	for _, base := range []string{"https://upgrade.odoo.com", "http://upgrade.odoo.com", "https://upgrade.example.com"} {
		w.base = base
		if got, want := w.rpc("create", scriptParams()...).Result["assigned_host_uri"], addressOf(
			w.srv.HTTPSURL(),
		); got != want {
			t.Errorf("%s: assigned_host_uri %v, want %s", base, got, want)
		}
	}
	front := httptest.NewTLSServer(w.srv)
	defer front.Close()
	w.http, w.base = front.Client(), front.URL
	if got := w.rpc("create", scriptParams()...).Result["assigned_host_uri"]; got != addressOf(front.URL) {
		t.Errorf("assigned_host_uri %v, want %s", got, front.URL)
	}
}
