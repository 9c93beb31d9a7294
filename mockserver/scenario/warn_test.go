package scenario_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
	"io/fs"
)

func TestWarnings(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script string
		want   []string
	}{
		"nothing":                            {script: "steps: [{state: pending, for: 1 poll}, {state: done}]"},
		"a mistake, which is another matter": {script: "step: []"},
		"an end that no client knows": {
			script: "steps: [{state: pending, for: 1 poll}, {state: waiting}]",
			want: []string{"x.yaml:1:48: steps[1].state: no step leads out of `waiting`, and no client knows this state, so " +
				"that it waits for ever: wanted a step behind it, or `expect: {exit: failure}`"},
		},
		"an end of the other API": {
			script: "when: {api: script}\nsteps: [{state: invalid}]",
			want: []string{"x.yaml:2:17: steps[0].state: no step leads out of `invalid`, and no client knows this state, so " +
				"that it waits for ever: wanted a step behind it, or `expect: {exit: failure}`"},
		},
		"an end that is meant":         {script: "steps: [{state: waiting}]\nexpect: {exit: failure}"},
		"a state that is left":         {script: "steps: [{state: waiting, for: released}, {state: done}]"},
		"faults that take turns":       {script: "faults: [{on: status, times: 2, reset: true}, {on: status, cut: true}]"},
		"every second leaves the rest": {script: "faults: [{on: status, every: 2, reset: true}, {on: status, cut: true}]"},
		"calls before the first":       {script: "faults: [{on: status, skip: 1, reset: true}, {on: status, cut: true}]"},
		"other places":                 {script: "faults: [{on: status, reset: true}, {on: process, cut: true}]"},
		"a fault behind one that takes all": {
			script: "faults: [{on: status, reset: true}, {on: status, skip: 3, cut: true}]",
			want: []string{"x.yaml:1:37: faults[1]: it never triggers: `faults[0]` takes every call of `status` that it " +
				"could; wanted `times` there, or this fault before it"},
		},
		"a when that fits none": {
			script: "when: {aim: prod, target: \"5.*\", email: john, contract: \"M*\"}",
			want: []string{
				"x.yaml:1:13: when.aim: create refuses `prod`, so that this script is for no request: it takes `test` or " +
					"`production`",
				"x.yaml:1:27: when.target: create refuses `5.*`, unless the emulator is told to take it, so that this script " +
					"is for no request: it takes `6.0`, `6.1`, `7.0`, `8.0`, `9.0`, `10.0`, `11.0`, `12.0`, `13.0`, " +
					"`14.0`, `15.0`, `16.0`, `17.0`, `18.0`, `19.0`, `20.0`, `21.0` or `22.0`",
				"x.yaml:1:41: when.email: create refuses `john`, so that this script is for no request",
			},
		},
		"a when that fits one that the script refuses": {
			script: "when: {target: \"5.0\"}\nfaults: [{on: create, failure: {reason: \"A:B\"}}]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, m := range scenario.Warnings("x.yaml", []byte(tc.script)) {
				got = append(got, m.Error())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestWarnings_builtIns: what comes with the emulator is a good example.
func TestWarnings_builtIns(t *testing.T) {
	t.Parallel()
	for _, name := range scenario.Builtins() {
		src, err := fs.ReadFile(fixtures.Scenarios(), name+".yaml")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range scenario.Warnings(name, src) {
			t.Error(m)
		}
	}
}

// TestParse_at: a fault's place has another name, since some readers of YAML take `on` for true.
func TestParse_at(t *testing.T) {
	t.Parallel()
	s, err := scenario.Parse("", []byte("faults: [{at: status, reset: true}]"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]scenario.Fault{{On: "status", Reset: true}}, s.Faults); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for script, want := range map[string]string{
		"faults: [{on: status, at: process, reset: true}]": "1:27: faults[0].at: the fault has its place already: `at` is " +
			"the same as `on`",
		"faults: [{true: status, reset: true}]": "1:11: faults[0].true: another reader of YAML has made `true` of `on`: " +
			"`at` is the same word, and left alone, did you mean `on`?",
	} {
		if _, err := scenario.Parse("", []byte(script)); err == nil || err.Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", script, err, want)
		}
	}
}
