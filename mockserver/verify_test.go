package mockserver_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// verdictOn is what Judge says of one expectation.
func verdictOn(tb testing.TB, srv *mockserver.Server, script, expect string, run *mockserver.Run) mockserver.Outcome {
	tb.Helper()
	for _, v := range srv.Judge(journal.Filter{}, run) {
		if v.Scenario == script && v.Expect == expect {
			return v
		}
	}
	tb.Fatalf("no verdict on %s of %s", expect, script)
	return mockserver.Outcome{}
}

// What a client was told is compared with what the platform got, by whoever knows; over HTTPS and over SFTP, at
// the moment of process.
func TestJudge_whatThePlatformGot(t *testing.T) {
	t.Parallel()
	told := []byte("-- PostgreSQL database dump\n")
	dump := filepath.Join(t.TempDir(), "db_name.dump")
	if err := os.WriteFile(dump, told, 0o600); err != nil {
		t.Fatal(err)
	}
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t, "name: got\nexpect: {dump: intact, params: as told}\n")})
	run := &mockserver.Run{Dump: dump, Params: map[string]string{"aim": "production"}}

	m := w.create("aim", "test")
	w.upload(m, []byte("SELECT 1;"))
	if v := verdictOn(t, w.srv, "got", "dump", run); v.Verdict != mockserver.Pass {
		t.Errorf("nothing is processed yet, and the dump may be replaced: %+v", v)
	}
	w.upload(m, told)
	w.good("process", m.params())
	if v := verdictOn(t, w.srv, "got", "dump", run); v.Verdict != mockserver.Pass || v.Saw != "the dump, byte for byte" {
		t.Errorf("the dump as told: %+v", v)
	}
	if v := verdictOn(t, w.srv, "got", "params", run); v.Verdict != mockserver.Fail ||
		!strings.Contains(v.Saw, `aim "test" in place of "production"`) {
		t.Errorf("another aim than told: %+v", v)
	}
	if v := verdictOn(t, w.srv, "got", "dump", nil); v.Verdict != mockserver.Unjudged {
		t.Errorf("nobody says what the client was told: %+v", v)
	}

	other := w.create()
	w.grant(other, "ed25519")
	client := w.login(other, "ed25519")
	w.put(client, "db_name.dump", told[:20])
	w.good("process", other.params())
	if v := verdictOn(t, w.srv, "got", "dump", run); v.Verdict != mockserver.Fail ||
		!strings.Contains(v.Saw, "only the first 20 of the 28 bytes") {
		t.Errorf("a part over SFTP: %+v", v)
	}
}

// A value that keeps a scenario from being chosen is named all the same.
func TestJudge_anotherValueThanTheScenarioIsFor(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t, "name: live\nwhen: {aim: production}\nexpect: {params: as told}\n")})
	w.create("aim", "test")
	v := verdictOn(t, w.srv, "live", "params", &mockserver.Run{Params: map[string]string{"aim": "production"}})
	if v.Verdict != mockserver.Fail || !strings.Contains(v.Saw, `aim "test" in place of "production"`) {
		t.Errorf("%+v", v)
	}
}

// A call for no request belongs to the scenario of the create before it, if there was one: who only looks
// whether the platform is there has done no harm.
func TestJudge_strays(t *testing.T) {
	t.Parallel()
	const expect = "expect: {requests: known}\n"
	w := onWire(t, &mockserver.Options{Scenarios: append(
		scripted(t,
			"name: refused\nwhen: {contract: \"MBAD*\"}\nfaults: [{on: create, failure: {reason: \"CONTRACT:NOT_FOUND\", "+
				"message: no}}]\n"+expect),
		scripted(t, "name: other\n"+expect)...)})
	w.call("status", nil)
	w.create()
	w.call("create", url.Values{"contract": {"MBAD-1"}})
	w.call("process", url.Values{"request": {"None"}, "key": {"None"}})
	if v := verdictOn(t, w.srv, "refused", "requests", nil); v.Verdict != mockserver.Fail ||
		!strings.HasPrefix(v.Saw, `process with request "None"`) || !strings.Contains(v.Saw, "(1 such calls)") {
		t.Errorf("after the refusal: %+v", v)
	}
	if v := verdictOn(t, w.srv, "other", "requests", nil); v.Verdict != mockserver.Pass {
		t.Errorf("the other scenario: %+v", v)
	}
}

// The journal says which headers carry the key, and what an answer asked for.
func TestJournal_headers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, header string
		value        func(key string) string
		want         string
	}{
		{"User-Agent", "User-Agent", func(key string) string { return "client/1.0 " + key }, "User-Agent"},
		{"without padding", "X-Key", func(key string) string { return strings.TrimRight(key, "=") }, "X-Key"},
		{"escaped", "Referer", func(key string) string { return "http://x/?key=" + url.QueryEscape(key) }, "Referer"},
		{"Basic", "Authorization", func(key string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+key))
		}, "Authorization"},
		{"none", "X-Other", func(string) string { return "value" }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, nil)
			m := w.create()
			w.send("GET", "status?"+m.params().Encode(), http.Header{tc.header: {tc.value(m.key)}}, nil)
			events := w.srv.Events(journal.Filter{On: scenario.OnStatus})
			if len(events) != 1 || events[0].KeyIn != tc.want {
				t.Errorf("%+v, want the key in %q", events, tc.want)
			}
		})
	}
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t, "faults: [{on: status, http: {status: 503, headers: {Retry-After: 7}}}]\n")})
	w.do("GET", w.srv.URL()+"/database/v1/status?"+w.create().params().Encode(), nil, nil)
	if events := w.srv.Events(journal.Filter{On: scenario.OnStatus}); len(events) != 1 ||
		events[0].RetryAfter != 7*time.Second {
		t.Errorf("%+v, want 7s", events)
	}
}
