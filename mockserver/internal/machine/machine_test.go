package machine_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var epoch = time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)

func after(d time.Duration) time.Time { return epoch.Add(d) }

// A run plays calls on one request, a line each, and writes down what came of them.
type run struct {
	tb  testing.TB
	s   *scenario.Scenario
	pos machine.Position
	log []string
}

func begin(tb testing.TB, s *scenario.Scenario) *run {
	tb.Helper()
	r := &run{tb: tb, s: s}
	var first machine.Change
	r.pos, first = machine.Begin(s, "draft", epoch)
	r.note([]machine.Change{first})
	return r
}

func (r *run) note(changes []machine.Change) {
	for _, c := range changes {
		r.log = append(r.log, c.From+">"+c.To+" +"+c.At.Sub(epoch).String())
	}
}

// poll notes the transitions that a status call at the instant finds, and the state it answers.
func (r *run) poll(at time.Duration) {
	var changes []machine.Change
	r.pos, changes = machine.Poll(r.s, r.pos, after(at))
	r.note(changes)
	r.log = append(r.log, machine.State(r.s, r.pos))
}

func (r *run) look(at time.Duration) {
	var changes []machine.Change
	r.pos, changes = machine.At(r.s, r.pos, after(at))
	r.note(changes)
}

func (r *run) release(at time.Duration) error {
	var changes []machine.Change
	var err error
	r.pos, changes, err = machine.Release(r.s, r.pos, after(at))
	r.note(changes)
	return err
}

func (r *run) want(lines ...string) {
	r.tb.Helper()
	if diff := cmp.Diff(lines, r.log); diff != "" {
		r.tb.Errorf("what happened (-want +got):\n%s", diff)
	}
}

func steps(steps ...scenario.Step) *scenario.Scenario { return &scenario.Scenario{Steps: steps} }

func polls(state string, n int) scenario.Step {
	return scenario.Step{State: state, For: scenario.For{Polls: n}}
}

func lasts(state string, d time.Duration) scenario.Step {
	return scenario.Step{State: state, For: scenario.For{Duration: d}}
}

func held(state string) scenario.Step {
	return scenario.Step{State: state, For: scenario.For{Released: true}}
}

func TestDefault_onePollEach(t *testing.T) {
	t.Parallel()
	r := begin(t, scenario.Default())
	r.look(time.Hour)
	r.poll(1 * time.Second)
	r.poll(2 * time.Second)
	r.poll(3 * time.Second)
	r.poll(4 * time.Second)
	r.want("draft>pending +0s", "pending", "pending>processing +2s", "processing", "processing>done +3s", "done", "done")
}

func TestZeroScenario_hasTheDefaultSteps(t *testing.T) {
	t.Parallel()
	r := begin(t, &scenario.Scenario{})
	r.poll(1 * time.Second)
	r.poll(2 * time.Second)
	r.poll(3 * time.Second)
	r.want("draft>pending +0s", "pending", "pending>processing +2s", "processing", "processing>done +3s", "done")
}

func TestPoll_answersTheStateForNPolls(t *testing.T) {
	t.Parallel()
	r := begin(t, steps(polls("a", 3), polls("b", 2), scenario.Step{State: "c"}))
	for i := range 7 {
		r.poll(time.Duration(i) * time.Second)
	}
	r.want("draft>a +0s", "a", "a", "a", "a>b +3s", "b", "b", "b>c +5s", "c", "c")
}

func TestAt_severalTimeStepsEachWithItsInstant(t *testing.T) {
	t.Parallel()
	r := begin(t, steps(lasts("a", 2*time.Second), lasts("b", time.Minute), lasts("c", time.Hour),
		scenario.Step{State: "d"}))
	r.look(2*time.Second - 1)
	r.look(2 * time.Second)
	r.look(30 * time.Minute)
	r.look(100 * time.Hour)
	r.want("draft>a +0s", "a>b +2s", "b>c +1m2s", "c>d +1h1m2s")
	r = begin(t, r.s)
	r.poll(100 * time.Hour)
	r.want("draft>a +0s", "a>b +2s", "b>c +1m2s", "c>d +1h1m2s", "d")
}

func TestPoll_afterTimeStepsBeginsCounting(t *testing.T) {
	t.Parallel()
	r := begin(t, steps(lasts("a", time.Second), polls("b", 1), lasts("c", 5*time.Second), polls("d", 1),
		scenario.Step{State: "e"}))
	r.poll(0)
	r.poll(3 * time.Second)  // a ended at 1s, b answers this
	r.poll(10 * time.Second) // b ends with this call, c begins at it
	r.poll(14 * time.Second)
	r.poll(20 * time.Second) // c ended at 15s
	r.poll(21 * time.Second)
	r.want("draft>a +0s", "a", "a>b +1s", "b", "b>c +10s", "c", "c", "c>d +15s", "d", "d>e +21s", "e")
}

func TestRelease(t *testing.T) {
	t.Parallel()
	r := begin(t, steps(lasts("a", time.Second), held("testing"), held("again"), scenario.Step{State: "done"}))
	if err := r.release(0); !errors.Is(err, machine.ErrNotHeld) {
		t.Errorf("release of a step with a duration: %v, want ErrNotHeld", err)
	}
	r.poll(time.Hour)
	r.poll(2 * time.Hour)
	if err := r.release(3 * time.Hour); err != nil {
		t.Errorf("release of a held step: %v", err)
	}
	r.poll(4 * time.Hour)
	if err := r.release(5 * time.Hour); err != nil {
		t.Errorf("release of the next held step: %v", err)
	}
	if err := r.release(6 * time.Hour); !errors.Is(err, machine.ErrNotHeld) {
		t.Errorf("release of the last step: %v, want ErrNotHeld", err)
	}
	r.want("draft>a +0s", "a>testing +1s", "testing", "testing", "testing>again +3h0m0s", "again", "again>done +5h0m0s")
}

func TestRelease_countsTimeFirst(t *testing.T) {
	t.Parallel()
	r := begin(t, steps(lasts("a", time.Second), held("testing"), scenario.Step{State: "done"}))
	if err := r.release(time.Minute); err != nil {
		t.Error(err)
	}
	r.want("draft>a +0s", "a>testing +1s", "testing>done +1m0s")
}

func TestAt_clockBehindPositionChangesNothing(t *testing.T) {
	t.Parallel()
	r := begin(t, steps(lasts("a", time.Second), scenario.Step{State: "b"}))
	r.look(-time.Hour)
	r.want("draft>a +0s")
}

func TestAt_unchangedPositionIsEqual(t *testing.T) {
	t.Parallel()
	s := steps(lasts("a", time.Second), scenario.Step{State: "b"})
	p, _ := machine.Begin(s, "draft", time.Now()) // a monotonic reading and a local zone must not get in
	p, _ = machine.Poll(s, p, p.Since.Add(time.Minute))
	again, changes := machine.Poll(s, p, p.Since.Add(time.Hour))
	if again != p || changes != nil {
		t.Errorf("a poll in the last state changed the position %+v to %+v, %v", p, again, changes)
	}
	kept, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var back machine.Position
	if err := json.Unmarshal(kept, &back); err != nil || back != p {
		t.Errorf("JSON %s gave back %+v, %v; want %+v", kept, back, err, p)
	}
}

func TestPosition_fromALongerScriptIsTheLastState(t *testing.T) {
	t.Parallel()
	s := scenario.Default()
	for _, step := range []int{3, 99, -1} {
		p, changes := machine.Poll(s, machine.Position{Step: step, Since: epoch}, epoch)
		if len(changes) != 0 || (step > 0 && machine.State(s, p) != "done") ||
			(step < 0 && machine.State(s, p) != "pending") {
			t.Errorf("step %d: state %q, changes %v", step, machine.State(s, p), changes)
		}
	}
}

func TestSet_laterStepsWin(t *testing.T) {
	t.Parallel()
	s := steps(
		scenario.Step{State: "a", For: scenario.For{Polls: 1}, Set: map[string]any{"elapsed": "00:01", "issue": 7}},
		scenario.Step{State: "b", For: scenario.For{Polls: 1}},
		scenario.Step{State: "c", Set: map[string]any{"elapsed": "00:02"}},
	)
	for step, want := range []map[string]any{
		{"elapsed": "00:01", "issue": 7},
		{"elapsed": "00:01", "issue": 7},
		{"elapsed": "00:02", "issue": 7},
	} {
		if diff := cmp.Diff(want, machine.Set(s, machine.Position{Step: step})); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", step, diff)
		}
	}
	p, first := machine.Begin(s, "draft", epoch)
	if diff := cmp.Diff(s.Steps[0].Set, first.Set); diff != "" {
		t.Errorf("the first change sets (-want +got):\n%s", diff)
	}
	machine.Set(s, p)["elapsed"] = "changed"
	if s.Steps[0].Set["elapsed"] != "00:01" {
		t.Error("the map that Set returned is the script's own")
	}
}

func TestDueAndFinal(t *testing.T) {
	t.Parallel()
	s := steps(lasts("a", time.Minute), polls("b", 1), held("c"), scenario.Step{State: "d"})
	for step, want := range []time.Time{after(time.Minute), {}, {}, {}} {
		at, ok := machine.Due(s, machine.Position{Step: step, Since: epoch})
		if !at.Equal(want) || ok != !want.IsZero() {
			t.Errorf("step %d is due %v, %t; want %v", step, at, ok, want)
		}
		if final := machine.Final(s, machine.Position{Step: step}); final != (step == 3) {
			t.Errorf("step %d is final: %t", step, final)
		}
	}
}
