package mockserver_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/upgrademock/upgrademock/internal/capsule"
	"github.com/upgrademock/upgrademock/internal/replay"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// capsuled gets a capsule over the control API, plays it, and returns it with what is different.
func (w *wire) capsuled(query string) (*capsule.Capsule, string) {
	w.Helper()
	resp, text := w.get(w.srv.AdminURL() + "/capsule" + query)
	if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Content-Disposition"), ".capsule") {
		w.Fatalf("%s %q\n%s", resp.Status, resp.Header, text)
	}
	for _, r := range w.srv.Requests() {
		if bytes.Contains(text, []byte(r.Key)) {
			w.Errorf("the key of request %d is in the capsule", r.ID)
		}
	}
	c, err := capsule.Read(bytes.NewReader(text))
	if err == nil {
		err = c.Unpack(w.TempDir())
	}
	var now []journal.Event
	if err == nil {
		now, err = replay.Play(w.Context(), c, w.TempDir())
	}
	if err != nil {
		w.Fatal(err)
	}
	if difference, _ := replay.Compare(c.Journal, now); difference != nil {
		return c, difference.String()
	}
	return c, ""
}

// TestCapsule: what happened to a request, to a contract, or to all happens again from a capsule.
func TestCapsule(t *testing.T) {
	t.Parallel()
	notes := filepath.Join(t.TempDir(), "notes.html")
	if err := os.WriteFile(notes, []byte("<p>Notes</p>"), 0o600); err != nil {
		t.Fatal(err)
	}
	opts := &mockserver.Options{MaxDump: 100, Targets: []string{"9.0"}, Scenarios: scripted(t, `
name: flaky
when: {contract: "M1*"}
steps: [{state: pending, for: 1 poll}, {state: done}]
faults:
  - {on: create, times: 1, failure: {reason: "SERVER:ERROR", message: "try again"}}
  - {on: status, times: 1, reset: true}
upgraded: {notes: `+notes+`}
expect: {calls: {process: 2}}
`)}
	w := onWire(t, opts)
	w.call("create", sample("contract", "M1-a", "target", "9.0"))
	m := w.create("contract", "M1-a", "target", "9.0")
	other := w.create("contract", "M2-b", "target", "9.0")
	w.call("upload", m.params()) // without a dump, which is refused
	w.do("POST", w.base+"/database/v1/upload?"+m.params().Encode(), nil, strings.NewReader(strings.Repeat("x", 101)))
	broken := io.MultiReader(strings.NewReader("select"), iotest.ErrReader(errors.New("gone")))
	req, err := http.NewRequest("POST", w.base+"/database/v1/upload?"+m.params().Encode(), broken)
	if err != nil {
		t.Fatal(err)
	}
	before := w.srv.Events(journal.Filter{On: "upload"})
	if resp, err := w.http.Do(req); err == nil {
		t.Errorf("a call that breaks off is answered: %s", resp.Status)
	}
	w.event(journal.Filter{On: "upload", After: before[len(before)-1].Seq}) // the server learns of it later
	w.upload(m, []byte("select 1;\n"))
	w.try("GET", "/database/v1/status?"+m.params().Encode(), nil)
	w.finish(m)
	w.call("status", other.params())

	one, difference := w.capsuled(fmt.Sprintf("?request=%d", m.id))
	diff(t, "of a request", "", difference)
	diff(t, "its scenario, and what it failed", []string{"flaky", "flaky: calls.process"},
		[]string{one.Scenarios[0].Name, one.Failed[0]})
	if len(one.LeftOut) > 0 || one.Request != m.id || one.Journal[0].Request != 0 || len(one.Files) != 1 {
		t.Errorf("left out %q; the first event is of request %d; files %v", one.LeftOut, one.Journal[0].Request, one.Files)
	}
	normal, difference := w.capsuled(fmt.Sprintf("?request=%d", other.id))
	diff(t, "of a request without a scenario", "", difference)
	if len(normal.Scenarios) > 0 || len(normal.Journal) != 2 {
		t.Errorf("%d scenarios, %d events", len(normal.Scenarios), len(normal.Journal))
	}
	for _, query := range []string{"", "?contract=M1-a"} {
		all, difference := w.capsuled(query)
		diff(t, "of "+query, "", difference)
		if len(all.LeftOut) > 0 {
			t.Errorf("%s: left out %q", query, all.LeftOut)
		}
	}
	for query, want := range map[string]int{"?request=1": 404, "?contract=M3": 404, "?request=x": 400, "?on=status": 400} {
		if status, answer := w.control("GET", "/capsule"+query, ""); status != want {
			t.Errorf("%s: %d %v", query, status, answer)
		}
	}

	// What was removed, and what is not remembered any more, is said.
	w.srv.RemoveScenario("flaky")
	all, _ := w.capsuled("")
	diff(t, "left out", []string{fmt.Sprintf(
		"the scenario flaky of request %d, which is not in use any more: a capsule of that request has it", m.id)},
		all.LeftOut)
	_, difference = w.capsuled(fmt.Sprintf("?request=%d", m.id))
	diff(t, "of a request whose scenario is not in use", "", difference)
	if err := os.Remove(notes); err != nil {
		t.Fatal(err)
	}
	if status, answer := w.control("GET", fmt.Sprintf("/capsule?request=%d", m.id), ""); status != 500 ||
		!strings.Contains(fmt.Sprint(answer["error"]), "notes.html") {
		t.Errorf("without a file: %d %v", status, answer)
	}
	w.srv.ClearJournal(journal.Filter{On: "create"})
	w.call("status", other.params())
	all, _ = w.capsuled("?contract=M2-b")
	diff(t, "without a beginning", []string{fmt.Sprintf(
		"what happened to requests that were made before the journal begins: %d", other.id)}, all.LeftOut)
}

// TestCapsule_byHand: a request that was steered by hand has a capsule with a scenario that does the same.
func TestCapsule_byHand(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t,
		"name: slow\nsteps: [{state: pending, for: 9h}, {state: done}]\nexpect: {calls: {status: 9}}\n")})
	m := w.create()
	w.upload(m, []byte("select 1;\n"))
	w.good("process", m.params())
	w.call("status", m.params())
	w.control("POST", fmt.Sprintf("/requests/%d/fault", m.id),
		`{"fault": {"on": "status", "failure": {"reason": "A:B", "message": "m"}}}`)
	w.call("status", m.params())
	w.control("POST", fmt.Sprintf("/requests/%d/state", m.id), `{"state": "invalid", "set": {"customer_message": "no"}}`)
	w.call("status", m.params())

	c, difference := w.capsuled(fmt.Sprintf("?request=%d", m.id))
	diff(t, "steered by hand", "", difference)
	diff(t, "what it failed", []string{"slow: calls.status"}, c.Failed)
	if len(c.LeftOut) != 1 || !strings.Contains(c.LeftOut[0], "steered by hand") {
		t.Errorf("left out %q", c.LeftOut)
	}
	all, difference := w.capsuled("")
	diff(t, "left out of all", []string{
		fmt.Sprintf("what was done to request %d by hand: a capsule of it has that", m.id)}, all.LeftOut)
	if !strings.Contains(difference, "A:B") {
		t.Errorf("got %s", difference)
	}
}

// TestCapsule_script: a scenario of the script API without steps is the one that is in use.
func TestCapsule_script(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t,
		"name: s\nwhen: {api: script}\nfaults: [{on: script.status, times: 1, failure: {message: no}}]\n")})
	_, token := w.scriptRequest()
	w.rpc("status", "token", token)
	w.rpc("status", "token", token)
	c, difference := w.capsuled("")
	diff(t, "over the script API", "", difference)
	if len(c.LeftOut) > 0 {
		t.Errorf("left out %q", c.LeftOut)
	}
}

// TestServer_WriteCapsule: who ran the client has its command and its task in the capsule.
func TestServer_WriteCapsule(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	w.upload(w.create(), []byte("select 1;\n"))
	dump := filepath.Join(t.TempDir(), "db.sql")
	if err := os.WriteFile(dump, []byte("select 1;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := &mockserver.Run{Command: []string{"sh", "x.sh"}, Status: 3, Dump: dump, Out: "/tmp/up.sql",
		Params: map[string]string{"aim": "test"}}
	var file bytes.Buffer
	if err := w.srv.WriteCapsule(t.Context(), &file, mockserver.Scope{}, run); err != nil {
		t.Fatal(err)
	}
	c, err := capsule.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	uploaded := w.event(journal.Filter{On: "upload"})
	diff(t, "the client", &capsule.Client{Command: run.Command, Exit: 3, Out: "up.sql", Params: run.Params,
		Dump: &capsule.Dump{Path: dump, Files: capsule.Files{
			{Name: "db.sql", Size: 10, Checksum: uploaded.Checksum, StandIn: "text"},
		}}}, c.Client)
	err = w.srv.WriteCapsule(t.Context(), &file, mockserver.Scope{Request: 1}, nil)
	if !errors.Is(err, mockserver.ErrNoRequest) {
		t.Errorf("of no request: %v", err)
	}
}
