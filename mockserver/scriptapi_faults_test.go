package mockserver_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// check looks at what came of a call.
type check func(t *testing.T, resp *http.Response, body string, err error)

// Each fault of a call of the script API is what it says, once, and is journalled; the next call finds the platform as
// if nothing had been.
func TestScriptAPI_faults(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 5000)
	for name, tc := range map[string]struct {
		fault string
		check check
	}{
		"failure": {`failure: {message: "no such luck"}`, failure(scenario.FormResult, "no such luck")},
		"failure, form result": {`failure: {message: "no ünusual <luck>", form: result}`,
			failure(scenario.FormResult, "no ünusual <luck>")},
		"failure, form error": {`failure: {message: "no such luck", form: error}`,
			failure(scenario.FormError, "no such luck")},
		"http":       {`http: {status: 502, content_type: text/html, body: "<html>"}`, came(502, "<html>")},
		"http, long": {`http: {status: 200, body: ` + long + `}`, came(200, long)},
		"http, slow": {`http: {status: 200, body: "0123456789"}, rate: 1MiB/s`, came(200, "0123456789")},
		"reset":      {`reset: true`, broken},
		"cut":        {`cut: true`, broken},
		"truncate": {`truncate: true`, func(t *testing.T, resp *http.Response, body string, err error) {
			if err != nil || body == "" || strings.HasSuffix(body, "}\n") || resp.ContentLength != int64(len(body)) {
				t.Errorf("%v, %v, %q", resp, err, body)
			}
		}},
		"garbage": {`garbage: true`, func(t *testing.T, resp *http.Response, body string, err error) {
			if err != nil || !strings.Contains(body, "nobody understands") || resp.ContentLength != int64(len(body)) {
				t.Errorf("%v, %v, %q", resp, err, body)
			}
		}},
		"delay": {`delay: 50ms`, good},
		"rate":  {`rate: 64KiB/s`, good},
	} {
		for _, on := range []string{
			scenario.OnScriptCreate, scenario.OnScriptTransferStart, scenario.OnScriptTransferStop, scenario.OnScriptStatus,
			scenario.OnScriptLogs, scenario.OnScriptWipe,
		} {
			t.Run(name+" on "+on, func(t *testing.T) {
				t.Parallel()
				opts := &mockserver.Options{Scenarios: scripted(t,
					"name: faulty\nsteps: [{state: progress, log: some lines}]\nfaults: [{on: "+on+", times: 1, "+tc.fault+"}]\n")}
				if on == scenario.OnScriptLogs {
					opts.Requests = []mockserver.NewRequest{{API: mockserver.APIScript, Dump: []byte("-- a dump\n"), Process: true}}
				}
				w := onWire(t, opts)
				w.http.Transport.(*http.Transport).DisableKeepAlives = true // or it tries again by itself
				for n := range 2 {
					resp, body, err := w.tryScript(on)
					check := tc.check
					if n == 1 {
						check = good
					}
					if check(t, resp, body, err); t.Failed() {
						t.Fatalf("call %d on %s", n+1, on)
					}
				}
				events := w.srv.Events(journal.Filter{On: on})
				if len(events) != 2 || !strings.HasPrefix(events[0].Fault, "faults[0]: "+on) || events[1].Fault != "" {
					t.Errorf("the journal has %+v", events)
				}
				for _, e := range events {
					for _, reason := range e.Failures {
						if reason != "SCENARIO:FAILURE" {
							t.Errorf("the journal has a failure %q", reason)
						}
					}
				}
			})
		}
	}
}

// tryScript makes a request if there is none, and the call of that name as the script would; whatever comes of it.
func (w *wire) tryScript(on string) (*http.Response, string, error) {
	w.Helper()
	token := ""
	if on != scenario.OnScriptCreate {
		for _, r := range w.srv.Requests() {
			token = r.Key
		}
		if token == "" {
			_, token = w.scriptRequest()
		}
	}
	method, path := http.MethodPost, ""
	body := `{"params": {"contract": "M123456-abcdef", "token": "` + token + `", "transfer_type": "upload"}}`
	switch on {
	case scenario.OnScriptCreate:
		path, body = "create", createWith(w)
	case scenario.OnScriptLogs:
		method, path, body = http.MethodGet, "logs?token="+token, ""
	default:
		path = strings.Replace(strings.TrimPrefix(on, "script."), "_", "/", 1)
	}
	req, err := http.NewRequestWithContext(w.Context(), method, w.base+"/upgrade/request/"+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := w.http.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp, string(data), err
}

func good(t *testing.T, resp *http.Response, body string, err error) {
	t.Helper()
	if err != nil || resp.StatusCode != http.StatusOK || resp.ContentLength != int64(len(body)) {
		t.Fatalf("%v, %v, %q", resp, err, body)
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") &&
		decodeRPC(t, resp, []byte(body)).Result == nil {
		t.Error(body)
	}
}

func broken(t *testing.T, resp *http.Response, body string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%v: %q came whole", resp, body)
	}
}

func came(status int, want string) check {
	return func(t *testing.T, resp *http.Response, body string, err error) {
		t.Helper()
		if err != nil || resp.StatusCode != status || body != want || resp.ContentLength != int64(len(want)) {
			t.Errorf("%v, %v, %d bytes", resp, err, len(body))
		}
	}
}

func failure(form, text string) check {
	return func(t *testing.T, resp *http.Response, body string, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if a := decodeRPC(t, resp, []byte(body)); a.Form != form || a.Failure != text {
			t.Errorf("%q in form %s; want %q in form %s", a.Failure, a.Form, text, form)
		}
	}
}

// Rows S1.19 and S16.7: GET /upgrade hands out a file, or a program that says that there is none.
func TestScriptAPI_file(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "upgrade")
	text := "#!/usr/bin/env python3\n" + strings.Repeat("print('ü')\n", 1000)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w := onWire(t, &mockserver.Options{Script: file})
	resp, body := w.do("GET", w.base+"/upgrade", nil, nil)
	if resp.StatusCode != 200 || string(body) != text || resp.ContentLength != int64(len(text)) {
		t.Errorf("%s, Content-Length %d, %d bytes", resp.Status, resp.ContentLength, len(body))
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if resp, body := w.do(
		"GET",
		w.base+"/upgrade",
		nil,
		nil,
	); resp.StatusCode != 404 ||
		!strings.Contains(string(body), "cannot be read") {
		t.Errorf("without its file: %s\n%s", resp.Status, body)
	}

	w = onWire(t, &mockserver.Options{OptionName: func(field string) string { return "--" + strings.ToLower(field) }})
	resp, body = w.do("GET", w.base+"/upgrade", nil, nil)
	if resp.StatusCode != 404 || resp.ContentLength != int64(len(body)) {
		t.Errorf("%s, Content-Length %d\n%s", resp.Status, resp.ContentLength, body)
	}
	if events := w.srv.Events(journal.Filter{On: journal.OnScriptFile}); len(events) != 1 || events[0].Why == "" {
		t.Errorf("the journal has %+v", events)
	}
	cmd := exec.CommandContext(t.Context(), testprog.Need(t, "python3", "python3"), "-")
	cmd.Stdin = strings.NewReader(string(body))
	said, err := cmd.CombinedOutput()
	exit, ended := errors.AsType[*exec.ExitError](err)
	if !ended || exit.ExitCode() != 1 ||
		!strings.HasPrefix(string(said), "upgrademock: there is no upgrade script here") ||
		!strings.Contains(string(said), "--script") ||
		strings.Count(string(said), "\n") != 1 {
		t.Errorf("python3: %v\n%s", err, said)
	}
	for _, script := range []string{filepath.Join(t.TempDir(), "gone"), t.TempDir(), "/dev/null"} {
		err := (&mockserver.Options{Script: script}).Check()
		if wrong, ok := errors.AsType[*mockserver.OptionError](err); !ok || wrong.Option != "Script" {
			t.Errorf("%s: %v", script, err)
		}
	}
}

// Options that cannot be are said before anything is done.
func TestOptions_transfers(t *testing.T) {
	t.Parallel()
	for _, opts := range []mockserver.Options{
		{Transfer: "nonsense"}, {Transfer: "127.0.0.1:99999"}, {Transfer: "127.0.0.1:ssh"}, {Transfer: "127.0.0.1"},
		{TransferTimeout: -time.Second}, {Rsync: "no-such-rsync"}, {Rsync: os.DevNull},
	} {
		wrong, ok := errors.AsType[*mockserver.OptionError](opts.Check())
		if !ok || opts.Transfer != "" != (wrong.Option == "Transfer") || !strings.Contains(wrong.Error(), "wanted") {
			t.Errorf("%+v: %v", opts, wrong)
		}
	}
	srv := newServer(t, &mockserver.Options{Transfer: "127.0.0.1:0"})
	taken := addressOf(srv.URL())
	second, err := mockserver.New(&mockserver.Options{Transfer: taken})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	listener, ok := errors.AsType[*mockserver.ListenError](second.Start())
	if want := fmt.Sprint("transfer ", taken); !ok || fmt.Sprint(listener.Listener, " ", listener.Addr) != want {
		t.Errorf("%v, want one about %s", listener, want)
	}
}
