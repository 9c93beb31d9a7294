package machine_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// pickN writes which fault each of n calls on a place gets: its index, or a dot.
func pickN(s *scenario.Scenario, on string, n int, c machine.Counts) (string, machine.Counts) {
	var b strings.Builder
	for range n {
		var i int
		_, i, c = machine.Pick(s, on, c)
		if i < 0 {
			b.WriteByte('.')
			continue
		}
		fmt.Fprint(&b, i)
	}
	return b.String(), c
}

func TestPick(t *testing.T) {
	t.Parallel()
	reset := func(on string, skip, times, every int) scenario.Fault {
		return scenario.Fault{On: on, Skip: skip, Times: times, Every: every, Reset: true}
	}
	for _, tc := range []struct {
		name   string
		faults []scenario.Fault
		want   string
	}{
		{"none", nil, "......"},
		{"elsewhere", []scenario.Fault{reset("create", 0, 0, 0)}, "......"},
		{"always", []scenario.Fault{reset("status", 0, 0, 0)}, "000000"},
		{"times", []scenario.Fault{reset("status", 0, 2, 0)}, "00...."},
		{"skip", []scenario.Fault{reset("status", 2, 0, 0)}, "..0000"},
		{"skip and times", []scenario.Fault{reset("status", 1, 2, 0)}, ".00..."},
		{"every", []scenario.Fault{reset("status", 0, 0, 3)}, "..0..0"},
		{"every, once", []scenario.Fault{reset("status", 0, 1, 3)}, "..0..."},
		{"every after skip", []scenario.Fault{reset("status", 1, 0, 2)}, "..0.0."},
		{"one after the other", []scenario.Fault{reset("status", 0, 2, 0), reset("status", 0, 2, 0)}, "0011.."},
		{"the first that applies", []scenario.Fault{reset("status", 1, 1, 0), reset("status", 0, 0, 0)}, "101111"},
		{"skip counts calls, not chances", []scenario.Fault{reset("status", 1, 1, 0), reset("status", 3, 1, 0)}, ".0.1.."},
		{"among others", []scenario.Fault{reset("create", 0, 0, 0), reset("status", 0, 1, 0)}, "1....."},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := &scenario.Scenario{Faults: tc.faults}
			if got, _ := pickN(s, scenario.OnStatus, 6, nil); got != tc.want {
				t.Errorf("six calls got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestPick_leavesTheCountsItWasGiven(t *testing.T) {
	t.Parallel()
	s := &scenario.Scenario{Faults: []scenario.Fault{{On: "status", Times: 1, Cut: true},
		{On: "status", Delay: time.Second}}}
	_, _, first := machine.Pick(s, "status", nil)
	before := append(machine.Counts(nil), first...)
	fault, i, second := machine.Pick(s, "status", first)
	if diff := cmp.Diff(before, first); diff != "" {
		t.Errorf("the counts handed in changed (-before +after):\n%s", diff)
	}
	if i != 1 || fault != &s.Faults[1] {
		t.Errorf("second call got fault %d, want 1 and a pointer into the script", i)
	}
	if diff := cmp.Diff(machine.Counts{{Met: 2, Used: 1}, {Met: 2, Used: 1}}, second); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	kept, err := json.Marshal(second)
	if err != nil {
		t.Fatal(err)
	}
	var back machine.Counts
	if err := json.Unmarshal(kept, &back); err != nil {
		t.Fatal(err)
	}
	if got, _ := pickN(s, "status", 2, back); got != "11" {
		t.Errorf("after JSON the next calls got %s, want 11", got)
	}
}

func TestPick_countsOfAnotherScript(t *testing.T) {
	t.Parallel()
	s := &scenario.Scenario{Faults: []scenario.Fault{{On: "status", Times: 1, Cut: true}}}
	for _, c := range []machine.Counts{{}, {{Met: 0}, {Met: 4}, {Met: 5}}} {
		if got, _ := pickN(s, "status", 2, c); got != "0." {
			t.Errorf("with %v: %s, want 0.", c, got)
		}
	}
}

func TestPick_costsNothingWithoutFaults(t *testing.T) {
	s := &scenario.Scenario{Faults: []scenario.Fault{{On: "create", Reset: true}}}
	p, _ := machine.Begin(s, "draft", epoch)
	if n := testing.AllocsPerRun(100, func() {
		machine.Pick(s, "status", nil)
		machine.Poll(s, p, epoch)
	}); n != 0 {
		t.Errorf("a status call that nothing happens on allocates %v times", n)
	}
}
