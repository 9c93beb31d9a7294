package certify_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// trying are the scenarios in which a good wrapper does what a judge could take for a bug.
var trying = []string{
	"script-done", "script-failed", "script-upload-cut", "script-download-cut", "script-log-beyond-ascii",
	"script-dump-renamed",
	"script-port-unreachable", "script-host-key-changed", "script-reset-while-polling", "script-logs-bad-gateway",
}

// wrapper is a wrapper of the stand-in for the upgrade script, with that bug.
func wrapper(t *testing.T, bug string) certify.Options {
	t.Helper()
	python := testprog.NeedPython(t, "ssl", "python3")
	for _, tool := range [][2]string{{"rsync", "rsync"}, {"ssh", "openssh-client"}, {"ssh-keygen", "openssh-client"}} {
		testprog.Need(t, tool[0], tool[1])
	}
	opts := program("sh", testdata(t, "wrapper.sh"), python, testdata(t, "../../../examples/script/upgrade_standin.py"))
	opts.Testbed.Environ = append(os.Environ(), "UPGRADE_STANDIN_POLL=0.2", "BUG="+bug)
	return opts
}

// A wrapper that goes by what comes back passes.
func TestRun_goodWrapper(t *testing.T) {
	t.Parallel()
	opts := wrapper(t, "")
	names := trying
	if testprog.Sample() {
		names = trying[:3]
	}
	if testing.Short() {
		names = trying[2:3]
	}
	if os.Getenv(everything) != "" {
		names = slices.DeleteFunc(scenario.Builtins(), func(name string) bool {
			return !strings.HasPrefix(name, "script-") || name == "script-held" // which expects nothing
		})
	}
	opts.Scenarios = builtIn(t, names...)
	report, err := certify.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if report.Failed > 0 || len(report.Skipped) > 0 {
		var table strings.Builder
		report.WriteTable(&table)
		t.Errorf("false alarms:\n%s", table.String())
	}
}

// Wrappers as people have them are named, by the expectation that is about what they do.
func TestRun_buggyWrappers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		bug, scenario string
		expect        string // the expectation that is not met
		saw           string // part of what it says
	}{
		{"status", "script-failed", "exit", "exit status 0"},
		{"status", "script-cancelled", "exit", "exit status 0"},
		{"status", "script-download-cut", "exit", "exit status 0 and no file"},
		{"status", "script-upload-cut", "resumed", "no other followed"},
		{"new-request", "script-upload-cut", "resumed", "but another request"},
		{"one-name", "script-dump-renamed", "out", "no file"},
		{"leaves-log", "script-dump-missing", "out", "a file of"},
	} {
		t.Run(tc.bug+" "+tc.scenario, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 4)
			opts := wrapper(t, tc.bug)
			opts.Scenarios = builtIn(t, tc.scenario)
			report, err := certify.Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			named := func(f certify.Failure) bool { return f.Expect == tc.expect && strings.Contains(f.Saw, tc.saw) }
			if len(report.Results) != 1 || !slices.ContainsFunc(report.Results[0].Failed, named) {
				var table strings.Builder
				report.WriteTable(&table)
				t.Errorf("%s is not named:\n%s\n%s", tc.bug, table.String(), report.Results[0].Output)
			}
		})
	}
}
