package retrace_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// at is a moment so many seconds after the beginning.
func at(seconds float64) time.Time {
	return time.Date(2026, 3, 11, 10, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// numbered gives the events their numbers, and a request where they have none.
func numbered(events ...journal.Event) []journal.Event {
	for i := range events {
		events[i].Seq = uint64(i + 1)
		if events[i].Request == 0 && events[i].Method != "-" {
			events[i].Request = 7
		}
	}
	return events
}

func TestFromJournal(t *testing.T) {
	t.Parallel()
	created := journal.Event{On: "create", At: at(0), Contract: "M1-a", Status: 200, State: "draft"}
	processed := []journal.Event{
		{On: "state", At: at(10.001), From: "draft", To: "pending"},
		{On: "process", At: at(10), Status: 200, State: "pending"},
	}
	for name, tc := range map[string]struct {
		events []journal.Event
		want   string // without the comments at the beginning, and the name
	}{
		"polls and times": {
			events: numbered(created, processed[0], processed[1],
				journal.Event{On: "status", At: at(11), Status: 200, State: "pending"},
				journal.Event{On: "status", At: at(12), Status: 200, State: "pending"},
				journal.Event{On: "state", At: at(13.0001), From: "pending", To: "processing"},
				journal.Event{On: "status", At: at(13), Status: 200, State: "processing"},
				journal.Event{On: "state", At: at(13.5001), From: "processing", To: "testing"},
				journal.Event{On: "status", At: at(14), Status: 200, State: "testing"},
				journal.Event{On: "state", At: at(15), From: "testing", To: "delivered"},
				journal.Event{On: "skip_test", At: at(15), Status: 200, State: "delivered"},
			),
			want: `
steps:
  - {state: pending, for: 2 polls}
  - {state: processing, for: 500ms}
  # skip_test ended it
  - {state: testing, for: released}
  - {state: delivered}
`,
		},
		"faults that do the work, and that do not": {
			events: numbered(created, processed[0], processed[1],
				journal.Event{On: "status", At: at(11), Status: 200, State: "pending"},
				journal.Event{On: "status", At: at(12), Fault: "faults[0]: status reset", Fired: &journal.Fired{}},
				journal.Event{On: "status", At: at(13), State: "pending", Status: 200, Fault: "faults[1]: status cut",
					Fired: &journal.Fired{}},
				journal.Event{On: "status", At: at(14), Status: 200, Failures: []string{"SERVER:ERROR"},
					Fault: "faults[2]: status failure", Fired: &journal.Fired{}},
				journal.Event{On: "state", At: at(15.1), From: "pending", To: "done"},
				journal.Event{On: "status", At: at(15), Status: 200, State: "done"},
			),
			want: `
steps:
  - {state: pending, for: 2 polls}
  - {state: done}
faults:
  # seen at call 2 of 5
  - {on: status, skip: 1, times: 1, reset: true}
  # seen at call 3 of 5
  - {on: status, skip: 2, times: 1, cut: true}
  # the text of the answer is made up: a journal has none
  # seen at call 4 of 5
  - on: status
    skip: 3
    times: 1
    failure: {reason: "SERVER:ERROR", message: "(the journal does not have this text)"}
`,
		},
		"a create that was refused before": {
			events: numbered(
				journal.Event{On: "create", Method: "-", At: at(0), Contract: "M1-a", Status: 503, RetryAfter: 2 * time.Second,
					Fault: "faults[0]: create http", Fired: &journal.Fired{}},
				journal.Event{On: "create", At: at(1), Contract: "M1-a", Status: 200, State: "draft"},
			),
			want: `
# No state after process was seen: without ` + "`steps`" + `, there are those of the emulator.
faults:
  # the text of the answer is made up: a journal has none
  # seen at call 1 of 2
  - {on: create, times: 1, http: {status: 503, headers: {Retry-After: "2"}, content_type: text/html}}
`,
		},
		"an SFTP session that broke off by itself": {
			events: numbered(created,
				journal.Event{On: "sftp.login", At: at(1), Session: 1},
				journal.Event{On: "sftp.open", At: at(1), Session: 1, Handle: 1, Flags: "write|create"},
				journal.Event{On: "sftp.abort", At: at(2), Session: 1, Handle: 1, Written: []journal.Range{{From: 0, To: 4096}},
					Why: "the connection was lost"},
			),
			want: `
# No state after process was seen: without ` + "`steps`" + `, there are those of the emulator.
faults:
  # the connection was lost: no fault of the platform, but it can be made one
  # seen at call 1 of 1
  - {on: sftp.write, times: 1, after: 4KiB, disconnect: true}
`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := retrace.FromJournal(tc.events, 7, nil, retrace.Options{})
			if err != nil {
				t.Fatal(err)
			}
			_, rest, ok := strings.Cut(string(got.YAML), "when: {api: database}\n")
			if !ok {
				t.Fatalf("no `when` in\n%s", got.YAML)
			}
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), rest); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestFromJournal_known: what a journal has not is taken from the scenario that drove the request, if that agrees.
func TestFromJournal_known(t *testing.T) {
	t.Parallel()
	script, err := scenario.Builtin("expired-contract")
	if err != nil {
		t.Fatal(err)
	}
	events := []journal.Event{{Seq: 1, On: "create", At: at(0), Contract: "M1-a", Status: 200, Scenario: script.Name,
		Failures: []string{"CONTRACT:EXPIRED"}, Fault: "faults[0]: create failure", Fired: &journal.Fired{}}}
	c := retrace.New("", func(name string) *scenario.Scenario {
		if name != script.Name {
			t.Errorf("asked for %q", name)
		}
		return script
	})
	c.Event(&events[0])
	got, err := c.Script("", retrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(script.Faults, got.Scenario.Faults); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(script.Expect, got.Scenario.Expect); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestCollector_choice: a scenario is made of one request, and the error names them.
func TestCollector_choice(t *testing.T) {
	t.Parallel()
	c := retrace.New("", nil)
	if _, err := c.Script("", retrace.Options{}); !errors.Is(err, retrace.ErrNothing) {
		t.Errorf("of nothing: %v", err)
	}
	create := journal.Event{Seq: 1, On: "create", At: at(0), Contract: "M1-a", Status: 200, State: "draft", Request: 7}
	c.Event(&create) // a run
	c.Event(&create) // and the next one, in the same file
	create.Seq, create.Request = 2, 8
	c.Event(&create)
	_, err := c.Script("", retrace.Options{})
	choice, ok := errors.AsType[*retrace.ChoiceError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	var names []string
	for _, r := range choice.Requests {
		names = append(names, r.Request)
	}
	if diff := cmp.Diff([]string{"7", "7/2", "8"}, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, name := range names {
		if _, err := c.Script(name, retrace.Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Script("9", retrace.Options{}); err == nil || !strings.Contains(err.Error(), "no request 9 in it") {
		t.Errorf("got %v", err)
	}
}

// TestCollector_bounded: what is kept does not grow with the journal.
func TestCollector_bounded(t *testing.T) {
	t.Parallel()
	c := retrace.New("", nil)
	seq := uint64(0)
	event := func(e journal.Event) {
		seq++
		e.Seq = seq
		c.Event(&e)
	}
	event(journal.Event{On: "create", At: at(0), Contract: "M1-a", Status: 200, State: "draft", Request: 1})
	for i := range 20_000 {
		event(journal.Event{On: "status", At: at(float64(i)), Request: 1, State: "pending", Status: 500 + i%50,
			Fault: "faults[0]: status http", Fired: &journal.Fired{}})
		event(journal.Event{On: "state", At: at(float64(i)), Request: 1, From: "a", To: fmt.Sprint("s", i)})
	}
	got, err := c.Script("1", retrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.YAML); n > 64<<10 {
		t.Errorf("%d bytes", n)
	}
	if !strings.Contains(string(got.YAML), "are left out") {
		t.Errorf("nothing is said of what is left out:\n%.600s", got.YAML)
	}
	for i := range 5000 {
		event(journal.Event{On: "create", At: at(0), Contract: "M1-a", Status: 200, State: "draft", Request: int64(i + 2)})
	}
	if list, more := c.Requests(); len(list) > 2000 || len(list)+more != 5001 {
		t.Errorf("%d requests and %d more", len(list), more)
	}
}
