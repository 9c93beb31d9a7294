package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/client"
)

// TestDownload_contradictions: what does not fit behind the beginning is never put there; the download begins again.
func TestDownload_contradictions(t *testing.T) {
	t.Parallel()
	file := noise(1 << 20)
	const half = 1 << 19
	modified := "Wed, 01 Jan 2020 12:00:00 GMT"
	// first cuts the first answer in half.
	first := func(w http.ResponseWriter, header map[string]string) {
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(file)))
		_, _ = w.Write(file[:half])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	good := map[string]string{"ETag": `"a"`, "Last-Modified": modified}
	rest := func(header map[string]string, status int, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			h := map[string]string{"ETag": `"a"`, "Content-Range": fmt.Sprintf("bytes %d-%d/%d", half, len(file)-1, len(file))}
			maps.Copy(h, header)
			for k, v := range h {
				if v != "" {
					w.Header().Set(k, v)
				}
			}
			w.WriteHeader(status)
			_, _ = w.Write(body)
			w.(http.Flusher).Flush()
		}
	}
	other := bytes.Clone(file)
	for i := range other {
		other[i] ^= 0x55
	}
	tail := other[half:] // what must never be put behind the head
	tests := []struct {
		name   string
		header map[string]string // of the first answer; nil means good
		answer http.HandlerFunc  // to the range
	}{
		{name: "another tag", answer: rest(map[string]string{"ETag": `"b"`}, 206, tail)},
		{name: "a weak tag", answer: rest(map[string]string{"ETag": `W/"a"`}, 206, tail)},
		{name: "no tag", answer: rest(map[string]string{"ETag": ""}, 206, tail)},
		{name: "another date", answer: rest(map[string]string{"Last-Modified": "Wed, 01 Jan 2020 12:00:01 GMT"}, 206, tail)},
		{name: "by date, another date", header: map[string]string{"Last-Modified": modified},
			answer: rest(map[string]string{"ETag": "", "Last-Modified": "Wed, 01 Jan 2020 12:00:01 GMT"}, 206, tail)},
		{name: "by date, no date", header: map[string]string{"Last-Modified": modified},
			answer: rest(map[string]string{"ETag": ""}, 206, tail)},
		{name: "by date, a tag", header: map[string]string{"Last-Modified": modified},
			answer: rest(map[string]string{"Last-Modified": modified}, 206, tail)},
		{name: "another size", answer: rest(map[string]string{"Content-Range": fmt.Sprintf("bytes %d-%d/%d", half,
			len(file)-1, len(file)+1)}, 206, tail)},
		{name: "beyond the size", answer: rest(map[string]string{"Content-Range": fmt.Sprintf("bytes %d-%d/*", half,
			len(file))}, 206, append(bytes.Clone(tail), 0))},
		{name: "another beginning", answer: rest(map[string]string{"Content-Range": fmt.Sprintf("bytes %d-%d/%d", half-1,
			len(file)-1, len(file))}, 206, other[half-1:])},
		{name: "from the beginning", answer: rest(map[string]string{"Content-Range": fmt.Sprintf("bytes 0-%d/%d",
			len(file)-1, len(file))}, 206, other)},
		{name: "no range", answer: rest(map[string]string{"Content-Range": ""}, 206, tail)},
		{name: "a range in lines", answer: rest(map[string]string{"Content-Range": "lines 1-2/3"}, 206, tail)},
		{name: "gzip", answer: rest(map[string]string{"Content-Encoding": "gzip"}, 206, tail)},
		{name: "several parts", answer: rest(map[string]string{"Content-Type": "multipart/byteranges; boundary=x"}, 206,
			tail)},
		{name: "a page", answer: rest(map[string]string{"Content-Type": "text/html"}, 206, tail)},
		{name: "longer than its range", answer: rest(nil, 206, append(bytes.Clone(tail), 1, 2, 3))},
		{name: "a length that is not its range's", answer: rest(map[string]string{"Content-Length": fmt.Sprint(half - 1)},
			206, tail[:half-1])},
		{name: "a whole answer with a range", answer: rest(nil, 200, tail)},
		{name: "a whole answer, gzip", answer: rest(map[string]string{"Content-Range": "", "Content-Encoding": "gzip"}, 200,
			tail)},
		{name: "an empty whole answer", answer: rest(map[string]string{"Content-Range": "", "Content-Length": "0"}, 200,
			nil)},
		{name: "an empty whole answer without length", answer: rest(map[string]string{"Content-Range": ""}, 200, nil)},
		{name: "not satisfiable", answer: rest(map[string]string{"Content-Range": fmt.Sprintf("bytes */%d", half)}, 416,
			nil)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch n++; {
				case n == 1:
					header := tt.header
					if header == nil {
						header = good
					}
					first(w, header)
				case r.Header.Get("Range") != "":
					tt.answer(w, r)
				default:
					_, _ = w.Write(file)
				}
			}))
			defer srv.Close()
			dir := t.TempDir()
			_, err := newClient(t, srv.URL).Download(t.Context(), srv.URL+archivePath, filepath.Join(dir, "out"),
				&client.DownloadOptions{Retry: impatient})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"out": string(file)}, folder(t, dir)); diff != "" {
				t.Errorf("the folder is wrong: %.300s", diff)
			}
			if n != 3 {
				t.Errorf("%d calls, want 3", n)
			}
		})
	}
}

// TestDownload_alwaysContradicting: what is wrong every time is given up soon, and nothing of it is saved.
func TestDownload_alwaysContradicting(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header map[string]string
		status int
		body   string
		calls  int
		says   string
	}{
		{"gzip", map[string]string{"Content-Encoding": "gzip"}, 200, "packed", 1, "content coding gzip"},
		{"br, as a list", map[string]string{"Content-Encoding": "identity, br"}, 200, "packed", 1, "content coding br"},
		{"empty", map[string]string{"Content-Length": "0"}, 200, "", 4, "empty"},
		{"empty, chunked", nil, 200, "", 4, "empty"},
		{"a range", map[string]string{"Content-Range": "bytes 0-3/4"}, 206, "dump", 4, "range"},
		{"a whole answer with a range", map[string]string{"Content-Range": "bytes 2-3/4"}, 200, "mp", 4, "range"},
		{"not satisfiable", map[string]string{"Content-Range": "bytes */0"}, 416, "", 4, "no longer"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				n++
				for k, v := range tt.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
				w.(http.Flusher).Flush()
			}))
			defer srv.Close()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "out"), "before")
			_, err := newClient(t, srv.URL).Download(t.Context(), srv.URL+archivePath, filepath.Join(dir, "out"),
				&client.DownloadOptions{Retry: impatient})
			if !errors.Is(err, client.ErrContradiction) || !strings.Contains(err.Error(), tt.says) || n != tt.calls {
				t.Errorf("%d calls, %v; want %d and %q", n, err, tt.calls, tt.says)
			}
			if diff := cmp.Diff(map[string]string{"out": "before"}, folder(t, dir)); diff != "" {
				t.Errorf("the folder (-want +got):\n%s", diff)
			}
		})
	}
}
