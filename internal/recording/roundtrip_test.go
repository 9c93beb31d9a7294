package recording_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/recording"
	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/internal/testclient"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// TestRecorder_roundTrip: under the scenario that is made of a recording, the same client gets the same answers at the
// same calls as when it was recorded; for every built-in scenario whose faults HTTP calls show.
func TestRecorder_roundTrip(t *testing.T) {
	t.Parallel()
	skip := func(i int, script *scenario.Scenario) bool {
		return testprog.Sample() && i%6 != 0 || beyondHTTP(script)
	}
	testclient.Builtins(t, skip, func(t *testing.T, script *scenario.Scenario, run testclient.Run) {
		var text bytes.Buffer
		var finish func()
		front := func(base string, trusted *x509.CertPool) (string, *x509.CertPool) {
			front, done := recordTLS(t, base, trusted, &text)
			finish = done
			pool := x509.NewCertPool()
			pool.AddCert(front.Certificate())
			return front.URL, pool
		}
		first := run(t, script, front)
		finish()
		c := retrace.New("", nil)
		read, err := recording.Read(&text, c)
		if err != nil || read.Calls != read.Entries {
			t.Fatalf("%+v, %v", read, err)
		}
		made, err := c.Script("", retrace.Options{Polls: true}) // the clock of the run is not that of the recording
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range scenario.Warnings(script.Name, made.YAML) {
			t.Error(w)
		}
		second := run(t, made.Scenario, nil)
		if diff := cmp.Diff(answered(first), answered(second)); diff != "" {
			t.Errorf("(-first +second):\n%s\n%s", diff, made.YAML)
		}
	})
}

// beyondHTTP reports whether something happens in a scenario that a recording of HTTP does not show as it was.
func beyondHTTP(script *scenario.Scenario) bool {
	return script.Upgraded.Missing.Archive || slices.ContainsFunc(script.Faults, func(f scenario.Fault) bool {
		return strings.HasPrefix(f.On, "sftp.") || strings.HasPrefix(f.On, "rsync.")
	})
}

// recordTLS starts a recorder before an HTTPS server.
func recordTLS(t *testing.T, base string, trusted *x509.CertPool, into *bytes.Buffer) (*httptest.Server, func()) {
	upstream, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	out, err := recording.NewWriter(into, recording.Heading{Upstream: base})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true,
		TLSClientConfig: &tls.Config{RootCAs: trusted, MinVersion: tls.VersionTLS12}}
	recorder := recording.NewRecorder(upstream, transport, out, slog.New(slog.DiscardHandler))
	front := httptest.NewTLSServer(recorder)
	t.Cleanup(front.Close)
	recorder.Serves(front.Listener.Addr().String())
	return front, func() {
		front.Close()
		recorder.Wait()
		if hosts := recorder.Uncalled(); len(hosts) > 0 {
			t.Errorf("no call came for %q", hosts)
		}
	}
}

// answered is what a client was answered, in its order for each call.
func answered(events []journal.Event) map[string][]string {
	calls := map[string][]string{}
	for _, e := range events {
		switch {
		case e.On == journal.OnState, strings.HasPrefix(e.On, "sftp."), strings.HasPrefix(e.On, "rsync."):
			continue
		}
		text := fmt.Sprintf("%d %v", e.Status, e.Failures)
		if e.On == scenario.OnStatus || e.On == scenario.OnScriptStatus {
			text += " " + e.State
		}
		if e.RetryAfter > 0 {
			text += " retry after " + e.RetryAfter.String()
		}
		for _, action := range []string{"reset", "cut", "truncate", "garbage"} {
			if strings.Contains(e.Fault, " "+action) {
				text = action
			}
		}
		calls[e.On] = append(calls[e.On], text)
	}
	return calls
}

// polls are what the status calls of a recording were answered, by their times.
type polls map[time.Time]string

func (p polls) Event(*journal.Event) {}

func (p polls) Exchange(e *retrace.Exchange) bool {
	at := retrace.Locate(e)
	if at.On != scenario.OnStatus && at.On != scenario.OnScriptStatus || e.Method == http.MethodOptions {
		return at.On != ""
	}
	var answer struct {
		Request struct{ State string }
		Result  struct{ Status string }
	}
	if err := json.Unmarshal(e.Body, &answer); err != nil && e.Status == http.StatusOK {
		return true // it broke off, or is no JSON
	}
	p[e.At] = fmt.Sprintf("%d %s%s", e.Status, answer.Request.State, answer.Result.Status)
	return true
}

// TestRead_harAgain: under the scenario that is made of a HAR file, a client is answered as it was when that was made.
func TestRead_harAgain(t *testing.T) {
	t.Parallel()
	for file, most := range map[string]int{ // so many polls can be compared
		"mitmdump8.har": 6, "playwright.har": 6, "chrome-har-capturer.har": 6, "firefox.har": 5, "mitmproxy.har": 6,
	} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			answers := polls{}
			c := retrace.New("", nil)
			for _, into := range []recording.Sink{answers, c} {
				if _, err := recording.Read(bytes.NewReader(text), into); err != nil {
					t.Fatal(err)
				}
			}
			made, err := c.Script("", retrace.Options{Polls: true})
			if err != nil {
				t.Fatal(err)
			}
			var want, got []string
			for _, at := range slices.SortedFunc(maps.Keys(answers), time.Time.Compare) {
				want = append(want, answers[at])
			}
			for _, e := range testclient.Drive(t, made.Scenario) {
				if e.On == scenario.OnStatus || e.On == scenario.OnScriptStatus {
					got = append(got, fmt.Sprintf("%d %s", e.Status, e.State))
				}
			}
			if len(got) < most || len(want) < most {
				t.Fatalf("%q, and in the file %q", got, want)
			}
			if diff := cmp.Diff(want[:most], got[:most]); diff != "" {
				t.Errorf("(-in the file +now):\n%s\n%s", diff, made.YAML)
			}
		})
	}
}
