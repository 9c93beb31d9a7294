package certify_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The commands of the examples, which are their $0.
const (
	shellExample = `[ -z "$UPGRADEMOCK_DATABASE" ] ||
	exec "$0" -d "$UPGRADEMOCK_DATABASE" "$UPGRADEMOCK_TARGET" "$UPGRADEMOCK_NEW_DATABASE"
exec "$0" "$UPGRADEMOCK_DUMP" "$UPGRADEMOCK_TARGET" "$UPGRADEMOCK_OUT"`

	pythonExample = `set -- --target "$UPGRADEMOCK_TARGET" --aim "$AIM" --pause 0.5 -- $SCRIPT
[ -z "$UPGRADEMOCK_DATABASE" ] ||
	exec python3 "$0" --database "$UPGRADEMOCK_DATABASE" --restore-as "$UPGRADEMOCK_NEW_DATABASE" "$@"
exec python3 "$0" --dump "$UPGRADEMOCK_DUMP" --out "$UPGRADEMOCK_OUT" --contract "$CONTRACT" "$@"`
)

// wrapper runs a wrapper of the stand-in for the upgrade script, with a bug: an example, or one of testdata/wrappers.
func wrapper(t *testing.T, name, bug string) certify.Options {
	t.Helper()
	python := testprog.NeedPython(t, "ssl", "python3")
	for _, tool := range [][2]string{{"rsync", "rsync"}, {"ssh", "openssh-client"}, {"ssh-keygen", "openssh-client"}} {
		testprog.Need(t, tool[0], tool[1])
	}
	standin := testdata(t, "../../../examples/script/upgrade_standin.py")
	args := []string{"env", "SSH_KEY_NAME={ssh_key}", "CONTRACT={contract}", "AIM={aim}"}
	switch {
	case name == "unattended.sh":
		args = append(args, "sh", "-c", shellExample, testdata(t, "../../../examples/script/"+name))
	case name == "unattended.py":
		args = append(args, "sh", "-c", pythonExample, testdata(t, "../../../examples/script/"+name))
	case strings.HasSuffix(name, ".py"):
		args = append(args, python, testdata(t, "wrappers/"+name), python, standin)
	default:
		if name == "restore.sh" {
			args = append(args, "WHAT={database}") // of each run, since it upgrades nothing else
		}
		args = append(args, "sh", testdata(t, "wrappers/"+name), python, standin)
	}
	opts := program(args...)
	opts.Testbed.Environ = append(opts.Testbed.Environ, "UPGRADE_STANDIN_POLL=0.2", "BUG="+bug,
		"SCRIPT="+python+" "+standin)
	return opts
}

// trying are the scenarios in which a good wrapper does what a judge could take for a bug; the first ones are a sample.
var trying = []string{
	"script-failed", "script-resume-done", "script-database-lost", "script-upload-cut", "script-download-cut",
	"script-logs-bad-gateway", "script-token-secret", "script-dump-renamed",
}

// Wrappers that go by what comes back pass, whatever their style.
func TestRun_goodWrappers(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "psql", "postgresql-client")
	for i, tc := range []struct {
		name  string
		judge []string
	}{
		{"unattended.sh", trying[:5]},
		{"unattended.py", trying[1:]},
		{"yes.sh", trying[2:4]},
		{"terminal.py", trying[3:6]},
		{"restore.sh", []string{"script-database-lost", "script-dump-missing"}}, // of which the script leaves an empty one
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			names := tc.judge
			switch {
			case os.Getenv(everything) != "" && tc.name != "restore.sh": // which is for databases
				names = slices.DeleteFunc(scenario.Builtins(), func(name string) bool {
					return !strings.HasPrefix(name, "script-") || name == "script-held" // which expects nothing
				})
			case testprog.Sample() && i > 1:
				t.Skip("-short, or -race: the examples, under a sample")
			case testprog.Sample():
				names = names[i : i+1]
			}
			opts := wrapper(t, tc.name, "")
			opts.Scenarios = builtIn(t, names...)
			report, err := certify.Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if report.Failed > 0 || len(report.Skipped) > 0 && tc.name != "terminal.py" { // which knows only dumps
				var table strings.Builder
				report.WriteTable(&table)
				t.Errorf("false alarms:\n%s", table.String())
			}
		})
	}
}

// Wrappers as people have them are named, by the expectation that is about what they do.
func TestRun_buggyWrappers(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "psql", "postgresql-client")
	testprog.Need(t, "bash", "bash")
	for _, tc := range []struct {
		bug, scenario string
		expect        string // the expectation that is not met
		saw           string // part of what it says
	}{
		{"status", "script-failed", "exit", "exit status 0"},
		{"new-request", "script-upload-cut", "resumed", "but another request"},
		{"other-name", "script-database", "out", "and no db01_upgraded"},
		{"stale", "script-resume-done", "calls.script.create", "2 script.create"},
		{"status", "script-cancelled", "exit", "exit status 0"},
		{"status", "script-download-cut", "exit", "exit status 0 and no file"},
		{"status", "script-upload-cut", "resumed", "no other followed"},
		{"sentence", "script-done", "exit", "exit status 1"},
		{"pipefail", "script-done", "exit", "exit status 141"},
		{"prints-token", "script-token-secret", "hides", "the token of request"},
		{"forgets", "script-resume-progress", "calls.script.create", "2 script.create"},
		{"again", "script-failed", "calls.script.create", "4 script.create"},
		{"asks", "script-resume-progress", "within", "still running"},
		{"report", "script-download-never-works", "exit", "exit status 0"},
		{"warns", "script-contract-expired", "exit", "exit status 0"},
		{"ssh-options", "script-host-key-changed", "calls.rsync.upload", "1 rsync.upload"},
		{"once", "script-status-bad-gateway", "out", "no file"},
		{"for-ever", "script-unknown-token", "gives_up", ", and was ended"},
		{"silent", "script-failed", "shows", "is nowhere"},
		{"other-target", "script-done", "params", `target "17.0" in place of "18.0"`},
		{"one-name", "script-dump-renamed", "out", "no file"},
		{"leaves-log", "script-dump-missing", "out", "a file of"},
		{"no-merge", "script-database", "filestore", "no filestore of db01_upgraded"},
	} {
		t.Run(tc.bug+" "+tc.scenario, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 8)
			name := "yes.sh"
			if tc.bug == "no-merge" {
				name = "restore.sh"
			}
			opts := wrapper(t, name, tc.bug)
			script := *builtIn(t, tc.scenario)[0]
			if tc.expect == "within" || tc.expect == "gives_up" { // there is no need to wait for so long
				expect := *script.Expect
				expect.Within = 15 * time.Second
				script.Expect = &expect
			}
			opts.Scenarios = []*scenario.Scenario{&script}
			report, err := certify.Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			named := func(f certify.Failure) bool { return f.Expect == tc.expect && strings.Contains(f.Saw, tc.saw) }
			if len(report.Results) != 1 || !slices.ContainsFunc(report.Results[0].Failed, named) {
				var table strings.Builder
				report.WriteTable(&table)
				t.Errorf("%s is not named:\n%s", tc.bug, table.String())
			}
		})
	}
}

// bareRow is a row of the table of what the script alone gets wrong.
var bareRow = regexp.MustCompile("(?m)^\\| `(script-[a-z-]+)` \\| [^|]+ \\| [^|]+ \\| ([^|]+) \\|$")

// The table of what the script alone gets wrong is what certify says, and has each scenario of the pack.
func TestRun_bareScript(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../examples/README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, row := range bareRow.FindAllStringSubmatch(string(text), -1) {
		want[row[1]] = row[2]
	}
	_, passes, _ := strings.Cut(string(text), "\nIt passes: ")
	for _, name := range strings.Fields(strings.TrimRight(passes, ".\n")) {
		want[strings.Trim(name, "`")] = ""
	}
	var names []string
	for _, name := range scenario.Builtins() {
		if strings.HasPrefix(name, "script-") && name != "script-held" {
			names = append(names, name)
		}
	}
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(want))); diff != "" {
		t.Fatalf("the scenarios of the table (-there +documented):\n%s", diff)
	}
	switch {
	case os.Getenv(everything) != "":
	case testprog.Sample():
		names = []string{"script-failed"}
	default:
		names = []string{
			"script-create-broken", "script-database", "script-download-cut", "script-dump-missing",
			"script-logs-bad-gateway", "script-resume-upload", "script-token-secret",
		}
	}
	opts := wrapper(t, "bare.sh", "")
	opts.Scenarios = builtIn(t, names...)
	report, err := certify.Run(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		var got []string
		for _, f := range r.Failed {
			got = append(got, f.Expect)
		}
		if got := strings.Join(got, ", "); got != want[r.Scenario] {
			t.Errorf("%s: not met: %q, documented: %q", r.Scenario, got, want[r.Scenario])
		}
	}
}
