package mockserver_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

// TestControl_hasAListenerOfItsOwn holds that clients of the emulated API cannot reach it then.
func TestControl_hasAListenerOfItsOwn(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{ControlAddr: "127.0.0.1:0"})
	if resp, _ := w.get(w.base + "/_mock/healthz"); resp.StatusCode != 404 {
		t.Errorf("on the HTTP listener: %s", resp.Status)
	}
	if status, _ := w.control("GET", "/healthz", ""); status != 200 {
		t.Errorf("on its own: %d", status)
	}
}

// TestControl_keepsOtherSitesOut holds that a page in the developer's browser cannot steer the emulator.
func TestControl_keepsOtherSitesOut(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	resp, body := w.do("POST", w.srv.AdminURL()+"/reset", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {
		"https://evil.example"}}, nil)
	if resp.StatusCode != http.StatusForbidden || !strings.Contains(string(body), `"error": "a page of another site`) {
		t.Errorf("a cross-site reset: %s %s", resp.Status, body)
	}
	w.status(m)
}

// A page that had a name of its own lead to us is kept out, too, whatever it calls: its browser takes us for
// the page's own site, and shows it what we answer. Whoever calls us by an address, or a name that is ours, may
// look and steer.
func TestControl_keepsReboundPagesOut(t *testing.T) {
	t.Parallel()
	onItsOwn := onWire(t, &mockserver.Options{ControlAddr: "127.0.0.1:0"})
	w := onWire(t, &mockserver.Options{
		PublicURL: "http://Upgrade.Example:8480", SFTPHostname: "files.example", CAHosts: []string{"mock.example"},
		Clock: new(mockserver.ManualClock),
	})
	m := w.create()
	calls := []struct{ method, path, body string }{
		{"GET", "/healthz", ""}, {"GET", "/requests", ""}, {"GET", fmt.Sprintf("/requests/%d", m.id), ""},
		{"GET", "/journal", ""}, {"GET", "/wait?on=create", ""},
		{"GET", "/verify", ""}, {"GET", "/metrics", ""}, {"GET", "/openapi.yaml", ""}, {"GET", "/scenarios", ""},
		{"GET", "/advertise", ""},
		{"HEAD", "/requests", ""}, {"HEAD", "/events", ""}, {"DELETE", "/journal?on=upload", ""},
		{"POST", "/clock/advance", `{"by": "1s"}`},
		{"POST", "/scenarios", "name: x\n"}, {"PUT", "/advertise", `{"url": "http://upgrade.example:8480"}`},
	}
	for _, tc := range []struct {
		host string
		ours bool
	}{
		{"evil.example:8480", false}, {"evil.example", false}, {"evil.example.", false}, {"EVIL.example", false},
		{"127.0.0.1.evil.example", false},
		{"localhost.evil.example", false}, {"upgrade.example.evil.example", false}, {"7f000001.rbndr.us", false},
		{"notupgrade.example", false},
		{"127.0.0.1:8480", true}, {"127.0.0.1", true}, {"192.0.2.7:8480", true}, {"127.1:8480", true}, {"[::1]:8480", true},
		{"[::1]", true},
		{"[::ffff:127.0.0.1]:80", true}, {"[fe80::1%25eth0]:80", true}, {"localhost:8480", true}, {"localhost.", true},
		{"localhost.:8480", true}, {"LOCALHOST", true},
		{"mock.localhost", true}, {"mock.localhost.:1", true}, {"upgrademock:8480", true}, {"host.docker.internal", true},
		{"upgrade.odoo.com", true},
		{"upgrade.example:8480", true}, {"upgrade.example.", true}, {"UPGRADE.EXAMPLE", true}, {"files.example", true},
		{"mock.example:1", true},
	} {
		for _, call := range calls {
			for _, origin := range []string{"", "http://" + tc.host} {
				req := httptest.NewRequest(call.method, "/_mock"+call.path, strings.NewReader(call.body))
				req.Host = tc.host
				if strings.Contains(tc.host, "%") && origin != "" {
					continue // no browser opens such an address
				}
				if origin != "" {
					req.Header.Set("Origin", origin)
				}
				rec := httptest.NewRecorder()
				w.srv.ServeHTTP(rec, req)
				if refused := rec.Code == http.StatusForbidden; refused == tc.ours {
					t.Errorf("%s %s as %s, Origin %q: answered %d %s", call.method, call.path, tc.host, origin, rec.Code, rec.Body)
				}
				if !tc.ours && strings.Contains(rec.Body.String(), m.key[:8]) {
					t.Errorf("%s %s as %s shows a key", call.method, call.path, tc.host)
				}
			}
		}
	}
	for _, host := range []string{"evil.example", "127.0.0.1"} { // over the listener that is the control API's own
		req, err := http.NewRequestWithContext(t.Context(), "GET", onItsOwn.srv.AdminURL()+"/requests", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := onItsOwn.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		err = json.NewDecoder(resp.Body).Decode(&body)
		resp.Body.Close()
		text, _ := body["error"].(string)
		if refused := resp.StatusCode == 403; err != nil || refused != (host == "evil.example") || refused &&
			!strings.Contains(text, "localhost") {
			t.Errorf("its own listener as %s: %s %v %v", host, resp.Status, body, err)
		}
	}
}

// A scenario that names files of this machine is taken from this machine only.
func TestControl_filesFromElsewhere(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	path := file(t, "secret", []byte("x"))
	for _, named := range []string{
		"upgraded: {archive: FILE}", "upgraded: {sql: FILE}", "upgraded: {notes: FILE}", "upgraded: {modules: FILE}",
		"when: {api: script}\nupgraded: {report: FILE}", "when: {api: script}\nupgraded: {log: FILE}",
		"when: {api: script}\nupgraded: {filestore: DIR}",
		"when: {api: script}\nsteps: [{state: progress, log: {file: FILE}}]",
	} {
		script := "name: x\n" + strings.NewReplacer("FILE", path, "DIR", filepath.Dir(path)).Replace(named) + "\n"
		for remote, status := range map[string]int{
			"192.0.2.1:1234": 403, "[2001:db8::1]:1234": 403, "nonsense": 403, "127.0.0.1:1234": 201, "[::1]:1234": 201,
		} {
			r := httptest.NewRequest("POST", "http://localhost/_mock/scenarios", strings.NewReader(script))
			r.RemoteAddr = remote
			rec := httptest.NewRecorder()
			w.srv.ServeHTTP(rec, r)
			if rec.Code != status {
				t.Errorf("%s from %s: %d %s, want %d", named, remote, rec.Code, rec.Body, status)
			}
		}
	}
	r := httptest.NewRequest("POST", "http://localhost/_mock/scenarios", strings.NewReader("name: x\nupgraded: built\n"))
	rec := httptest.NewRecorder()
	if w.srv.ServeHTTP(rec, r); rec.Code != 201 {
		t.Errorf("a scenario that names none: %d %s", rec.Code, rec.Body)
	}
}
