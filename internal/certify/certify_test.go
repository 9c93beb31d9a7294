package certify_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// builtIn loads built-in scenarios that expect something.
func builtIn(t *testing.T, names ...string) []*scenario.Scenario {
	t.Helper()
	var scripts []*scenario.Scenario
	for _, name := range names {
		s, err := scenario.Builtin(name)
		if err != nil || s.Expect == nil {
			t.Fatal(name, s, err)
		}
		scripts = append(scripts, s)
	}
	return scripts
}

// options are for a client that is a shell script.
func options(t *testing.T, client string, scripts ...*scenario.Scenario) certify.Options {
	dump := filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(dump, []byte("-- PostgreSQL database dump\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return certify.Options{
		Args: []string{"sh", "-c", client}, Scenarios: scripts, Dump: dump,
		Testbed: testbed.Options{Server: &mockserver.Options{}},
	}
}

func TestBasic(t *testing.T) {
	t.Parallel()
	builtIn(t, certify.Basic...)
}

// Which scenarios are left out, by the way of the client.
func TestRun_skips(t *testing.T) {
	t.Parallel()
	scripts := builtIn(t, "happy-path", "over-sftp", "upload-cut", "sftp-cut", "download-cut", "host-key-changed",
		"refused-target", "disk-full")
	for via, want := range map[certify.Via][]string{
		certify.HTTPS: {"over-sftp", "sftp-cut", "host-key-changed", "disk-full"},
		certify.SFTP:  {"upload-cut"},
		certify.Both:  nil,
	} {
		opts := options(t, "exit 1", scripts...)
		opts.Via = via
		report, err := certify.Run(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		var skipped []string
		for _, s := range report.Skipped {
			skipped = append(skipped, s.Scenario)
		}
		if diff := cmp.Diff(want, skipped); diff != "" {
			t.Errorf("%s:\n%s", via, diff)
		}
		got := len(report.Results) + len(report.Skipped)
		if got != len(scripts) || report.Passed+report.Failed != len(report.Results) {
			t.Errorf("%s: %d scenarios, want %d: %+v", via, got, len(scripts), report)
		}
	}
}

// The client is told a way on which it can meet the scenario.
func TestRun_tellsTheWay(t *testing.T) {
	t.Parallel()
	forced := scenario.Scenario{Name: "forced", Expect: &scenario.Expect{Shows: scenario.Texts{{Literal: "sftp"}}},
		Faults: []scenario.Fault{{On: scenario.OnSFTPLogin, Refuse: true}}}
	either := scenario.Scenario{Name: "either", Expect: &scenario.Expect{Shows: scenario.Texts{{Literal: "https"}}}}
	report, err := certify.Run(t.Context(), options(t, "echo {via}", &forced, &either))
	if err != nil || report.Passed != 2 {
		t.Errorf("%+v, %v; want both passed", report, err)
	}
}

func TestRun_order(t *testing.T) {
	t.Parallel()
	var scripts []*scenario.Scenario
	var want []string
	for _, name := range []string{"0.2", "0", "0.1", "0.05", "0"} {
		scripts = append(scripts, &scenario.Scenario{Name: name, Expect: &scenario.Expect{Exit: scenario.ExitSuccess}})
		want = append(want, name)
	}
	opts := options(t, "sleep {scenario}", scripts...)
	opts.Parallel = len(scripts)
	done := 0
	opts.Done = func(certify.Result) { done++ }
	report, err := certify.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range report.Results {
		got = append(got, r.Scenario)
	}
	if diff := cmp.Diff(want, got); diff != "" || done != len(scripts) {
		t.Errorf("%d done\n%s", done, diff)
	}
}

func TestRun_noSuchClient(t *testing.T) {
	t.Parallel()
	opts := options(t, "", &scenario.Scenario{Name: "any", Expect: &scenario.Expect{}})
	opts.Args = []string{"./no-such-client"}
	_, err := certify.Run(t.Context(), opts)
	if start := (*child.StartError)(nil); !errors.As(err, &start) || start.Status != child.StatusNotFound {
		t.Errorf("%v, want a *child.StartError", err)
	}
}

// Whatever a client prints, CI systems can read the report.
func TestReport_WriteJUnit(t *testing.T) {
	t.Parallel()
	report := certify.Report{
		Results: []certify.Result{
			{Scenario: "good", Verdict: certify.Pass, Seconds: 1},
			{Scenario: "bad", Verdict: certify.Fail, Output: "\x00\x1b[31m\xff ]]> & <b>",
				Failed: []certify.Failure{{Expect: "exit", Saw: "\"1\""}}},
			{Scenario: "ugly", Verdict: certify.Error, Failed: []certify.Failure{{Expect: "a judgement"}}},
		},
		Skipped: []certify.Skipped{{Scenario: "out", Reason: "why"}}, Passed: 1, Failed: 2,
	}
	var out bytes.Buffer
	if err := report.WriteJUnit(&out); err != nil {
		t.Fatal(err)
	}
	type problem struct {
		Message string `xml:"message,attr"`
	}
	type suite struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
		Cases    []struct {
			Name    string   `xml:"name,attr"`
			Failure *problem `xml:"failure"`
			Error   *problem `xml:"error"`
			Skipped *problem `xml:"skipped"`
		} `xml:"testcase"`
	}
	var got suite
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if len(got.Cases) != 4 || got.Cases[0].Failure != nil || got.Cases[1].Failure.Message != "exit" ||
		got.Cases[2].Error == nil || got.Cases[3].Skipped.Message != "why" {
		t.Errorf("%+v", got)
	}
	got.Cases = nil
	if diff := cmp.Diff(suite{Tests: 4, Failures: 1, Errors: 1, Skipped: 1, Time: "1.000"}, got); diff != "" {
		t.Error(diff)
	}
}

// An empty report has lists, and no nulls.
func TestReport_WriteJSON(t *testing.T) {
	t.Parallel()
	opts := options(t, "true")
	opts.Scenarios = nil
	report, err := certify.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	var out, compact bytes.Buffer
	if err := errors.Join(report.WriteJSON(&out), json.Compact(&compact, out.Bytes())); err != nil {
		t.Fatal(err)
	}
	want := `{"client":["sh","-c","true"],"version":"` + version.String() +
		`","results":[],"skipped":[],"passed":0,"failed":0,"began":"` + report.Began.Format(time.RFC3339Nano) +
		`","host":"` + report.Host + `"}`
	if diff := cmp.Diff(want, strings.TrimSpace(compact.String())); diff != "" {
		t.Error(diff)
	}
}
