package mockserver_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

const eightHours = `
name: eight-hours
when: {filename: "*"}
steps: [{state: pending, for: 2h}, {state: processing, for: 6h}, {state: done}]
`

// skipping is a server whose clock jumps.
func skipping(t *testing.T, scenarios []*scenario.Scenario, out io.Writer) *wire {
	t.Helper()
	return onWire(t, &mockserver.Options{Clock: new(mockserver.ManualClock), Skip: true, Seed: 1,
		Scenarios: scenarios, JournalWriter: out})
}

// begun is a request whose upgrade has begun.
func (w *wire) begun() made {
	w.Helper()
	m := w.create()
	w.upload(m, []byte("PGDMP"))
	w.good("process", m.params())
	return m
}

// states polls so often, and returns what was answered.
func (w *wire) states(m made, polls int) (seen []string) {
	w.Helper()
	for range polls {
		seen = append(seen, w.status(m)["state"].(string))
	}
	return seen
}

// Each state is told, and the clock jumps when it is asked for again; the journal is the same each time.
func TestSkip(t *testing.T) {
	t.Parallel()
	var journals [2]bytes.Buffer
	for i := range journals {
		w := skipping(t, scripted(t, eightHours), &journals[i])
		m := w.begun()
		if diff := cmp.Diff([]string{"pending", "processing", "done", "done"}, w.states(m, 4)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		got := w.srv.Skipped()
		if got.Slept <= 0 || got.Slept > time.Minute {
			t.Errorf("the client slept %v", got.Slept)
		}
		if got.Slept = 0; got != (mockserver.Skips{Jumps: 2, Skipped: 8 * time.Hour}) {
			t.Errorf("it skipped %+v", got)
		}
		events := w.srv.Events(journal.Filter{Request: m.id})
		if !slices.IsSortedFunc(events, func(a, b journal.Event) int { return a.At.Compare(b.At) }) {
			t.Errorf("the journal goes back in time: %v", events)
		}
	}
	var lines [2][]map[string]any
	for i := range journals {
		for decoder := json.NewDecoder(&journals[i]); decoder.More(); {
			var event map[string]any
			if err := decoder.Decode(&event); err != nil {
				t.Fatal(err)
			}
			lines[i] = append(lines[i], event)
		}
	}
	if diff := cmp.Diff(lines[0], lines[1]); diff != "" {
		t.Errorf("two runs differ:\n%s", diff)
	}
}

// The clock stands while others have not been told, or are sending a dump, and while an answer did not arrive; what has
// no client any more is not waited for.
func TestSkip_waits(t *testing.T) {
	t.Parallel()
	w := skipping(t, scripted(t, eightHours), nil)
	a, b := w.begun(), w.begun()
	stands := func(why string, m made, polls int, want bool) {
		t.Helper()
		before := w.srv.Skipped().Jumps
		w.states(m, polls)
		if got := w.srv.Skipped().Jumps == before; got != want {
			t.Errorf("%s: the clock stands: %t, want %t", why, got, want)
		}
	}
	stands("the other client was told nothing", a, 3, true)
	stands("it is told for the first time", b, 1, true)
	stands("both have been told", a, 1, false) // to 2h, where both are processing
	stands("the state is another one", a, 1, true)
	stands("the other client knows only the state before", a, 4, true)
	stands("the other client has gone", a, 10, false)

	w = skipping(t, scripted(t, eightHours), nil)
	a = w.begun()
	draft := w.create()
	patient := &http.Transport{ExpectContinueTimeout: time.Minute}
	defer patient.CloseIdleConnections()
	w.http = &http.Client{Transport: patient}
	reader, writer := io.Pipe()
	came := make(chan struct{})
	go func() {
		defer close(came)
		w.do("POST", w.base+"/database/v1/upload?"+draft.params().Encode(),
			http.Header{"Expect": {"100-continue"}}, reader)
	}()
	writer.Write([]byte("PGDMP")) // the server has asked for it
	stands("a dump is being sent", a, 15, true)
	writer.Close()
	<-came
	stands("it has arrived", a, 1, false)

	draft = w.create()
	w.grant(draft, "ed25519")
	client := w.login(draft, "ed25519")
	file, err := client.Create("/db_name.dump")
	if err != nil {
		t.Fatal(err)
	}
	stands("a file is open over SFTP", a, 15, true)
	if err := errors.Join(file.Close(), client.Close()); err != nil {
		t.Fatal(err)
	}
	stands("it is closed", a, 1, false)
}

// A poll whose answer a fault takes away has told nothing, and one that is refused neither.
func TestSkip_faults(t *testing.T) {
	t.Parallel()
	w := skipping(t, scripted(t, eightHours+`
faults:
  - {on: status, times: 1, http: {status: 502}}
  - {on: status, times: 1, garbage: true}
  - {on: status, times: 1, skip: 3, failure: {reason: "SERVER:ERROR", message: later}}
`), nil)
	m := w.begun()
	var seen []string
	for range 6 {
		_, body := w.do("GET", w.base+"/database/v1/status?"+m.params().Encode(), nil, nil)
		var answer struct{ Request struct{ State string } }
		json.Unmarshal(body, &answer) // some are no JSON
		seen = append(seen, answer.Request.State)
	}
	if diff := cmp.Diff([]string{"", "", "pending", "", "processing", "done"}, seen); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Who learns of the end by another call gets there, too.
func TestSkip_otherCalls(t *testing.T) {
	t.Parallel()
	w := skipping(t, scripted(t, eightHours), nil)
	m := w.begun()
	url := w.status(m)["upgraded_dump_url"].(string)
	for calls := 1; ; calls++ {
		resp, _ := w.get(url)
		if resp.StatusCode == 200 {
			return
		}
		if calls == 50 {
			t.Fatalf("after %d calls the clock has jumped %+v", calls, w.srv.Skipped())
		}
	}
}

// Durations are judged by the time that passes for the client.
func TestSkip_judged(t *testing.T) {
	t.Parallel()
	w := skipping(t, scripted(t, eightHours+`expect: {interval: {status: ">=1h"}}`), nil)
	w.states(w.begun(), 3)
	for _, v := range w.srv.Verify(journal.Filter{}) {
		if v.Expect == "interval.status" && v.Verdict != mockserver.Fail {
			t.Errorf("%+v, want a failure: the client has not waited for hours", v)
		}
	}
}

func TestSkip_options(t *testing.T) {
	t.Parallel()
	err := (&mockserver.Options{Skip: true}).Check()
	if bad, ok := errors.AsType[*mockserver.OptionError](err); !ok || bad.Option != "Skip" {
		t.Errorf("a clock that runs is to jump: %v", err)
	}
}
