package mockserver

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/internal/proxy"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// A client that holds a connection without using it loses it: one that never ends its headers, one whose body
// stops coming, one that stays idle. Each is waited for a moment only, and read from until the emulator ends
// the connection.
func TestPatience(t *testing.T) {
	t.Parallel()
	const moment = 50 * time.Millisecond
	for name, tc := range map[string]struct {
		patience patience
		sends    string // %s is a request's id and key
		answer   string // that the client gets before the end
		journal  string // what the journal says of it
	}{
		"headers that do not end": {patience{header: moment, idle: time.Hour, stall: time.Hour},
			"GET /database/v1/status HTTP/1.1\r\nHost: h\r\n", "", ""},
		"nothing at all": {patience{header: moment, idle: time.Hour, stall: time.Hour}, "", "", ""},
		"a body that stops": {patience{header: time.Hour, idle: time.Hour, stall: moment},
			"POST /database/v1/upload?%s HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nSELECT", "DUMP:INCOMPLETE", "upload"},
		"parameters that stop": {patience{header: time.Hour, idle: time.Hour, stall: moment},
			"POST /database/v1/status?%s HTTP/1.1\r\nHost: h\r\n" +
				"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\na=b", "PARAMETERS:INVALID",
			"status"},
		"an idle connection": {patience{header: time.Hour, idle: moment, stall: time.Hour},
			"GET /database/v1/status?%s HTTP/1.1\r\nHost: h\r\n\r\n", `"state":"draft"`, "status"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, r := withPatience(t, tc.patience)

			conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL(), "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			sends := tc.sends
			if strings.Contains(sends, "%s") {
				sends = fmt.Sprintf(sends, fmt.Sprintf("request=%d&key=%s", r.ID, r.Key))
			}
			if _, err := io.WriteString(conn, sends); err != nil {
				t.Fatal(err)
			}
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			answer, err := io.ReadAll(conn)
			if err != nil && !strings.Contains(err.Error(), "reset") {
				t.Fatalf("the connection was not ended: %v", err)
			}
			if !strings.Contains(string(answer), tc.answer) {
				t.Errorf("answered %q, want something with %q", answer, tc.answer)
			}
			if tc.journal != "" {
				if calls := srv.Events(journal.Filter{On: tc.journal}); len(calls) != 1 {
					t.Errorf("the journal has %d calls, want 1", len(calls))
				}
			}
		})
	}
}

// A client that does not read a download loses its connection, also behind a proxy; one that does may go on
// with it, however long it paused in between.
func TestPatience_answers(t *testing.T) {
	t.Parallel()
	const size = 32 << 20 // more than the kernel takes on its way
	srv, r := withPatience(t, patience{header: time.Hour, idle: time.Hour, stall: 2 * time.Second})
	front, err := proxy.Start("127.0.0.1:0", proxy.Options{
		Handler: srv, Certificate: srv.CertificateFor, Guard: func(l net.Listener) net.Listener {
			return srv.Guard("proxy", l)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { front.Close() })
	ref := url.Values{"request": {fmt.Sprint(r.ID)}, "key": {r.Key}}.Encode()
	upload, err := http.Post(srv.URL()+"/database/v1/upload?"+ref, "", io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	upload.Body.Close()
	for _, way := range []struct {
		name, base, connect string
	}{
		{"its own listener", srv.URL(), ""},
		{"a proxy's tunnel", front.URL(), "CONNECT upgrade.odoo.com:80 HTTP/1.1\r\nHost: h\r\n\r\n"},
	} {
		t.Run(way.name, func(t *testing.T) {
			dial := func() (net.Conn, *bufio.Reader) {
				conn, err := net.Dial("tcp", strings.TrimPrefix(way.base, "http://"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { conn.Close() })
				conn.SetDeadline(time.Now().Add(time.Minute))
				in := bufio.NewReader(conn)
				if way.connect != "" {
					io.WriteString(conn, way.connect)
					if resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect}); err != nil ||
						resp.StatusCode != 200 {
						t.Fatal(resp, err)
					}
				}
				if _, err := fmt.Fprintf(conn, "GET /database/eu1/%d/%s/original/archive HTTP/1.1\r\nHost: h\r\n\r\n", r.ID,
					r.Key); err != nil {
					t.Fatal(err)
				}
				return conn, in
			}

			last := srv.observer.journal.Last()
			dial()
			e, err := srv.Await(t.Context(), journal.Filter{On: "download", After: last})
			if err != nil || e.Sent >= size {
				t.Errorf("a download that nobody read ended with %d bytes, %v", e.Sent, err)
			}

			reader, in := dial()
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
				t.Errorf("a download that was read ended with %d bytes, %v", n, err)
			}
			// longer than a piece of it may take: between calls, nothing is waited for
			time.Sleep(srv.patience.stall + 100*time.Millisecond)
			if _, err := fmt.Fprintf(reader, "GET /database/v1/status?%s HTTP/1.1\r\nHost: h\r\n\r\n", ref); err != nil {
				t.Fatal(err)
			}
			if resp, err = http.ReadResponse(in, nil); err != nil {
				t.Fatalf("the next call on the connection: %v", err)
			}
			resp.Body.Close()
		})
	}
}

// withPatience starts a server that waits for clients that long, and makes a request.
func withPatience(t *testing.T, p patience) (*Server, Request) {
	t.Helper()
	srv, err := newServer(nil, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	create, err := http.Get(srv.URL() +
		"/database/v1/create?contract=M123456-abcdef&email=a@example.com&target=8.0&aim=test&filename=a")
	if err != nil {
		t.Fatal(err)
	}
	create.Body.Close()
	return srv, srv.Requests()[0]
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
