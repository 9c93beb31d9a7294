package mockserver_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// A request whose length can be read in two ways is refused, or read in one way: what is behind it is never
// taken for a second call by one reader and for a body by another.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	const hidden = "GET /database/v1/create?smuggled=1 HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, tc := range map[string]struct {
		headers string
		body    string
	}{
		"two lengths":                {"Content-Length: 5\r\nContent-Length: 6\r\n", "hello" + hidden},
		"a length with a sign":       {"Content-Length: +5\r\n", "hello" + hidden},
		"a list of lengths":          {"Content-Length: 5, 6\r\n", "hello" + hidden},
		"a length in hexadecimal":    {"Content-Length: 0x5\r\n", "hello" + hidden},
		"an unknown transfer coding": {"Transfer-Encoding: xchunked\r\n", hidden},
		"two transfer codings": {
			"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n" + hidden,
		},
		"a space before the colon":         {"Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + hidden},
		"a control before the coding":      {"Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n" + hidden},
		"a bare line feed in a chunk size": {"Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n" + hidden},
		"a chunk size that overflows": {
			"Transfer-Encoding: chunked\r\n", "fffffffffffffffff5\r\nhello\r\n0\r\n\r\n" + hidden,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, nil)
			m := w.create()
			conn := w.connect()
			defer conn.Close()
			fmt.Fprintf(conn, "POST /database/v1/upload?%s HTTP/1.1\r\nHost: h\r\n%s\r\n%s", m.params().Encode(), tc.headers,
				tc.body)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				body, _ := io.ReadAll(resp.Body)
				if resp.StatusCode < 400 && !strings.Contains(string(body), "DUMP:INCOMPLETE") {
					t.Errorf("answered %s %s", resp.Status, body)
				}
			}
			if calls := w.srv.Events(journal.Filter{On: "create"}); len(calls) != 1 {
				t.Errorf("what was hidden in the body was taken for a call: %d creates", len(calls))
			}
		})
	}
}

// Where both a length and chunks are announced, the chunks count (RFC 9112 section 6.3), and the connection
// carries nothing more, whatever the order, the method called, and the way the body is read or refused.
func TestSmuggling_lengthAndChunks(t *testing.T) {
	t.Parallel()
	hidden := "POST /database/v1/create?" + sample().Encode() + " HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
	const length, chunks = "Content-Length: %d\r\n", "Transfer-Encoding: chunked\r\n"
	for name, tc := range map[string]struct{ proto, headers, path, body string }{
		"the length first": {"1.1", length + chunks, "upload", "5\r\nhello\r\n0\r\n\r\n"},
		"the chunks first": {"1.1", chunks + length, "upload", "5\r\nhello\r\n0\r\n\r\n"},
		"no chunk":         {"1.1", chunks + length, "upload", "0\r\n\r\n"},
		"parameters":       {"1.1", chunks + length, "status", "5\r\nhello\r\n0\r\n\r\n"},
		"a form": {
			"1.1", chunks + length + "Content-Type: application/x-www-form-urlencoded\r\n", "status",
			"5\r\na=b&c\r\n0\r\n\r\n",
		},
		"no such method":       {"1.1", chunks + length, "nothing", "5\r\nhello\r\n0\r\n\r\n"},
		"the control API":      {"1.1", chunks + length, "../../_mock/journal", "0\r\n\r\n"},
		"HTTP/1.0, kept":       {"1.0", chunks + length + "Connection: keep-alive\r\n", "upload", "5\r\nhello\r\n0\r\n\r\n"},
		"HTTP/1.0, a form":     {"1.0", chunks + length + "Connection: keep-alive\r\n", "status", "5\r\nhello\r\n0\r\n\r\n"},
		"one length, no chunk": {"1.0", "Content-Length: 0\r\n" + chunks + "Connection: keep-alive\r\n", "upload", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, nil)
			m := w.create()
			path, query := "/database/v1/"+tc.path, "?"+m.params().Encode()
			if own, ok := strings.CutPrefix(tc.path, "../.."); ok {
				path, query = own, ""
			}
			headers := strings.Replace(tc.headers, "%d", strconv.Itoa(len(tc.body)), 1)
			conn := w.connect()
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "POST %s%s HTTP/%s\r\nHost: localhost\r\n%s\r\n%s%s", path, query, tc.proto, headers, tc.body,
				hidden)
			in := bufio.NewReader(conn)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(in); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after the answer came %q, %v: want the end of the connection", rest, err)
			}
			if calls := w.srv.Events(journal.Filter{On: "create"}); len(calls) != 1 {
				t.Errorf("what followed was taken for a call: %d creates", len(calls))
			}
			if tc.path == "upload" && strings.HasPrefix(tc.body, "5") && tc.proto == "1.1" && resp.StatusCode == 200 {
				same(t, "the dump", w.fetch(w.status(m)["original_dump_url"]), []byte("hello"))
			}
		})
	}
}
