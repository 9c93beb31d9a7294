package mockserver_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// Parameters that are too many, too long or broken get a failure that says what to do, and cost little.
func TestBadInput_parameters(t *testing.T) {
	t.Parallel()
	huge := strings.Repeat("x", 10<<20)
	hugeType, hugeBody := multipartForm(t, "email", "john.doe@example.com", "filename", huge)
	manyType, manyBody := multipartForm(t, strings.Split(strings.Repeat("a,b,", 100_000)[:399_999], ",")...)
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		for name, tc := range map[string]struct {
			contentType, body string
			reason, says      string
		}{
			"10 MB of form":            {formType, "filename=" + huge, "PARAMETERS:TOO_LARGE", "1048576 bytes"},
			"10 MB of multipart":       {hugeType, hugeBody, "PARAMETERS:TOO_LARGE", "1048576 bytes"},
			"100,000 multipart fields": {manyType, manyBody, "PARAMETERS:TOO_LARGE", "1048576 bytes"},
			"10 MB of small parameters": {
				formType, strings.Repeat("a=b&", 10<<20/4), "PARAMETERS:TOO_LARGE", "1048576 bytes",
			},
			"multipart without a boundary": {"multipart/form-data", multiBody, "PARAMETERS:INVALID", "boundary"},
			"multipart cut off": {
				"multipart/form-data; boundary=x", multiBody[:40], "PARAMETERS:INVALID",
				"(multipart/form-data): it ended too early",
			},
			"multipart without an end": {
				"multipart/form-data; boundary=x", strings.TrimSuffix(multiBody, "--x--\r\n"), "PARAMETERS:INVALID",
				"(multipart/form-data): it ended too early",
			},
			"multipart with a bad header": {
				"multipart/form-data; boundary=x", "--x\r\nno header\r\n\r\nv\r\n--x--\r\n", "PARAMETERS:INVALID",
				"a part of it is not well-formed",
			},
			"multipart of another boundary": {
				"multipart/form-data; boundary=y", multiBody, "PARAMETERS:INVALID", "(multipart/form-data): it ended too early",
			},
		} {
			a := w.send("POST", "create?"+sample().Encode(), http.Header{"Content-Type": {tc.contentType}},
				strings.NewReader(tc.body))
			diff(t, name, []string{tc.reason}, a.reasons())
			if len(a.Failures) == 0 {
				continue
			}
			if message := fmt.Sprint(a.Failures[0]["message"]); !strings.Contains(message, tc.says) || len(a.Body) > 1000 {
				t.Errorf("%s: the message does not speak of %q: %.1000s", name, tc.says, a.Body)
			}
		}
		resp, _ := w.get(w.base + "/database/v1/create?filename=" + huge[:2<<20])
		if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("2 MB of query: %s", resp.Status)
		}
		for name, request := range map[string]string{
			"a form shorter than its Content-Length": "POST /database/v1/create HTTP/1.1\r\nHost: h\r\nContent-Type: " +
				formType + "\r\nContent-Length: 1000\r\n\r\ntarget=8.0",
			"a form in broken chunks": "POST /database/v1/create HTTP/1.1\r\nHost: h\r\nContent-Type: " +
				formType + "\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\ntarget=8.0",
		} {
			resp, body := w.raw(request)
			diff(t, name, []string{"PARAMETERS:INVALID"}, decode(t, resp.StatusCode, resp.Header, []byte(body)).reasons())
		}
		w.finish(func() made { m := w.create(); w.upload(m, []byte("x")); return m }()) // and it goes on
	})
}

// What the journal remembers of a call is bounded, whatever the call brought.
func TestBadInput_journal(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	var form strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&form, "%s%d=%s&", strings.Repeat("n", 20), i, "v")
	}
	form.WriteString(strings.Repeat("m", 100_000) + "=" + strings.Repeat("v", 100_000))
	w.send("POST", "status", http.Header{"Content-Type": {formType}, "User-Agent": {strings.Repeat("u", 100_000)}},
		strings.NewReader(form.String()))
	w.get(w.base + "/" + strings.Repeat("p", 100_000))
	events := w.srv.Events(journal.Filter{})
	if len(events) != 2 {
		t.Fatalf("%d events", len(events))
	}
	for _, e := range events {
		size := len(e.Path) + len(e.Agent) + len(e.Method)
		for name, value := range e.Params {
			size += len(name) + len(value)
		}
		if size > 30_000 {
			t.Errorf("%d bytes of a call to %.50s are remembered", size, e.Path)
		}
	}
}

// 100,000 ssh keys, and as many lines that are none.
func TestBadInput_sshKeys(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	keys := func(n int) string {
		var b strings.Builder
		var point [ed25519.PublicKeySize]byte
		for i := range n {
			binary.BigEndian.PutUint64(point[:], uint64(i))
			key, err := gossh.NewPublicKey(ed25519.PublicKey(point[:]))
			if err != nil {
				t.Fatal(err)
			}
			b.Write(gossh.MarshalAuthorizedKey(key))
		}
		return b.String()
	}
	send := func(file string) answer {
		t.Helper()
		contentType, body := multipartForm(t, "@ssh_keys", file)
		return w.send("POST", "request_sftp_access?"+m.params().Encode(), http.Header{"Content-Type": {contentType}},
			strings.NewReader(body))
	}
	diff(t, "100,000 keys", []string{"PARAMETERS:TOO_LARGE"}, send(keys(100_000)).reasons())
	diff(t, "2,000 keys", []string{"SSH_KEYS:INVALID"}, send(keys(2000)).reasons())
	diff(t, "100,000 times one key", []string{}, send(strings.Repeat("\n", 900_000)+keys(1)).reasons())
	a := send(strings.Repeat("nonsense\n", 100_000))
	if len(a.Failures) == 0 || len(a.Failures) > 50 || len(a.Body) > 20_000 {
		t.Errorf("100,000 lines of nonsense: %d failures in %d bytes", len(a.Failures), len(a.Body))
	}
	diff(t, "1,000 keys", []string{}, send(keys(999)+publicKey("rsa")).reasons())
	w.login(m, "rsa")
}

// Names that lead elsewhere, as parameters, in URLs and over SFTP, open nothing: nothing appears beside what is
// the server's own.
func TestBadInput_paths(t *testing.T) {
	t.Parallel()
	around := t.TempDir()
	w := onWire(t, &mockserver.Options{DataDir: filepath.Join(around, "data")})
	for _, name := range []string{"../x", "..", "/etc/passwd", `..\x`, "a\x00b", "%2e%2e%2fx/..", "\u202e/../x"} {
		diff(t, name, []string{"FILENAME:INVALID"}, w.call("create", sample("filename", name)).reasons())
	}
	m := w.create("filename", "..%2fetc%2fpasswd")
	w.upload(m, []byte("x"))
	w.grant(m, "rsa")
	w.put(w.login(m, "rsa"), "/..%2fetc%2fpasswd", []byte("y"))
	for _, path := range []string{
		"/../../../../etc/passwd", "/database/eu1/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd",
		"/database/eu1/%00/%00/original/archive",
		"/_mock/../etc/passwd", "//etc/passwd", "/requests.db", "/dumps/1",
	} {
		resp, body := w.raw("GET " + path + " HTTP/1.0\r\n\r\n")
		if resp.StatusCode != http.StatusNotFound || strings.Contains(body, "root:") {
			t.Errorf("GET %s: %s\n%.200s", path, resp.Status, body)
		}
	}
	entries, err := os.ReadDir(around)
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the data directory: %v, %v", entries, err)
	}
	err = filepath.WalkDir(filepath.Join(around, "data"), func(path string, _ os.DirEntry, err error) error {
		if strings.Contains(path, "passwd") {
			t.Errorf("a client's name became the file %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Where the server cannot be, it says why and what to do, and leaves nothing behind.
func TestBadInput_startingUp(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	port := taken.Addr().String()
	notADir := file(t, "file", []byte("x"))
	inUse := t.TempDir()
	mockservertest.New(t, &mockserver.Options{DataDir: inUse})
	for name, tc := range map[string]struct {
		opts mockserver.Options
		says []string
	}{
		"HTTP port in use": {
			mockserver.Options{HTTPAddr: port}, []string{"HTTP", port, "address already in use", "port 0"},
		},
		"HTTPS port in use":    {mockserver.Options{HTTPSAddr: port}, []string{"HTTPS", port, "port 0"}},
		"SFTP port in use":     {mockserver.Options{SFTPAddr: port}, []string{"SFTP", port, "port 0"}},
		"no such address":      {mockserver.Options{HTTPAddr: "nonsense"}, []string{"HTTP", "nonsense"}},
		"data is a file":       {mockserver.Options{DataDir: notADir}, []string{notADir}},
		"data is below a file": {mockserver.Options{DataDir: filepath.Join(notADir, "data")}, []string{notADir}},
		"data is in use":       {mockserver.Options{DataDir: inUse}, []string{inUse, "another"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, err := mockserver.New(&tc.opts)
			if err == nil {
				err = srv.Start()
				if closing := srv.Close(); closing != nil {
					t.Errorf("Close: %v", closing)
				}
			}
			if err == nil {
				t.Fatal("it started")
			}
			for _, want := range tc.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

// A panic, here of a hook, becomes a SERVER:ERROR for the one call and nothing else; no word of it reaches the
// client.
func TestBadInput_panic(t *testing.T) {
	t.Parallel()
	onBothWires(t, &mockserver.Options{
		BeforeProcess: func(int64) { panic("secret of the handler") },
		OnUpload:      func(int64) { panic("secret of the handler") },
	}, func(t *testing.T, w *wire) {
		m := w.create()
		a := w.send("POST", "upload?"+m.params().Encode(), nil, strings.NewReader("SELECT 1;\n"))
		diff(t, "upload", []string{"SERVER:ERROR"}, a.reasons())
		for range 3 {
			b := w.call("process", m.params())
			diff(t, "process", []string{"SERVER:ERROR"}, b.reasons())
			a.Body += b.Body
		}
		if strings.Contains(a.Body, "secret") || strings.Contains(a.Body, ".go:") {
			t.Errorf("the client is told of the panic: %s", a.Body)
		}
		if s := w.status(m); s["state"] != "draft" {
			t.Errorf("state %v", s["state"])
		}
	})
}
