package mockserver_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

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
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" || resp.Uncompressed { // row S1.8
		tb.Errorf("the answer is encoded: %q", encoding)
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
