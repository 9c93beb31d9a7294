package client_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/client"
)

// The documentation's sample of a status answer (section 7).
const sampleRequest = `{
    "id": 10534, "key": "Aw7pItGVKFuZ_FOR3U8VFQ==", "email": "john.doe@example.com", "target": "8.0", "aim": "test",
    "filename": "db_name.dump", "timezone": null, "state": "draft", "issue_stage": "new", "issue": 648398,
    "status_url": "https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/status",
    "notes_url": "https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/upgraded/notes",
    "original_sql_url": "https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/original/sql",
    "original_dump_url": "https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/original/archive",
    "upgraded_sql_url": "https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/upgraded/sql",
    "upgraded_dump_url": "https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/upgraded/archive",
    "modules_url": "https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/modules/archive",
    "filesize": "912.99 Kb", "database_uuid": null, "created_at": "2015-09-09 07:13:49", "estimated_time": null,
    "processed_at": null, "elapsed": "00:00", "filestore": false, "customer_message": null, "database_version": null,
    "postgresql": "9.4", "compressions": ["pgdmp_custom", "sql"]}`

const sampleKey = client.Key("Aw7pItGVKFuZ_FOR3U8VFQ==")

var sampleRef = client.Ref{ID: 10534, Key: sampleKey}

// recorded is one call as a server sees it.
type recorded struct {
	Method, Path string
	Query, Form  url.Values
	Type, Body   string
}

// answering returns a server that gives one answer to everything, and what it was asked.
func answering(t *testing.T, status int, header http.Header, body string) (*httptest.Server, func() []recorded) {
	t.Helper()
	var mu sync.Mutex
	var calls []recorded
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		rec := recorded{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Type: r.Header.Get("Content-Type")}
		if rec.Type == "application/x-www-form-urlencoded" {
			rec.Form, _ = url.ParseQuery(string(raw))
		} else {
			rec.Body = string(raw)
		}
		mu.Lock()
		calls = append(calls, rec)
		mu.Unlock()
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return srv, func() []recorded {
		mu.Lock()
		defer mu.Unlock()
		return calls
	}
}

func ok(request string) string { return `{"failures": [], "request": ` + request + `}` }

func TestCalls_onTheWire(t *testing.T) {
	t.Parallel()
	const form = "application/x-www-form-urlencoded"
	both := url.Values{"request": {"10534"}, "key": {string(sampleKey)}}
	tests := []struct {
		name string
		call func(*client.Client) error
		want recorded
	}{
		{"create", func(c *client.Client) error {
			_, err := c.Create(t.Context(), client.CreateParams{Contract: "M1", Email: "a+b@c.d", Target: "8.0", Aim: "test",
				Filename: "x y.dump"}, nil)
			return err
		}, recorded{Path: "/database/v1/create", Type: form, Query: url.Values{},
			Form: url.Values{"contract": {"M1"}, "email": {"a+b@c.d"}, "target": {"8.0"}, "aim": {"test"},
				"filename": {"x y.dump"}}}},
		{"create with timezone", func(c *client.Client) error {
			_, err := c.Create(t.Context(), client.CreateParams{Timezone: "Europe/Brussels"}, nil)
			return err
		}, recorded{Path: "/database/v1/create", Type: form, Query: url.Values{},
			Form: url.Values{"contract": {""}, "email": {""}, "target": {""}, "aim": {""}, "filename": {""},
				"timezone": {"Europe/Brussels"}}}},
		{"process", func(c *client.Client) error { return c.Process(t.Context(), sampleRef) },
			recorded{Path: "/database/v1/process", Type: form, Query: url.Values{}, Form: both}},
		{"skip_test", func(c *client.Client) error { return c.SkipTest(t.Context(), sampleRef) },
			recorded{Path: "/database/v1/skip_test", Type: form, Query: url.Values{}, Form: both}},
		{"status", func(c *client.Client) error { _, err := c.Status(t.Context(), sampleRef); return err },
			recorded{Path: "/database/v1/status", Type: form, Query: url.Values{}, Form: both}},
		{"upload", func(c *client.Client) error {
			return c.Upload(t.Context(), sampleRef, strings.NewReader("dump\r\n\x00"), 7, nil)
		}, recorded{Path: "/database/v1/upload", Type: "application/octet-stream", Query: both, Body: "dump\r\n\x00"}},
		{"upload of unknown size", func(c *client.Client) error {
			return c.Upload(t.Context(), sampleRef, strings.NewReader("dump"), -1, nil)
		}, recorded{Path: "/database/v1/upload", Type: "application/octet-stream", Query: both, Body: "dump"}},
		{"upload of nothing", func(c *client.Client) error {
			return c.Upload(t.Context(), sampleRef, strings.NewReader(""), 0, nil)
		}, recorded{Path: "/database/v1/upload", Type: "application/octet-stream", Query: both}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv, calls := answering(t, 200, nil, ok(sampleRequest))
			if err := tt.call(newClient(t, srv.URL)); err != nil {
				t.Fatal(err)
			}
			tt.want.Method = "POST"
			if diff := cmp.Diff([]recorded{tt.want}, calls()); diff != "" {
				t.Errorf("the call is not as documented (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestSFTPAccess(t *testing.T) {
	t.Parallel()
	const access = `{"hostname": "upgrade.odoo.com", "sftp_port": %s, "sftp_user": "user_10534",
		"shared_file": "openchs.70.cdump", "request_id": 10534,
		"sample_command": "sftp -P 2200 user_10534@upgrade.odoo.com", "expires": "tomorrow"}`
	for _, port := range []string{`2200`, `"2200"`, `2200.0`} {
		var form *http.Request
		var keys string
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseMultipartForm(1 << 20)
			form = r
			if f, _, err := r.FormFile("ssh_keys"); err == nil {
				raw, _ := io.ReadAll(f)
				keys = string(raw)
			}
			_, _ = io.WriteString(w, ok(strings.Replace(access, "%s", port, 1)))
		}))
		got, err := newClient(t, srv.URL).RequestSFTPAccess(t.Context(), sampleRef, []byte("ssh-ed25519 AAAA\n"))
		srv.Close()
		if err != nil {
			t.Fatalf("port %s: %v", port, err)
		}
		if got.Addr() != "upgrade.odoo.com:2200" || got.User != "user_10534" || got.SharedFile != "openchs.70.cdump" ||
			got.RequestID != 10534 {
			t.Errorf("port %s: got %+v", port, got)
		}
		if diff := cmp.Diff(map[string]json.RawMessage{"expires": []byte(`"tomorrow"`)}, got.Extra); diff != "" {
			t.Errorf("unknown keys (-want +got):\n%s", diff)
		}
		if keys != "ssh-ed25519 AAAA\n" || form.FormValue("key") != string(sampleKey) ||
			form.FormValue("request") != "10534" || form.URL.RawQuery != "" {
			t.Errorf("sent keys %q, form %v, query %q", keys, form.Form, form.URL.RawQuery)
		}
	}
	for _, bad := range []string{`{"hostname": "h", "sftp_port": 0, "sftp_user": "u"}`,
		`{"sftp_port": 22, "sftp_user": "u"}`, `[]`, `null`} {
		srv, _ := answering(t, 200, nil, ok(bad))
		if _, err := newClient(t, srv.URL).RequestSFTPAccess(t.Context(), sampleRef, nil); !errors.Is(err,
			client.ErrNotJSON) {
			t.Errorf("%s: got %v, want ErrNotJSON", bad, err)
		}
	}
}

func TestStatus_readsTheSample(t *testing.T) {
	t.Parallel()
	srv, _ := answering(t, 200, nil, ok(sampleRequest))
	got, err := newClient(t, srv.URL).Status(t.Context(), sampleRef)
	if err != nil {
		t.Fatal(err)
	}
	const base = "https://upgrade.odoo.com/database/eu1/10534/Aw7pItGVKFuZ_FOR3U8VFQ==/"
	want := &client.Request{
		ID: 10534, Key: sampleKey, Email: "john.doe@example.com", Target: "8.0", Aim: "test", Filename: "db_name.dump",
		State: client.StateDraft, IssueStage: "new", Issue: 648398,
		StatusURL: base + "status", NotesURL: base + "upgraded/notes", OriginalSQLURL: base + "original/sql",
		OriginalDumpURL: base + "original/archive", UpgradedSQLURL: base + "upgraded/sql",
		UpgradedDumpURL: base + "upgraded/archive", ModulesURL: base + "modules/archive",
		Filesize: "912.99 Kb", CreatedAt: time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC), Elapsed: "00:00",
		PostgreSQL: "9.4", Compressions: []string{"pgdmp_custom", "sql"}, Raw: json.RawMessage(sampleRequest),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStatus_isTolerant(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, request string
		check         func(*client.Request) bool
	}{
		{"id as string", `{"id": "10534", "key": "k"}`, func(r *client.Request) bool { return r.ID == 10534 }},
		{"id as float", `{"id": 1.0534e4, "key": "k"}`, func(r *client.Request) bool { return r.ID == 10534 }},
		{"id and key missing", `{}`, func(r *client.Request) bool { return r.Ref() == sampleRef }},
		{"unknown state", `{"state": "on_holiday"}`, func(r *client.Request) bool {
			return r.State == "on_holiday" && !r.State.Known() && !r.State.Terminal()
		}},
		{"state null", `{"state": null}`, func(r *client.Request) bool { return r.State == "" }},
		{"postgresql as number", `{"postgresql": 9.4}`, func(r *client.Request) bool { return r.PostgreSQL == "9.4" }},
		{"filestore as string", `{"filestore": "true"}`, func(r *client.Request) bool { return r.Filestore }},
		{"filestore as number", `{"filestore": 1}`, func(r *client.Request) bool { return r.Filestore }},
		{"compressions null", `{"compressions": null}`, func(r *client.Request) bool { return r.Compressions == nil }},
		{"compressions as string", `{"compressions": "sql"}`,
			func(r *client.Request) bool { return len(r.Compressions) == 1 }},
		{"time as nonsense", `{"created_at": "yesterday"}`, func(r *client.Request) bool { return r.CreatedAt.IsZero() }},
		{"time with zone", `{"created_at": "2015-09-09T07:13:49+02:00"}`,
			func(r *client.Request) bool { return r.CreatedAt.Hour() == 5 }},
		{"message as object", `{"customer_message": {"a": 1}}`,
			func(r *client.Request) bool { return r.CustomerMessage == `{"a": 1}` }},
		{"unknown key", `{"migrated_sql_url": "u"}`,
			func(r *client.Request) bool { return string(r.Extra["migrated_sql_url"]) == `"u"` }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv, _ := answering(t, 200, nil, ok(tt.request))
			got, err := newClient(t, srv.URL).Status(t.Context(), sampleRef)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.check(got) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	const documented = `{"failures": [
		{"expected": ["6.0", "6.1", "7.0", "8.0"], "message": "Invalid value \"5.0\"",
			"reason": "TARGET:INVALID", "value": "5.0"},
		{"code": "M123456-abcxyz", "message": "Can not find contract M123456-abcxyz",
			"reason": "CONTRACT:NOT_FOUND", "since": 3}]}`
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		is     []error
		isNot  []error
		text   []string
		list   []client.Failure
	}{
		{name: "as documented", status: 200, body: documented,
			is: []error{client.ErrNotFound}, isNot: []error{client.ErrTransient, client.ErrUncertain, client.ErrInvalidState},
			text: []string{`TARGET:INVALID: Invalid value "5.0" (expected 6.0, 6.1, 7.0, 8.0)`, "CONTRACT:NOT_FOUND"},
			list: []client.Failure{
				{Reason: client.ReasonTargetInvalid, Message: `Invalid value "5.0"`, Value: "5.0",
					Expected: []string{"6.0", "6.1", "7.0", "8.0"}},
				{Reason: client.ReasonContractNotFound, Message: "Can not find contract M123456-abcxyz", Code: "M123456-abcxyz",
					Extra: map[string]json.RawMessage{"since": []byte("3")}},
			}},
		{name: "with a 4xx status", status: 422, body: documented, is: []error{client.ErrNotFound},
			isNot: []error{client.ErrTransient}},
		{name: "server error", status: 200, body: `{"failures":[{"reason":"SERVER:ERROR","message":"try again"}]}`,
			is: []error{client.ErrTransient}, isNot: []error{client.ErrUncertain}},
		{name: "server error among others", status: 200, isNot: []error{client.ErrTransient},
			body: `{"failures":[{"reason":"SERVER:ERROR"},{"reason":"AIM:INVALID"}]}`},
		{name: "invalid state", status: 200, body: `{"failures":[{"reason":"STATE:INVALID"}]}`,
			is: []error{client.ErrInvalidState}},
		{name: "unknown reason", status: 200, body: `{"failures":[{"reason":"MOON:FULL","message":"wait"}]}`,
			text: []string{"MOON:FULL: wait"}},
		{name: "a string for a failure", status: 200, body: `{"failures":["oops"]}`, text: []string{"oops"}},
		{name: "an object for the list", status: 200, body: `{"failures":{"reason":"X:Y"}}`, text: []string{"X:Y"}},
		{name: "the key inside", status: 200, text: []string{"[key]"},
			body: `{"failures":[{"reason":"X:Y","message":"see /Aw7pItGVKFuZ_FOR3U8VFQ==/status"}]}`},
		{name: "a page", status: 200, header: http.Header{"Content-Type": {"text/html"}},
			body: "\n\n<html><title>Hotel Wi-Fi</title>\nlog in",
			is:   []error{client.ErrNotJSON, client.ErrTransient}, isNot: []error{client.ErrUncertain},
			text: []string{"HTML page", "<html><title>Hotel Wi-Fi</title>"}},
		{name: "a page with a control character", status: 200, body: "<html>\x1b[31mred", text: []string{"<html>[31mred"}},
		{name: "bad gateway", status: 502, body: "<html>502</html>", is: []error{client.ErrNotJSON, client.ErrTransient},
			isNot: []error{client.ErrUncertain}, text: []string{"502 Bad Gateway"}},
		{name: "gateway timeout", status: 504, body: "<html>504</html>",
			is: []error{client.ErrTransient, client.ErrUncertain}},
		{name: "internal error", status: 500, body: "oops", is: []error{client.ErrTransient, client.ErrUncertain},
			text: []string{`"oops"`}},
		{name: "unavailable", status: 503, header: http.Header{"Retry-After": {"7"}}, body: "later",
			is: []error{client.ErrTransient}},
		{name: "damaged", status: 200, body: `{"failures": [], "requ`, is: []error{client.ErrTransient, client.ErrUncertain},
			text: []string{"damaged JSON"}},
		{name: "empty", status: 200, body: "", is: []error{client.ErrTransient, client.ErrUncertain},
			text: []string{"empty body"}},
		{name: "not an object", status: 200, body: `[1]`, is: []error{client.ErrNotJSON}},
		{name: "null", status: 200, body: `null`, is: []error{client.ErrNotJSON}},
		{name: "neither request nor failures", status: 200, body: `{}`, is: []error{client.ErrNotJSON, client.ErrUncertain}},
		{name: "elsewhere", status: 301, header: http.Header{"Location": {"https://upgrade.example.com/x?key=s"}},
			is: []error{client.ErrNotJSON}, isNot: []error{client.ErrTransient},
			text: []string{"https://upgrade.example.com/x;"}},
		{name: "not there", status: 404, body: "404 page not found", is: []error{client.ErrNotFound},
			isNot: []error{client.ErrTransient}},
		{name: "status without failure", status: 403, body: `{"failures":[]}`, isNot: []error{client.ErrTransient},
			text: []string{"403 Forbidden"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			srv, _ := answering(t, tt.status, tt.header, tt.body)
			_, err := newClient(t, srv.URL).Status(t.Context(), sampleRef)
			var e *client.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want a *client.Error", err)
			}
			for _, want := range tt.is {
				if !errors.Is(err, want) {
					t.Errorf("%v is not: %v", err, want)
				}
			}
			for _, no := range tt.isNot {
				if errors.Is(err, no) {
					t.Errorf("%v is: %v", err, no)
				}
			}
			for _, s := range tt.text {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
			if strings.Contains(err.Error(), string(sampleKey)) {
				t.Errorf("%q holds the key", err)
			}
			if e.Status != tt.status || !bytes.Equal(e.Raw, []byte(tt.body)) {
				t.Errorf("status %d, raw %q", e.Status, e.Raw)
			}
			if tt.list != nil {
				if diff := cmp.Diff(tt.list, e.Failures); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestCreate_answersWithoutIDOrKey(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `{"id": 1}`, `{"key": "k"}`, `{"id": "one", "key": "k"}`} {
		srv, _ := answering(t, 200, nil, ok(body))
		_, err := newClient(t, srv.URL).Create(t.Context(), client.CreateParams{}, nil)
		if !errors.Is(err, client.ErrUncertain) {
			t.Errorf("%s: got %v, want ErrUncertain", body, err)
		}
	}
}

func TestCreate_beforeSend(t *testing.T) {
	t.Parallel()
	srv, calls := answering(t, 200, nil, ok(sampleRequest))
	c := newClient(t, srv.URL)
	why := errors.New("cannot note it")
	_, err := c.Create(t.Context(), client.CreateParams{}, &client.CreateOptions{BeforeSend: func() error { return why }})
	if !errors.Is(err, why) || errors.Is(err, client.ErrTransient) || errors.Is(err, client.ErrUncertain) {
		t.Errorf("got %v", err)
	}
	for _, call := range calls() {
		if call.Form.Has("contract") {
			t.Errorf("parameters were sent all the same: %+v", call)
		}
	}
	called := false
	if _, err := c.Create(t.Context(), client.CreateParams{},
		&client.CreateOptions{BeforeSend: func() error { called = true; return nil }}); err != nil || !called {
		t.Errorf("called %v, error %v", called, err)
	}
}

func TestNew_badURLs(t *testing.T) {
	t.Parallel()
	for url, text := range map[string]string{
		"":                                 "https://",
		"upgrade.odoo.com":                 "must begin with https://",
		"ftp://upgrade.odoo.com":           "must begin with https://",
		"https://":                         "names no host",
		"https://upgrade.odoo.com/?key=1":  "must end before",
		"https://upgrade odoo com":         "cannot be read",
		"https://user:secret@\x00upgrade.": "cannot be read",
	} {
		_, err := client.New(url, nil)
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: got %v, want something with %q", url, err, text)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the password is in the error: %v", url, err)
		}
	}
	for given, want := range map[string]string{
		"https://upgrade.odoo.com":               "https://upgrade.odoo.com",
		" https://upgrade.odoo.com/ ":            "https://upgrade.odoo.com",
		"https://upgrade.odoo.com/database/v1/":  "https://upgrade.odoo.com",
		"http://localhost:8480/prefix/":          "http://localhost:8480/prefix",
		"https://proxy.example/odoo/database/v1": "https://proxy.example/odoo",
	} {
		c, err := client.New(given, nil)
		if err != nil || c.URL() != want {
			t.Errorf("%q: got %v, %v, want %q", given, c, err, want)
		}
	}
}

func TestKey_isNotPrinted(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		fmt.Fprintf(&log, format+"\n", sampleRef)
		fmt.Fprintf(&log, format+"\n", sampleRef.Key)
	}
	l := slog.New(slog.NewTextHandler(&log, nil))
	l.Info("ref", "key", sampleRef.Key, "request", &client.Request{ID: 1, Key: sampleKey, StatusURL: string(sampleKey)})
	if strings.Contains(log.String(), "Aw7") || strings.Contains(log.String(), "417737") {
		t.Error(log.String())
	}
	for _, s := range []string{
		string(sampleKey), url.QueryEscape(string(sampleKey)), "https://h/database/eu1/1/" + string(sampleKey) + "/status",
		"key=" + strings.ReplaceAll(string(sampleKey), "=", "%3d"), strings.TrimRight(string(sampleKey), "="),
	} {
		if got := client.Redact(s, sampleKey); strings.Contains(got, "Aw7pItGV") {
			t.Errorf("%q became %q", s, got)
		}
	}
	if got := client.Redact("nothing here", "", "x"); got != "nothing here" {
		t.Errorf("got %q", got)
	}
}
