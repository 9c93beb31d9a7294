package mockserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

// create makes a request without a network and returns the path of its status.
func statusPath(tb testing.TB, srv *mockserver.Server) string {
	tb.Helper()
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, httptest.NewRequest("GET",
		"/database/v1/create?contract=M123456-abcdef&email=john.doe@example.com&target=8.0&aim=test&filename=db_name.dump",
		nil))
	var answer struct {
		Request struct {
			ID  int64
			Key string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.Request.Key == "" {
		tb.Fatalf("create: %s (%v)", w.Body, err)
	}
	return fmt.Sprintf("/database/v1/status?request=%d&key=%s", answer.Request.ID, answer.Request.Key)
}

// BenchmarkStatus is one poll, all of it but the network.
func BenchmarkStatus(b *testing.B) {
	for _, held := range []int{1, 100_000} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			srv, err := mockserver.New(nil)
			if err != nil {
				b.Fatal(err)
			}
			defer srv.Close()
			var path string
			for range held {
				path = statusPath(b, srv)
			}
			b.ReportAllocs()
			r := httptest.NewRequest("GET", path, nil)
			for b.Loop() {
				w := discard{header: make(http.Header, 4)}
				srv.ServeHTTP(&w, r)
				if w.status != http.StatusOK || w.n < 500 {
					b.Fatalf("answered %d with %d bytes", w.status, w.n)
				}
			}
		})
	}
}

// discard is a ResponseWriter that keeps nothing.
type discard struct {
	header http.Header
	status int
	n      int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { d.n += len(p); return len(p), nil }

// BenchmarkServer is a server made, started on all listeners, called once, and closed.
func BenchmarkServer(b *testing.B) {
	for _, called := range []bool{false, true} {
		name := "made, started and closed"
		if called {
			name = "and called once"
		}
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				srv, err := mockserver.New(nil)
				if err != nil {
					b.Fatal(err)
				}
				if err := srv.Start(); err != nil {
					b.Fatal(err)
				}
				if called {
					resp, err := http.Get(srv.URL() + "/database/v1/status")
					if err != nil {
						b.Fatal(err)
					}
					resp.Body.Close()
				}
				if err := srv.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
