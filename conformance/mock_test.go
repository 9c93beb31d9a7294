package conformance_test

import (
	"cmp"
	"crypto/x509"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

const contract = "M123456-abcdef"

// timeless compares results whatever time they took.
var timeless = cmpopts.IgnoreFields(conformance.Result{}, "Seconds")

// run runs the suite.
func run(t *testing.T, target conformance.Target, opts *conformance.Options) *conformance.Report {
	t.Helper()
	rep, err := conformance.Run(t.Context(), target, opts)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// judged runs the suite and reports every check that fails or errs.
func judged(t *testing.T, target conformance.Target, opts *conformance.Options) *conformance.Report {
	t.Helper()
	if testprog.Sample() {
		opts.Skip = regexp.MustCompile("^upload/large$") // which costs as much as all others
	}
	if !opts.Production { // where a run ends with what it has seen
		opts.Wait = cmp.Or(opts.Wait, 2*time.Minute) // a busy machine takes its time
	}
	rep := run(t, target, opts)
	for _, res := range rep.Results {
		if res.Verdict == conformance.Fail || res.Verdict == conformance.Error {
			t.Errorf("%s %s %v: %s", res.ID, res.Verdict, res.Rows, res.Message)
		}
	}
	t.Logf("%d passed, %d failed, %d skipped, %d errors", rep.Passed, rep.Failed, rep.Skipped, rep.Errors)
	return rep
}

// The emulator passes its own suite at every level, over HTTP and HTTPS, in both editions, and whatever a script makes
// of the outcome.
func TestMock(t *testing.T) {
	t.Parallel()
	steps := func(filestore bool, states ...string) []*scenario.Scenario {
		script := &scenario.Scenario{Name: "test"}
		for i, state := range states {
			step := scenario.Step{State: state, For: scenario.For{Polls: 1}}
			if state == "testing" {
				step.For = scenario.For{Released: true}
			}
			if i == len(states)-1 {
				step.For = scenario.For{}
				step.Set = map[string]any{"filestore": filestore}
			}
			script.Steps = append(script.Steps, step)
		}
		if filestore {
			script.Upgraded = scenario.Upgraded{Built: true}
		}
		return []*scenario.Scenario{script}
	}
	for i, tt := range []struct {
		name    string
		opts    mockserver.Options
		https   bool
		level   conformance.Level
		run     string   // what the server differs in; "": everything
		noSkips []string // checks that this server must be judged by
	}{
		{name: "profile 11.0", level: conformance.LevelAssumed},
		{name: "profile 13.0 https", opts: mockserver.Options{Edition: mockserver.Edition13}, https: true,
			level: conformance.LevelAssumed, noSkips: []string{"skip-test/wrong-key"}},
		{name: "testing", opts: mockserver.Options{Edition: mockserver.Edition13,
			Scenarios: steps(false, "pending", "processing", "testing", "done")},
			level: conformance.LevelObserved, run: "skip-test/|urls/|process/",
			noSkips: []string{"skip-test/delivers", "skip-test/sftp-delivered"}},
		{name: "filestore", opts: mockserver.Options{Scenarios: steps(true, "pending", "processing", "done")},
			level: conformance.LevelAssumed, run: "done|urls/|status/", noSkips: []string{"urls/filestore-zip"}},
		{name: "failure status", opts: mockserver.Options{FailureStatus: 400}, level: conformance.LevelObserved,
			run: "create/|status/|sftp-access/"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && i > 0 {
				t.Skip("-short: the whole suite runs once")
			}
			srv := mockservertest.New(t, &tt.opts, mockservertest.AllowUnknownCalls,
				mockservertest.AllowUnmetExpectations)
			target, opts := conformance.Target{URL: srv.URL(), Contract: contract},
				&conformance.Options{Level: tt.level, Run: regexp.MustCompile(tt.run)}
			if tt.run != "" { // the scripts are for the database API
				opts.API = conformance.APIDatabase
			}
			if tt.https {
				target.URL = srv.HTTPSURL()
				pem, err := os.ReadFile(srv.CAFile())
				if err != nil {
					t.Fatal(err)
				}
				opts.RootCAs = x509.NewCertPool()
				opts.RootCAs.AppendCertsFromPEM(pem)
			}
			rep := judged(t, target, opts)
			if !rep.OK() {
				t.Error("the report is not OK")
			}
			verdicts := map[string]conformance.Verdict{}
			for _, res := range rep.Results {
				verdicts[res.ID] = res.Verdict
			}
			for _, id := range tt.noSkips {
				if verdicts[id] != conformance.Pass {
					t.Errorf("%s: %s, want pass", id, verdicts[id])
				}
			}
		})
	}
}
