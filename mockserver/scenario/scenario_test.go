package scenario_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestMatches(t *testing.T) {
	t.Parallel()
	params := map[string]string{
		"contract": "M123456-abcdef", "email": "john@example.com", "aim": "test", "target": "9.0",
		"filename": "my*[db].dump", "timezone": "Europe/Brussels",
	}
	for _, tc := range []struct {
		when scenario.When
		want bool
	}{
		{nil, true},
		{scenario.When{}, true},
		{scenario.When{"aim": "test"}, true},
		{scenario.When{"aim": "production"}, false},
		{scenario.When{"aim": "TEST"}, false},
		{scenario.When{"contract": "M1*"}, true},
		{scenario.When{"contract": "M1"}, false},
		{scenario.When{"contract": "M1*", "aim": "production"}, false},
		{scenario.When{"contract": "M1*", "aim": "t?st", "target": "[0-9].0"}, true},
		{scenario.When{"target": "[^0-8].0"}, true},
		{scenario.When{"target": "[^9].0"}, false},
		{scenario.When{"timezone": "Europe*"}, true},
		{scenario.When{"timezone": "*/Brussels"}, true},
		{scenario.When{"timezone": "Europe?Brussels"}, true},
		{scenario.When{"timezone": "Europe/Paris"}, false},
		{scenario.When{"timezone": "Europe[/_]Brussels"}, true},
		{scenario.When{"filename": `my\*\[db\].dump`}, true},
		{scenario.When{"filename": `\m\y*`}, true},
		{scenario.When{"filename": "[bad"}, false},
	} {
		s := &scenario.Scenario{When: tc.when}
		if got := s.Matches(params); got != tc.want {
			t.Errorf("%v: %t, want %t", tc.when, got, tc.want)
		}
	}
	absent := map[string]string{"contract": "M1"}
	for glob, want := range map[string]bool{"": true, "*": true, "?*": false, "Europe*": false} {
		s := &scenario.Scenario{When: scenario.When{"timezone": glob}}
		if got := s.Matches(absent); got != want {
			t.Errorf("timezone %q and no timezone: %t, want %t", glob, got, want)
		}
	}
}

func TestDefault_isTheCallersOwn(t *testing.T) {
	t.Parallel()
	first := scenario.Default()
	first.Steps[0].State = "changed"
	if got := scenario.Default().Steps[0].State; got != "pending" {
		t.Errorf("changing one default changed the next: %q", got)
	}
	if err := scenario.Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestUpgraded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		src, written string
		want         scenario.Upgraded
	}{
		{"same", `"same"`, scenario.Upgraded{}},
		{"built", `"built"`, scenario.Upgraded{Built: true}},
		{"{built: 0}", `"built"`, scenario.Upgraded{Built: true}},
		{"{built: 8MiB}", `{"built":"8MiB"}`, scenario.Upgraded{Built: true, Size: 8 << 20}},
		{
			"{built: 10kB, notes: n.html}", `{"built":"10000","notes":"n.html"}`,
			scenario.Upgraded{Built: true, Size: 10000, Notes: "n.html"},
		},
		{
			"{archive: ./a.zip, sql: b.sql, modules: c}", `{"archive":"./a.zip","modules":"c","sql":"b.sql"}`,
			scenario.Upgraded{Archive: "./a.zip", SQL: "b.sql", Modules: "c"},
		},
	} {
		s, err := scenario.Parse("s.yaml", []byte("upgraded: "+tc.src))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(tc.want, s.Upgraded); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.src, diff)
		}
		if got, err := json.Marshal(s.Upgraded); err != nil || string(got) != tc.written {
			t.Errorf("%s is written %s, %v; want %s", tc.src, got, err, tc.written)
		}
	}
}

func TestSizesAndTimes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		src  string
		want scenario.Fault
	}{
		{"after: 1048576", scenario.Fault{After: 1 << 20}},
		{"after: 0", scenario.Fault{}},
		{"after: 64KiB", scenario.Fault{After: 64 << 10}},
		{"after: 64 KiB", scenario.Fault{After: 64 << 10}},
		{"after: 1.5MiB", scenario.Fault{After: 3 << 19}},
		{"after: 10MB", scenario.Fault{After: 10_000_000}},
		{"after: 7B", scenario.Fault{After: 7}},
		{"after: 2GiB", scenario.Fault{After: 2 << 30}},
		{"after: 9223372036854775807", scenario.Fault{After: 1<<63 - 1}},
		{"rate: 1KiB/s", scenario.Fault{Rate: 1 << 10}},
		{"rate: 100B/s", scenario.Fault{Rate: 100}},
		{"delay: 1h30m", scenario.Fault{Delay: 90 * time.Minute}},
		{"delay: .5s", scenario.Fault{Delay: 500 * time.Millisecond}},
	} {
		src := "faults: [{on: upload, reset: true, " + tc.src + "}]"
		tc.want.On, tc.want.Reset = "upload", true
		s, err := scenario.Parse("s.yaml", []byte(src))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff([]scenario.Fault{tc.want}, s.Faults); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.src, diff)
		}
	}
}

func TestBound_Holds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // for 0, 1, 2, 3, 4
		"2": "..x..", "=2": "..x..", "== 2": "..x..", ">=2": "..xxx", "<=2": "xxx..", ">2": "...xx", "< 2": "xx...",
		"0": "x....",
	} {
		s, err := scenario.Parse("s.yaml", []byte("expect: {calls: {status: '"+text+"'}}"))
		if err != nil {
			t.Error(err)
			continue
		}
		got := ""
		for n := range 5 {
			if s.Expect.Calls["status"].Holds(n) {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != want {
			t.Errorf("%s holds for %s, want %s", text, got, want)
		}
	}
	if !(scenario.Bound{N: 1}).Holds(1) || (scenario.Bound{N: 1}).Holds(2) {
		t.Error("a bound without comparison is not exact")
	}
}

func TestInterval_Holds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // for 0s, 1s, 2s
		">=1s": ".xx", "<=1s": "xx.", ">1s": "..x", "< 1s": "x..",
	} {
		s, err := scenario.Parse("s.yaml", []byte("expect: {interval: {status: '"+text+"'}}"))
		if err != nil {
			t.Error(err)
			continue
		}
		got := ""
		for n := range 3 {
			if s.Expect.Interval["status"].Holds(time.Duration(n) * time.Second) {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != want {
			t.Errorf("%s holds for %s, want %s", text, got, want)
		}
	}
}

// Scripts written in Go get the same mistakes as files, with the place in the script and no line.
func TestValidate(t *testing.T) {
	t.Parallel()
	last := scenario.Step{State: "done"}
	for _, tc := range []struct {
		name string
		s    scenario.Scenario
		want []string // path and part of the message
	}{
		{"zero", scenario.Scenario{}, nil},
		{"numbers and lists as Go has them", scenario.Scenario{Steps: []scenario.Step{
			{State: "done", Set: map[string]any{"issue": 1, "compressions": []string{"sql"}, "timezone": nil}},
		}}, nil},
		{"no steps", scenario.Scenario{Steps: []scenario.Step{}}, []string{"steps: a request is always"}},
		{"no state", scenario.Scenario{Steps: []scenario.Step{{}}}, []string{"steps[0].state: a step wants"}},
		{"two kinds of for", scenario.Scenario{Steps: []scenario.Step{
			{State: "a", For: scenario.For{Polls: 1, Released: true}}, last,
		}}, []string{"steps[0].for: a step lasts a time, a number"}},
		{"negative for", scenario.Scenario{Steps: []scenario.Step{
			{State: "a", For: scenario.For{Duration: -1}}, {State: "b", For: scenario.For{Polls: -1}}, last,
		}}, []string{"steps[0].for: a step lasts longer", "steps[1].for: a step lasts at least"}},
		{"set", scenario.Scenario{Steps: []scenario.Step{
			{State: "a", Set: map[string]any{"issue": 1.5, "compressions": []int{1}}},
		}}, []string{"steps[0].set.compressions: wanted a list of texts", "steps[0].set.issue: wanted an integer"}},
		{"negative numbers", scenario.Scenario{Faults: []scenario.Fault{
			{On: "upload", Reset: true, Skip: -1, Times: -1, Every: -1, After: -1, Delay: -1, Rate: -1},
		}}, []string{
			"faults[0].skip: not negative", "faults[0].times: not", "faults[0].every: not",
			"faults[0].after: not", "faults[0].delay: not", "faults[0].rate: not",
		}},
		{"faults", scenario.Scenario{Faults: []scenario.Fault{
			{}, {On: "status", Cut: true, Garbage: true}, {On: "status", Failure: &scenario.Failure{}},
		}}, []string{
			"faults[0].on: a fault wants", "faults[0]: nothing happens",
			"faults[1].garbage: a fault has one action", "faults[2].failure.reason: a failure wants",
		}},
		{"upgraded", scenario.Scenario{Upgraded: scenario.Upgraded{Size: 1}}, []string{"upgraded.built: only a built"}},
		{
			"upgraded negative", scenario.Scenario{Upgraded: scenario.Upgraded{Built: true, Size: -1}},
			[]string{"upgraded.built: a number of bytes is not negative"},
		},
		{
			"expect", scenario.Scenario{
				Expect: &scenario.Expect{
					Exit: "maybe", Within: -1, Order: []string{}, Calls: map[string]scenario.Bound{"status": {Op: "~", N: 1}},
					Interval: map[string]scenario.Interval{"create": {}, "status": {D: 1}, "process": {Op: "!", D: 1}},
					Shows:    scenario.Texts{{Key: "state", Literal: "b"}},
				},
			},
			[]string{
				"expect.exit: unknown word", "expect.calls.status: unknown comparison",
				"expect.interval.create: a time between", "expect.interval.process: unknown comparison",
				"expect.interval.status: nothing takes exactly", "expect.order: an order", "expect.within: a duration",
				"expect.shows: either",
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.s.Name = "mine"
			got := mistakes(tc.s.Validate())
			if len(got) != len(tc.want) {
				t.Fatalf("got %d mistakes, want %d:\n%s", len(got), len(tc.want), strings.Join(got, "\n"))
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(got[i], "scenario `mine`: "+want) {
					t.Errorf("mistake %d is\n%s\nwant it to begin with\n%s", i, got[i], want)
				}
			}
		})
	}
}

func TestLoad_filesBesideTheScript(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "up.zip"), "PK")
	write(t, filepath.Join(dir, "scripts", "notes.html"), "<p>")
	script := filepath.Join(dir, "scripts", "a.yaml")
	write(t, script, "upgraded: {archive: ../up.zip, notes: notes.html, sql: "+filepath.Join(dir, "up.zip")+"}")
	s, err := scenario.Load(script)
	if err != nil {
		t.Fatal(err)
	}
	want := scenario.Upgraded{
		Archive: filepath.Join(dir, "up.zip"), SQL: filepath.Join(dir, "up.zip"),
		Notes: filepath.Join(dir, "scripts", "notes.html"),
	}
	if diff := cmp.Diff(want, s.Upgraded); diff != "" {
		t.Errorf("upgraded (-want +got):\n%s", diff)
	}
}

func TestLoad_missingFilesAmongOtherMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := filepath.Join(dir, "a.yaml")
	write(t, script, "nam: x\nupgraded:\n  archive: gone.zip\n  sql: .\n")
	_, err := scenario.Load(script)
	got := mistakes(err)
	want := []string{
		script + ":1:1: nam: unknown key `nam`, did you mean `name`?",
		script + ":3:12: upgraded.archive: cannot read the file `" + filepath.Join(dir, "gone.zip") +
			"`: no such file or directory",
		script + ":4:8: upgraded.sql: not a file: `" + dir + "`",
	}
	if len(got) != len(want) {
		t.Fatalf("got %d mistakes, want %d:\n%v", len(got), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("mistake %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
}

func TestLoad_noScript(t *testing.T) {
	t.Parallel()
	if _, err := scenario.Load(filepath.Join(t.TempDir(), "gone.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
}

func TestResolve_aScriptInGo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "up.zip"), "PK")
	s := &scenario.Scenario{Name: "mine", Upgraded: scenario.Upgraded{Archive: "up.zip", Notes: "gone.html"}}
	err := s.Resolve(dir)
	if err == nil || !strings.HasPrefix(err.Error(), "scenario `mine`: upgraded.notes: cannot read the file") {
		t.Errorf("got %v, want the missing file", err)
	}
	if want := filepath.Join(dir, "up.zip"); s.Upgraded.Archive != want {
		t.Errorf("archive %q, want %q", s.Upgraded.Archive, want)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
