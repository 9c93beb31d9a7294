package replay_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/capsule"
	"github.com/upgrademock/upgrademock/internal/replay"
	"github.com/upgrademock/upgrademock/internal/testclient"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestPlay: the calls of a capsule get the same answers again, under every built-in scenario.
func TestPlay(t *testing.T) {
	t.Parallel()
	skip := func(i int, _ *scenario.Scenario) bool { return testprog.Sample() && i%6 != 3 }
	testclient.Builtins(t, skip, func(t *testing.T, script *scenario.Scenario, run testclient.Run) {
		made, err := capsule.New(t.Context(), capsule.Stage{Clock: capsule.ClockVirtual}, []*scenario.Scenario{script},
			run(t, script, nil), 0)
		if err != nil {
			t.Fatal(err)
		}
		var file bytes.Buffer
		if err := made.Write(&file); err != nil {
			t.Fatal(err)
		}
		if file.Len() > 256<<10 {
			t.Errorf("the capsule has %d bytes", file.Len())
		}
		c, err := capsule.Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		now, err := replay.Play(t.Context(), c, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		difference, n := replay.Compare(c.Journal, now)
		if difference != nil || n == 0 {
			t.Errorf("%d are the same, then %v", n, difference)
		}
	})
}

func TestCompare(t *testing.T) {
	t.Parallel()
	status := func(request int64, seconds int, state string) journal.Event {
		return journal.Event{On: "status", Request: request, Status: 200, State: state,
			At: time.Unix(int64(seconds), 0)}
	}
	then := []journal.Event{status(7, 0, "pending"), status(7, 1, "pending"), status(7, 2, "done")}
	for name, tc := range map[string]struct {
		now  []journal.Event
		want string
		n    int
	}{
		"the same, of another number and at other times": {
			now: []journal.Event{status(9, 50, "pending"), status(9, 90, "done"), status(9, 91, "done")}, n: 2,
		},
		"another answer": {
			now:  []journal.Event{status(9, 50, "pending"), status(9, 90, "invalid")},
			want: "a difference: request 1, call 2\n  then  status → 200 done\n  now   status → 200 invalid", n: 1,
		},
		"too few": {
			now:  []journal.Event{status(9, 50, "pending")},
			want: "a difference: request 1, call 2\n  then  status → 200 done\n  now   nothing more", n: 1,
		},
		"another request": {
			now:  append(append([]journal.Event{}, then...), status(9, 50, "pending")),
			want: "a difference: request 2, call 1\n  then  nothing more\n  now   status → 200 pending", n: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			difference, n := replay.Compare(then, tc.now)
			got := ""
			if difference != nil {
				got = difference.String()
			}
			if got != tc.want || n != tc.n {
				t.Errorf("got %q after %d, want %q after %d", got, n, tc.want, tc.n)
			}
		})
	}
}

// TestShrink: what has nothing to do with the failure goes.
func TestShrink(t *testing.T) {
	t.Parallel()
	s, err := scenario.Parse("", []byte(`
name: big
when: {api: database, aim: test}
steps:
  - {state: pending, for: 3 polls, set: {estimated_time: "00:30"}}
  - {state: processing, for: 2h}
  - {state: testing, for: released}
  - {state: done, set: {filestore: true}}
faults:
  - {on: upload, times: 1, after: 64KiB, reset: true}
  - {on: status, skip: 4, times: 9, http: {status: 502, body: no}}
  - {on: download, times: 1, cut: true}
upgraded: built
`))
	if err != nil {
		t.Fatal(err)
	}
	got, tries, err := replay.Shrink(s, 200, func(s *scenario.Scenario) (bool, error) {
		for _, f := range s.Faults { // the client gives up at three errors in a row
			if f.HTTP != nil && (f.Times == 0 || f.Times >= 3) {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil || tries == 0 || tries >= 200 {
		t.Fatalf("%d tries, %v", tries, err)
	}
	want := &scenario.Scenario{Name: "big", When: scenario.When{"api": "database"},
		Faults: []scenario.Fault{{On: "status", Times: 3, HTTP: &scenario.HTTP{Status: 502, Body: "no"}}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	wrong := errors.New("wrong")
	if _, _, err := replay.Shrink(s, 5, func(*scenario.Scenario) (bool, error) { return false, wrong }); err != wrong {
		t.Errorf("got %v", err)
	}
}
