package mockserver_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// rpcAnswer is what a call of the script API was answered.
type rpcAnswer struct {
	Result  map[string]any // nil: there is none, or it is a failure
	Failure string         // the text that the script shows; "": the call went well
	Form    string         // of the failure: scenario.FormResult or scenario.FormError
	ID      any
	Body    string
}

// post sends a call of the script API with that body, and holds the answer against what the script demands of all
// answers (rows S1.6 to S1.13).
func (w *wire) post(name, body string) rpcAnswer {
	w.Helper()
	return w.postAs("application/json", name, body)
}

func (w *wire) postAs(contentType, name, body string) rpcAnswer {
	w.Helper()
	header := http.Header{}
	if contentType != "" {
		header.Set("Content-type", contentType)
	}
	resp, data := w.do("POST", w.base+"/upgrade/request/"+name, header, strings.NewReader(body))
	return decodeRPC(w, resp, data)
}

func decodeRPC(tb testing.TB, resp *http.Response, data []byte) rpcAnswer {
	tb.Helper()
	if resp.StatusCode != http.StatusOK {
		tb.Fatalf("status %s, want 200:\n%s", resp.Status, data)
	}
	if resp.ContentLength != int64(len(data)) || len(data) == 0 || len(resp.TransferEncoding) > 0 {
		tb.Errorf(
			"Content-Length %d and Transfer-Encoding %q for %d bytes",
			resp.ContentLength,
			resp.TransferEncoding,
			len(data),
		)
	}
	if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, "application/json") {
		tb.Errorf("Content-Type %q, want application/json", got)
	}
	var envelope map[string]any
	if err := json.Unmarshal(data, &envelope); err != nil {
		tb.Fatalf("the answer is no JSON object: %v\n%.1000s", err, data)
	}
	a := rpcAnswer{ID: envelope["id"], Body: string(data)}
	if _, there := envelope["id"]; !there || envelope["jsonrpc"] != "2.0" {
		tb.Errorf("the answer is not JSON-RPC 2.0:\n%.1000s", data)
	}
	result, there := envelope["result"]
	problem, broken := envelope["error"]
	switch {
	case there == broken:
		tb.Fatalf("the answer has both a result and an error, or none:\n%.1000s", data)
	case there:
		members, ok := result.(map[string]any)
		if !ok {
			tb.Fatalf("the result is no object, which crashes the script:\n%.1000s", data)
		}
		if failure, failed := members["error"]; failed {
			a.Form, a.Failure = scenario.FormResult, failure.(string)
		} else {
			a.Result = members
		}
	default:
		data := problem.(map[string]any)["data"].(map[string]any)
		a.Form, a.Failure = scenario.FormError, data["message"].(string)
		for _, key := range []string{"name", "debug"} {
			if text, ok := data[key].(string); !ok || text == "" {
				tb.Errorf("error.data without a string %s:\n%s", key, a.Body)
			}
		}
	}
	if (a.Form != "") != (a.Failure != "") {
		tb.Errorf("a failure without words:\n%s", a.Body)
	}
	return a
}

// rpc makes a call as the script does, with parameters by names and values in turn.
func (w *wire) rpc(name string, namesAndValues ...any) rpcAnswer {
	w.Helper()
	params := map[string]any{}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		params[namesAndValues[i].(string)] = namesAndValues[i+1]
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": params})
	if err != nil {
		w.Fatal(err)
	}
	a := w.post(name, string(body))
	if a.ID != "not_used" {
		w.Errorf("id %v, want that of the call", a.ID)
	}
	return a
}

// scriptParams are the parameters of create, changed by names and values.
func scriptParams(namesAndValues ...any) []any {
	params := map[string]any{
		"contract": "M123456-abcdef", "target": "18.0", "aim": "test", "actuator": "cli", "api_version": "0.2",
		"env_vars": []string{}, "ssh_key": publicKey("ed25519"),
	}
	for i := 0; i+1 < len(namesAndValues); i += 2 {
		if namesAndValues[i+1] == "-" {
			delete(params, namesAndValues[i].(string))
		} else {
			params[namesAndValues[i].(string)] = namesAndValues[i+1]
		}
	}
	var list []any
	for _, name := range slices.Sorted(maps.Keys(params)) {
		list = append(list, name, params[name])
	}
	return list
}

// scriptRequest makes a request.
func (w *wire) scriptRequest(namesAndValues ...any) (id int64, token string) {
	w.Helper()
	a := w.rpc("create", scriptParams(namesAndValues...)...)
	if a.Result == nil {
		w.Fatalf("create: %s", a.Body)
	}
	return int64(a.Result["request_id"].(float64)), a.Result["token"].(string)
}

// log is what GET logs answers to a header Range; "" sends none.
func (w *wire) log(token, byteRange string) (*http.Response, string) {
	w.Helper()
	header := http.Header{}
	if byteRange != "" {
		header.Set("Range", byteRange)
	}
	resp, body := w.do("GET", w.base+"/upgrade/request/logs?token="+token, header, nil)
	if resp.ContentLength != int64(len(body)) {
		w.Errorf("Content-Length %d for %d bytes", resp.ContentLength, len(body))
	}
	return resp, string(body)
}

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
	deep := strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	for name, tc := range map[string]struct {
		call, body string
		want       string // a part of the failure; "": there is none
	}{
		"no body":            {"status", "", `The body is not JSON: send {"jsonrpc"`},
		"no JSON":            {"status", `{"jsonrpc": x}`, "not JSON, from byte 13 on: send"},
		"cut":                {"status", `{"jsonrpc": "2.0", "params": {"tok`, "not JSON"},
		"something behind":   {"status", `{"params": {"token": "x"}} {}`, "not JSON"},
		"a form":             {"status", "token=" + token, "not JSON"},
		"null":               {"status", "null", "no object"},
		"a list":             {"status", `[{"params": {}}]`, "no object"},
		"a string":           {"status", `"status"`, "no object"},
		"not UTF-8":          {"status", "{\"params\": {\"token\": \"\xff\"}}", "not UTF-8"},
		"UTF-16":             {"status", "\xff\xfe{\x00}\x00", "not UTF-8"},
		"too long":           {"status", `{"params": {"token": "` + strings.Repeat("x", 10<<20) + `"}}`, "more than 1048576 bytes"},
		"too deep":           {"status", `{"params": {"token": "` + token + `", "x": ` + deep + `}}`, "not JSON"},
		"too deep an id":     {"status", `{"id": ` + deep + `}`, "not JSON"},
		"a list for an id":   {"status", `{"id": [1], "params": {"token": "` + token + `"}}`, "neither a string nor a number"},
		"version 1":          {"status", `{"jsonrpc": "1.0", "params": {"token": "` + token + `"}}`, "not JSON-RPC 2.0"},
		"version as number":  {"status", `{"jsonrpc": 2.0, "params": {"token": "` + token + `"}}`, "not JSON-RPC 2.0"},
		"no params":          {"status", `{"jsonrpc": "2.0"}`, "params are no object"},
		"params null":        {"status", `{"params": null}`, "params are no object"},
		"params in a list":   {"status", `{"params": ["` + token + `"]}`, "params are no object"},
		"PARAMS":             {"status", `{"PARAMS": {"token": "` + token + `"}}`, "params are no object"},
		"no token":           {"status", `{"params": {}}`, "token is missing: send a string"},
		"token null":         {"status", `{"params": {"token": null}}`, "token is missing"},
		"token a number":     {"status", `{"params": {"token": 5}}`, "token is a number: send a string"},
		"token a list":       {"process", `{"params": {"token": ["x"]}}`, "token is a list of something else: send a string"},
		"token in capitals":  {"status", `{"params": {"Token": "` + token + `"}}`, "token is missing"},
		"no type":            {"transfer/start", `{"params": {"token": "` + token + `"}}`, "transfer_type is missing"},
		"type of no kind":    {"transfer/start", `{"params": {"token": "` + token + `", "transfer_type": true}}`, "transfer_type is a boolean"},
		"another type":       {"transfer/start", `{"params": {"token": "` + token + `", "transfer_type": "sideways"}}`, "choose upload or download"},
		"all that is wrong":  {"create", `{"params": {"contract": 5, "aim": {}}}`, "contract is a number: send a string; target is missing: send a string; aim is an object: send a string; ssh_key is missing"},
		"env_vars a string":  {"create", createWith(t, "env_vars", "A=1"), "env_vars is a string: send a list of strings, [] for none"},
		"env_vars of number": {"create", createWith(t, "env_vars", []any{5}), "env_vars is a list of something else"},
		"env_vars of null":   {"create", createWith(t, "env_vars", []any{nil}), "env_vars has null in it"},
		"api_version 0.2":    {"create", createWith(t, "api_version", 0.2), "api_version is a number: send a string"},
		"twice, the last":    {"status", `{"params": {"token": 5, "token": "` + token + `"}}`, ""},
		"twice, the first":   {"status", `{"params": {"token": "` + token + `", "token": 5}}`, "token is a number"},
		"no version":         {"status", `{"params": {"token": "` + token + `"}}`, ""},
		"method of any kind": {"status", `{"method": 5, "jsonrpc": "2.0", "params": {"token": "` + token + `"}}`, ""},
		"escapes":            {"status", `{"\u0070arams": {"tok\u0065n": "` + token + `"}}`, ""},
		"further members":    {"stop", "", "x"},
	} {
		if name == "further members" {
			tc.call, tc.body, tc.want = "transfer/stop", `{"extra": [null], "params": {"token": "`+token+`", "contract": 5, "x": {"y": null}}}`, ""
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

// createWith is the body of a create with one parameter changed.
func createWith(tb testing.TB, namesAndValues ...any) string {
	tb.Helper()
	params := map[string]any{}
	list := scriptParams(namesAndValues...)
	for i := 0; i < len(list); i += 2 {
		params[list[i].(string)] = list[i+1]
	}
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "params": params})
	if err != nil {
		tb.Fatal(err)
	}
	return string(body)
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
		{"POST", "/upgrade/request/stauts", 404, "", "there is no such call; did you mean /upgrade/request/status? There are: create, logs,"},
		{"POST", "/upgrade/request/transfer", 404, "", "there is no such call There are"},
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
		for _, wrong := range []string{"x", token[:57], token + "A", strings.ToLower(token), old.key, "", " ", strings.Repeat("A", 1000), "💥"} {
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

// Rows S8.1, S8.2, S8.5 to S8.7 and S8.10.
func TestScriptAPI_logs(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t, "when: {api: script}\nsteps: [{state: progress, log: \"zero\\nöne\\n\"}]\n"),
		Requests:  []mockserver.NewRequest{{API: mockserver.APIScript, Dump: []byte("-- a dump\n"), Process: true}},
	})
	if _, token := w.scriptRequest(); token != "" {
		if resp, body := w.log(token, "bytes=0-"); resp.StatusCode != 200 || body != "" {
			t.Errorf("before the upgrade: %s %q", resp.Status, body)
		}
	}
	token := w.srv.Requests()[0].Key
	_, whole := w.log(token, "")
	size := len(whole)
	if whole != "zero\nöne\n" {
		t.Fatalf("the log is %q", whole)
	}
	for _, tc := range []struct {
		header   string
		from, to int // -1: the whole, with status 200
	}{
		{"", -1, 0}, {"bytes=0-", 0, size}, {"bytes=1-", 1, size}, {fmt.Sprintf("bytes=%d-", size-1), size - 1, size},
		{fmt.Sprintf("bytes=%d-", size), size, size}, {"bytes=999999-", size, size},
		{"bytes=99999999999999999999999999-", size, size}, {"bytes=2-4", 2, 5}, {"bytes=2-2", 2, 3}, {"bytes=0-999999", 0, size},
		{"bytes=7-99999999999999999999999999", 7, size}, {"Bytes = 3 - 4 ", 3, 5},
		{"bytes=-4", size - 4, size}, {"bytes=-999999", 0, size}, {"bytes=-0", size, size},
		{"bytes=4-2", -1, 0}, {"bytes=", -1, 0}, {"bytes=-", -1, 0}, {"bytes=x-", -1, 0}, {"bytes=+1-", -1, 0}, {"bytes=1-x", -1, 0},
		{"bytes=1", -1, 0}, {"lines=0-", -1, 0}, {"bytes=0-1,3-4", -1, 0}, {"bytes=0x1-", -1, 0}, {"0-", -1, 0}, {"bytes=--1", -1, 0},
	} {
		resp, body := w.log(token, tc.header)
		status, want, contentRange := 206, "", ""
		switch {
		case tc.from < 0:
			status, want = 200, whole
		case tc.from == tc.to:
			status = 200
		default:
			want, contentRange = whole[tc.from:tc.to], fmt.Sprintf("bytes %d-%d/%d", tc.from, tc.to-1, size)
		}
		if resp.StatusCode != status || body != want || resp.Header.Get("Content-Range") != contentRange {
			t.Errorf(
				"Range %q: %s, Content-Range %q, %q; want %d, %q, %q",
				tc.header,
				resp.Status,
				resp.Header.Get("Content-Range"),
				body,
				status,
				contentRange,
				want,
			)
		}
		if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
	}
	for _, query := range []string{"", "?token=", "?token=x", "?token=" + token + "x", "?Token=" + token, "?token=%zz&x"} {
		resp, body := w.do("GET", w.base+"/upgrade/request/logs"+query, http.Header{"Range": {"bytes=0-"}}, nil)
		if resp.StatusCode != 404 || strings.Contains(string(body), token) {
			t.Errorf("logs%s: %s\n%s", query, resp.Status, body)
		}
	}
	resp, _ := w.do("HEAD", w.base+"/upgrade/request/logs?token="+token, nil, nil)
	if resp.StatusCode != 200 || resp.ContentLength != int64(size) {
		t.Errorf("HEAD: %s, Content-Length %d", resp.Status, resp.ContentLength)
	}
}

// Rows S9.1 to S9.4.
func TestScriptAPI_wipe(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	first, token := w.scriptRequest()
	second, other := w.scriptRequest()
	w.scriptRequest("contract", "M999999-other")
	a := w.rpc("wipe", "token", token, "contract", "M123456-abcdef")
	want := map[string]any{"wiped": []any{float64(first), float64(second)}, "failed": []any{}}
	if diff := cmp.Diff(want, a.Result); diff != "" {
		t.Errorf("wipe (-want +got):\n%s", diff)
	}
	if a := w.rpc("status", "token", other); a.Result["archived"] != true {
		t.Error(a.Body)
	}
	a = w.rpc("wipe", "token", other, "contract", "M123456-abcdef")
	if diff := cmp.Diff(map[string]any{"wiped": []any{}, "failed": []any{}}, a.Result); diff != "" {
		t.Errorf("wipe (-want +got):\n%s", diff)
	}
}

// A body that is too long takes no memory, and its client gets an answer when it has sent it (row S1.13); also one that
// waited to be asked for it.
func TestScriptAPI_endlessBody(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	w.http.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	for _, expect := range []string{"", "100-continue"} {
		header := http.Header{"Content-Type": {"application/json"}}
		if expect != "" {
			header.Set("Expect", expect)
		}
		body := &io.LimitedReader{R: endlessBlanks{}, N: 64 << 20}
		resp, data := w.do("POST", w.base+"/upgrade/request/create", header, body)
		if a := decodeRPC(t, resp, data); !strings.Contains(a.Failure, "more than 1048576 bytes") {
			t.Error(a.Body)
		}
		if body.N > 0 {
			t.Errorf("Expect %q: the answer came when %d bytes were not sent yet", expect, body.N)
		}
	}
}

// endlessBlanks is white space without end.
type endlessBlanks struct{}

func (endlessBlanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
