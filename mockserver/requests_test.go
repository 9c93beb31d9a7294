package mockserver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
)

// keyed are the methods that need a request and its key, besides the raw ones.
var keyed = []string{"upload", "request_sftp_access", "process", "status", "skip_test"}

// A call without key or request says so, all at once (docs/fidelity.md, section 2).
func TestRequest_missing(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Edition: mockserver.Edition13})
	m := w.create("target", "13.0")
	missing := func(names ...string) (want []map[string]any) {
		for _, name := range names {
			want = append(want, map[string]any{"reason": strings.ToUpper(name) + ":MISSING", "message": `Missing parameter "` +
				name + `"`})
		}
		return want
	}
	for _, name := range keyed {
		var more []string
		if name == "request_sftp_access" {
			more = []string{"ssh_keys"}
		}
		key, request := m.params(), m.params()
		key.Del("request")
		request.Del("key")
		empty := m.params()
		empty.Set("key", "")
		diff(t, name+" without anything", missing(append([]string{"key", "request"}, more...)...), w.call(name, nil).Failures)
		diff(t, name+" without request", missing(append([]string{"request"}, more...)...), w.call(name, key).Failures)
		diff(t, name+" without key", missing(append([]string{"key"}, more...)...), w.call(name, request).Failures)
		diff(t, name+" with an empty key", missing(append([]string{"key"}, more...)...), w.call(name, empty).Failures)
	}
}

// A wrong key and an unknown id get the same answer, but for the id, in every method and at every URL
// (docs/fidelity.md, section 2, 8.1).
func TestRequest_notFound(t *testing.T) {
	t.Parallel()
	onBothWires(t, &mockserver.Options{Edition: mockserver.Edition13}, func(t *testing.T, w *wire) {
		m, other := w.create("target", "13.0"), w.create("target", "13.0")
		strangers := map[string]made{
			"unknown id":          {id: m.id + 1000, key: m.key},
			"another's key":       {id: m.id, key: other.key},
			"no key of anybody":   {id: m.id, key: "AAAAAAAAAAAAAAAAAAAAAA=="},
			"a shorter key":       {id: m.id, key: m.key[:23]},
			"a longer key":        {id: m.id, key: m.key + "="},
			"other case":          {id: m.id, key: swapCase(m.key)},
			"not in the alphabet": {id: m.id, key: "\x00../\u2028"},
			"negative id":         {id: -m.id, key: m.key},
		}
		for name, stranger := range strangers {
			for _, method := range append(keyed, "upload") {
				params := stranger.params("ssh_keys", publicKey("ed25519"))
				a := w.call(method, params)
				id := params.Get("request")
				want := `{"failures":[{"code":"` + id + `","message":"Can not find request ` + id +
					`","reason":"REQUEST:NOT_FOUND"}]}` + "\n"
				if a.Body != want || a.Status != 200 {
					t.Errorf("%s with %s: %d %swant %s", method, name, a.Status, a.Body, want)
				}
			}
		}
		for _, id := range []string{"0" + m.params().Get("request"), "+" + m.params().Get("request"), "x", "1e4",
			"99999999999999999999", " 1", "../1"} {
			params := m.params()
			params.Set("request", id)
			diff(t, "request "+id, []string{"REQUEST:NOT_FOUND"}, w.call("status", params).reasons())
		}
	})
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// The states one after the other, as the default script has them (rows 6.1, 6.2, 6.3), and what is refused in
// each (rows 4.4, 5.3, 6.4).
func TestProcess(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		m := w.create()
		refuses := func(state string, methods map[string][]any) {
			t.Helper()
			for method, allowed := range methods {
				a := w.call(method, m.params("ssh_keys", publicKey("rsa")))
				if len(a.Failures) != 1 || a.Failures[0]["reason"] != "STATE:INVALID" {
					t.Errorf("%s in %s: %s", method, state, a.Body)
					continue
				}
				delete(a.Failures[0], "message")
				diff(t, method+" in "+state, map[string]any{"reason": "STATE:INVALID", "value": state, "expected": allowed},
					a.Failures[0])
			}
		}
		draft, sftp := []any{"draft"}, []any{"draft", "done", "delivered"}

		if a := w.call("process", m.params()); len(a.Failures) != 1 || a.Failures[0]["reason"] != "DUMP:MISSING" {
			t.Errorf("process without a dump: %s", a.Body)
		}
		w.upload(m, nil)
		if a := w.call("process", m.params()); len(a.Failures) != 1 || a.Failures[0]["reason"] != "DUMP:MISSING" {
			t.Errorf("process of an empty dump: %s", a.Body)
		}
		w.upload(m, []byte("SELECT 1;\n"))
		if s := w.status(m); s["state"] != "draft" || s["processed_at"] != nil || s["issue_stage"] != "new" {
			t.Errorf("before process: state %v, processed_at %v, issue_stage %v", s["state"], s["processed_at"],
				s["issue_stage"])
		}
		if a := w.good("process", m.params()); a.Body != `{"failures":[]}`+"\n" {
			t.Errorf("process: %s", a.Body)
		}
		refuses("pending", map[string][]any{"process": draft, "upload": draft, "request_sftp_access": sftp})
		for _, want := range []string{"pending", "processing"} {
			s := w.status(m)
			if s["state"] != want || s["issue_stage"] != want || s["processed_at"] == nil {
				t.Errorf("state %v, issue_stage %v, processed_at %v; want %s", s["state"], s["issue_stage"], s["processed_at"],
					want)
			}
			refuses(want, map[string][]any{"process": draft, "upload": draft, "request_sftp_access": sftp})
		}
		for range 3 {
			if s := w.status(m); s["state"] != "done" {
				t.Errorf("state %v, want done", s["state"])
			}
		}
		refuses("done", map[string][]any{"process": draft, "upload": draft})
		w.grant(m, "rsa")
	})
}

// skip_test is the 13.0 page's, and for the state testing only (row 6.5).
func TestSkipTest(t *testing.T) {
	t.Parallel()
	script := scripted(t, "steps: [{state: testing, for: released}, {state: done}]")
	w := onWire(t, &mockserver.Options{Edition: mockserver.Edition13, Scenarios: script})
	m := w.create("target", "13.0", "aim", "production")
	w.upload(m, []byte("SELECT 1;\n"))
	refused := func(state string) {
		t.Helper()
		a := w.call("skip_test", m.params())
		if len(a.Failures) != 1 {
			t.Fatalf("skip_test in %s: %s", state, a.Body)
		}
		delete(a.Failures[0], "message")
		diff(t, "skip_test in "+state, map[string]any{"reason": "STATE:INVALID", "value": state, "expected": []any{
			"testing"}}, a.Failures[0])
	}
	refused("draft")
	w.good("process", m.params())
	status := w.await(m, "testing")
	if resp, _ := w.get(status["upgraded_dump_url"].(string)); resp.StatusCode != http.StatusNotFound {
		t.Errorf("upgraded dump while testing: %s", resp.Status)
	}
	if a := w.good("skip_test", m.params()); a.Body != `{"failures":[]}`+"\n" {
		t.Errorf("skip_test: %s", a.Body)
	}
	status = w.status(m)
	if status["state"] != "delivered" {
		t.Errorf("state %v after skip_test", status["state"])
	}
	archive := w.fetch(status["upgraded_dump_url"])
	same(t, "dump.sql in the upgraded dump", unzip(t, archive)["dump.sql"], []byte("SELECT 1;\n"))
	w.grant(m, "rsa")
	same(t, "the upgraded dump over SFTP", w.slurp(w.login(m, "rsa"), "/upgraded_db_name.zip"), archive)
	refused("delivered")
}

// upgrade is create, upload and process in one call, with promises of its own (row 6.6).
func TestUpgrade(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		upgrade := func(body string, params ...string) answer {
			t.Helper()
			query := sample(append([]string{"filename", "-"}, params...)...)
			return w.send("POST", "upgrade?"+query.Encode(), http.Header{"Content-Type": {formType}}, strings.NewReader(body))
		}
		a := upgrade("target=5.0&aim=prod\n", "postgresql", "9.3", "dbname", "x", "key", "k")
		if len(a.Failures) > 0 {
			t.Fatalf("upgrade: %s", a.Body)
		}
		m := madeOf(t, a)
		for key, want := range map[string]any{
			"filename": "M123456-abcdef.sql", "target": "8.0", "aim": "test", "postgresql": "9.3", "state": "pending",
			"migrated_sql_url": a.Request["upgraded_sql_url"],
		} {
			if got := a.Request[key]; got != want {
				t.Errorf("%s is %v, want %v", key, got, want)
			}
		}
		status := w.await(m, "done")
		if status["migrated_sql_url"] != status["upgraded_sql_url"] || status["migrated_sql_url"] == nil {
			t.Errorf("migrated_sql_url %v, upgraded_sql_url %v", status["migrated_sql_url"], status["upgraded_sql_url"])
		}
		same(t, "the upgraded dump", w.fetch(status["upgraded_dump_url"]), []byte("target=5.0&aim=prod\n"))
		if a := upgrade("-- Dumped from database version 9.4.5\n-- PostgreSQL database dump\n", "postgresql", "9.3",
			"filename", "x.sql"); a.Request["postgresql"] != "9.4" || a.Request["filename"] != "x.sql" {
			t.Errorf("upgrade of a dump that says its version: %s", a.Body)
		}
		if plain := w.create(); w.status(plain)["migrated_sql_url"] != nil {
			t.Error("migrated_sql_url of a request that upgrade did not make")
		}
		diff(t, "failures", []string{"TARGET:INVALID", "CONTRACT:NOT_FOUND"}, upgrade("x", "target", "5.0", "contract",
			"M123456-abcxyz").reasons())
		diff(t, "without a contract", []string{"CONTRACT:MISSING", "FILENAME:MISSING"},
			upgrade("x", "contract", "-").reasons())
		diff(t, "without a dump", []string{"DUMP:MISSING"}, upgrade("").reasons())
	})
	// postgresql is compared as a version by the client that uses upgrade: it is never null.
	t.Run("nobody says the version", func(t *testing.T) {
		t.Parallel()
		a := onWire(t, nil).send("POST", "upgrade?"+sample("filename", "-").Encode(), nil, strings.NewReader("SELECT 1;\n"))
		if _, ok := a.Request["postgresql"].(string); !ok {
			t.Errorf("postgresql is %v: %s", a.Request["postgresql"], a.Body)
		}
	})
}

// Time passes by the emulator's clock (row 6.3, section 7).
func TestProcess_times(t *testing.T) {
	t.Parallel()
	clock := new(mockserver.ManualClock)
	w := onWire(t, &mockserver.Options{
		Clock: clock, Scenarios: scripted(t,
			"steps: [{state: processing, for: 90m, set: {estimated_time: '01:30'}}, {state: done}]")})
	m := w.create()
	w.upload(m, []byte("SELECT 1;\n"))
	clock.Advance(time.Minute)
	w.good("process", m.params())
	for _, step := range []struct {
		after                     time.Duration
		state, elapsed, processed string
		estimated                 any
	}{
		{0, "processing", "00:00", "2015-09-09 07:14:49", "01:30"},
		{75 * time.Minute, "processing", "01:15", "2015-09-09 07:14:49", "01:30"},
		{24 * time.Hour, "done", "01:30", "2015-09-09 07:14:49", "01:30"}, // a key keeps what a step has set
	} {
		clock.Advance(step.after)
		s := w.status(m)
		got := []any{s["state"], s["elapsed"], s["processed_at"], s["created_at"], s["estimated_time"]}
		diff(t, "state, elapsed, processed_at, created_at, estimated_time", []any{step.state, step.elapsed, step.processed,
			"2015-09-09 07:13:49", step.estimated}, got)
	}
}

// A dump that cannot be upgraded ends in invalid, and customer_message says why (row 6.2, section 7); there is
// nothing to download.
func TestProcess_invalid(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t,
			"steps: [{state: processing, for: 1 poll}, {state: invalid, set: {customer_message: 'The dump is cut off.'}}]")})
	m := w.create()
	w.upload(m, []byte("SELECT 1;\n"))
	w.good("process", m.params())
	if s := w.status(m); s["state"] != "processing" || s["customer_message"] != nil {
		t.Errorf("state %v, customer_message %v", s["state"], s["customer_message"])
	}
	if s := w.status(m); s["state"] != "invalid" || s["customer_message"] != "The dump is cut off." {
		t.Errorf("state %v, customer_message %v", s["state"], s["customer_message"])
	}
	if resp, _ := w.get(w.urls(m)["upgraded_dump_url"]); resp.StatusCode != http.StatusNotFound {
		t.Errorf("the upgraded dump: %s", resp.Status)
	}
	diff(t, "request_sftp_access", []string{"STATE:INVALID"},
		w.call("request_sftp_access", m.params("ssh_keys", publicKey("rsa"))).reasons())
}
