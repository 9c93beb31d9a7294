package recording_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"

	"github.com/upgrademock/upgrademock/internal/recording"
	"github.com/upgrademock/upgrademock/internal/retrace"
)

// record starts a recorder before a platform, and returns its URL, and what was recorded when all is over.
func record(t *testing.T, platform http.HandlerFunc) (base string, done func() string) {
	t.Helper()
	upstream := httptest.NewServer(platform)
	t.Cleanup(upstream.Close)
	u, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	out, err := recording.NewWriter(&text, recording.Heading{Upstream: upstream.URL})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	recorder := recording.NewRecorder(u, transport, out, slog.New(slog.DiscardHandler))
	front := httptest.NewServer(recorder)
	t.Cleanup(front.Close)
	return front.URL, func() string {
		front.Close()
		recorder.Wait()
		return text.String()
	}
}

const secret = "i9t-mjvxEPA7YxU5ve_CdA=="

// TestRecorder: what went over the wire is in the recording, without keys, and makes a scenario.
func TestRecorder(t *testing.T) {
	t.Parallel()
	dump := bytes.Repeat([]byte("customer data"), 100_000)
	polls := 0
	base, done := record(t, func(w http.ResponseWriter, r *http.Request) {
		switch _, method, _ := strings.Cut(r.URL.Path, "/database/v1/"); method {
		case "create":
			fmt.Fprintf(w, `{"failures": [], "request": {"id": 7, "key": "%s", "state": "draft"}}`, secret)
		case "upload":
			if got, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(got, dump) {
				t.Errorf("the dump arrived with %d bytes: %v", len(got), err)
			}
			io.WriteString(w, `{"failures": []}`)
		case "status":
			polls++
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("X-Other", "secret header")
			z := gzip.NewWriter(w)
			fmt.Fprintf(z, `{"failures": [], "request": {"id": 7, "key": "%s", "state": "state%d"}}`, secret, polls)
			z.Close()
		default:
			w.Write(dump)
		}
	})
	get := func(path string, body io.Reader) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+path, body)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer secret header")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	call := "?request=7&key=" + url.QueryEscape(secret)
	if got := get("/database/v1/create?contract=M1-a&ssh_keys=ssh-ed25519+AAAAC3", nil); !strings.Contains(got, secret) {
		t.Errorf("the client got %s", got)
	}
	get("/database/v1/upload"+call, bytes.NewReader(dump))
	get("/database/v1/status"+call, nil)
	get("/database/v1/status"+call, nil)
	if got := get("/database/eu1/7/"+secret+"/upgraded/archive", nil); got != string(dump) {
		t.Errorf("the client got %d bytes", len(got))
	}
	text := done()
	sum := sha256.Sum256(dump)
	if strings.Count(text, hex.EncodeToString(sum[:])) != 2 {
		t.Errorf("the dump's checksum is not there twice:\n%s", text)
	}
	for _, not := range []string{secret, url.QueryEscape(secret), "mjvxEPA7", "customer data", "secret header"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is in the recording:\n%s", not, text)
		}
	}
	c := retrace.New("", nil)
	read, err := recording.Read(strings.NewReader(text), c)
	if err != nil || read.Form != recording.Own || read.Entries != 5 || read.Calls != 5 || read.Cut != "" {
		t.Fatalf("%+v, %v", read, err)
	}
	made, err := c.Script("7", retrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if steps := made.Scenario.Steps; len(steps) < 2 || steps[0].State != "state1" || steps[1].State != "state2" {
		t.Errorf("%s", made.YAML)
	}
}

// TestRecorder_breaks: a connection that breaks off does so for the client, too, and is recorded as it was.
func TestRecorder_breaks(t *testing.T) {
	t.Parallel()
	hangUp := func(w http.ResponseWriter, reset bool) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		if reset {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
	for name, tc := range map[string]struct {
		platform http.HandlerFunc
		broken   string
		status   int
		client   error // what the client sees
	}{
		"reset": {func(w http.ResponseWriter, _ *http.Request) { hangUp(w, true) }, retrace.BrokenReset, 0,
			syscall.ECONNRESET},
		"closed": {func(w http.ResponseWriter, _ *http.Request) { hangUp(w, false) }, retrace.BrokenClosed, 0, io.EOF},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"failures": [`)
			http.NewResponseController(w).Flush()
			hangUp(w, false)
		}, retrace.BrokenClosed, 200, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base, done := record(t, tc.platform)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/database/v1/status?request=7", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, tc.client) {
				t.Errorf("the client saw %v, wanted %v", err, tc.client)
			}
			text := done()
			for _, want := range []string{`"broken":"` + tc.broken + `"`, fmt.Sprintf(`"status":%d`, tc.status)} {
				if !strings.Contains(text, want) {
					t.Errorf("%s is not in\n%s", want, text)
				}
			}
		})
	}
}
