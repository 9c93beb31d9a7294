package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
)

func TestScript_calls(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	s := p.script()
	key, _, err := client.GenerateSSHKey()
	if err != nil {
		t.Fatal(err)
	}
	req, err := s.Create(t.Context(), client.ScriptParams{Contract: "M1-a", Target: "18.0", Aim: "production",
		EnvVars: []string{"A=b c"}, SSHKey: key.PublicKey()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := &client.ScriptRequest{ID: "4711", Token: scriptToken, Host: p.Listener.Addr().String()}
	if diff := cmp.Diff(want, req); diff != "" {
		t.Errorf("create -want +got:\n%s", diff)
	}
	sent := map[string]any{"contract": "M1-a", "target": "18.0", "aim": "production", "actuator": "cli",
		"env_vars": []any{"A=b c"}, "api_version": "0.2", "ssh_key": string(ssh.MarshalAuthorizedKey(key.PublicKey()))}
	if diff := cmp.Diff(sent, p.params["create"]); diff != "" {
		t.Errorf("create sent -want +got:\n%s", diff)
	}
	ref := req.Ref()
	tr, err := s.StartTransfer(t.Context(), ref, client.TransferDownload)
	if err != nil || tr.Host != "127.0.0.1" || tr.Port == 0 || tr.DumpName != "upgraded.dump" || tr.KnownHosts == "" {
		t.Errorf("transfer/start: %+v, %v", tr, err)
	}
	if diff := cmp.Diff(map[string]any{"token": scriptToken, "transfer_type": "download"},
		p.params["transfer/start"]); diff != "" {
		t.Errorf("transfer/start sent -want +got:\n%s", diff)
	}
	if err := s.StopTransfer(t.Context(), ref); err != nil {
		t.Error(err)
	}
	if r, err := s.Process(t.Context(), ref); err != nil || !r.PGCompatible {
		t.Errorf("process: %+v, %v", r, err)
	}
	status, err := s.Status(t.Context(), ref)
	if diff := cmp.Diff(&client.ScriptStatus{State: "new", Host: ref.Host}, status); diff != "" || err != nil {
		t.Errorf("status: %v -want +got:\n%s", err, diff)
	}
	wiped, err := s.Wipe(t.Context(), "M1-a", ref)
	if diff := cmp.Diff(&client.Wiped{Wiped: []string{"4711"}, Failed: []string{}}, wiped); diff != "" || err != nil {
		t.Errorf("wipe: %v -want +got:\n%s", err, diff)
	}
}

// answerWith answers a call with a status, a content type and a body.
func answerWith(call string, status int, contentType, body string) func(string, int, http.ResponseWriter,
	*http.Request) bool {
	return func(c string, _ int, w http.ResponseWriter, _ *http.Request) bool {
		if c != call {
			return false
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
		return true
	}
}

func TestScript_failures(t *testing.T) {
	t.Parallel()
	const kind = "application/json"
	for name, tt := range map[string]struct {
		status               int
		body, says           string
		refused              bool // by the platform itself
		transient, uncertain bool
	}{
		"form 1":           {200, `{"result": {"error": "Contract unknown"}}`, "Contract unknown", true, false, false},
		"form 1, silent":   {200, `{"result": {"error": null}}`, "gave no reason", true, false, false},
		"form 2":           {200, `{"error": {"data": {"message": "No such target"}}}`, "No such target", true, false, false},
		"form 2, bare":     {200, `{"error": {"message": "Odoo Server Error"}}`, "Odoo Server Error", true, false, false},
		"form 2, a string": {200, `{"error": "Nein"}`, "Nein", true, false, false},
		"neither":          {200, `{"jsonrpc": "2.0"}`, "neither a result", false, true, true},
		"null":             {200, `{"result": null}`, "neither a result", false, true, true},
		"a number":         {200, `{"result": 7}`, "neither a result", false, true, true},
		"no object":        {200, `[]`, "not the JSON", false, true, true},
		"nothing":          {200, ``, "empty body", false, true, true},
		"no status":        {200, `{"result": {}}`, "has no status", false, true, true},
		"a page":           {200, `<html>Log in</html>`, "HTML page", false, true, false},
		"502":              {502, `<html>Bad gateway</html>`, "502", false, true, false},
		"500 with form 2": {500, `{"error": {"data": {"message": "went wrong"}}}`,
			"500 Internal Server Error: went wrong", false, true, true},
		"404":                 {404, `{"result": {"error": "no"}}`, "404", false, false, false},
		"the token":           {200, `{"result": {"error": "no ` + scriptToken + `"}}`, "no [key]", true, false, false},
		"the token, not JSON": {200, `Traceback for ` + scriptToken, "[key]", false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newScriptPlatform(t)
			p.answer = answerWith("status", tt.status, kind, tt.body)
			_, err := p.script().Status(t.Context(), client.ScriptRef{ID: "1", Token: scriptToken})
			e, ok := errors.AsType[*client.Error](err)
			if !ok || !strings.Contains(err.Error(), tt.says) || (len(e.Failures) > 0) != tt.refused ||
				errors.Is(err, client.ErrTransient) != tt.transient || errors.Is(err, client.ErrUncertain) != tt.uncertain {
				t.Errorf("got %v (transient %v, uncertain %v)", err, errors.Is(err, client.ErrTransient),
					errors.Is(err, client.ErrUncertain))
			}
			if strings.Contains(err.Error(), scriptToken) {
				t.Error("the token stands in the error")
			}
		})
	}
}

// TestScript_assigned: the token goes by https alone, and to no host that only the caller can reach.
func TestScript_assigned(t *testing.T) {
	t.Parallel()
	for host, says := range map[string]string{
		"evil.example/x?":        "neither a host",
		"http://evil.example":    "neither a host",
		"user@evil.example":      "neither a host",
		"evil.example:443:80":    "neither a host",
		"evil.example:0":         "neither a host",
		"evil.example:99999":     "neither a host",
		"-oProxyCommand=x":       "neither a host",
		"a b":                    "neither a host",
		"evil.example\r\nX: y":   "neither a host",
		"127.0.0.1:22":           "this machine",
		"localhost":              "this machine",
		"LOCALHOST.":             "neither a host",
		"127.1":                  "this machine",
		"2130706433":             "this machine",
		"0x7f000001":             "this machine",
		"[::1]:443":              "this machine",
		"[::ffff:127.0.0.1]:443": "this machine",
		"0.0.0.0":                "this machine",
		"169.254.169.254":        "this machine",
		"10.0.0.8":               "private network",
		"192.168.1.1:8443":       "private network",
		"upgrade2.example":       "",
		"UPGRADE.example:8443":   "",
		"203.0.113.9:443":        "",
		"":                       "",
	} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			var called []string
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				called = append(called, r.URL.String())
				body, _ := json.Marshal(map[string]any{"result": map[string]any{"status": "new", "host_uri": host}})
				return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body))}, nil
			})
			c, err := client.New("https://upgrade.example", &client.Options{HTTPClient: &http.Client{Transport: transport}})
			if err != nil {
				t.Fatal(err)
			}
			s, err := c.Script()
			if err != nil {
				t.Fatal(err)
			}
			status, err := s.Status(t.Context(), client.ScriptRef{ID: "1", Token: scriptToken})
			if says != "" {
				if err == nil || !strings.Contains(err.Error(), says) || errors.Is(err, client.ErrTransient) {
					t.Fatalf("got %+v, %v; want an error with %q", status, err, says)
				}
				// Nor is it called when the caller has kept it from somewhere.
				if _, err := s.Status(t.Context(), client.ScriptRef{Token: scriptToken, Host: host}); err == nil ||
					len(called) != 1 {
					t.Errorf("called %q, %v", called, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Status(t.Context(), client.ScriptRef{Token: scriptToken, Host: status.Host}); err != nil {
				t.Fatal(err)
			}
			wantHost := host
			if host == "" {
				wantHost = "upgrade.example"
			}
			if want := "https://" + wantHost + "/upgrade/request/status"; called[1] != want {
				t.Errorf("called %q, want %q", called[1], want)
			}
		})
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestScript_https(t *testing.T) {
	t.Parallel()
	c, err := client.New("http://127.0.0.1:1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Script(); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("got %v", err)
	}
}

// TestScript_redirected: nobody is sent on with a token.
func TestScript_redirected(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"status", "logs"} {
		p, other := newScriptPlatform(t), newScriptPlatform(t)
		p.answer = func(_ string, _ int, w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, other.URL+r.URL.RequestURI(), http.StatusTemporaryRedirect)
			return true
		}
		s, ref := p.script(), client.ScriptRef{Token: scriptToken}
		_, err := s.Status(t.Context(), ref)
		if call == "logs" {
			_, err = s.Logs(t.Context(), ref, 0, io.Discard)
		}
		if err == nil || strings.Contains(err.Error(), scriptToken) || len(other.calls) > 0 {
			t.Errorf("%s: %v, calls %q", call, err, other.calls)
		}
	}
}

// TestScript_logs: each byte comes once, however it is cut, also outside ASCII.
func TestScript_logs(t *testing.T) {
	t.Parallel()
	const all = "2026-01-02 INFO début\nmigration terminée: 100 %\n日本語\n"
	p := newScriptPlatform(t)
	s, ref := p.script(), client.ScriptRef{Token: scriptToken}
	var got bytes.Buffer
	var next int64
	read := func() {
		t.Helper()
		var err error
		if next, err = s.Logs(t.Context(), ref, next, &got); err != nil || next != int64(got.Len()) {
			t.Fatalf("%d, %v; %d bytes were written", next, err, got.Len())
		}
	}
	read() // nothing is there
	for i := 0; i <= len(all); i += 3 {
		p.log = all[:i]
		read()
		read()
	}
	p.log = all
	read()
	// A server that ignores the range sends all of it.
	p.answer = answerWith("logs", 200, "text/plain", all+"more\n")
	read()
	p.answer = answerWith("logs", 416, "text/plain", "past the end")
	read()
	p.answer = answerWith("logs", 200, "text/plain", "")
	read()
	if got.String() != all+"more\n" {
		t.Errorf("got %q", got.String())
	}
}

func TestScript_logsFail(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer    func(w http.ResponseWriter)
		next      int64
		transient bool
	}{
		"502":  {func(w http.ResponseWriter) { w.WriteHeader(502) }, 5, true},
		"404":  {func(w http.ResponseWriter) { w.WriteHeader(404) }, 5, false},
		"page": {func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/html"); w.WriteHeader(200) }, 5, true},
		"another range": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Range", "bytes 9-10/20")
			w.WriteHeader(206)
		}, 5, true},
		"packed": {func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "gzip"); w.WriteHeader(206) }, 5, true},
		"cut off": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "10")
			w.Header().Set("Content-Range", "bytes 5-14/15")
			w.WriteHeader(206)
			_, _ = io.WriteString(w, "abc")
		}, 8, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newScriptPlatform(t)
			p.answer = func(_ string, _ int, w http.ResponseWriter, _ *http.Request) bool { tt.answer(w); return true }
			var got bytes.Buffer
			next, err := p.script().Logs(t.Context(), client.ScriptRef{Token: scriptToken}, 5, &got)
			if err == nil || next != tt.next || int64(got.Len()) != tt.next-5 || errors.Is(err,
				client.ErrTransient) != tt.transient {
				t.Errorf("%d, %q, %v", next, got.String(), err)
			}
			if err != nil && strings.Contains(err.Error(), scriptToken) {
				t.Error("the token stands in the error")
			}
		})
	}
}

// TestScript_wait: polling goes on through what fails for a while, and the log comes whole.
func TestScript_wait(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	p.states = []string{"pending", "progress", "progress", "something", "progress", "failed"}
	p.log = "line 1\nlíne 2\n"
	p.answer = func(call string, n int, w http.ResponseWriter, _ *http.Request) bool {
		if n%2 == 0 && n < 8 {
			w.WriteHeader(502)
			return true
		}
		return false
	}
	p.change = func(call string, result map[string]any) {
		if result["status"] == "failed" {
			result["reason"] = "a view broke"
		}
	}
	var log bytes.Buffer
	var states []string
	retries, pauses := 0, 0
	status, err := p.script().Wait(t.Context(), client.ScriptRef{ID: "9", Token: scriptToken}, &client.ScriptWaitOptions{
		Interval: time.Millisecond, Log: &log,
		OnStatus: func(r *client.ScriptStatus) { states = append(states, string(r.State)) },
		OnPause:  func(time.Duration) { pauses++ },
		OnRetry:  func(error, time.Duration) { retries++ },
	})
	ended, ok := errors.AsType[*client.ScriptEndedError](err)
	if !ok || ended.State != "failed" || !errors.Is(err, client.ErrRejected) || !strings.Contains(err.Error(),
		"a view broke") ||
		status == nil || status.State != "failed" {
		t.Errorf("%+v, %v", status, err)
	}
	if diff := cmp.Diff([]string{"pending", "progress", "progress", "something", "progress", "failed"},
		states); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if log.String() != p.log || retries == 0 || pauses != len(states)-1 {
		t.Errorf("log %q, %d retries, %d pauses", log.String(), retries, pauses)
	}
}

// TestScript_secret: the token is in no log record.
func TestScript_secret(t *testing.T) {
	t.Parallel()
	p := newScriptPlatform(t)
	var log bytes.Buffer
	s := p.script(func(o *client.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	ref, opts := p.create(s)
	dump, err := client.OpenScriptDump(plantDump(t, map[string]int{"toc.dat": 10}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Upload(t.Context(), ref, dump, opts); err != nil {
		t.Fatal(err)
	}
	_, _ = s.Status(t.Context(), ref)
	_, _ = s.Logs(t.Context(), ref, 0, io.Discard)
	if strings.Contains(log.String(), scriptToken) || log.Len() == 0 {
		t.Errorf("%s", log.String())
	}
	if text := fmt.Sprintf("%v %+v %#v", ref, ref, ref); strings.Contains(text, scriptToken) {
		t.Errorf("%s", text)
	}
}
