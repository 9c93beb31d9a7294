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
	for _, way := range []string{"its own listener", "a proxy's tunnel"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			// The first is enough where a busy machine does not make even a good client late; the second counts.
			for _, stall := range []time.Duration{300 * time.Millisecond, 3 * time.Second} {
				if err := answersWithPatience(t, stall, way == "a proxy's tunnel"); err == nil {
					return
				} else if stall > time.Second {
					t.Error(err)
				}
			}
		})
	}
}

func answersWithPatience(t *testing.T, stall time.Duration, tunnel bool) error {
	const size = 32 << 20 // more than the kernel takes on its way
	srv, r := withPatience(t, patience{header: time.Hour, idle: time.Hour, stall: stall})
	ref := url.Values{"request": {fmt.Sprint(r.ID)}, "key": {r.Key}}.Encode()
	upload, err := http.Post(srv.URL()+"/database/v1/upload?"+ref, "", io.LimitReader(zeros{}, size))
	if err != nil {
		return err
	}
	upload.Body.Close()
	dial := dialer(t, srv, tunnel)
	download := fmt.Sprintf("GET /database/eu1/%d/%s/original/archive HTTP/1.1\r\nHost: h\r\n\r\n", r.ID, r.Key)

	last := srv.observer.journal.Last()
	if _, _, err := dial(download); err != nil {
		return err
	}
	e, err := srv.Await(t.Context(), journal.Filter{On: "download", After: last})
	if err != nil || e.Sent >= size {
		return fmt.Errorf("a download that nobody read ended with %d bytes, %v", e.Sent, err)
	}

	conn, in, err := dial(download)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
		return fmt.Errorf("a download that was read ended with %d bytes, %v", n, err)
	}
	// longer than a piece of it may take: between calls, nothing is waited for
	time.Sleep(stall + 100*time.Millisecond)
	if _, err := fmt.Fprintf(conn, "GET /database/v1/status?%s HTTP/1.1\r\nHost: h\r\n\r\n", ref); err != nil {
		return err
	}
	if resp, err = http.ReadResponse(in, nil); err != nil {
		return fmt.Errorf("the next call on the connection: %w", err)
	}
	return resp.Body.Close()
}

// dialer returns what makes a connection to the server, by the tunnel of a proxy or without, and sends something.
func dialer(t *testing.T, srv *Server, tunnel bool) func(sends string) (net.Conn, *bufio.Reader, error) {
	t.Helper()
	addr := strings.TrimPrefix(srv.URL(), "http://")
	if tunnel {
		front, err := proxy.Start("127.0.0.1:0", proxy.Options{
			Handler: srv, Certificate: srv.CertificateFor, Guard: func(l net.Listener) net.Listener {
				return srv.Guard("proxy", l)
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { front.Close() })
		addr = strings.TrimPrefix(front.URL(), "http://")
	}
	return func(sends string) (net.Conn, *bufio.Reader, error) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return nil, nil, err
		}
		t.Cleanup(func() { conn.Close() })
		conn.SetDeadline(time.Now().Add(time.Minute))
		in := bufio.NewReader(conn)
		if tunnel {
			io.WriteString(conn, "CONNECT upgrade.odoo.com:80 HTTP/1.1\r\nHost: h\r\n\r\n")
			resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
			if err != nil || resp.StatusCode != 200 {
				return nil, nil, fmt.Errorf("CONNECT: %v, %v", resp, err)
			}
		}
		_, err = io.WriteString(conn, sends)
		return conn, in, err
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
