package mockserver_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
)

// The body is the dump, byte for byte, whatever type it is said to be of and however it is sent (rows 4.1 to
// 4.3, 4.6, 8.2).
func TestUpload_body(t *testing.T) {
	t.Parallel()
	form := []byte("key=AAAA&request=1&target=5.0&%zz")
	multiType, multi := multipartForm(t, "key", "AAAA", "request", "1", "@dump", "x")
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		for name, tc := range map[string]struct {
			header http.Header
			body   []byte
		}{
			"octet-stream":        {http.Header{"Content-Type": {"application/octet-stream"}}, fixtures.Dump("openchs.cdump")},
			"form type":           {http.Header{"Content-Type": {formType}}, form},
			"form type, binary":   {http.Header{"Content-Type": {formType}}, pattern(300_000, 1)},
			"multipart type":      {http.Header{"Content-Type": {multiType}}, []byte(multi)},
			"no type":             {http.Header{}, fixtures.Dump("openchs.tar")},
			"broken type":         {http.Header{"Content-Type": {"application/"}}, []byte("x")},
			"said to be gzipped":  {http.Header{"Content-Encoding": {"gzip"}}, fixtures.Dump("openchs.sql.gz")},
			"big":                 {http.Header{}, pattern(3<<20+17, 2)},
			"awaited with Expect": {http.Header{"Expect": {"100-continue"}}, pattern(200_000, 3)},
			"one byte":            {http.Header{}, []byte{0}},
		} {
			for _, method := range []string{"POST", "PUT", "GET"} {
				m := w.create()
				a := w.send(method, "upload?"+m.params().Encode(), tc.header, bytes.NewReader(tc.body))
				if a.Body != `{"failures":[]}`+"\n" || a.Status != 200 {
					t.Errorf("%s, %s: %d %s", name, method, a.Status, a.Body)
				}
				same(t, name+", "+method, w.fetch(w.status(m)["original_dump_url"]), tc.body)
			}
			// Without a Content-Length, the body is chunked.
			m := w.create()
			if a := w.send("POST", "upload?"+m.params().Encode(), tc.header, io.MultiReader(bytes.NewReader(tc.body))); len(
				a.Failures) > 0 {
				t.Errorf("%s, chunked: %s", name, a.Body)
			}
			same(t, name+", chunked", w.fetch(w.status(m)["original_dump_url"]), tc.body)
		}
	})
}

// key and request are the query's alone: what stands in the body is the dump's (row 4.1).
func TestUpload_parametersInBody(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	contentType, multi := multipartForm(t, "key", m.key, "request", m.params().Get("request"))
	for _, tc := range []struct{ contentType, body string }{{formType, m.params().Encode()}, {contentType, multi}} {
		a := w.send("POST", "upload", http.Header{"Content-Type": {tc.contentType}}, strings.NewReader(tc.body))
		diff(t, tc.contentType, []string{"KEY:MISSING", "REQUEST:MISSING"}, a.reasons())
	}
}

// A later upload replaces an earlier one, also with less (row 4.4), and status describes it (row 4.7).
func TestUpload_replaces(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		m := w.create()
		var etags []string
		for _, name := range []string{"openchs.cdump", "openchs.sql.gz", "openchs.zip", "openchs.sql.gz"} {
			dump := fixtures.Dump(name)
			w.upload(m, dump)
			s := w.status(m)
			resp, got := w.get(s["original_dump_url"].(string))
			same(t, name, got, dump)
			etags = append(etags, resp.Header.Get("ETag"))
			if want := fmt.Sprintf("%.2f Kb", float64(len(dump))/1024); s["filesize"] != want || s["state"] != "draft" {
				t.Errorf("%s: filesize %v, state %v; want %s in draft", name, s["filesize"], s["state"], want)
			}
		}
		for i, a := range etags {
			for _, b := range etags[:i] {
				if a == b {
					t.Errorf("two uploads share the ETag %s, so a resume could mix them", a)
				}
			}
		}
	})
}

// A body with a Content-Range is a part, and never becomes the dump, whatever the range and the method (row 4.8).
func TestUpload_contentRange(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	dump := pattern(1000, 1)
	for _, tc := range []struct {
		contentRange string
		expected     any
	}{
		{"bytes 500-999/1000", 1000.0}, {"bytes 0-999/1000", 1000.0}, {"bytes 500-999/*", nil}, {"bytes */1000", 1000.0},
		{"lines 1-2/3", 3.0}, {"nonsense", nil},
		{"bytes 0-1/99999999999999999999", nil}, {"bytes 0-1/-5", nil},
	} {
		for _, method := range []string{"PUT", "POST"} {
			for name, empty := range map[string]bool{"a draft with a dump": false, "an empty draft": true} {
				m := w.create()
				if !empty {
					w.upload(m, dump)
				}
				resp, body := w.do(method, w.base+"/database/v1/upload?"+m.params().Encode(), http.Header{
					"Content-Range": {tc.contentRange}}, bytes.NewReader(dump[500:]))
				var a struct{ Failures []map[string]any }
				if err := json.Unmarshal(body, &a); err != nil || resp.StatusCode != 200 || len(a.Failures) != 1 {
					t.Fatalf("%s %q on %s: %s %s", method, tc.contentRange, name, resp.Status, body)
				}
				f := a.Failures[0]
				diff(t, method+" "+tc.contentRange, []any{"DUMP:INCOMPLETE", 500.0, tc.expected},
					[]any{f["reason"], f["received"], f["expected_size"]})
				if status := w.status(m); !empty {
					same(t, "the dump from before", w.fetch(status["original_dump_url"]), dump)
				} else if status["filesize"] != nil {
					t.Errorf("the part became a dump of %v", status["filesize"])
				}
			}
		}
	}
	m := w.create()
	a := w.send("POST", "upgrade?"+sample().Encode(), http.Header{"Content-Range": {"bytes 5-9/10"}},
		strings.NewReader("tail "))
	diff(t, "upgrade", []string{"DUMP:INCOMPLETE"}, a.reasons())
	if requests := w.srv.Requests(); requests[len(requests)-1].ID != m.id {
		t.Error("upgrade with a part made a request")
	}
}

// raw speaks to the server where net/http is too polite: request as it stands, then no more, and what comes back.
func (w *wire) raw(request string) (*http.Response, string) {
	w.Helper()
	conn := w.connect()
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		w.Fatal(err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		w.Fatal(err)
	}
	return w.response(bufio.NewReader(conn))
}

func (w *wire) response(r *bufio.Reader) (*http.Response, string) {
	w.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp, string(body)
}

// connect opens a connection to the wire, with TLS where that is its scheme.
func (w *wire) connect() net.Conn {
	w.Helper()
	var conn net.Conn
	var err error
	if strings.HasPrefix(w.base, "https") {
		conn, err = tls.Dial("tcp", w.host(), w.http.Transport.(*http.Transport).TLSClientConfig)
	} else {
		conn, err = net.Dial("tcp", w.host())
	}
	if err != nil {
		w.Fatal(err)
	}
	return conn
}

// Old and odd ways to send a body (rows 4.3, 1.2).
func TestUpload_rawSockets(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		for name, request := range map[string]string{
			"HTTP/1.0":                 "POST %s HTTP/1.0\r\nContent-Length: 10\r\n\r\nSELECT 1;\n",
			"HTTP/1.0 with keep-alive": "POST %s HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 10\r\n\r\nSELECT 1;\n",
			"HTTP/1.1":                 "POST %s HTTP/1.1\r\nHost: upgrade.odoo.com\r\nContent-Length: 10\r\n\r\nSELECT 1;\n",
			"GET with a body":          "GET %s HTTP/1.1\r\nHost: upgrade.odoo.com\r\nContent-Length: 10\r\n\r\nSELECT 1;\n",
			"chunks of one byte": "POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
				strings.Join(chunks("SELECT 1;\n"), "") + "0\r\n\r\n",
			"chunks with extensions": "POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nA;a=b\r\nSELECT " +
				"1;\n\r\n0\r\nTrailer: x\r\n\r\n",
			"absolute URL": "POST http://upgrade.odoo.com%s HTTP/1.1\r\nHost: " +
				"upgrade.odoo.com\r\nContent-Length: 10\r\n\r\nSELECT 1;\n",
			"Expect, and no waiting": "POST %s HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: " +
				"10\r\n\r\nSELECT 1;\n",
			"the type is an empty word": "POST %s HTTP/1.1\r\nHost: h\r\nContent-Type:\r\nContent-Length: 10\r\n\r\nSELECT 1;\n",
		} {
			m := w.create()
			request := fmt.Sprintf(request, "/database/v1/upload?"+m.params().Encode())
			conn := w.connect()
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			resp, body := w.response(r)
			if resp.StatusCode == http.StatusContinue {
				resp, body = w.response(r)
			}
			conn.Close()
			if resp.StatusCode != 200 || body != `{"failures":[]}`+"\n" {
				t.Errorf("%s: %s %s", name, resp.Status, body)
				continue
			}
			same(t, name, w.fetch(w.status(m)["original_dump_url"]), []byte("SELECT 1;\n"))
		}
	})
}

func chunks(s string) (chunks []string) {
	for _, b := range []byte(s) {
		chunks = append(chunks, "1\r\n"+string(b)+"\r\n")
	}
	return chunks
}

// An HTTP/1.0 call without Host gets URLs that lead back to where it called, and form bodies are read there, too.
func TestHTTP10(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		form := sample().Encode()
		resp, body := w.raw(fmt.Sprintf(
			"GET /database/v1/create HTTP/1.0\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(form), form))
		a := decode(t, resp.StatusCode, resp.Header, []byte(body))
		if len(a.Failures) > 0 {
			t.Fatal(body)
		}
		if url := a.Request["status_url"].(string); !strings.HasPrefix(url, w.base+"/database/eu1/") {
			t.Errorf("status_url %s, wanted one below %s", url, w.base)
		}
	})
}

// A client that waits for "100 Continue" is told at once when nobody wants its dump.
func TestUpload_refusedBeforeTheBody(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		conn := w.connect()
		defer conn.Close()
		fmt.Fprintf(conn,
			"POST /database/v1/upload?key=x&request=1 HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "+
				"1000000\r\n\r\n")
		resp, body := w.response(bufio.NewReader(conn))
		if resp.StatusCode != 200 || !strings.Contains(body, "REQUEST:NOT_FOUND") {
			t.Errorf("%s %s", resp.Status, body)
		}
	})
}

// One who sends a dump that nobody wants, and looks for the answer only afterwards, gets to read it.
func TestUpload_refusedAfterTheBody(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		dump := pattern(8<<20, 1)
		for name, path := range map[string]string{
			"upload":  "upload?key=x&request=1",
			"upgrade": "upgrade?" + sample("target", "5.0").Encode(),
			"create":  "create?" + sample("target", "5.0").Encode(), // a dump sent to the wrong method
		} {
			a := w.send("POST", path, http.Header{"Content-Type": {"application/octet-stream"}}, bytes.NewReader(dump))
			if len(a.Failures) != 1 {
				t.Errorf("%s: %s", name, a.Body)
			}
		}
	})
}

// A body that ends early is refused with what arrived, and the dump that was there before stays, whole (row
// 4.5, DUMP:INCOMPLETE).
func TestUpload_incomplete(t *testing.T) {
	t.Parallel()
	const head = "POST %s HTTP/1.1\r\nHost: h\r\n"
	for name, tc := range map[string]struct {
		request            string
		received, expected any
	}{
		"fewer bytes than Content-Length": {head + "Content-Length: 1000\r\n\r\nSELECT 1;\n", 10.0, 1000.0},
		"no byte at all":                  {head + "Content-Length: 1000\r\n\r\n", 0.0, 1000.0},
		"HTTP/1.0":                        {"POST %s HTTP/1.0\r\nContent-Length: 11\r\n\r\nSELECT 1;\n", 10.0, 11.0},
		"no last chunk":                   {head + "Transfer-Encoding: chunked\r\n\r\na\r\nSELECT 1;\n\r\n", 10.0, nil},
		"within a chunk":                  {head + "Transfer-Encoding: chunked\r\n\r\nff\r\nSELECT 1;\n", 10.0, nil},
		"a chunk size that is none": {
			head + "Transfer-Encoding: chunked\r\n\r\na\r\nSELECT 1;\n\r\nxyz\r\nab\r\n0\r\n\r\n", 10.0, nil},
		"a chunk without its end": {head + "Transfer-Encoding: chunked\r\n\r\na\r\nSELECT 1;\nSELECT\r\n0\r\n\r\n",
			10.0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBothWires(t, nil, func(t *testing.T, w *wire) {
				m := w.create()
				for _, before := range [][]byte{nil, fixtures.Dump("openchs.sql")} {
					if before != nil {
						w.upload(m, before)
					}
					want := w.status(m)
					resp, body := w.raw(fmt.Sprintf(tc.request, "/database/v1/upload?"+m.params().Encode()))
					a := decode(t, resp.StatusCode, resp.Header, []byte(body))
					if len(a.Failures) != 1 {
						t.Fatalf("%s", body)
					}
					delete(a.Failures[0], "message")
					diff(t, "failure", map[string]any{"reason": "DUMP:INCOMPLETE", "received": tc.received,
						"expected_size": tc.expected}, a.Failures[0])
					diff(t, "status", want, w.status(m))
					if before != nil {
						same(t, "the earlier dump", w.fetch(want["original_dump_url"]), before)
					}
				}
			})
		})
	}
}

// A client that breaks off without waiting for an answer changes nothing either.
func TestUpload_reset(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	w.upload(m, []byte("SELECT 1;\n"))
	for range 20 {
		conn := w.connect()
		fmt.Fprintf(conn, "POST /database/v1/upload?%s HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n%s",
			m.params().Encode(), pattern(100_000, 1))
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil && !errors.Is(err, syscall.EINVAL) {
			t.Fatal(err)
		}
		conn.Close()
		same(t, "the earlier dump", w.fetch(w.status(m)["original_dump_url"]), []byte("SELECT 1;\n"))
	}
}
