package mockserver

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client that holds a connection without using it loses it: one that never ends its headers, one whose body stops coming, one that
// stays idle. Each is waited for a moment only, and read from until the emulator ends the connection.
func TestPatience(t *testing.T) {
	t.Parallel()
	const moment = 50 * time.Millisecond
	for name, tc := range map[string]struct {
		patience patience
		sends    string // %s is a request's id and key
		answer   string // that the client gets before the end
		journal  string // what the journal says of it
	}{
		"headers that do not end": {patience{header: moment, idle: time.Hour, stall: time.Hour}, "GET /database/v1/status HTTP/1.1\r\nHost: h\r\n", "", ""},
		"nothing at all":          {patience{header: moment, idle: time.Hour, stall: time.Hour}, "", "", ""},
		"a body that stops":       {patience{header: time.Hour, idle: time.Hour, stall: moment}, "POST /database/v1/upload?%s HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nSELECT", "DUMP:INCOMPLETE", "upload"},
		"parameters that stop": {patience{header: time.Hour, idle: time.Hour, stall: moment}, "POST /database/v1/status?%s HTTP/1.1\r\nHost: h\r\n" +
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\n\r\na=b", "PARAMETERS:INVALID", "status"},
		"an idle connection": {patience{header: time.Hour, idle: moment, stall: time.Hour}, "GET /database/v1/status?%s HTTP/1.1\r\nHost: h\r\n\r\n", `"state":"draft"`, "status"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, err := New(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer srv.Close()
			srv.patience = tc.patience
			if err := srv.Start(); err != nil {
				t.Fatal(err)
			}
			create, err := http.Get(srv.URL() + "/database/v1/create?contract=M123456-abcdef&email=a@example.com&target=8.0&aim=test&filename=a")
			if err != nil {
				t.Fatal(err)
			}
			create.Body.Close()
			r := srv.Requests()[0]

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
				if calls := srv.Events(Filter{On: tc.journal}); len(calls) != 1 {
					t.Errorf("the journal tells of %d calls, want 1", len(calls))
				}
			}
		})
	}
}
