package mockserver_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// TestScenario_drivesAllThreeWires follows one script over HTTP answers, SFTP access and URLs, with hours
// passing in no time.
func TestScenario_drivesAllThreeWires(t *testing.T) {
	t.Parallel()
	clk := new(mockserver.ManualClock)
	w := onWire(t, &mockserver.Options{Clock: clk, SFTPAccessTTL: 2 * time.Hour, Scenarios: scripted(t, `
name: slow
when: {aim: production, contract: "M1*"}
steps:
  - {state: pending, for: 1 poll}
  - {state: processing, for: 8h, set: {estimated_time: "08:00"}}
  - {state: testing, for: released, set: {customer_message: "please look"}}
  - {state: done, set: {filestore: true, customer_message: null}}
`)})
	other := w.create() // aim test: not this script's
	m := w.create("aim", "production")
	w.grant(m, "ed25519")
	session := w.login(m, "ed25519")
	dump := pattern(10_000, 1)
	w.put(session, "db_name.dump", dump)
	w.good("process", m.params())

	if _, err := session.ReadDir("/"); err == nil {
		t.Error("the SFTP session goes on after process")
	}
	if got := w.status(m)["state"]; got != "pending" {
		t.Errorf("first poll: state %v", got)
	}
	r := w.status(m)
	diff(t, "second poll", []any{"processing", "08:00", "00:00"}, []any{r["state"], r["estimated_time"], r["elapsed"]})
	clk.Advance(7*time.Hour + 59*time.Minute)
	if got := w.status(m)["elapsed"]; got != "07:59" {
		t.Errorf("elapsed %v, want 07:59", got)
	}
	clk.Advance(time.Minute)
	r = w.status(m)
	diff(t, "after 8 hours", []any{"testing", "please look"}, []any{r["state"], r["customer_message"]})
	if resp, _ := w.get(r["upgraded_dump_url"].(string)); resp.StatusCode != 404 {
		t.Errorf("upgraded archive while testing: %s", resp.Status)
	}
	if _, err := w.srv.Release(m.id); err != nil {
		t.Fatal(err)
	}
	r = w.status(m)
	diff(t, "after the release", []any{"done", true, nil}, []any{r["state"], r["filestore"], r["customer_message"]})
	w.grant(m, "ed25519")
	session = w.login(m, "ed25519")
	over := w.slurp(session, "upgraded_db_name.zip")
	same(t, "the upgraded archive over HTTP", w.fetch(r["upgraded_dump_url"]), over)
	if !bytes.HasPrefix(over, []byte("PK\x03\x04")) {
		t.Error("the upgraded archive with a filestore is no zip")
	}
	clk.Advance(2 * time.Hour)
	if _, err := w.dial(m, "ed25519"); err == nil {
		t.Error("an access lets in after its time")
	}
	if got := w.status(other)["state"]; got != "draft" {
		t.Errorf("the other request is in state %v", got)
	}

	var states []string
	for _, e := range w.srv.Events(journal.Filter{Request: m.id, On: "state"}) {
		states = append(states, fmt.Sprintf("%s→%s %s", e.From, e.To, e.At.Format(time.TimeOnly)))
	}
	diff(t, "changes of state, when they logically happened",
		[]string{"draft→pending 07:13:49", "pending→processing 07:13:49", "processing→testing 15:13:49",
			"testing→done 15:13:49"}, states)
}

func TestSetState_andWhatMakesNoSense(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	m := w.create()
	for _, tc := range []struct {
		state string
		want  error
	}{
		{"draft", mockserver.ErrConflict}, {"done", mockserver.ErrConflict}, {"delivered", mockserver.ErrConflict},
	} {
		if _, err := w.srv.SetState(m.id, tc.state, nil); !isError(err, tc.want) {
			t.Errorf("to %s without a dump: %v, want %v", tc.state, err, tc.want)
		}
	}
	if _, err := w.srv.SetState(1, "done", nil); !isError(err, mockserver.ErrNoRequest) {
		t.Errorf("of a request that is not there: %v", err)
	}
	if _, err := w.srv.Release(m.id); !isError(err, mockserver.ErrConflict) {
		t.Errorf("release of a request in draft: %v", err)
	}
	if _, err := w.srv.SetState(m.id, "odd", map[string]any{"filestore": "yes"}); err == nil {
		t.Error("filestore was set to a text")
	}
	w.upload(m, []byte("-- SQL\n"))
	if _, err := w.srv.SetState(m.id, "frozen", map[string]any{"customer_message": "wait"}); err != nil {
		t.Fatal(err)
	}
	r := w.status(m)
	diff(t, "in a state nobody has seen", []any{"frozen", "frozen", "wait"},
		[]any{r["state"], r["issue_stage"], r["customer_message"]})
	if _, err := w.srv.SetState(m.id, "done", nil); err != nil {
		t.Fatal(err)
	}
	r = w.status(m)
	diff(t, "done, with what was set before", []any{"done", "wait"}, []any{r["state"], r["customer_message"]})
	same(t, "the upgraded dump", w.fetch(r["upgraded_dump_url"]), []byte("-- SQL\n"))
}

// TestServers_doNotSeeEachOther runs many servers with different scripts at once in one process.
func TestServers_doNotSeeEachOther(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 50 {
		w := onWire(t, &mockserver.Options{HTTPSAddr: mockserver.Off, SFTPAddr: mockserver.Off, Scenarios: scripted(t,
			fmt.Sprintf("name: script-%d\nsteps: [{state: state-%d, for: %d polls}, {state: done}]\n", i, i, i%3+1))})
		wg.Go(func() {
			m := w.create("contract", fmt.Sprintf("M%d", i))
			w.upload(m, pattern(100, uint64(i)))
			w.good("process", m.params())
			for n := range i%3 + 1 {
				if got := w.status(m)["state"]; got != fmt.Sprintf("state-%d", i) {
					t.Errorf("server %d, poll %d: state %v", i, n, got)
				}
			}
			if got := w.status(m)["state"]; got != "done" {
				t.Errorf("server %d: state %v at the end", i, got)
			}
			for _, e := range w.srv.Events(journal.Filter{}) {
				if e.Contract != fmt.Sprintf("M%d", i) {
					t.Errorf("server %d has an event of %s", i, e.Contract)
				}
			}
		})
	}
	wg.Wait()
}

// TestJournal_isTheSameForTheSameCalls holds that a script, a seed and the same calls give the same journal,
// byte for byte.
func TestJournal_isTheSameForTheSameCalls(t *testing.T) {
	t.Parallel()
	run := func() string {
		var lines bytes.Buffer
		clk := new(mockserver.ManualClock)
		srv := mockservertest.New(t, &mockserver.Options{
			Clock: clk, Seed: 42, JournalWriter: &lines, PublicURL: "http://upgrade.test", SFTPHostname: "upgrade.test",
			Scenarios: scripted(t, `
name: eventful
steps: [{state: pending, for: 1 poll}, {state: processing, for: 1h}, {state: done}]
faults:
  - {on: status, skip: 1, times: 1, failure: {reason: "SERVER:ERROR", message: "later"}}
  - {on: sftp.write, times: 1, after: 1000, disconnect: true}
`)})
		w := newWire(t, srv.URL(), srv)
		m := w.create()
		w.upload(m, pattern(5000, 1))
		w.good("process", m.params())
		w.status(m)
		w.call("status", m.params())
		w.status(m)
		clk.Advance(time.Hour)
		w.status(m)
		w.call("status", m.params("key", "wrong"))
		if err := srv.Close(); err != nil {
			t.Fatal(err)
		}
		return lines.String()
	}
	first, second := run(), run()
	if d := cmp.Diff(strings.Split(first, "\n"), strings.Split(second, "\n")); d != "" {
		t.Errorf("two runs differ (-first +second):\n%s", d)
	}
	if n := strings.Count(first, "\n"); n != 11 {
		t.Errorf("the journal has %d lines, want 8 calls and 3 changes of state:\n%s", n, first)
	}
	for line := range strings.Lines(first) {
		var e journal.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		if key := e.Params["key"]; len(key) > 10 {
			t.Errorf("a key stands whole in the journal: %s", line)
		}
	}
}

func TestJournal_isBounded(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{JournalSize: 5})
	m := w.create()
	for range 9 {
		w.status(m)
	}
	events := w.srv.Events(journal.Filter{})
	if len(events) != 5 || events[0].Seq != 6 || events[4].Seq != 10 {
		t.Errorf("the journal has %d events, from %d; want the latest 5 of 10", len(events), events[0].Seq)
	}
}

func TestAwait_seesWhatHappensLater(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t, "name: short\nsteps: [{state: processing, for: 30ms}, {state: done}]\n")})
	m := w.create()
	w.upload(m, []byte("x"))
	done := make(chan error, 1)
	go func() {
		_, err := w.srv.AwaitState(t.Context(), m.id, "done")
		done <- err
	}()
	w.good("process", m.params())
	if err := <-done; err != nil { // nobody polls: the one who waits looks at the clock
		t.Error(err)
	}
}

func TestReset_canBeNarrowed(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	a, b := w.create("contract", "MA"), w.create("contract", "MB")
	if err := w.srv.Reset(mockserver.Scope{Contract: "MA"}); err != nil {
		t.Fatal(err)
	}
	if got := w.call("status", a.params()).reasons(); len(got) != 1 || got[0] != "REQUEST:NOT_FOUND" {
		t.Errorf("the forgotten request: %v", got)
	}
	w.status(b)
	for _, e := range w.srv.Events(journal.Filter{}) {
		if e.Contract == "MA" {
			t.Errorf("the journal still has %+v", e)
		}
	}
	if err := w.srv.Reset(mockserver.Scope{}); err != nil {
		t.Fatal(err)
	}
	if n, m := len(w.srv.Requests()), len(w.srv.Events(journal.Filter{})); n != 0 || m != 0 {
		t.Errorf("after a reset: %d requests, %d events", n, m)
	}
	if c := w.create(); c.id <= b.id {
		t.Errorf("the id %d was given before", c.id)
	}
}

func TestHooks_areCalledAtTheirMoment(t *testing.T) {
	t.Parallel()
	var moments []string
	w := onWire(t, &mockserver.Options{
		OnUpload:      func(id int64) { moments = append(moments, fmt.Sprint("upload ", id)) },
		BeforeProcess: func(id int64) { moments = append(moments, fmt.Sprint("process ", id)) },
	})
	m := w.create()
	w.upload(m, []byte("x"))
	w.good("process", m.params())
	diff(t, "moments", []string{fmt.Sprint("upload ", m.id), fmt.Sprint("process ", m.id)}, moments)
}
