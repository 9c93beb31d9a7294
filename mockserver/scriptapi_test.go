package mockserver_test

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{57}$`)

// Rows S2.8, S2.10, S2.12, S2.13.
func TestScriptAPI_create(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		last := 0.0
		for range 3 {
			a := w.rpc("create", scriptParams()...)
			if got := slices.Sorted(
				maps.Keys(a.Result),
			); !slices.Equal(
				got,
				[]string{"assigned_host_uri", "request_id", "token"},
			) {
				t.Fatalf("the answer has %v:\n%s", got, a.Body)
			}
			if token, _ := a.Result["token"].(string); !tokenForm.MatchString(token) {
				t.Errorf("token %q", token)
			}
			if id, _ := a.Result["request_id"].(float64); id <= last {
				t.Errorf("request_id %v after %v", id, last)
			} else {
				last = id
			}
		}
		// Early copies send less (rows S2.7 and S14).
		if a := w.rpc("create", scriptParams("api_version", "-", "env_vars", nil)...); a.Result == nil {
			t.Error(a.Body)
		}
		// What later ones may add is ignored (row S1.18).
		if a := w.rpc("create", scriptParams("email", 5, "env_vars", []string{"A=1", "B="})...); a.Result == nil {
			t.Error(a.Body)
		}
	})
}

// Rows S1.4, S1.10 to S1.13 and S1.18: whatever comes is answered in one of the two forms, with words that say what to
// do.
func TestScriptAPI_badCalls(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	_, token := w.scriptRequest()
	with := func(more string) string { return `{"params": {"token": "` + token + `"` + more + `}}` }
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for name, tc := range map[string]struct {
		call, body string
		want       string // a part of the failure; "": there is none
	}{
		"no body":           {"status", "", `The body is not JSON: send {"jsonrpc"`},
		"no JSON":           {"status", `{"jsonrpc": x}`, "not JSON, from byte 13 on: send"},
		"cut":               {"status", `{"jsonrpc": "2.0", "params": {"tok`, "not JSON"},
		"something behind":  {"status", `{"params": {"token": "x"}} {}`, "not JSON"},
		"a form":            {"status", "token=" + token, "not JSON"},
		"null":              {"status", "null", "no object"},
		"a list":            {"status", `[{"params": {}}]`, "no object"},
		"a string":          {"status", `"status"`, "no object"},
		"not UTF-8":         {"status", "{\"params\": {\"token\": \"\xff\"}}", "not UTF-8"},
		"UTF-16":            {"status", "\xff\xfe{\x00}\x00", "not UTF-8"},
		"too long":          {"status", with(`, "x": "` + strings.Repeat("x", 10<<20) + `"`), "more than 1048576 bytes"},
		"too deep":          {"status", with(`, "x": ` + deep), "not JSON"},
		"too deep an id":    {"status", `{"id": ` + deep + `}`, "not JSON"},
		"a list for an id":  {"status", `{"id": [1], "params": {"token": "x"}}`, "neither a string nor a number"},
		"version 1":         {"status", `{"jsonrpc": "1.0", "params": {"token": "` + token + `"}}`, "not JSON-RPC 2.0"},
		"version as number": {"status", `{"jsonrpc": 2.0, "params": {"token": "` + token + `"}}`, "not JSON-RPC 2.0"},
		"no params":         {"status", `{"jsonrpc": "2.0"}`, "params are no object"},
		"params null":       {"status", `{"params": null}`, "params are no object"},
		"params in a list":  {"status", `{"params": ["` + token + `"]}`, "params are no object"},
		"PARAMS":            {"status", `{"PARAMS": {"token": "` + token + `"}}`, "params are no object"},
		"no token":          {"status", `{"params": {}}`, "token is missing: send a string"},
		"token null":        {"status", `{"params": {"token": null}}`, "token is missing"},
		"token a number":    {"status", `{"params": {"token": 5}}`, "token is a number: send a string"},
		"token a list":      {"process", `{"params": {"token": ["x"]}}`, "token is a list: send a string"},
		"token in capitals": {"status", `{"params": {"Token": "` + token + `"}}`, "token is missing"},
		"no type":           {"transfer/start", `{"params": {"token": "` + token + `"}}`, "transfer_type is missing"},
		"type of no kind":   {"transfer/start", with(`, "transfer_type": true`), "transfer_type is a boolean"},
		"another type":      {"transfer/start", with(`, "transfer_type": "sideways"`), "choose upload or download"},
		"all that is wrong": {"create", `{"params": {"contract": 5, "aim": {}}}`, "contract is a number: send a string; " +
			"target is missing: " +
			"send a string; aim is an object: send a string; ssh_key is missing"},
		"env_vars a string": {"create", createWith(t, "env_vars", "A=1"),
			"env_vars is a string: send a list of strings, [] for none"},
		"env_vars of number": {"create", createWith(t, "env_vars", []any{5}), "env_vars is a list of something else"},
		"env_vars of null":   {"create", createWith(t, "env_vars", []any{nil}), "env_vars has null in it"},
		"api_version 0.2":    {"create", createWith(t, "api_version", 0.2), "api_version is a number: send a string"},
		"twice, the last":    {"status", `{"params": {"token": 5, "token": "` + token + `"}}`, ""},
		"twice, the first":   {"status", `{"params": {"token": "` + token + `", "token": 5}}`, "token is a number"},
		"no version":         {"status", with(""), ""},
		"method of any kind": {"status", `{"method": 5, "jsonrpc": "2.0", "params": {"token": "` + token + `"}}`, ""},
		"escapes":            {"status", `{"\u0070arams": {"tok\u0065n": "` + token + `"}}`, ""},
		"further members":    {"stop", "", "x"},
	} {
		if name == "further members" {
			tc.call, tc.want = "transfer/stop", ""
			tc.body = `{"extra": [null], "params": {"token": "` + token + `", "contract": 5, "x": {"y": null}}}`
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := w.with(t).post(tc.call, tc.body)
			if tc.want == "" != (a.Failure == "") || !strings.Contains(a.Failure, tc.want) {
				t.Errorf("failure %q, want %q", a.Failure, tc.want)
			}
			if tc.want != "" && a.Form != scenario.FormError && !strings.HasPrefix(name, "another") {
				t.Errorf("the failure has the form %q", a.Form)
			}
			if strings.Contains(a.Body, token) {
				t.Errorf("the answer shows the token: %s", a.Body)
			}
		})
	}
}

// The id of a call comes back as it was (row S1.9).
func TestScriptAPI_id(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	for sent, want := range map[string]string{
		`"not_used"`: `"not_used"`, `5`: `5`, `-0.5e3`: `-0.5e3`, `null`: `null`, `""`: `""`, `"<ü\u00fc>"`: `"<ü\u00fc>"`,
		`123456789012345678901234567890`: `123456789012345678901234567890`,
	} {
		a := w.post("status", `{"id": `+sent+`, "params": {"token": "x"}}`)
		if !strings.Contains(a.Body, `"id":`+want+`,`) {
			t.Errorf("%s came back as %s", sent, a.Body)
		}
	}
	if a := w.post("status", `{"params": {"token": "x"}}`); !strings.Contains(a.Body, `"id":null,`) {
		t.Error(a.Body)
	}
	long := strings.Repeat("i", 100_000)
	if a := w.post("status", `{"id": "`+long+`", "params": {"token": "x"}}`); a.ID != long {
		t.Errorf("an id of 100,000 bytes came back as one of %d", len(a.Body))
	}
}

// Row S1.4 (Content-Type) is as strict as the script is.
func TestScriptAPI_contentType(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	_, token := w.scriptRequest()
	for contentType, good := range map[string]bool{
		"application/json": true, "application/json; charset=utf-8": true, "Application/JSON": true,
		"": false, "text/plain": false, "application/x-www-form-urlencoded": false, "application/jsonx": false,
	} {
		a := w.postAs(contentType, "status", `{"params": {"token": "`+token+`"}}`)
		if good != (a.Failure == "") || !good && !strings.Contains(a.Failure, "send application/json") {
			t.Errorf("Content-Type %q: %s", contentType, a.Body)
		}
	}
}

// Row S1.18.
func TestScriptAPI_paths(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	for _, tc := range []struct {
		method, path string
		status       int
		allow, why   string
	}{
		{"GET", "/upgrade/request/create", 405, "POST", "the HTTP method is none of POST"},
		{"HEAD", "/upgrade/request/status", 405, "POST", "the HTTP method is none of POST"},
		{"PUT", "/upgrade/request/transfer/start", 405, "POST", "the HTTP method is none of POST"},
		{"DELETE", "/upgrade/request/wipe", 405, "POST", "the HTTP method is none of POST"},
		{"POST", "/upgrade/request/logs", 405, "GET, HEAD", "the HTTP method is none of GET, HEAD"},
		{"POST", "/upgrade", 405, "GET, HEAD", "the HTTP method is none of GET, HEAD"},
		{"POST", "/upgrade/request/stauts", 404, "",
			"there is no such call; did you mean /upgrade/request/status? There are: create, logs,"},
		{"POST", "/upgrade/request/transfer", 404, "", "there is no such call. There are: create, logs,"},
		{"POST", "/upgrade/request/create/", 404, "", "there is no such call; did you mean /upgrade/request/create?"},
		{"POST", "/upgrade/request/", 404, "", "there is no such call"},
		{"GET", "/upgrade/", 404, "", "nothing answers at this path; the calls of the script are below /upgrade/request/"},
		{"POST", "/upgrade/request", 404, "", "nothing answers at this path"},
		{"POST", "//upgrade/request/create", 404, "", "nothing answers at this path"},
	} {
		w.srv.ClearJournal(journal.Filter{})
		resp, body := w.do(
			tc.method,
			w.base+tc.path,
			http.Header{"Content-Type": {"application/json"}},
			strings.NewReader("{}"),
		)
		if resp.StatusCode != tc.status || resp.Header.Get("Allow") != tc.allow {
			t.Errorf(
				"%s %s: %s, Allow %q; want %d, %q:\n%s",
				tc.method,
				tc.path,
				resp.Status,
				resp.Header.Get("Allow"),
				tc.status,
				tc.allow,
				body,
			)
		}
		events := w.srv.Events(journal.Filter{})
		if len(events) != 1 || !strings.HasPrefix(events[0].Why, tc.why) {
			t.Errorf("%s %s: the journal has %+v, want %q", tc.method, tc.path, events, tc.why)
		}
	}
}

// Rows S7.1, S7.2, S7.6 to S7.8 and S7.10.
func TestScriptAPI_status(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		id, token := w.scriptRequest()
		host := strings.TrimPrefix(w.srv.HTTPSURL(), "https://")
		want := map[string]any{"status": "new", "host_uri": host, "reason": nil, "archived": false}
		if diff := cmp.Diff(want, w.rpc("status", "token", token).Result); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		if _, err := w.srv.SetState(
			id,
			"failed",
			map[string]any{"reason": "a view is broken", "archived": true},
		); err != nil {
			t.Fatal(err)
		}
		want = map[string]any{"status": "failed", "host_uri": host, "reason": "a view is broken", "archived": true}
		if diff := cmp.Diff(want, w.rpc("status", "token", token).Result); diff != "" {
			t.Errorf("status (-want +got):\n%s", diff)
		}
		// One answer for all tokens that do not fit, in every call.
		old := madeOf(w, w.good("create", sample()))
		answers := make(map[string]bool)
		for _, wrong := range []string{
			"x", token[:57], token + "A", strings.ToLower(token), old.key, "", " ", strings.Repeat("A", 1000), "💥",
		} {
			for _, call := range []string{"status", "process", "transfer/stop", "transfer/start", "wipe"} {
				a := w.rpc(call, "token", wrong, "transfer_type", "upload", "contract", "M123456-abcdef")
				answers[a.Form+" "+a.Failure] = true
			}
		}
		if len(answers) != 1 {
			t.Errorf("tokens that do not fit get %q", slices.Collect(maps.Keys(answers)))
		}
		// Nor is a token a key.
		if a := w.call(
			"status",
			pairs("request", fmt.Sprint(id), "key", token),
		); !slices.Equal(
			a.reasons(),
			[]string{"REQUEST:NOT_FOUND"},
		) {
			t.Errorf("the token opens the request over the other API: %s", a.Body)
		}
	})
}

// What cannot begin yet is a failure of the platform, with words (rows S3.10 and S6.6).
func TestScriptAPI_wrongMoment(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	_, token := w.scriptRequest()
	for _, a := range []rpcAnswer{
		w.rpc("process", "token", token), w.rpc("transfer/start", "token", token, "transfer_type", "download"),
		w.rpc("wipe", "token", token, "contract", "M999999-other"),
	} {
		if a.Form != scenario.FormResult {
			t.Errorf("%s: form %q", a.Body, a.Form)
		}
	}
	if a := w.rpc("transfer/stop", "token", token); a.Result == nil { // row S3.13
		t.Error(a.Body)
	}
}
