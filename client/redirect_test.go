package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/client"
)

// listener records its requests, and answers with a dump.
type listener struct {
	requests []string
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.requests = append(l.requests, fmt.Sprint(r.Method, r.URL, r.Host, r.Header))
	_, _ = w.Write([]byte("dump"))
}

// TestDownload_redirected: the key never reaches another server than the one that the URL names, whatever that one
// answers.
func TestDownload_redirected(t *testing.T) {
	t.Parallel()
	key := "Aw7pItGVKFuZ_FOR3U8VFQ=="
	tests := []struct {
		name     string
		to       func(first, other string) string
		followed bool
		says     string
	}{
		{"to storage", func(_, other string) string { return other + "/bucket/1?signature=x" }, true, ""},
		{"to itself", func(first, _ string) string { return first + "/elsewhere" + archivePath }, true, ""},
		{"to itself, relative", func(string, string) string { return "/elsewhere" + archivePath }, true, ""},
		{"the same path elsewhere", func(_, other string) string { return other + archivePath }, false,
			"with the request's key"},
		{"escaped", func(_, other string) string { return other + "/" + url.QueryEscape(key) }, false,
			"with the request's key"},
		{"all escaped", func(_, other string) string { return other + "/%41%77%37%70ItGVKFuZ_FOR3U8VFQ" }, false,
			"with the request's key"},
		{"escaped twice", func(_, other string) string { return other + "/%2541w7pItGVKFuZ_FOR3U8VFQ" }, false,
			"with the request's key"},
		{"in the query", func(_, other string) string { return other + "/x?k=" + url.QueryEscape(key) }, false,
			"with the request's key"},
		{"as a user", func(_, other string) string { return strings.Replace(other, "://", "://"+key+":x@", 1) }, false,
			"with the request's key"},
		{"as a password", func(_, other string) string {
			return strings.Replace(other, "://", "://x:"+url.QueryEscape(key)+"@", 1)
		}, false, "with the request's key"},
		{"in the host", func(_, other string) string {
			return strings.Replace(other, "127.0.0.1", strings.Trim(key, "=")+".localhost", 1)
		}, false, "with the request's key"},
		{"the first host as a user", func(first, other string) string {
			return strings.Replace(other, "://", "://"+strings.TrimPrefix(first, "http://")+"@", 1) + archivePath
		}, false, "with the request's key"},
		{"a file", func(string, string) string { return "file:///etc/passwd" }, false, "not http"},
		{"a URL that is none", func(string, string) string { return "http://[" + key }, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			other := &listener{}
			b := httptest.NewServer(other)
			defer b.Close()
			var first *httptest.Server
			first = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Referer") != "" {
					t.Errorf("a Referer was sent: %s", r.Header.Get("Referer"))
				}
				if strings.HasPrefix(r.URL.Path, "/elsewhere") {
					_, _ = w.Write([]byte("dump"))
					return
				}
				w.Header()["Location"] = []string{tt.to(first.URL, b.URL)}
				w.WriteHeader(http.StatusFound)
			}))
			defer first.Close()
			dir := t.TempDir()
			_, err := newClient(t, first.URL).Download(t.Context(), first.URL+archivePath, filepath.Join(dir, "out"),
				&client.DownloadOptions{Retry: &client.RetryOptions{Limit: 1}})
			for _, sent := range other.requests {
				if strings.Contains(sent, "Referer") || strings.Contains(strings.ToLower(sent), strings.ToLower(key[:8])) {
					t.Errorf("the other server got: %s", sent)
				}
			}
			want := map[string]string{}
			if tt.followed {
				want["out"] = "dump"
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.says) || len(other.requests) > 0 {
				t.Errorf("got %v, want %q; the other server got %v", err, tt.says, other.requests)
			}
			if err != nil && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(key[:8])) {
				t.Errorf("%q holds the key", err)
			}
			if diff := cmp.Diff(want, folder(t, dir)); diff != "" {
				t.Errorf("the folder (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDownload_redirectedToPlainText: from https nothing leads to http, not even without a key.
func TestDownload_redirectedToPlainText(t *testing.T) {
	t.Parallel()
	other := &listener{}
	b := httptest.NewServer(other)
	defer b.Close()
	first := httptest.NewTLSServer(http.RedirectHandler(b.URL+"/bucket/1", http.StatusTemporaryRedirect))
	defer first.Close()
	c, err := client.New(first.URL, &client.Options{HTTPClient: first.Client()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Download(t.Context(), first.URL+archivePath, filepath.Join(t.TempDir(), "out"), nil)
	if err == nil || !strings.Contains(err.Error(), "from https to http") || len(other.requests) > 0 {
		t.Errorf("got %v; the other server got %v", err, other.requests)
	}
}

// recorder answers every request with a dump, and keeps the requests.
type recorder struct {
	requests []*http.Request
}

func (t *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	t.requests = append(t.requests, r)
	return &http.Response{StatusCode: 200, ContentLength: 4, Body: io.NopCloser(strings.NewReader("dump")), Request: r},
		nil
}

// TestDownload_elsewhere: a URL of the platform's may lead to another server only over https.
func TestDownload_elsewhere(t *testing.T) {
	t.Parallel()
	tests := []struct {
		platform, url string
		ok            bool
	}{
		{"https://upgrade.odoo.com", "https://upgrade.odoo.com", true},
		{"https://upgrade.odoo.com", "https://storage.example", true},
		{"https://upgrade.odoo.com", "https://storage.example:8443", true},
		{"https://upgrade.odoo.com", "http://storage.example", false},
		{"https://upgrade.odoo.com", "http://upgrade.odoo.com", false},
		{"https://upgrade.odoo.com", "http://upgrade.odoo.com:443", false},
		{"https://upgrade.odoo.com", "http://127.0.0.1:8480", false},
		{"https://127.0.0.1:8481", "http://127.0.0.1:8480", false},
		{"http://upgrademock:8480", "http://upgrademock:8480", true},
		{"http://upgrademock:8480", "HTTP://UPGRADEMOCK:8480", true},
		{"http://upgrademock:8480", "http://upgrademock:8481", false},
		{"http://upgrademock:8480", "http://storage.example", false},
		{"http://upgrademock:8480", "http://localhost:8480", false},
		{"http://upgrademock:8480", "https://storage.example", true},
		{"http://upgrademock", "https://upgrademock", true},
		{"http://localhost:8480", "http://127.0.0.1:8480", true},
		{"http://localhost:8480", "http://[::1]:9", true},
		{"http://127.0.0.1:8480", "http://upgrade.localhost", true},
		{"http://127.0.0.1:8480", "http://127.0.0.1.example", false},
	}
	for _, tt := range tests {
		t.Run(tt.platform+" names "+tt.url, func(t *testing.T) {
			t.Parallel()
			var sent recorder
			c, err := client.New(tt.platform, &client.Options{HTTPClient: &http.Client{Transport: &sent}})
			if err != nil {
				t.Fatal(err)
			}
			out := filepath.Join(t.TempDir(), "out")
			_, err = c.Download(t.Context(), tt.url+archivePath, out, nil)
			switch {
			case tt.ok && err != nil:
				t.Error(err)
			case !tt.ok && (err == nil || !strings.Contains(err.Error(), "must name an https URL") ||
				strings.Contains(err.Error(), string(sampleRef.Key)) || errors.Is(err, client.ErrTransient)):
				t.Errorf("got %v", err)
			}
			if got := len(sent.requests) > 0; got != tt.ok {
				t.Errorf("something was sent: %v", got)
			}
			for _, r := range sent.requests {
				if r.Referer() != "" {
					t.Errorf("the Referer %s was sent", r.Referer())
				}
			}
		})
	}
}
