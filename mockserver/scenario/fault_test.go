package scenario_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// pickN writes which fault each of n calls on a place gets: its index, or a dot.
func pickN(s *scenario.Scenario, on string, n int, c scenario.Counts) (string, scenario.Counts) {
	var b strings.Builder
	for range n {
		var i int
		_, i, c = s.Pick(on, c)
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
	s := &scenario.Scenario{Faults: []scenario.Fault{{On: "status", Times: 1, Cut: true}, {On: "status", Delay: time.Second}}}
	_, _, first := s.Pick("status", nil)
	before := append(scenario.Counts(nil), first...)
	fault, i, second := s.Pick("status", first)
	if diff := cmp.Diff(before, first); diff != "" {
		t.Errorf("the counts handed in changed (-before +after):\n%s", diff)
	}
	if i != 1 || fault != &s.Faults[1] {
		t.Errorf("second call got fault %d, want 1 and a pointer into the script", i)
	}
	if diff := cmp.Diff(scenario.Counts{{Met: 2, Used: 1}, {Met: 2, Used: 1}}, second); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	kept, err := json.Marshal(second)
	if err != nil {
		t.Fatal(err)
	}
	var back scenario.Counts
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
	for _, c := range []scenario.Counts{{}, {{Met: 0}, {Met: 4}, {Met: 5}}} {
		if got, _ := pickN(s, "status", 2, c); got != "0." {
			t.Errorf("with %v: %s, want 0.", c, got)
		}
	}
}

func TestPick_costsNothingWithoutFaults(t *testing.T) {
	s := &scenario.Scenario{Faults: []scenario.Fault{{On: "create", Reset: true}}}
	p, _ := s.Begin(epoch)
	if n := testing.AllocsPerRun(100, func() {
		s.Pick("status", nil)
		s.Poll(p, epoch)
	}); n != 0 {
		t.Errorf("a status call that nothing happens on allocates %v times", n)
	}
}

func TestFailure_marshalsAsInAnAnswer(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(&scenario.Failure{
		Reason: "TARGET:INVALID", Message: `Invalid value "5.0"`,
		More: map[string]any{"value": "5.0", "expected": []string{"6.0", "6.1"}, "reason": "not this one"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"expected":["6.0","6.1"],"message":"Invalid value \"5.0\"","reason":"TARGET:INVALID","value":"5.0"}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHTTP_defaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		http   scenario.HTTP
		status int
		header http.Header
	}{
		{"nothing said", scenario.HTTP{}, 200, http.Header{}},
		{"a body is HTML", scenario.HTTP{Status: 502, Body: "<html>"}, 502, http.Header{"Content-Type": {"text/html"}}},
		{"unless said", scenario.HTTP{ContentType: "text/plain", Body: "x"}, 200, http.Header{"Content-Type": {"text/plain"}}},
		{
			"or as a header",
			scenario.HTTP{Status: 503, Headers: map[string]string{"retry-after": "1", "content-type": "a/b"}, Body: "x"}, 503,
			http.Header{"Content-Type": {"a/b"}, "Retry-After": {"1"}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.http.StatusCode(); got != tc.status {
				t.Errorf("status %d, want %d", got, tc.status)
			}
			if diff := cmp.Diff(tc.header, tc.http.Header()); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}
