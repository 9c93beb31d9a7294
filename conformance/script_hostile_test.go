package conformance_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// A server that goes wrong in one call only: each check ends by itself, has a verdict of its own, and the one that
// judges the call fails.
func TestScript_goesWrongInPlaces(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		call  string
		wrong http.HandlerFunc
		fails string
	}{
		"status is reset": {"status", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
			"script/status-answer"},
		"start floods": {"transfer/start", func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 3<<20)) },
			"script/start-answer"},
		"create is garbage": {"create", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, "{\"result\": \xff\xfe}")
		}, "script/create-answer"},
		"process is deep": {"process", func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, strings.Repeat("[", 100_000))
		}, "script/process-answer"},
		"logs is endless": {"logs", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, "script/logs-range"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 2)
			srv := newMock(t, nil)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/upgrade/request/"+tt.call {
					srv.ServeHTTP(w, r)
					return
				}
				io.Copy(io.Discard, r.Body)
				tt.wrong(w, r)
			}))
			defer front.Close()
			wrongOnce(t, front.URL, tt.fails)
		})
	}
}

// wrongOnce judges a server of which one check must fail, and most others need not.
func wrongOnce(t *testing.T, url, fails string) {
	t.Helper()
	rep := run(t, conformance.Target{URL: url, Contract: contract}, &conformance.Options{API: conformance.APIScript,
		CallTimeout: callTime, Wait: time.Second, Skip: regexp.MustCompile("^script/wipe")})
	var failed bool
	for _, res := range rep.Results {
		failed = failed || res.ID == fails && res.Verdict == conformance.Fail
		if strings.Contains(res.Message, "the suite has a mistake") {
			t.Errorf("%s: %s", res.ID, res.Message)
		}
	}
	if !failed || len(rep.Results) < 60 {
		t.Errorf("%s did not fail: %d passed, %d failed, %d errors, %d skipped", fails, rep.Passed, rep.Failed, rep.Errors,
			rep.Skipped)
	}
}

// A transfer's port that is none of an SSH server.
func TestScript_wrongPort(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(net.Conn){
		"closes": func(c net.Conn) { c.Close() },
		"floods": func(c net.Conn) {
			for {
				if _, err := c.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
		"speaks HTTP": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() { defer c.Close(); serve(c) }()
				}
			}()
			srv := newMock(t, nil)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/upgrade/request/transfer/start" {
					srv.ServeHTTP(w, r)
					return
				}
				body := fmt.Sprintf(`{"jsonrpc": "2.0", "id": "not_used", "result": {"ssh_port": %d, "known_hosts": ""}}`,
					l.Addr().(*net.TCPAddr).Port)
				w.Header().Set("Content-Type", "application/json")
				io.WriteString(w, body)
			}))
			defer front.Close()
			wrongOnce(t, front.URL, "script/port-open")
		})
	}
}
