package mockserver_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

// A request whose length can be read in two ways is refused, or read in one way: what is behind it is never taken for a second call by
// one reader and for a body by another.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	const hidden = "GET /database/v1/create?smuggled=1 HTTP/1.1\r\nHost: h\r\n\r\n"
	for name, tc := range map[string]struct {
		headers string
		body    string
	}{
		"two lengths":                      {"Content-Length: 5\r\nContent-Length: 6\r\n", "hello" + hidden},
		"a length with a sign":             {"Content-Length: +5\r\n", "hello" + hidden},
		"a list of lengths":                {"Content-Length: 5, 6\r\n", "hello" + hidden},
		"a length in hexadecimal":          {"Content-Length: 0x5\r\n", "hello" + hidden},
		"an unknown transfer coding":       {"Transfer-Encoding: xchunked\r\n", hidden},
		"two transfer codings":             {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n" + hidden},
		"a space before the colon":         {"Transfer-Encoding : chunked\r\n", "0\r\n\r\n" + hidden},
		"a control before the coding":      {"Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n" + hidden},
		"a bare line feed in a chunk size": {"Transfer-Encoding: chunked\r\n", "5\nhello\r\n0\r\n\r\n" + hidden},
		"a chunk size that overflows":      {"Transfer-Encoding: chunked\r\n", "fffffffffffffffff5\r\nhello\r\n0\r\n\r\n" + hidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, nil)
			m := w.create()
			conn := w.connect()
			defer conn.Close()
			fmt.Fprintf(conn, "POST /database/v1/upload?%s HTTP/1.1\r\nHost: h\r\n%s\r\n%s", m.params().Encode(), tc.headers, tc.body)
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil {
				body, _ := io.ReadAll(resp.Body)
				if resp.StatusCode < 400 && !strings.Contains(string(body), "DUMP:INCOMPLETE") {
					t.Errorf("answered %s %s", resp.Status, body)
				}
			}
			if calls := w.srv.Events(mockserver.Filter{On: "create"}); len(calls) != 1 {
				t.Errorf("what was hidden in the body was taken for a call: %d creates", len(calls))
			}
		})
	}
}

// Where both a length and chunks are announced, the chunks count (RFC 9112 section 6.3), and the connection carries nothing more.
func TestSmuggling_lengthAndChunks(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	conn := w.connect()
	defer conn.Close()
	fmt.Fprintf(conn, "POST /database/v1/upload?%s HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", m.params().Encode())
	resp, body := w.response(bufio.NewReader(conn))
	if resp.StatusCode == 200 {
		same(t, "the dump", w.fetch(w.status(m)["original_dump_url"]), []byte("hello"))
	} else if resp.StatusCode != 400 {
		t.Errorf("answered %s %s", resp.Status, body)
	}
}
