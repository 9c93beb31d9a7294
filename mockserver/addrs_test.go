package mockserver_test

import (
	"net"
	"net/url"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

// What listens on all addresses is said to be at one that programs can call and that certificates name.
func TestServer_onAllAddresses(t *testing.T) {
	t.Parallel()
	for _, all := range []string{"0.0.0.0:0", "[::]:0", ":0"} {
		srv := newServer(t, &mockserver.Options{HTTPAddr: all, HTTPSAddr: all, SFTPAddr: all, ControlAddr: all})
		got := map[string]string{"SFTPAddr": srv.SFTPAddr()}
		for name, base := range map[string]string{
			"URL": srv.URL(), "HTTPSURL": srv.HTTPSURL(), "AdminURL": srv.AdminURL(),
		} {
			u, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			got[name] = u.Host
		}
		for name, addr := range got {
			host, port, err := net.SplitHostPort(addr)
			if err != nil || host != "127.0.0.1" || port == "0" {
				t.Errorf("listening on %s: %s is at %q; want 127.0.0.1 and a port", all, name, addr)
			}
		}
	}
}
