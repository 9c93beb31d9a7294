package client_test

import (
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/client"
)

func TestTrust(t *testing.T) {
	t.Parallel()
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(ok(sampleRequest))) })
	secure, insecure := httptest.NewUnstartedServer(h), httptest.NewServer(h)
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	t.Cleanup(secure.Close)
	t.Cleanup(insecure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())

	c, err := client.New(secure.URL, &client.Options{RootCAs: roots})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Status(t.Context(), sampleRef); err != nil {
		t.Errorf("with the authority trusted: %v", err)
	}

	_, err = newClient(t, secure.URL).Status(t.Context(), sampleRef)
	var trust *client.TrustError
	if !errors.As(err, &trust) || errors.Is(err, client.ErrTransient) {
		t.Fatalf("got %v, want a TrustError that does not pass", err)
	}
	for _, want := range []string{"127.0.0.1", "Acme Co", "SHA-256", "its authority must be trusted",
		"unknown authority"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "x509:") {
		t.Errorf("a library's words: %v", err)
	}

	_, err = newClient(t, strings.Replace(insecure.URL, "http:", "https:", 1)).Status(t.Context(), sampleRef)
	if err == nil || !strings.Contains(err.Error(), "does not speak TLS") || errors.Is(err, client.ErrTransient) {
		t.Errorf("https to an http port: got %v", err)
	}
	_, err = newClient(t, "http://127.0.0.1:1").Status(t.Context(), sampleRef)
	if err == nil || !strings.Contains(err.Error(), "nothing answers") || !errors.Is(err, client.ErrTransient) ||
		errors.Is(err, client.ErrUncertain) {
		t.Errorf("a closed port: got %v", err)
	}
	_, err = newClient(t, "http://no-such-host.invalid").Status(t.Context(), sampleRef)
	if err == nil || !strings.Contains(err.Error(), "no-such-host.invalid") {
		t.Errorf("an unknown host: got %v", err)
	}
}
