package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// archive serves one file at a URL of the platform's form. It cuts the first answers as cuts says.
type archive struct {
	mu      sync.Mutex
	data    []byte
	etag    string
	modtime time.Time
	ranges  bool    // Range is understood
	cuts    []int64 // so many bytes of the first answers, then a cut
	status  []int   // statuses of the first answers
	asked   []string
}

const archivePath = "/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/upgraded/archive"

func (a *archive) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked = append(a.asked, r.Header.Get("Range"))
	if len(a.status) > 0 {
		s := a.status[0]
		a.status = a.status[1:]
		if s != 200 {
			http.Error(w, "failure", s)
			return
		}
	}
	if a.etag != "" {
		w.Header().Set("ETag", a.etag)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if len(a.cuts) > 0 {
		w = &cutter{ResponseWriter: w, left: a.cuts[0]}
		a.cuts = a.cuts[1:]
	}
	if !a.ranges {
		w.Header().Set("Content-Length", fmt.Sprint(len(a.data)))
		_, _ = w.Write(a.data)
		return
	}
	http.ServeContent(w, r, "", a.modtime, bytes.NewReader(a.data))
}

type cutter struct {
	http.ResponseWriter
	left int64
}

func (c *cutter) Write(p []byte) (int, error) {
	if int64(len(p)) >= c.left {
		_, _ = c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= int64(len(p))
	return c.ResponseWriter.Write(p)
}

func TestDownload(t *testing.T) {
	t.Parallel()
	file := noise(2<<20 + 99)
	earlier := bytes.Clone(file)
	earlier[5] ^= 1
	noon := time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name  string
		first *archive // an earlier run, which breaks for good
		srv   *archive
		from  int64
		asked []string
	}{
		{name: "complete", srv: &archive{etag: `"a"`, ranges: true}, asked: []string{""}},
		{name: "cut, continued", srv: &archive{etag: `"a"`, ranges: true, cuts: []int64{1 << 20, 1 << 19}},
			asked: []string{"", "bytes=1048576-", "bytes=1572864-"}},
		{name: "cut, continued by date", srv: &archive{modtime: noon, ranges: true, cuts: []int64{1 << 20}},
			asked: []string{"", "bytes=1048576-"}},
		{name: "cut, weak tag and date", srv: &archive{etag: `W/"a"`, modtime: noon, ranges: true, cuts: []int64{1 << 20}},
			asked: []string{"", ""}},
		{name: "cut, no ranges", srv: &archive{etag: `"a"`, cuts: []int64{1 << 20}}, asked: []string{"", "bytes=1048576-"}},
		{name: "cut, no validator", srv: &archive{ranges: true, cuts: []int64{1 << 20}}, asked: []string{"", ""}},
		{name: "failures first", srv: &archive{etag: `"a"`, ranges: true, status: []int{502, 503, 200}},
			asked: []string{"", "", ""}},
		{name: "an earlier run's part", first: &archive{data: file, etag: `"a"`, ranges: true, cuts: []int64{1 << 20}},
			srv: &archive{etag: `"a"`, ranges: true}, from: 1 << 20, asked: []string{"bytes=1048576-"}},
		{name: "another file meanwhile", first: &archive{data: earlier, etag: `"b"`, ranges: true, cuts: []int64{1 << 20}},
			srv: &archive{etag: `"a"`, ranges: true}, asked: []string{"bytes=1048576-"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(out, []byte("before"), 0o600); err != nil {
				t.Fatal(err)
			}
			fetch := func(a *archive, retry *client.RetryOptions) (*client.Downloaded, error) {
				srv := httptest.NewServer(a)
				defer srv.Close()
				return newClient(t, srv.URL).Download(t.Context(), srv.URL+archivePath, out, &client.DownloadOptions{Retry: retry})
			}
			if tt.first != nil {
				_, err := fetch(tt.first, &client.RetryOptions{Limit: time.Microsecond})
				if !errors.Is(err, client.ErrTransient) {
					t.Fatalf("the first download: got %v", err)
				}
				if got, _ := os.ReadFile(out); string(got) != "before" {
					t.Fatal("the earlier file was touched")
				}
			}
			if tt.srv.data == nil {
				tt.srv.data = file
			}
			got, err := fetch(tt.srv, impatient)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(raw, tt.srv.data) {
				t.Error("the file differs from the server's")
			}
			if got.Size != int64(len(raw)) || got.From != tt.from {
				t.Errorf("got %+v, want from %d", *got, tt.from)
			}
			if fmt.Sprint(tt.srv.asked) != fmt.Sprint(tt.asked) {
				t.Errorf("asked for %q, want %q", tt.srv.asked, tt.asked)
			}
			onlyFile(t, out)
		})
	}
}

func TestDownload_errors(t *testing.T) {
	t.Parallel()
	page := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, "<html>log in at /%s/", sampleKey)
	}
	saying := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			_, _ = w.Write([]byte(body))
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		out     string
		url     string
		is      error
		text    string
	}{
		{name: "not there yet", handler: http.NotFound, is: client.ErrNotFound, text: "404"},
		{name: "a page", handler: page, text: `"<html>log in at /[key]/"`},
		{name: "a page that says it is a file", handler: saying("application/octet-stream", "\n<!DOCTYPE html><title>Wi-Fi"),
			text: "HTML page"},
		{name: "failures", handler: saying("application/json", `{"failures": [{"reason": "SERVER:ERROR"}]}`),
			text: `JSON came instead of the file; it begins with "{\"failures\"`},
		{name: "failures that say they are a file", handler: saying("application/octet-stream", ` {"failures": []}`),
			text: "JSON"},
		{name: "JSON of a front-end", handler: saying("application/json; charset=utf-8", `["overloaded"]`), text: "JSON"},
		{name: "no such folder", out: "missing/out", text: "missing"},
		{name: "a folder", out: ".", text: "is a folder"},
		{name: "no URL", url: "-", text: "no usable URL"},
		{name: "a device", out: "/dev/full", text: "no regular file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := tt.handler
			if h == nil {
				h = func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }
			}
			srv := httptest.NewServer(h)
			defer srv.Close()
			out := filepath.Join(t.TempDir(), "out")
			switch {
			case filepath.IsAbs(tt.out):
				out = tt.out
			case tt.out != "":
				out = filepath.Join(filepath.Dir(out), tt.out)
			}
			u := srv.URL + archivePath
			if tt.url != "" {
				u = tt.url
			}
			_, err := newClient(t, srv.URL).Download(t.Context(), u, out, &client.DownloadOptions{Retry: impatient})
			var e *client.Error
			if !errors.As(err, &e) || (tt.is != nil && !errors.Is(err, tt.is)) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v, want %v with %q", err, tt.is, tt.text)
			}
			if err != nil && strings.Contains(err.Error(), "Aw7p") {
				t.Errorf("%q holds the key", err)
			}
		})
	}
}

func TestDownload_pagesWhenAllowed(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<html>notes"))
	}))
	defer srv.Close()
	out := filepath.Join(t.TempDir(), "notes.html")
	if _, err := newClient(t, srv.URL).Download(t.Context(), srv.URL+"/x", out,
		&client.DownloadOptions{AllowHTML: true}); err != nil {
		t.Fatal(err)
	}
}

// TestDownload_neverWhole: a server that always cuts at the same place, and cannot continue, is given up.
func TestDownload_neverWhole(t *testing.T) {
	t.Parallel()
	cuts := make([]int64, 100_000)
	for i := range cuts {
		cuts[i] = 1000
	}
	a := &archive{data: noise(5000), cuts: cuts}
	srv := httptest.NewServer(a)
	defer srv.Close()
	out := filepath.Join(t.TempDir(), "out")
	_, err := newClient(t, srv.URL).Download(t.Context(), srv.URL+archivePath, out,
		&client.DownloadOptions{Retry: &client.RetryOptions{Min: time.Millisecond, Max: time.Millisecond,
			Limit: 50 * time.Millisecond}})
	if !errors.Is(err, client.ErrTransient) || !strings.Contains(err.Error(), "given up") {
		t.Errorf("got %v", err)
	}
}

// onlyFile fails the test when there is anything beside the file at path.
func onlyFile(t testing.TB, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("there should be nothing but %s: %v, %v", path, entries, err)
	}
}
