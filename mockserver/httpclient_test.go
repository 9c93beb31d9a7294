package mockserver_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

func TestClient(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, &mockserver.Options{CAHosts: []string{"upgrade.example.com"}})
	const front = "This is <b>upgrademock</b>"
	for _, url := range []string{
		"https://upgrade.odoo.com/", "http://upgrade.odoo.com/", "https://legacy-upgrade.odoo.com:443/",
		"https://UPGRADE.odoo.com./",
		"https://upgrade.example.com/", srv.URL(), srv.HTTPSURL(),
	} {
		resp, err := srv.Client().Get(url)
		if err != nil {
			t.Error(err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), front) {
			t.Errorf("%s: %v, %.200s", url, err, body)
		}
	}
	for _, url := range []string{"https://example.com/", "http://notodoo.com/", "http://192.0.2.1/"} {
		resp, err := srv.Client().Get(url)
		if err == nil {
			resp.Body.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "is none of the server's names") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if first, second := srv.Client(), srv.Client(); first != second {
		t.Error("each call makes another client")
	}
}

func TestClient_noListener(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, &mockserver.Options{HTTPSAddr: mockserver.Off})
	resp, err := srv.Client().Get("https://upgrade.odoo.com/")
	if err == nil {
		resp.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "leads to the server's HTTPS listener, which does not listen") {
		t.Errorf("got %v", err)
	}
	resp, err = srv.Client().Get("http://upgrade.odoo.com/")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
}

// A program that was led here by its production URL must find the SFTP server, too.
func TestClient_sftpHostname(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"127.0.0.1:0", "0.0.0.0:0"} {
		srv := newServer(t, &mockserver.Options{SFTPAddr: addr})
		w := newWire(t, "https://upgrade.odoo.com", srv)
		w.http = srv.Client()
		if got := w.grant(w.create(), "ed25519").Request["hostname"]; got != "127.0.0.1" {
			t.Errorf("SFTP at %s: the hostname is %v", addr, got)
		}
		w = newWire(t, strings.Replace(srv.URL(), "127.0.0.1", "localhost", 1), srv)
		if got := w.grant(w.create(), "ed25519").Request["hostname"]; got != "localhost" {
			t.Errorf("SFTP at %s, called under another name: the hostname is %v", addr, got)
		}
	}
}
