package scenario_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// whole has every kind of thing that the design shows.
const whole = `name: flaky-production
description: Two refused polls, a human test phase, then done.
when: {aim: production, contract: "M1*"}       # globs on create's parameters; none = every request
steps:                                         # the states after process, in order
  - {state: pending,    for: 1 poll}
  - {state: processing, for: 2s, set: {estimated_time: "00:30"}}
  - {state: testing,    for: released}         # until the control API or skip_test releases it
  - {state: done,       set: {filestore: true, compressions: [zip, sql], issue: 12, customer_message: null}}
faults:
  - {on: status, times: 2, failure: {reason: "SERVER:ERROR", message: "try again", code: 7, expected: [a, {b: 1.5}]}}
  - {on: upload, skip: 1, times: 1, after: 64KiB, reset: true}
  - on: create
    times: 1
    http: {status: 502, content_type: text/html, body: "<html>…", headers: {Retry-After: 120, X-A: b}}
  - {on: status, delay: 3s, rate: 1KiB/s}
  - {on: sftp.login, times: 1, refuse: true}
  - {on: sftp.write, times: 1, after: 1MiB, disconnect: true}
  - {on: sftp.write, times: 1, error: "no space left on device"}
  - {on: sftp.login, hostkey: changed, every: 2}
upgraded: {archive: ./upgraded.zip}
expect:
  exit: success
  calls: {create: 1, process: 1, status: ">=3"}
  order: [create, request_sftp_access, sftp.put, process, status]
  interval: {status: ">=1s"}
  retry_after: kept
  gives_up: upload
  resumed: true
  params: as told
  dump: intact
  requests: known
  within: 60s
  out: upgraded
  shows: ["customer_message", "text:a b"]
  hides: key
`

func wholeScenario() *scenario.Scenario {
	return &scenario.Scenario{
		Name:        "flaky-production",
		Description: "Two refused polls, a human test phase, then done.",
		When:        scenario.When{"aim": "production", "contract": "M1*"},
		Steps: []scenario.Step{
			{State: "pending", For: scenario.For{Polls: 1}},
			{State: "processing", For: scenario.For{Duration: 2 * time.Second}, Set: map[string]any{"estimated_time": "00:30"}},
			{State: "testing", For: scenario.For{Released: true}},
			{State: "done", Set: map[string]any{
				"filestore": true, "compressions": []string{"zip", "sql"}, "issue": int64(12), "customer_message": nil,
			}},
		},
		Faults: []scenario.Fault{
			{On: "status", Times: 2, Failure: &scenario.Failure{
				Reason: "SERVER:ERROR", Message: "try again",
				More: map[string]any{"code": int64(7), "expected": []any{"a", map[string]any{"b": 1.5}}},
			}},
			{On: "upload", Skip: 1, Times: 1, After: 64 << 10, Reset: true},
			{On: "create", Times: 1, HTTP: &scenario.HTTP{
				Status: 502, ContentType: "text/html", Body: "<html>…",
				Headers: map[string]string{"Retry-After": "120", "X-A": "b"},
			}},
			{On: "status", Delay: 3 * time.Second, Rate: 1 << 10},
			{On: "sftp.login", Times: 1, Refuse: true},
			{On: "sftp.write", Times: 1, After: 1 << 20, Disconnect: true},
			{On: "sftp.write", Times: 1, Error: "no space left on device"},
			{On: "sftp.login", HostKey: "changed", Every: 2},
		},
		Upgraded: scenario.Upgraded{Archive: "./upgraded.zip"},
		Expect: &scenario.Expect{
			Exit: "success",
			Calls: map[string]scenario.Bound{
				"create": {Op: "=", N: 1}, "process": {Op: "=", N: 1}, "status": {Op: ">=", N: 3},
			},
			Order:      []string{"create", "request_sftp_access", "sftp.put", "process", "status"},
			Interval:   map[string]scenario.Interval{"status": {Op: ">=", D: time.Second}},
			RetryAfter: "kept",
			GivesUp:    "upload",
			Resumed:    true,
			Params:     "as told",
			Dump:       "intact",
			Requests:   "known",
			Within:     time.Minute,
			Out:        "upgraded",
			Shows:      scenario.Texts{{Key: "customer_message"}, {Literal: "a b"}},
			Hides:      "key",
		},
	}
}

func TestParse_everything(t *testing.T) {
	t.Parallel()
	got, err := scenario.Parse("flaky.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wholeScenario(), got); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	if err := wholeScenario().Validate(); err != nil {
		t.Errorf("the same in Go: %v", err)
	}
}

func TestParse_JSONIsYAML(t *testing.T) {
	t.Parallel()
	compact, err := json.Marshal(wholeScenario())
	if err != nil {
		t.Fatal(err)
	}
	indented, err := json.MarshalIndent(wholeScenario(), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	for _, src := range [][]byte{compact, indented} {
		got, err := scenario.Parse("flaky.json", src)
		if err != nil {
			t.Fatalf("%s\n%v", src, err)
		}
		if diff := cmp.Diff(wholeScenario(), got); diff != "" {
			t.Errorf("parsed (-want +got):\n%s", diff)
		}
		var back scenario.Scenario
		if err := json.Unmarshal(src, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(wholeScenario(), &back); diff != "" {
			t.Errorf("json.Unmarshal (-want +got):\n%s", diff)
		}
	}
}

func TestParse_name(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ file, src, want string }{
		{"a/slow-polls.yaml", "{}", "slow-polls"},
		{"a/slow-polls.yaml", "name: other", "other"},
		{"", "{}", "unnamed"},
	} {
		s, err := scenario.Parse(tc.file, []byte(tc.src))
		if err != nil || s.Name != tc.want {
			t.Errorf("Parse(%q, %q) = %+v, %v; want the name %q", tc.file, tc.src, s, err, tc.want)
		}
	}
}

func TestParse_allMistakesAtOnce(t *testing.T) {
	t.Parallel()
	const src = `name: bad
step:
  - {state: pending}
steps:
  - {state: pending, for: 1 pol}
  - state: processing
  - {state: done, for: 2s}
faults:
  - {on: statuss, times: 0, reset: true}
  - on: create
    after: 64KiB
    reset: true
`
	_, err := scenario.Parse("bad.yaml", []byte(src))
	var e *scenario.Error
	if !errors.As(err, &e) || len(e.Mistakes) != 7 {
		t.Fatalf("got %v, want an *Error of 7 mistakes", err)
	}
	want := []scenario.Mistake{
		{File: "bad.yaml", Line: 2, Column: 1, Path: "step", Nearest: "steps"},
		{File: "bad.yaml", Line: 5, Column: 27, Path: "steps[0].for", Nearest: "1 poll"},
		{File: "bad.yaml", Line: 6, Column: 5, Path: "steps[1].for"},
		{File: "bad.yaml", Line: 7, Column: 24, Path: "steps[2].for"},
		{File: "bad.yaml", Line: 9, Column: 10, Path: "faults[0].on", Nearest: "status"},
		{File: "bad.yaml", Line: 9, Column: 26, Path: "faults[0].times"},
		{File: "bad.yaml", Line: 11, Column: 12, Path: "faults[1].after"},
	}
	got := append([]scenario.Mistake(nil), e.Mistakes...)
	for i := range got {
		if got[i].Message == "" {
			t.Errorf("mistake %d has no message", i)
		}
		got[i].Message, got[i].Expected = "", nil
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s\n%v", diff, err)
	}
	var first scenario.Mistake
	if !errors.As(err, &first) || first.Line != 2 {
		t.Errorf("errors.As found %+v, want the first mistake", first)
	}
}

// What a platform keeps on disk comes back the same, also what only Go programs write.
func TestJSON_keepsScriptsWrittenInGo(t *testing.T) {
	t.Parallel()
	for _, s := range []*scenario.Scenario{
		{Name: "nothing"},
		scenario.Default(),
		{
			Name: "rare", When: scenario.When{"timezone": ""}, Faults: []scenario.Fault{
				{On: "download", After: 1<<62 + 1, Truncate: true, Delay: time.Nanosecond, Rate: 1023},
				{On: "status", HTTP: &scenario.HTTP{}}, {On: "status", Failure: &scenario.Failure{Reason: "A:B"}},
			},
			Expect: &scenario.Expect{
				Calls:    map[string]scenario.Bound{"sftp.put": {Op: "<", N: 2}},
				Interval: map[string]scenario.Interval{"status": {Op: "<", D: time.Hour}},
				Shows:    scenario.Texts{{Literal: " a\nb"}, {Key: "state"}},
			},
		},
	} {
		if err := s.Validate(); err != nil {
			t.Error(err)
		}
		kept, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back scenario.Scenario
		if err := json.Unmarshal(kept, &back); err != nil {
			t.Errorf("%s: %v", kept, err)
			continue
		}
		if diff := cmp.Diff(s, &back); diff != "" {
			t.Errorf("%s (-written +read):\n%s", kept, diff)
		}
	}
	kept, err := json.Marshal(scenario.Scenario{})
	if err != nil || string(kept) != "{}" {
		t.Errorf("the zero scenario is written %s, %v", kept, err)
	}
}
