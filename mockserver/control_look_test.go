package mockserver_test

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// path follows keys and indices into a JSON value.
func path(value any, at ...any) any {
	for _, key := range at {
		switch k := key.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[k]
		case int:
			list, _ := value.([]any)
			if k >= len(list) {
				return nil
			}
			value = list[k]
		}
	}
	return value
}

// Lists come in pages, in both directions, and say how to go on.
func TestControl_pages(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	var ids []any
	for range 5 {
		ids = append(ids, float64(w.create("contract", "MA").id))
	}
	w.create("contract", "MB")
	for order, want := range map[string][]any{"oldest": ids, "newest": {ids[4], ids[3], ids[2], ids[1], ids[0]}} {
		got := []any{}
		for next := "&limit=2"; next != ""; {
			_, answer := w.control("GET", "/requests?contract=MA&view=brief&order="+order+next, "")
			if answer["total"] != 5.0 {
				t.Fatalf("total: %v", answer)
			}
			for i := range answer["requests"].([]any) {
				got = append(got, path(answer, "requests", i, "id"))
			}
			next = ""
			if answer["next"] != nil {
				next = fmt.Sprintf("&limit=2&after=%v", answer["next"])
			}
		}
		diff(t, order, want, got)
	}
	_, answer := w.control("GET", "/requests?state=done", "")
	diff(t, "in another state", []any{}, answer["requests"])
	_, answer = w.control("GET", "/journal?on=create&limit=4", "")
	if n := len(answer["events"].([]any)); n != 4 {
		t.Errorf("%d events of a page of 4", n)
	}
	_, answer = w.control("GET", fmt.Sprintf("/journal?on=create&limit=4&after=%v", answer["next"]), "")
	if n := len(answer["events"].([]any)); n != 2 || answer["next"] != nil {
		t.Errorf("%d events of the second page, want 2: %v", n, answer["next"])
	}
}

// Every list of which nobody knows how long it gets comes in pages.
func TestControl_pagesOfLists(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: slices.Concat(scripted(t, "name: one\n"),
		scripted(t, "name: two\n"), scripted(t, "name: three\n"))})
	m := w.create()
	w.upload(m, []byte("x"))
	for _, tc := range []struct {
		path, list, name string
		more             any
	}{
		{"/scenarios?limit=2", "scenarios", "name", 2.0},
		{"/scenarios?limit=2&after=2", "scenarios", "name", nil},
		{fmt.Sprintf("/requests/%d/files?limit=1", m.id), "files", "path", 1.0},
		{"/builtin?limit=3&after=2", "scenarios", "name", 5.0},
		{"/sessions?limit=3&after=2", "sessions", "session", nil},
	} {
		whole, _, _ := strings.Cut(tc.path, "?")
		_, all := w.control("GET", whole, "")
		_, page := w.control("GET", tc.path, "")
		diff(t, tc.path, []any{tc.more, float64(len(all[tc.list].([]any)))}, []any{page["next"], page["total"]})
		if strings.Contains(tc.path, "after=2") {
			diff(t, tc.path, path(all, tc.list, 2, tc.name), path(page, tc.list, 0, tc.name))
		} else {
			diff(t, tc.path, path(all, tc.list, 0, tc.name), path(page, tc.list, 0, tc.name))
		}
	}
}

// A search looks at all requests, and at what the journal remembers of them.
func TestControl_search(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t,
		`
name: once
when: {contract: MB}
faults: [{on: status, times: 1, failure: {reason: "SERVER:ERROR", message: m}}]
`)})
	a, b, c := w.create("contract", "MA"), w.create("contract", "MB"), w.create("contract", "MC")
	w.call("status", b.params())
	w.upload(c, []byte("x"))
	w.finish(c)
	for search, want := range map[string][]made{
		"":                           {a, b, c},
		"contract:mb":                {b},
		"M":                          {a, b, c},
		"once":                       {b},
		"mb once":                    {b},
		"ma once":                    {},
		"fault:":                     {b},
		"fault:Failure":              {b},
		"fault:reset":                {},
		"fault: on:create":           {},
		"fault:failure on:stat":      {b},
		"fault:failure on:creat":     {},
		"on:upload":                  {c},
		"state:done":                 {c},
		"state:d contract:m":         {a, b, c},
		fmt.Sprint("request:", a.id): {a},
	} {
		ids := []any{}
		for _, m := range want {
			ids = append(ids, float64(m.id))
		}
		_, answer := w.control("GET", "/requests?view=brief&search="+url.QueryEscape(cmp.Or(search, " ")), "")
		got := []any{}
		for i := range answer["requests"].([]any) {
			got = append(got, path(answer, "requests", i, "id"))
		}
		diff(t, search, ids, got)
		diff(t, search, float64(len(ids)), answer["total"])
	}
	_, page := w.control("GET", "/requests?view=brief&search=m&limit=1&order=newest", "")
	diff(t, "a page", []any{3.0, float64(c.id), float64(c.id)},
		[]any{page["total"], path(page, "requests", 0, "id"), page["next"]})
	for search, want := range map[string]string{
		"contrct:x":               `did you mean "contract"`,
		strings.Repeat("x", 1001): "1000 at most",
	} {
		status, answer := w.control("GET", "/requests?search="+search, "")
		if status != 400 || !strings.Contains(fmt.Sprint(answer["error"]), want) {
			t.Errorf("%.20s: %d %v", search, status, answer)
		}
	}
	status, answer := w.control("GET", "/requests?serch=x", "")
	if status != 400 || !strings.Contains(fmt.Sprint(answer["error"]), `did you mean "search"`) {
		t.Errorf("a mistyped parameter: %d %v", status, answer)
	}
}

// Keys and tokens are shown as the view says, in the URLs of the status, too.
func TestControl_views(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	id, token := w.scriptRequest()
	for view, want := range map[string][2]bool{ // of the key, of the token
		"": {true, false}, "?view=brief": {}, "?view=hidden": {}, "?view=full": {true, true},
	} {
		_, answer := w.control("GET", fmt.Sprintf("/requests/%d%s", m.id, view), "")
		if shows := strings.Contains(fmt.Sprint(answer), m.key); shows != want[0] {
			t.Errorf("%q shows the key: %v", view, shows)
		}
		_, answer = w.control("GET", fmt.Sprintf("/requests/%d%s", id, view), "")
		if shows := strings.Contains(fmt.Sprint(answer), token); shows != want[1] {
			t.Errorf("%q shows the token: %v", view, shows)
		}
	}
	status, answer := w.control("GET", fmt.Sprintf("/requests/%d?view=hiden", m.id), "")
	if status != 400 || !strings.Contains(fmt.Sprint(answer["error"]), `did you mean "hidden"`) {
		t.Errorf("a mistyped view: %d %v", status, answer)
	}
}

// The timeline says what is past, what is now, what is due, and what the faults have done.
func TestControl_timeline(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Clock: new(mockserver.ManualClock), Scenarios: scripted(t, `
name: long
steps:
  - {state: pending, for: 2 polls}
  - {state: processing, for: 1h}
  - {state: waiting, for: 30m}
  - {state: testing, for: released}
  - {state: done}
faults:
  - {on: status, times: 1, failure: {reason: "SERVER:ERROR", message: "again"}}
  - {on: process, delay: 1ms}
  - {on: process, times: 1, reset: true}
  - {on: status, skip: 9, cut: true}
`)})
	m := w.create()
	w.upload(m, []byte("x"))
	at := fmt.Sprintf("/requests/%d", m.id)
	_, draft := w.control("GET", at+"/timeline", "")
	diff(t, "before process", []any{"next", nil}, []any{path(draft, "steps", 0, "is"), draft["processed_at"]})
	w.good("process", m.params())
	w.call("status", m.params())
	w.status(m)
	_, now := w.control("GET", at+"/timeline", "")
	diff(t, "the present step", []any{"present", 1.0, 2.0, nil}, []any{path(now, "steps", 0, "is"),
		path(now, "steps", 0, "polls"), path(now, "steps", 0, "of"), path(now, "steps", 1, "began")})
	diff(t, "faults", []any{"spent", 1.0, "armed", 1.0, "shadowed", 1.0, "armed"}, []any{
		path(now, "faults", 0, "is"), path(now, "faults", 0, "used"), path(now, "faults", 1, "is"),
		path(now, "faults", 1, "used"), path(now, "faults", 2, "is"), path(now, "faults", 2, "by"),
		path(now, "faults", 3, "is"),
	})
	w.status(m)
	w.status(m)
	_, now = w.control("GET", at+"/timeline", "")
	diff(t, "an hour to go", []any{"past", "2015-09-09T07:13:49Z", "present", "2015-09-09T08:13:49Z", "next",
		"2015-09-09T08:13:49Z", "2015-09-09T08:43:49Z", "2015-09-09T08:43:49Z", nil}, []any{
		path(now, "steps", 0, "is"), path(now, "steps", 0, "began"), path(now, "steps", 1, "is"),
		path(now, "steps", 1, "due"), path(now, "steps", 2, "is"), path(now, "steps", 2, "began"),
		path(now, "steps", 2, "due"), path(now, "steps", 3, "began"), path(now, "steps", 4, "began"),
	})
	w.control("POST", at+"/state", `{"state": "invalid"}`)
	_, now = w.control("GET", at+"/timeline", "")
	diff(t, "forced", []any{"left", "invalid"}, []any{path(now, "steps", 1, "is"), path(now, "forced", "state")})
}

// What happened to a request can be had as a scenario.
func TestControl_retrace(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t,
		"name: once\nfaults: [{on: status, times: 1, failure: {reason: \"SERVER:ERROR\", message: \"this very text\"}}]\n")})
	m := w.create()
	w.call("status", m.params())
	w.upload(m, []byte("x"))
	w.finish(m)
	resp, text := w.get(w.srv.AdminURL() + fmt.Sprintf("/requests/%d/scenario", m.id))
	if resp.StatusCode != 200 || !strings.Contains(string(text), "this very text") {
		t.Fatalf("%s\n%s", resp.Status, text)
	}
	if script := scripted(t, string(text))[0]; len(script.Faults) != 1 || script.Faults[0].On != "status" {
		t.Errorf("faults %+v", script.Faults)
	}
	w.srv.ClearJournal(journal.Filter{})
	for _, id := range []int64{m.id, 1} {
		if status, answer := w.control("GET", fmt.Sprintf("/requests/%d/scenario", id), ""); status != 404 {
			t.Errorf("of a request that the journal does not remember: %d %v", status, answer)
		}
	}
}

// The clock goes to an instant or to the next change, and never back.
// TestControl_retraceByHand: what somebody did to a request by hand is in its scenario.
func TestControl_retraceByHand(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	control := func(call, body string) {
		t.Helper()
		if status, answer := w.control("POST", fmt.Sprintf("/requests/%d/%s", m.id, call), body); status != 200 {
			t.Fatalf("%s %s: %d %v", call, body, status, answer)
		}
	}
	w.upload(m, []byte("select 1;"))
	w.call("process", m.params())
	control("fault", `{"fault": {"on": "status", "failure": {"reason": "A:B", "message": "first"}}}`)
	control("fault", `{"fault": {"on": "status", "failure": {"reason": "C:D", "message": "second"}}}`)
	for range 3 {
		w.call("status", m.params())
	}
	for _, state := range []string{"testing", "quarantine", "testing"} {
		control("state", `{"state": "`+state+`"}`)
		w.call("status", m.params())
	}
	if status, answer := w.control("POST", fmt.Sprintf("/requests/%d/release", m.id), ""); status != 409 {
		t.Errorf("a release of what is not held: %d %v", status, answer)
	}
	control("state", `{"state": "invalid", "set": {"customer_message": "by hand: #1"}}`)
	w.call("status", m.params())
	_, text := w.get(w.srv.AdminURL() + fmt.Sprintf("/requests/%d/scenario", m.id))
	script, err := scenario.Parse("made.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var got []string
	for _, step := range script.Steps {
		got = append(got, step.State)
	}
	for _, f := range script.Faults {
		got = append(got, fmt.Sprintf("%d %d %s: %s", f.Skip, f.Times, f.Failure.Reason, f.Failure.Message))
	}
	diff(t, "steps and faults", []string{"pending", "testing", "quarantine", "testing", "invalid", "0 1 A:B: first",
		"1 1 C:D: second"}, got)
	diff(t, "set", map[string]any{"customer_message": "by hand: #1"}, script.Steps[len(script.Steps)-1].Set)

	// One that was never processed.
	m = w.create()
	control("state", `{"state": "invalid"}`)
	if _, text := w.get(w.srv.AdminURL() + fmt.Sprintf("/requests/%d/scenario", m.id)); !strings.Contains(string(text),
		"process was not called: something else has put the request into a state") {
		t.Errorf("%s", text)
	}
}

func TestControl_clock(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Clock: new(mockserver.ManualClock), Scenarios: scripted(t,
		"name: long\nsteps: [{state: pending, for: 8h}, {state: done}]\n")})
	_, clock := w.control("GET", "/clock", "")
	diff(t, "idle", map[string]any{"now": "2015-09-09T07:13:49Z", "virtual": true}, clock)
	status, answer := w.control("PUT", "/clock", `{"now": "next"}`)
	if status != 409 || !strings.Contains(fmt.Sprint(answer["error"]), "no request changes its state by itself") {
		t.Errorf("without a change: %d %v", status, answer)
	}
	m := w.create()
	w.upload(m, []byte("x"))
	w.good("process", m.params())
	if _, clock = w.control("GET", "/clock", ""); clock["next"] != "2015-09-09T15:13:49Z" {
		t.Errorf("next: %v", clock)
	}
	if _, clock = w.control("PUT", "/clock", `{"now": "2015-09-09T08:00:00Z"}`); clock["now"] != "2015-09-09T08:00:00Z" {
		t.Errorf("set: %v", clock)
	}
	for body, want := range map[string]int{
		`{"now": "2015-09-09T07:00:00Z"}`: 400, `{"now": "tomorrow"}`: 400, `{"then": "next"}`: 400,
	} {
		if status, answer := w.control("PUT", "/clock", body); status != want {
			t.Errorf("%s: %d %v", body, status, answer)
		}
	}
	w.control("PUT", "/clock", `{"now": "next"}`)
	if state := w.status(m)["state"]; state != "done" {
		t.Errorf("after the next change: %v", state)
	}
	status, _ = onWire(t, nil).control("PUT", "/clock", `{"now": "2099-09-09T07:00:00Z"}`)
	if status != 409 {
		t.Errorf("the real clock: %d", status)
	}
}

// What a page says of the emulator, and the scenarios that it offers.
func TestControl_aboutAndScenarios(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	w.create()
	_, about := w.control("GET", "/about", "")
	diff(t, "about", []any{"http", w.srv.URL(), true, 1.0, false}, []any{path(about, "listeners", 0, "name"),
		path(about, "listeners", 0, "address"), path(about, "listeners", 0, "ok"), about["last"],
		path(about, "clock", "virtual")})
	_, list := w.control("GET", "/builtin", "")
	n := len(list["scenarios"].([]any))
	if n != len(scenario.Builtins()) || path(list, "scenarios", 0, "description") == "" {
		t.Errorf("%d built-in scenarios: %v", n, path(list, "scenarios", 0))
	}
	resp, text := w.get(w.srv.AdminURL() + "/builtin/script-failed")
	if resp.StatusCode != 200 || !strings.Contains(string(text), "name: script-failed") {
		t.Errorf("builtin/script-failed: %s\n%s", resp.Status, text)
	}
	if status, answer := w.control("POST", "/scenarios/check", string(text)); status != 200 || answer["name"] == "" {
		t.Errorf("check: %d %v", status, answer)
	}
	status, answer := w.control("POST", "/scenarios/check", "name: x\nsteps:\n  - {stat: done}\n")
	if status != 400 || path(answer, "mistakes", 0, "line") != 3.0 || path(answer, "mistakes", 0, "nearest") != "state" {
		t.Errorf("check of a mistake: %d %v", status, answer)
	}
	if _, answer := w.control("GET", "/scenarios", ""); len(answer["scenarios"].([]any)) != 0 {
		t.Errorf("a check put a scenario into use: %v", answer)
	}
	w.control("POST", "/scenarios", string(text))
	_, text = w.get(w.srv.AdminURL() + "/scenarios/script-failed")
	before, err := scenario.Builtin("script-failed")
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "as YAML", before, scripted(t, string(text))[0])
	for path, nearest := range map[string]string{
		"/builtin/script-faild": "script-failed", "/scenarios/none": "no scenario",
	} {
		if status, answer := w.control("GET", path, ""); status != 404 || !strings.Contains(fmt.Sprint(answer), nearest) {
			t.Errorf("%s: %d %v", path, status, answer)
		}
	}
}
