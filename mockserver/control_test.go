package mockserver_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// control makes a call of the control API and returns its status and JSON body.
func (w *wire) control(method, path, body string) (int, map[string]any) {
	w.Helper()
	resp, data := w.do(method, w.srv.AdminURL()+path, nil, strings.NewReader(body))
	var value map[string]any
	if err := json.Unmarshal(data, &value); err != nil {
		w.Fatalf("%s %s answered %s, which is no JSON object: %v\n%s", method, path, resp.Status, err, data)
	}
	if resp.StatusCode >= 400 && value["error"] == nil && value["status"] == nil {
		w.Errorf("%s %s answered %s without an error: %s", method, path, resp.Status, data)
	}
	return resp.StatusCode, value
}

func TestControl_whatBadInputGets(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	for _, tc := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/requests/1", "", 404, "no such request: 1"},
		{"GET", "/requests/x", "", 400, `"x" is no request id`},
		{"GET", "/nothing", "", 404, "openapi.yaml"},
		{"DELETE", "/requests", "", 405, "DELETE is not possible"},
		{"POST", fmt.Sprintf("/requests/%d/release", m.id), "", 409, "no step of its script holds it"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `{"state": "done"}`, 409, "has no dump"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `{"state": "draft"}`, 409, "in state draft already"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `{}`, 400, `"state" is missing`},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), "{\n  \"state\": 5}", 400, "line 2, column"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), "{\n  \"state\": ", 400, "line 2, column"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `{"stat": "done"}`, 400,
			`unknown key "stat", did you mean "state"? Known: state, set; wanted JSON such as {"state": "done"`},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `{"state": "x", "set": {"filestore": 5}}`, 400, "filestore"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `{"state": "x"} trailing`, 400,
			"line 1, column 16: found 't' where JSON cannot have it"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), "{\n  \"state\": 5}", 400,
			`line 2, column 12: "state" is a number: wanted a text`},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `{"state": "x", "set": [1]}`, 400,
			`"set" is a list: wanted an object`},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `["done"]`, 400, "the body is a list: wanted JSON such as"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), ` `, 400, "the body is empty: wanted JSON such as"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `state: done`, 400, "found 's' where JSON cannot have it"},
		{"POST", fmt.Sprintf("/requests/%d/state", m.id), `{"state": "done"`, 400, "the JSON ends too early"},
		{"POST", fmt.Sprintf("/requests/%d/release", m.id), `{"state": "done"}`, 400, "this call has no body"},
		{"POST", "/reset", "request=10534", 400, "such as ?request=10534"},
		{"POST", "/reset", `{"request": 10534}`, 400, "this call has no body"},
		{"DELETE", "/journal", `{"on": "status"}`, 400, "this call has no body"},
		{"POST", "/clock/advance", `{"by": 5}`, 400, `"by" is a number: wanted a text`},
		{"POST", "/clock/advance", `{"by": "1 day"}`, 400, `wanted a duration such as "1h"`},
		{"PUT", "/advertise", `{"url": "http://[::1"}`, 400, "wanted http://HOST[:PORT]"},
		{"PUT", "/advertise", `{"sftp_port": "2200"}`, 400, `"sftp_port" is a text: wanted a whole number`},
		{"PUT", "/advertise", `{"sftp_port": 2200.5}`, 400, `"sftp_port" is a number 2200.5: wanted a whole number`},
		{"GET", "/journal?bogus=1", "", 400, `unknown query parameter "bogus"; known: request, contract, on, since, after, limit`},
		{"GET", "/journal?limit=0", "", 400, "limit=0: wanted a number from 1 to"},
		{"GET", "/journal?requst=1", "", 400, `did you mean "request"?`},
		{"GET", "/journal?on=nonsense", "", 400, `on=nonsense: unknown kind of event "nonsense"; known: create, upload`},
		{"GET", "/journal?on=statu", "", 400, `did you mean "status"?`},
		{"GET", "/journal?on=sftp.putt", "", 400, `did you mean "sftp.put"?`},
		{"GET", "/journal?on=sft", "", 400, `unknown kind of event "sft"`},
		{"GET", "/journal?on=", "", 400, "on is empty"},
		{"GET", "/journal?request=1&request=2", "", 400, "request is given 2 times"},
		{"GET", "/journal?on=%zz", "", 400, "the query string is not well-formed"},
		{"GET", "/journal?on=status;request=1", "", 400, "the query string is not well-formed"},
		{"DELETE", "/journal?one=status", "", 400, `did you mean "on"?`},
		{"GET", "/wait?timout=1s", "", 400, `did you mean "timeout"?`},
		{"GET", "/wait?on=nonsense", "", 400, "unknown kind of event"},
		{"GET", "/events?follow=1", "", 400, `unknown query parameter "follow"`},
		{"GET", "/verify?on=status", "", 400, `unknown query parameter "on"; known: request, contract, since`},
		{"POST", "/reset?on=status", "", 400, `unknown query parameter "on"; known: request, contract`},
		{"POST", "/reset?since=1", "", 400, `unknown query parameter "since"`},
		{"POST", "/reset?contract=", "", 400, "contract is empty"},
		{"POST", "/reset?request=0", "", 400, "wanted a request's id"},
		{"GET", "/healthz?verbose=1", "", 400, "this call has none"},
		{"GET", "/requests?status=done", "", 400, `unknown query parameter "status", did you mean "state"?`},
		{"GET", fmt.Sprintf("/requests/%d?key=1", m.id), "", 400, `unknown query parameter "key"; known: view`},
		{"GET", "/metrics?name=x", "", 400, "this call has none"},
		{"DELETE", "/scenarios?nam=x", "", 400, `did you mean "name"?`},
		{"DELETE", "/scenarios?name=", "", 400, "name is empty"},
		{"PUT", "/reset", "", 405, "choose POST"},
		{"PATCH", "/scenarios", "", 405, "choose GET, HEAD, POST, DELETE"},
		{"POST", "/requests/1/state", `{"state": "done"}`, 404, "no such request"},
		{"POST", "/clock/advance", `{"by": "1h"}`, 409, "a virtual one (Options.Clock)"},
		{"POST", "/clock/advance", `{"by": "soon"}`, 400, "duration"},
		{"POST", "/clock/advance", `{"by": "-1h"}`, 400, "only goes forward"},
		{"POST", "/scenarios", "name: x\nstep: 1\n", 400, "did you mean `steps`"},
		{"POST", "/scenarios", "name: x\nupgraded: {archive: no-such-file.zip}\n", 400, "no-such-file.zip"},
		{"DELETE", "/scenarios?name=x", "", 404, `no scenario in use is called "x"`},
		{"GET", "/wait?timeout=soon", "", 400, "duration"},
		{"GET", "/wait?on=process&timeout=1ms", "", 408, "nothing like that happened"},
		{"GET", "/journal?request=x", "", 400, "wanted a request's id"},
		{"GET", "/journal?since=yesterday", "", 400, "wanted an instant"},
		{"PUT", "/advertise", `{"url": "ftp://x"}`, 400, "public URL"},
		{"PUT", "/advertise", `{"sftp_port": 70000}`, 400, "no port"},
		{"PUT", "/advertise", `{"transfer_port": -1}`, 400, "no port"},
		{"PUT", "/advertise", `{"transfer_port": 2222}`, 400, "each transfer has a port of its own"},
		{"PUT", "/advertise", `{"host": "x"}`, 400, "sftp_host"},
	} {
		t.Run(tc.method+" "+tc.path+" "+tc.body, func(t *testing.T) {
			t.Parallel()
			status, answer := w.with(t).control(tc.method, tc.path, tc.body)
			if text, _ := answer["error"].(string); status != tc.status || !strings.Contains(text, tc.says) {
				t.Errorf("answered %d %q, want %d and %q", status, text, tc.status, tc.says)
			}
		})
	}
}

func TestControl_steersARequest(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Clock: new(mockserver.ManualClock)})
	if status, _ := w.control("POST", "/scenarios",
		`{"name": "held", "steps": [{"state": "processing", "for": "1h"}, {"state": "testing", "for": "released"}, {"state": "done"}], "expect": {"calls": {"process": 1}}}`); status != 201 {
		t.Fatalf("POST scenarios: %d", status)
	}
	m := w.create()
	w.upload(m, []byte("x"))
	w.good("process", m.params())
	if status, answer := w.control("POST", "/clock/advance", `{"by": "1h"}`); status != 200 ||
		answer["now"] != "2015-09-09T08:13:49Z" {
		t.Errorf("advance: %d %v", status, answer)
	}
	status, answer := w.control("GET", fmt.Sprintf("/requests/%d", m.id), "")
	if status != 200 || answer["state"] != "testing" {
		t.Errorf("after an hour: %d %v", status, answer["state"])
	}
	if status, answer := w.control("POST", fmt.Sprintf("/requests/%d/release", m.id), ""); status != 200 ||
		answer["state"] != "done" {
		t.Errorf("release: %d %v", status, answer)
	}
	if status, answer := w.control("POST", fmt.Sprintf("/requests/%d/state", m.id),
		`{"state": "invalid", "set": {"customer_message": "no", "issue": 7, "compressions": ["a"]}}`); status != 200 ||
		answer["state"] != "invalid" {
		t.Errorf("state: %d %v", status, answer)
	}
	r := w.status(m)
	diff(t, "status", []any{"invalid", "no", 7.0, []any{"a"}}, []any{r["state"], r["customer_message"], r["issue"],
		r["compressions"]})
	_, answer = w.control("GET", "/verify", "")
	diff(t, "verify", []any{1.0, 0.0, 0.0}, []any{answer["passed"], answer["failed"], answer["unjudged"]})
	_, answer = w.control("GET", fmt.Sprintf("/journal?on=state&request=%d", m.id), "")
	if n := len(answer["events"].([]any)); n != 4 {
		t.Errorf("%d changes of state, want 4: %v", n, answer)
	}
	if status, answer := w.control("DELETE", "/scenarios?name=held", ""); status != 200 || answer["removed"] != 1.0 {
		t.Errorf("DELETE scenarios: %d %v", status, answer)
	}
	if status, _ := w.control("DELETE", "/journal", ""); status != 200 {
		t.Errorf("DELETE journal: %d", status)
	}
	if status, _ := w.control("POST", "/reset", ""); status != 200 {
		t.Errorf("reset: %d", status)
	}
	_, answer = w.control("GET", "/requests", "")
	diff(t, "requests after a reset", []any{}, answer["requests"])
}

// TestControl_waits holds that wait answers what has happened, and what happens later.
func TestControl_waits(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	answered := make(chan map[string]any)
	go func() {
		_, answer := w.control("GET", fmt.Sprintf("/wait?on=status&request=%d&timeout=1m", m.id), "")
		answered <- answer
	}()
	w.status(m)
	event, _ := (<-answered)["event"].(map[string]any)
	if event["on"] != "status" || event["request"] != float64(m.id) {
		t.Errorf("waited for %v", event)
	}
}

func TestControl_events(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	first := w.create("contract", "MA")
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.srv.AdminURL()+"/events?contract=MB", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	w.status(first)
	w.create("contract", "MB")
	lines := bufio.NewScanner(resp.Body)
	var got []string
	for len(got) < 3 && lines.Scan() {
		name, _, _ := strings.Cut(lines.Text(), ":")
		got = append(got, name)
	}
	if err := lines.Err(); err != nil {
		t.Error(err)
	}
	diff(t, "the first event", []string{"id", "event", "data"}, got)
	if data := lines.Text(); !strings.Contains(data, `"contract":"MB"`) {
		t.Errorf("event %s", data)
	}
	if err := w.srv.Close(); err != nil { // the audience does not hold it up
		t.Error(err)
	}
	io.Copy(io.Discard, resp.Body) // ends, one way or the other
}

func TestControl_advertise(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	if status, _ := w.control("PUT", "/advertise",
		`{"url": "https://upgrade.example:9/base", "sftp_host": "files.example", "sftp_port": 2022}`); status != 200 {
		t.Fatalf("PUT advertise: %d", status)
	}
	if got := w.status(m)["status_url"].(string); !strings.HasPrefix(got, "https://upgrade.example:9/base/database/eu1/") {
		t.Errorf("status_url %s", got)
	}
	r := w.grant(m, "ed25519").Request
	diff(t, "SFTP", []any{"files.example", 2022.0, fmt.Sprintf("sftp -P 2022 user_%d@files.example", m.id)},
		[]any{r["hostname"], r["sftp_port"], r["sample_command"]})
}

func TestControl_healthAndMetrics(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	if status, answer := w.control("GET", "/healthz", ""); status != 200 || answer["sftp"] != true ||
		answer["version"] != version.String() {
		t.Errorf("healthz: %d %v", status, answer)
	}
	m := w.create()
	w.call("process", m.params())
	_, text := w.do("GET", w.srv.AdminURL()+"/metrics", nil, nil)
	for _, line := range []string{
		`upgrademock_calls_total{on="create",status="200"} 1`, `upgrademock_failures_total{reason="DUMP:MISSING"} 1`,
		`upgrademock_requests{state="draft"} 1`,
		"# HELP upgrademock_failures_total Failures in answers, by their reason.\n" +
			"# TYPE upgrademock_failures_total counter\n" +
			`upgrademock_failures_total{reason="DUMP:MISSING"} 1`,
		"# TYPE upgrademock_requests gauge\n", "\nprocess_start_time_seconds ", "\ngo_goroutines ",
	} {
		if !strings.Contains(string(text), line) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}

	srv, err := mockserver.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	rec := httptest.NewRecorder()
	srv.ServeHTTP(rec, httptest.NewRequest("GET", "http://localhost/_mock/healthz", nil))
	if rec.Code != 503 {
		t.Errorf("healthz of a server that was not started: %d", rec.Code)
	}
}

// TestControl_head holds that HEAD answers as GET does, without a body.
func TestControl_head(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	for _, path := range []string{
		"/healthz", "/requests", fmt.Sprintf("/requests/%d", m.id), "/requests/1", "/journal", "/journal?x=1", "/scenarios",
		"/verify", "/wait?on=create", "/advertise", "/ca.pem", "/known_hosts", "/env",
		"/metrics", "/events", "/openapi.yaml", "/nothing", "/reset",
	} {
		status := map[string]int{}
		for _, method := range []string{"GET", "HEAD"} {
			if method == "GET" && path == "/events" {
				status[method] = 200 // it does not end
				continue
			}
			resp, body := w.do(method, w.srv.AdminURL()+path, nil, nil)
			status[method] = resp.StatusCode
			if method == "HEAD" && len(body) > 0 {
				t.Errorf("HEAD %s answered %s with a body", path, resp.Status)
			}
			if resp.StatusCode == 405 && resp.Header.Get("Allow") != "POST" {
				t.Errorf("%s %s: Allow %q", method, path, resp.Header.Get("Allow"))
			}
		}
		if status["GET"] != status["HEAD"] {
			t.Errorf("%s: GET answers %d, HEAD %d", path, status["GET"], status["HEAD"])
		}
	}
}

// TestControl_resetScope holds that a reset is about what it names, and that no reset is about more.
func TestControl_resetScope(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	first, second, third := w.create("contract", "MA"), w.create("contract", "MA"), w.create("contract", "MB")
	ids := func() []int64 {
		list := []int64{}
		for _, r := range w.srv.Requests() {
			list = append(list, r.ID)
		}
		return list
	}
	for _, step := range []struct {
		query  string
		status int
		left   []int64
	}{
		{"?on=status", 400, []int64{first.id, second.id, third.id}},
		{"?request=", 400, []int64{first.id, second.id, third.id}},
		{"?contract=MA&bogus", 400, []int64{first.id, second.id, third.id}},
		{fmt.Sprintf("?request=%d&contract=MB", first.id), 200, []int64{first.id, second.id, third.id}},
		{fmt.Sprintf("?request=%d", first.id), 200, []int64{second.id, third.id}},
		{"?contract=MA", 200, []int64{third.id}},
		{"", 200, []int64{}},
	} {
		if status, answer := w.control("POST", "/reset"+step.query, ""); status != step.status {
			t.Errorf("reset%s: %d %v, want %d", step.query, status, answer, step.status)
		}
		diff(t, "requests after reset"+step.query, step.left, ids())
	}
}

// TestKinds holds that every event of the SFTP server can be asked for.
func TestKinds(t *testing.T) {
	t.Parallel()
	src, err := parser.ParseFile(token.NewFileSet(), "../sftpserver/event.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	w, found := onWire(t, nil), 0
	ast.Inspect(src, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || spec.Type == nil {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "EventKind" {
			found++
			name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if status, _ := w.control("GET", "/journal?on=sftp."+name, ""); status != http.StatusOK {
				t.Errorf("asking for the events of %s is answered with %d", spec.Names[0], status)
			}
		}
		return true
	})
	if found < 11 {
		t.Errorf("%d kinds of events found in the source", found)
	}
}

// TestVerify_isNarrowedToAContract holds that parallel tests on one emulator do not disturb each other's verdicts.
func TestVerify_isNarrowedToAContract(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t,
			"name: one\nexpect: {calls: {create: 1, status: '>=2'}, order: [create, upload, process], interval: {status: "+
				"'<=1h'}, exit: success}\n")})
	good, bad := w.create("contract", "MGOOD"), w.create("contract", "MBAD")
	w.upload(good, []byte("x"))
	w.good("process", good.params())
	w.status(good)
	w.status(good)
	w.call("process", bad.params())
	verdicts := func(f journal.Filter) []string {
		var list []string
		for _, v := range w.srv.Verify(f) {
			list = append(list, v.Expect+" "+v.Verdict)
		}
		return list
	}
	diff(t, "the good one", []string{"exit unjudged", "calls.create pass", "calls.status pass", "order pass",
		"interval.status pass"}, verdicts(journal.Filter{Contract: "MGOOD"}))
	diff(t, "the good one by its request", verdicts(journal.Filter{Contract: "MGOOD"}),
		verdicts(journal.Filter{Request: good.id}))
	diff(t, "the bad one", []string{"exit unjudged", "calls.create pass", "calls.status fail", "order fail",
		"interval.status pass"}, verdicts(journal.Filter{Contract: "MBAD"}))
	for _, v := range w.srv.Verify(journal.Filter{Contract: "MBAD"}) {
		if v.Expect == "order" && (!strings.Contains(v.Saw, "no upload after create") || v.Hint == "" || v.Nearest == 0) {
			t.Errorf("the verdict on the order does not help: %+v", v)
		}
	}
}
