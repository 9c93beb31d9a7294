package mockserver_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The control API looks into requests of the script API, and shows their tokens only shortened.
func TestScriptAPI_controlRequests(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	old := w.create()
	_, token := w.scriptRequest()
	_, answer := w.control("GET", "/requests", "")
	requests := answer["requests"].([]any)
	first, second := requests[0].(map[string]any), requests[1].(map[string]any)
	if first["api"] != "database" || first["key"] != old.key || first["token"] != nil {
		t.Errorf("the request of the database API: %v", first)
	}
	if second["api"] != "script" || second["token"] != token[:4]+"…" || second["key"] != nil {
		t.Errorf("the request of the script API: %v", second)
	}
	if strings.Contains(fmt.Sprint(answer), token[:16]) {
		t.Errorf("the answer shows the token: %v", answer)
	}
	want := map[string]any{"status": "new", "host_uri": addressOf(w.srv.HTTPSURL()), "reason": nil, "archived": false}
	if diff := cmp.Diff(want, second["status"]); diff != "" {
		t.Errorf("its status (-want +got):\n%s", diff)
	}
}

// It steers them by what there is in a status of their API.
func TestScriptAPI_controlState(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	old := w.create()
	id, token := w.scriptRequest()
	path := fmt.Sprintf("/requests/%d/state", id)
	status, answer := w.control("POST", path, `{"state": "failed", "set": {"reason": "by hand", "archived": true}}`)
	if status != 200 || answer["state"] != "failed" {
		t.Errorf("state: %d %v", status, answer)
	}
	result := w.rpc("status", "token", token).Result
	if result["status"] != "failed" || result["reason"] != "by hand" || result["archived"] != true {
		t.Errorf("status: %v", result)
	}
	for path, body := range map[string]string{
		path: `{"state": "failed", "set": {"estimated_time": "00:30"}}`,
		fmt.Sprintf("/requests/%d/state", old.id): `{"state": "done", "set": {"archived": true}}`,
	} {
		status, answer := w.control("POST", path, body)
		if status != 400 || !strings.Contains(fmt.Sprint(answer["error"]), "set: ") {
			t.Errorf("a key of the other API: %d %v", status, answer)
		}
	}
}

// Events have the scenarios' names, and can be waited for. A reset forgets the token.
func TestScriptAPI_controlJournal(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	_, token := w.scriptRequest()
	w.rpc("status", "token", token)
	for on, count := range map[string]int{
		"script": 2, "script.create": 1, "script.status": 1, "rsync": 0, "script.file": 0,
	} {
		_, answer := w.control("GET", "/journal?on="+on, "")
		if events := answer["events"].([]any); len(events) != count {
			t.Errorf("%d events on %s, want %d", len(events), on, count)
		}
	}
	status, answer := w.control("GET", "/wait?timeout=30s&on=script.status", "")
	if status != 200 || answer["event"].(map[string]any)["state"] != "new" {
		t.Errorf("wait: %d %v", status, answer)
	}
	status, answer = w.control("GET", "/journal?on=script.procces", "")
	if status != 400 || !strings.Contains(fmt.Sprint(answer["error"]), `did you mean "script.process"`) {
		t.Errorf("a mistyped event: %d %v", status, answer)
	}
	if status, answer := w.control("POST", "/reset?contract=M123456-abcdef", ""); status != 200 {
		t.Errorf("reset: %d %v", status, answer)
	}
	if a := w.rpc("status", "token", token); !strings.HasPrefix(a.Failure, "There is no upgrade request with this token") {
		t.Error(a.Body)
	}
	if resp, _ := w.log(token, ""); resp.StatusCode != 404 {
		t.Errorf("the log of a request that was reset: %s", resp.Status)
	}
}

// Calls and transfers are counted, and bytes over SSH are no bytes over HTTP.
func TestScriptAPI_metrics(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	_, token := w.scriptRequest()
	for range 3 {
		w.rpc("status", "token", token)
	}
	w.rpc("process", "token", token)
	w.post("wipe", "x")
	w.log("x", "")
	_, text := w.do("GET", w.srv.AdminURL()+"/metrics", nil, nil)
	for _, line := range []string{
		`upgrademock_calls_total{on="script.create",status="200"} 1`,
		`upgrademock_calls_total{on="script.status",status="200"} 3`,
		`upgrademock_calls_total{on="script.logs",status="404"} 1`,
		`upgrademock_failures_total{reason="CALL:INVALID"} 1`,
		`upgrademock_failures_total{reason="DUMP:MISSING"} 1`,
		`upgrademock_requests{state="new"} 1`,
	} {
		if !slices.Contains(strings.Split(string(text), "\n"), line) {
			t.Errorf("the metrics have no line %s", line)
		}
	}
}

// No token stands in the journal, the log or an answer that is not to show it, wherever a client puts it.
func TestScriptAPI_tokensAreHidden(t *testing.T) {
	t.Parallel()
	var log, lines safeBuffer
	w := onWire(t, &mockserver.Options{
		JournalWriter: &lines, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	_, token := w.scriptRequest("contract", "M123456-abcdef")
	foreign := "B7-xR2mVq_9LwZt3Ks0YhQaB4cD5eF6gH7iJ8kL9mN0oP1qR2sT3uV4wX5" // what a token looks like
	if len(foreign) != len(token) {
		t.Fatalf("the example has %d characters", len(foreign))
	}
	for _, secret := range []string{token, foreign} {
		escaped := strings.ReplaceAll(secret, secret[:1], fmt.Sprintf(`\u%04x`, secret[0]))
		for _, call := range []struct{ method, path, body string }{
			{"POST", "status", `{"params": {"token": "` + secret + `"}}`},
			{"POST", "status", `{"params": {"token": "` + escaped + `"}}`},
			{"POST", "status", `{"params": {"TOKEN": "` + secret + `"}}`},
			{"POST", "status", `{"params": {"token": ["` + secret + `"]}}`},
			{"POST", "status", `{"params": {"token": "x", "y": {"z": "` + secret + `"}}}`},
			{"POST", "status", `{"params": {"token": "x", "` + secret + `": 1}}`},
			{"POST", "status", `{"params": {"token": "` + secret + "\xff"},
			{"POST", "status", `{"jsonrpc": "` + secret + `", "params": {}}`},
			{"POST", "status", secret},
			{"POST", "status?token=" + secret, `{"params": {}}`},
			{"POST", "status/" + secret, `{}`},
			{"POST", secret, `{}`},
			{"POST", "transfer/start", `{"params": {"token": "` + secret + `", "transfer_type": "` + secret + `"}}`},
			{"POST", "wipe", `{"params": {"token": "` + secret + `", "contract": "` + secret + `"}}`},
			{"POST", "create", createWith(
				t, "contract", secret, "env_vars", []string{"TOKEN=" + secret}, "actuator", secret, "target", secret,
			)},
			{"POST", "create", createWith(t, "contract", "M9-x", "ssh_key", "ssh-rsa "+secret, "aim", secret)},
			{"GET", "logs?token=" + secret, ""},
			{"GET", "logs?Token=" + secret, ""},
			{"GET", "logs?" + secret, ""},
			{"GET", "logs?token=x&token=" + secret, ""},
			{"GET", "create?token=" + secret, ""},
		} {
			header := http.Header{
				"Content-Type": {"application/json"}, "Authorization": {"Bearer " + secret},
				"User-Agent": {"python/3 " + secret}, "Range": {"bytes=" + secret},
			}
			resp, body := w.do(call.method, w.base+"/upgrade/request/"+call.path, header, strings.NewReader(call.body))
			if strings.Contains(string(body), secret[:16]) && resp.StatusCode != 200 {
				t.Errorf("%s %s: the answer shows the token: %s", call.method, call.path, body)
			}
		}
	}
	events := w.srv.Events(journal.Filter{})
	text, err := json.Marshal(events)
	if err != nil {
		t.Fatal(err)
	}
	_, metrics := w.do("GET", w.srv.AdminURL()+"/metrics", nil, nil)
	for name, text := range map[string]string{
		"journal": string(text), "journal file": lines.String(), "log": log.String(), "metrics": string(metrics),
	} {
		for _, secret := range []string{token, foreign} {
			if at := strings.Index(text, secret[:16]); at >= 0 {
				t.Errorf("the %s shows a token: …%s…", name, text[max(0, at-200):min(len(text), at+60)])
			}
		}
	}
	for _, e := range events {
		if e.On == scenario.OnScriptStatus && e.Request != 0 && !strings.Contains(e.KeyIn, "Authorization") {
			t.Errorf("the journal does not say that the token was in a header: %+v", e)
		}
	}
}

// A private key that is sent by mistake stands nowhere.
func TestScriptAPI_privateKeyIsHidden(t *testing.T) {
	t.Parallel()
	var log, lines safeBuffer
	w := onWire(t, &mockserver.Options{
		JournalWriter: &lines, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	for _, key := range []string{"ed25519", "ecdsa"} {
		private := string(fixtures.Key(key))
		a := w.rpc("create", scriptParams("ssh_key", private)...)
		if a.Form != scenario.FormResult || !strings.Contains(a.Failure, "private key") {
			t.Error(a.Body)
		}
		for line := range strings.Lines(private) {
			line = strings.TrimSpace(line)
			if len(line) < 30 || strings.HasPrefix(line, "-----") {
				continue
			}
			for name, text := range map[string]string{"answer": a.Body, "journal": lines.String(), "log": log.String()} {
				if strings.Contains(text, line[:20]) {
					t.Errorf("the %s shows a part of the private key", name)
				}
			}
		}
	}
}

// The OpenAPI document has every call of the script API, and no other.
func TestScriptAPI_openAPI(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	_, text := w.do("GET", w.srv.AdminURL()+"/openapi.yaml", nil, nil)
	var doc struct {
		Paths map[string]map[string]struct {
			Tags []string `yaml:"tags"`
		} `yaml:"paths"`
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var described []string
	for path, methods := range doc.Paths {
		for method, call := range methods {
			if !slices.Contains(call.Tags, "script") {
				continue
			}
			if name, ok := strings.CutPrefix(path, "/upgrade/request/"); ok {
				described = append(described, name)
			}
			resp, _ := w.do(strings.ToUpper(method), w.base+path, nil, nil)
			if events := w.srv.Events(journal.Filter{}); events[len(events)-1].On == journal.OnUnknown ||
				resp.StatusCode == http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %s", method, path, resp.Status)
			}
		}
	}
	slices.Sort(described)
	w.do("GET", w.base+"/upgrade/request/", nil, nil)
	events := w.srv.Events(journal.Filter{On: journal.OnUnknown})
	_, there, _ := strings.Cut(events[0].Why, "There are: ")
	if got := strings.Join(described, ", "); got != there {
		t.Errorf("the document has %s; there are %s", got, there)
	}
}
