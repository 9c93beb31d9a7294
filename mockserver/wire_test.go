package mockserver_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// wire is how a test talks to a running emulator: over one scheme, with every answer held against the envelope
// of rows 1.6 to 1.10.
type wire struct {
	testing.TB
	srv        *mockserver.Server
	base       string // http://… or https://…
	httpsBase  string // https://… of a child
	sftpAddr   string
	knownHosts string // a file
	caFile     string
	http       *http.Client
	sessions   *sync.Map // of *sftp.Client to the net.Conn beneath
}

// newServer starts an emulator for a test that makes wrong calls, and does what no good client does.
func newServer(tb testing.TB, opts *mockserver.Options) *mockserver.Server {
	tb.Helper()
	return mockservertest.New(tb, opts, mockservertest.AllowUnknownCalls, mockservertest.AllowUnmetExpectations)
}

// onWire starts an emulator and talks to it over plain HTTP.
func onWire(tb testing.TB, opts *mockserver.Options) *wire {
	tb.Helper()
	srv := newServer(tb, opts)
	return newWire(tb, srv.URL(), srv)
}

// onBothWires runs a test over HTTP and over HTTPS, each with an emulator of its own.
func onBothWires(t *testing.T, opts *mockserver.Options, test func(*testing.T, *wire)) {
	t.Helper()
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			srv := newServer(t, opts)
			base := srv.URL()
			if scheme == "https" {
				base = srv.HTTPSURL()
			}
			test(t, newWire(t, base, srv))
		})
	}
}

func newWire(tb testing.TB, base string, srv *mockserver.Server) *wire {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: srv.CertPool()}}
	tb.Cleanup(transport.CloseIdleConnections)
	return &wire{
		TB: tb, srv: srv, base: base, sftpAddr: srv.SFTPAddr(), knownHosts: srv.KnownHostsFile(), caFile: srv.CAFile(),
		sessions: new(sync.Map),
		http: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
	}
}

// with is the same wire in another test.
func (w *wire) with(tb testing.TB) *wire {
	c := *w
	c.TB = tb
	return &c
}

// answer is what an API call was answered.
type answer struct {
	Status   int
	Header   http.Header
	Body     string
	Failures []map[string]any
	Request  map[string]any // nil: the answer has no such key
}

// reasons are the reasons of all failures, in their order.
func (a answer) reasons() []string {
	reasons := []string{}
	for _, f := range a.Failures {
		reasons = append(reasons, f["reason"].(string))
	}
	return reasons
}

// do sends a request and returns the whole response, whatever it is.
func (w *wire) do(method, url string, header http.Header, body io.Reader) (*http.Response, []byte) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, url, body)
	if err != nil {
		w.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := w.http.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatalf("%s %s: %v", method, url, err)
	}
	return resp, data
}

// send makes an API call any way the test likes; path begins behind /database/v1/ and may have a query.
func (w *wire) send(method, path string, header http.Header, body io.Reader) answer {
	w.Helper()
	resp, data := w.do(method, w.base+"/database/v1/"+path, header, body)
	return decode(w, resp.StatusCode, resp.Header, data)
}

// call makes an API call as the page's samples do: parameters in the query.
func (w *wire) call(name string, params url.Values) answer {
	w.Helper()
	return w.send("GET", name+"?"+params.Encode(), nil, nil)
}

// good is call where nothing may fail.
func (w *wire) good(name string, params url.Values) answer {
	w.Helper()
	a := w.call(name, params)
	if len(a.Failures) > 0 {
		w.Fatalf("%s: %s", name, a.Body)
	}
	return a
}

// decode holds an answer against what all answers have in common.
func decode(tb testing.TB, status int, header http.Header, body []byte) answer {
	tb.Helper()
	a := answer{Status: status, Header: header, Body: string(body)}
	if mediaType, _, _ := mime.ParseMediaType(header.Get("Content-Type")); mediaType != "application/json" {
		tb.Fatalf("status %d, Content-Type %q, wanted application/json:\n%s", status, header.Get("Content-Type"), body)
	}
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(body, &envelope); err != nil {
		tb.Fatalf("the answer is no JSON object: %v\n%s", err, body)
	}
	failures, ok := envelope["failures"]
	if !ok || !bytes.HasPrefix(failures, []byte("[")) {
		tb.Fatalf("the answer has no list of failures:\n%s", body)
	}
	if err := json.Unmarshal(failures, &a.Failures); err != nil {
		tb.Fatalf("failures: %v\n%s", err, body)
	}
	for _, f := range a.Failures {
		for _, key := range []string{"reason", "message"} {
			if text, ok := f[key].(string); !ok || text == "" {
				tb.Errorf("a failure without a string %s:\n%s", key, body)
			}
		}
	}
	if request, ok := envelope["request"]; ok {
		if err := json.Unmarshal(request, &a.Request); err != nil || a.Request == nil {
			tb.Errorf("request is no object (%v):\n%s", err, body)
		}
		if len(a.Failures) > 0 {
			tb.Errorf("failures and a request in one answer:\n%s", body)
		}
	}
	return a
}

// pairs makes parameters of names and values in turn.
func pairs(namesAndValues ...string) url.Values {
	v := make(url.Values)
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		v.Set(namesAndValues[i], namesAndValues[i+1])
	}
	return v
}

// sample are the parameters of the page's create sample, changed by names and values; a value "-" takes the
// parameter out.
func sample(namesAndValues ...string) url.Values {
	v := pairs("contract", "M123456-abcdef", "email", "john.doe@example.com", "target", "8.0", "aim", "test", "filename",
		"db_name.dump")
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] == "-" {
			v.Del(namesAndValues[i])
		} else {
			v.Set(namesAndValues[i], namesAndValues[i+1])
		}
	}
	return v
}

// sampleTime is created_at of the page's sample.
var sampleTime = time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)

// made is a request that create made.
type made struct {
	id  int64
	key string
}

func (m made) params(more ...string) url.Values {
	v := pairs(more...)
	v.Set("request", strconv.FormatInt(m.id, 10))
	v.Set("key", m.key)
	return v
}

func (m made) user() string { return "user_" + strconv.FormatInt(m.id, 10) }

func madeOf(tb testing.TB, a answer) made {
	tb.Helper()
	id, isNumber := a.Request["id"].(float64)
	key, isString := a.Request["key"].(string)
	if !isNumber || !isString {
		tb.Fatalf("no id and key:\n%s", a.Body)
	}
	return made{int64(id), key}
}

// create makes a request from the sample's parameters, changed as sample does.
func (w *wire) create(namesAndValues ...string) made {
	w.Helper()
	return madeOf(w, w.good("create", sample(namesAndValues...)))
}

// upload sends a dump, which must be taken.
func (w *wire) upload(m made, dump []byte) {
	w.Helper()
	a := w.send("POST", "upload?"+m.params().Encode(), http.Header{"Content-Type": {"application/octet-stream"}},
		bytes.NewReader(dump))
	if len(a.Failures) > 0 {
		w.Fatalf("upload: %s", a.Body)
	}
}

// status polls once.
func (w *wire) status(m made) map[string]any {
	w.Helper()
	return w.good("status", m.params()).Request
}

// finish has the request processed, and polls until it is done.
func (w *wire) finish(m made) map[string]any {
	w.Helper()
	w.good("process", m.params())
	return w.await(m, "done")
}

// await polls until the request is in that state; the default script needs three polls.
func (w *wire) await(m made, state string) map[string]any {
	w.Helper()
	var last any
	for range 5 {
		request := w.status(m)
		if last = request["state"]; last == state {
			return request
		}
	}
	w.Fatalf("after 5 polls the state is %v, not %s", last, state)
	return nil
}

// get fetches a URL of an answer.
func (w *wire) get(url string, header ...string) (*http.Response, []byte) {
	w.Helper()
	h := make(http.Header)
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return w.do("GET", url, h, nil)
}

// fetch is get where nothing may go wrong.
func (w *wire) fetch(url any) []byte {
	w.Helper()
	resp, data := w.get(url.(string))
	if resp.StatusCode != http.StatusOK {
		w.Fatalf("GET %s: %s", url, resp.Status)
	}
	return data
}

// grant opens the SFTP share for a fixture's key.
func (w *wire) grant(m made, key string) answer {
	w.Helper()
	return w.good("request_sftp_access", m.params("ssh_keys", string(fixtures.PublicKey(key))))
}

// dial logs in to the SFTP server. The error is the login's.
func (w *wire) dial(m made, key string) (*sftp.Client, error) {
	w.Helper()
	signer, err := gossh.ParsePrivateKey(fixtures.Key(key))
	if err != nil {
		w.Fatal(err)
	}
	check, err := knownhosts.New(w.knownHosts)
	if err != nil {
		w.Fatal(err)
	}
	network, err := net.Dial("tcp", w.sftpAddr)
	if err != nil {
		return nil, err
	}
	w.Cleanup(func() { network.Close() })
	conn, channels, requests, err := gossh.NewClientConn(network, w.sftpAddr, &gossh.ClientConfig{
		User: m.user(), Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}, HostKeyCallback: check,
		HostKeyAlgorithms: []string{gossh.KeyAlgoECDSA256},
	})
	if err != nil {
		return nil, err
	}
	client, err := sftp.NewClient(gossh.NewClient(conn, channels, requests))
	if err != nil {
		return nil, err
	}
	w.Cleanup(func() { client.Close() })
	w.sessions.Store(client, network)
	return client, nil
}

// login is dial where the login must succeed.
func (w *wire) login(m made, key string) *sftp.Client {
	w.Helper()
	client, err := w.dial(m, key)
	if err != nil {
		w.Fatalf("login as %s: %v", m.user(), err)
	}
	return client
}

// put writes a whole file over SFTP and closes it.
func (w *wire) put(client *sftp.Client, name string, data []byte) {
	w.Helper()
	f, err := client.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		w.Fatal(err)
	}
	if err := f.Close(); err != nil {
		w.Fatal(err)
	}
}

// slurp reads a whole file over SFTP.
func (w *wire) slurp(client *sftp.Client, name string) []byte {
	w.Helper()
	f, err := client.Open(name)
	if err != nil {
		w.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		w.Fatal(err)
	}
	return data
}

// same compares bytes of which nobody wants to see a megabyte.
func same(tb testing.TB, what string, got, want []byte) {
	tb.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	tb.Errorf("%s: %d bytes that differ at %d, wanted %d bytes", what, len(got), at, len(want))
}

// pattern makes n bytes of which no stretch looks like another, the same for each seed.
func pattern(n int, seed uint64) []byte {
	b := make([]byte, n)
	x := seed*0x9E3779B97F4A7C15 + 1
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return b
}

// diff reports what two values differ in.
func diff(tb testing.TB, what string, want, got any) {
	tb.Helper()
	if d := cmp.Diff(want, got); d != "" {
		tb.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// file writes a file of the test's own.
func file(tb testing.TB, name string, data []byte) string {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}

// direct calls the handler without a network: for the fuzzers.
func direct(tb testing.TB, h http.Handler, method, target, contentType string, body []byte) (int, http.Header, []byte) {
	tb.Helper()
	r := httptest.NewRequest(method, "http://upgrade.example"+target, bytes.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec.Code, rec.Result().Header, rec.Body.Bytes()
}

// host is the host of the wire's base URL, with its port.
func (w *wire) host() string {
	_, host, _ := strings.Cut(w.base, "://")
	return host
}

// cut ends a session as a lost network does: the client never says goodbye.
func (w *wire) cut(c *sftp.Client) {
	w.Helper()
	network, ok := w.sessions.Load(c)
	if !ok {
		w.Fatal("not a session of this wire")
	}
	network.(net.Conn).Close()
}

// settled asks for the shared file's size until it is what is wanted, since the server learns of a cut on its
// own time, and returns what it was at last.
func (w *wire) settled(c *sftp.Client, want int64) (size int64) {
	w.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for time.Now().Before(deadline) {
		entries, err := c.ReadDir("/")
		if err != nil || len(entries) != 1 {
			w.Fatal(entries, err)
		}
		if size = entries[0].Size(); size == want {
			break
		}
	}
	return size
}
