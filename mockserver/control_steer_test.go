package mockserver_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/sftp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// A fault triggers once by hand, whether a scenario has it or not.
func TestControl_fault(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t,
		"name: late\nfaults: [{on: status, skip: 9, failure: {reason: \"SERVER:ERROR\", message: late}}]\n")})
	m := w.create()
	at := fmt.Sprintf("/requests/%d/fault", m.id)
	for body, says := range map[string]string{
		`{}`: "wanted either an index or a fault", `{"index": 1}`: "has 1 faults, and none with the index 1",
		`{"fault": {"on": "statu", "reset": true}}`:  "did you mean `status`?",
		`{"fault": {"on": "create", "reset": true}}`: "comes before there is a request",
		`{"fault": {"on": "rsync.upload"}}`:          "rsync.upload",
	} {
		status, answer := w.control("POST", at, body)
		if status != 400 || !strings.Contains(fmt.Sprint(answer["error"]), says) {
			t.Errorf("%s: %d %v, want %q", body, status, answer["error"], says)
		}
	}
	if status, answer := w.control("POST", at, `{"index": 0}`); status != 200 || path(answer, "faults", 1, "index") != -1.0 {
		t.Errorf("by its index: %d %v", status, answer)
	}
	w.control("POST", at, `{"fault": {"on": "status", "failure": {"reason": "A:B", "message": "m"}}}`)
	got := []any{}
	for range 3 {
		a := w.call("status", m.params())
		reason := ""
		if len(a.Failures) > 0 {
			reason = fmt.Sprint(a.Failures[0]["reason"])
		}
		got = append(got, reason)
	}
	diff(t, "three polls", []any{"SERVER:ERROR", "A:B", ""}, got)
	events := w.srv.Events(journal.Filter{On: "status"})
	diff(t, "in the journal", []string{"by hand: status failure", "by hand: status failure", ""},
		[]string{events[0].Fault, events[1].Fault, events[2].Fault})
	if status, _ := w.control("POST", "/requests/1/fault", `{"index": 0}`); status != 404 {
		t.Errorf("of no request: %d", status)
	}
}

// The files of a request can be looked at, which is no download.
func TestControl_files(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	at := fmt.Sprintf("/requests/%d/files", m.id)
	_, answer := w.control("GET", at, "")
	diff(t, "before the upload", []any{}, answer["files"])
	dump := fixtures.Dump("openchs.sql")
	w.upload(m, dump)
	w.finish(m)
	_, answer = w.control("GET", at, "")
	diff(t, "files", []any{"original", float64(len(dump)), "original.sql", nil, "upgraded", "upgraded.sql", nil}, []any{
		path(answer, "files", 0, "path"), path(answer, "files", 0, "size"), path(answer, "files", 1, "path"),
		path(answer, "files", 1, "size"), path(answer, "files", 2, "path"), path(answer, "files", 3, "path"),
		path(answer, "files", 4),
	})
	before := len(w.srv.Events(journal.Filter{}))
	for _, name := range []string{"original", "original.sql", "upgraded", "upgraded.sql"} {
		resp, data := w.get(w.srv.AdminURL() + at + "/" + name)
		if resp.StatusCode != 200 || string(data) != string(dump) {
			t.Errorf("%s: %s, %d bytes", name, resp.Status, len(data))
		}
	}
	for _, name := range []string{"notes.html", "log", "uploaded/x", "../../about", "original.sq"} {
		if status, _ := w.control("GET", at+"/"+name, ""); status != 404 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if after := len(w.srv.Events(journal.Filter{})); after != before {
		t.Errorf("looking made %d events", after-before)
	}
}

// A session over SFTP is listed, cut at a byte, and dropped; an access is ended.
func TestControl_sessionsSFTP(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	w.grant(m, "ed25519")
	client := w.login(m, "ed25519")
	f, err := client.OpenFile("db_name.dump", os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	_, answer := w.control("GET", fmt.Sprintf("/sessions?request=%d", m.id), "")
	diff(t, "session", []any{"sftp", float64(m.id), fmt.Sprintf("user_%d", m.id), "upload", "/db_name.dump", 1000.0, nil},
		[]any{path(answer, "sessions", 0, "kind"), path(answer, "sessions", 0, "request"),
			path(answer, "sessions", 0, "user"),
			path(answer, "sessions", 0, "moves"), path(answer, "sessions", 0, "path"), path(answer, "sessions", 0, "offset"),
			path(answer, "sessions", 1)})
	if key := fmt.Sprint(path(answer, "sessions", 0, "public_key")); !strings.HasPrefix(key, "SHA256:") {
		t.Errorf("key %s", key)
	}
	session := fmt.Sprintf("/sessions/sftp/%v", path(answer, "sessions", 0, "session"))
	for body, want := range map[string]int{`{"at": "999"}`: 409, `{"at": "far"}`: 400, `{"at": "2000"}`: 200} {
		if status, answer := w.control("POST", session+"/cut", body); status != want {
			t.Errorf("cut %s: %d %v", body, status, answer)
		}
	}
	if _, err := f.Write(make([]byte, 5000)); err == nil {
		t.Error("a transfer that was cut went on")
	}
	e := w.event(journal.Filter{On: "sftp.abort"})
	diff(t, "the end", []any{"by hand: sftp.write disconnect after 2000", journal.Fired{At: 2000, Received: 2000}},
		[]any{e.Fault, *e.Fired})

	for _, end := range []func(){
		func() {
			_, answer := w.control("GET", "/sessions", "")
			w.control("DELETE", fmt.Sprintf("/sessions/sftp/%v", path(answer, "sessions", 0, "session")), "")
		},
		func() { w.control("DELETE", fmt.Sprintf("/requests/%d/access", m.id), "") },
	} {
		client = w.login(m, "ed25519")
		end()
		if err := client.Wait(); err == nil {
			t.Error("the session ended in order")
		}
	}
	if _, err := w.dial(m, "ed25519"); err == nil {
		t.Error("the access was ended, and lets in")
	}
	for _, path := range []string{"/sessions/sftp/999", "/sessions/rsync/999"} {
		if status, _ := w.control("DELETE", path, ""); status != 404 {
			t.Errorf("%s: %d", path, status)
		}
		if status, _ := w.control("POST", path+"/cut", `{"at": "1"}`); status != 404 {
			t.Errorf("%s/cut: %d", path, status)
		}
	}
	if status, answer := w.control("DELETE", "/sessions/sfpt/1", ""); status != 400 ||
		!strings.Contains(fmt.Sprint(answer), `did you mean \"sftp\"`) && !strings.Contains(fmt.Sprint(answer), `"sftp"`) {
		t.Errorf("a mistyped kind: %d %v", status, answer)
	}
}

// event returns the first event that passes, once there is one.
func (w *wire) event(f journal.Filter) journal.Event {
	w.Helper()
	e, err := w.srv.Await(w.Context(), f)
	if err != nil {
		w.Fatal(err)
	}
	return e
}

// A download over SFTP can be cut, too.
func TestControl_cutDownload(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	w.upload(m, pattern(1<<20, 1))
	w.finish(m)
	w.grant(m, "ed25519")
	f := opened(t, w.login(m, "ed25519"))
	if _, err := io.ReadFull(f, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	_, answer := w.control("GET", "/sessions", "")
	if path(answer, "sessions", 0, "moves") != "download" {
		t.Errorf("session %v", answer)
	}
	if status, answer := w.control("POST", fmt.Sprintf("/sessions/sftp/%v/cut", path(answer, "sessions", 0, "session")),
		`{"at": "512KiB"}`); status != 200 {
		t.Fatalf("cut: %d %v", status, answer)
	}
	if n, err := io.Copy(io.Discard, f); err == nil || n >= 512<<10 {
		t.Errorf("%d bytes more were read, then %v", n, err)
	}
}

func opened(t *testing.T, client *sftp.Client) *sftp.File {
	t.Helper()
	list, err := client.ReadDir("/")
	if err != nil || len(list) != 1 {
		t.Fatalf("%v %v", list, err)
	}
	f, err := client.Open(list[0].Name())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A session of rsync is listed and cut, and its request's files are there file by file.
func TestControl_sessionsRsync(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "rsync", "rsync")
	testprog.Need(t, "ssh", "openssh-client")
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t,
		"name: slow\nwhen: {api: script}\nfaults: [{on: rsync.upload, times: 2, rate: 256KiB/s}]\n")})
	r := w.rsyncFor()
	dump := append(fixtures.Dump("openchs.sql"), pattern(1<<20, 3)...)
	if err := os.WriteFile(filepath.Join(r.dir, "origin.sql"), dump, 0o600); err != nil {
		t.Fatal(err)
	}
	port, _ := r.start("upload")
	var answer map[string]any
	for _, end := range []func(at string){
		func(at string) {
			if status, answer := w.control("POST", at+"/cut", `{"at": "0"}`); status != 409 {
				t.Errorf("cut behind it: %d %v", status, answer)
			}
			if status, answer := w.control("POST", at+"/cut", `{"at": "300KiB"}`); status != 200 {
				t.Errorf("cut: %d %v", status, answer)
			}
		},
		func(at string) {
			if status, answer := w.control("DELETE", at, ""); status != 200 {
				t.Errorf("disconnect: %d %v", status, answer)
			}
		},
	} {
		ended := make(chan error)
		go func() {
			_, err := r.upload(port, "origin.sql")
			ended <- err
		}()
		for moved := 0.0; moved == 0; moved, _ = path(answer, "sessions", 0, "offset").(float64) {
			_, answer = w.control("GET", "/sessions", "")
		}
		diff(t, "session", []any{"rsync", "odoo", "upload"}, []any{path(answer, "sessions", 0, "kind"),
			path(answer, "sessions", 0, "user"), path(answer, "sessions", 0, "moves")})
		end(fmt.Sprintf("/sessions/rsync/%v", path(answer, "sessions", 0, "session")))
		if err := <-ended; err == nil {
			t.Error("rsync was ended, and ended well")
		}
	}
	if e := w.event(journal.Filter{On: "rsync.upload"}); e.Fired == nil || e.Fired.At != 300<<10 {
		t.Errorf("the journal has %+v", e)
	}
	id := int64(path(answer, "sessions", 0, "request").(float64))
	if out, err := r.upload(port, "origin.sql"); err != nil {
		t.Fatalf("the second upload: %v\n%s", err, out)
	}
	_, files := w.control("GET", fmt.Sprintf("/requests/%d/files", id), "")
	if path(files, "files", 0, "path") != "uploaded/origin.sql" || path(files, "files", 0, "checksum") == nil {
		t.Errorf("files %v", files)
	}
	resp, data := w.get(w.srv.AdminURL() + fmt.Sprintf("/requests/%d/files/uploaded/origin.sql", id))
	if resp.StatusCode != 200 || len(data) < 1<<20 {
		t.Errorf("uploaded/origin.sql: %s, %d bytes", resp.Status, len(data))
	}
}
