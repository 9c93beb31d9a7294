package certify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// What clients are known to take under the built-in scenarios, by the seconds that odoo-upgrade took.
func TestExpected(t *testing.T) {
	t.Parallel()
	for name, took := range map[string]float64{
		"happy-path": 2, "refused-target": 0.3, "several-failures": 0.2, "process-refused": 0.4, "forgotten-request": 2.5,
		"slow-production": 5.1, "unknown-state": 8.3, "server-error-for-a-while": 9.8, "service-unavailable": 5.6,
		"upload-cut": 3.3, "answer-never-comes": 33.5, "upload-never-works": 36.3, "server-error-for-ever": 37.1,
		"script-done": 3, "script-status-silent": 34.3, "script-unknown-state": 26.8, "script-upload-slow-cut": 5.4,
		"script-host-key-changed": 0.2,
	} {
		got := certify.Expected(builtIn(t, name)[0], certify.Both).Seconds()
		if off := 3 + took/10; got < took-off || got > took+off {
			t.Errorf("%s: %.1f s, took %.1f s", name, got, took)
		}
	}
	if got := certify.Expected(builtIn(t, "sftp-cut")[0], certify.HTTPS); got != 0 {
		t.Errorf("a scenario that is left out: %v", got)
	}
	for _, name := range scenario.Builtins() {
		s, err := scenario.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := certify.Expected(s, certify.Both); got <= 0 || got > certify.Limit {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Whatever a scenario says, it is a time in which a client has ended.
func TestExpected_bounds(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"ages":        "steps: [{state: pending, for: 2000000h}, {state: processing, for: 2000000h}, {state: done}]",
		"many polls":  "steps: [{state: pending, for: 2000000000 polls}, {state: done}]",
		"retry-after": "faults: [{on: status, http: {status: 503, headers: {Retry-After: 9223372036854775807}}}]",
		"a trickle":   "faults: [{on: upload, rate: 1/s, after: 8191TiB, reset: true}]",
		"often slow":  "faults: [{on: status, times: 2000000000, delay: 20s}]",
	} {
		s, err := scenario.Parse("x.yaml", []byte("name: x\n"+text))
		if err != nil {
			t.Fatal(name, err)
		}
		if got := certify.Expected(s, certify.Both); got < time.Second || got > certify.Limit {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// Clients are run first under what takes long; the report has the order of the scenarios.
func TestRun_longestFirst(t *testing.T) {
	t.Parallel()
	var scripts []*scenario.Scenario
	for i, d := range []time.Duration{0, time.Second, time.Minute, time.Second, time.Hour} {
		scripts = append(scripts, &scenario.Scenario{Name: fmt.Sprint(i), Expect: &scenario.Expect{},
			Steps: []scenario.Step{{State: "pending", For: scenario.For{Duration: d}}, {State: "done"}}})
	}
	opts := options(t, "true", scripts...)
	opts.Parallel = 1
	var started []string
	opts.Done = func(r certify.Result) { started = append(started, r.Scenario) }
	report, err := certify.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields("4 2 1 3 0"), started); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
	for i, r := range report.Results {
		if r.Scenario != fmt.Sprint(i) {
			t.Errorf("the report has %s in place %d", r.Scenario, i)
		}
	}
}

// A client that tries less and less often is not watched to the end of its time; one that does not is.
func TestRun_triesForEver(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "curl", "curl")
	testprog.Need(t, "jq", "jq")
	script := scenario.Scenario{Expect: &scenario.Expect{GivesUp: "status", Exit: "failure", Within: 15 * time.Second}}
	for pauses, want := range map[string]string{"$((n / 3 * 3))": certify.Pass, "1": certify.Fail} {
		t.Run(pauses, func(t *testing.T) {
			t.Parallel()
			r := judgeOne(t, `url=$UPGRADEMOCK_URL/database/v1
				curl -sSG -o answer -d contract={contract} -d email={email} -d target={target} \
					-d aim={aim} -d filename=x $url/create
				login=$(jq -r '"request=\(.request.id)&key=\(.request.key)"' answer)
				while :; do
					curl -sS -o answer "$url/status?$login"
					n=$((n + 1))
					sleep `+pauses+`
				done`, script)
			early := r.Seconds < script.Expect.Within.Seconds()-1
			if r.Verdict != want || early != (want == certify.Pass) {
				t.Errorf("%s after %v s: %+v", r.Verdict, r.Seconds, r.Failed)
			}
		})
	}
}
