package certify_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// judgeOne runs a shell script under one scenario.
func judgeOne(t *testing.T, client string, script scenario.Scenario) certify.Result {
	t.Helper()
	script.Name = "one"
	report, err := certify.Run(t.Context(), options(t, client, &script))
	if err != nil {
		t.Fatal(err)
	}
	return report.Results[0]
}

// The run that is interrupted comes first, and what it left is there in the second. A run that ends before is the only
// one.
func TestRun_interrupted(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "curl", "curl")
	const client = `echo >>runs
test $(wc -l <runs) = 2 && exit 0
curl -sS -o answer "$UPGRADEMOCK_URL/database/v1/status"
curl -sS -o answer "$UPGRADEMOCK_URL/database/v1/status"
sleep 600`
	script := scenario.Scenario{
		Run:    scenario.Run{Interrupted: &scenario.Interruption{On: scenario.OnStatus, Skip: 1}},
		Expect: &scenario.Expect{Exit: scenario.ExitSuccess, Within: 5 * time.Minute},
	}
	if r := judgeOne(t, client, script); r.Verdict != certify.Pass {
		t.Errorf("%+v", r)
	}
	script.Expect = &scenario.Expect{Exit: scenario.ExitSuccess}
	if r := judgeOne(t, `echo >>runs; exit $(wc -l <runs)`, script); r.Exit != 1 {
		t.Errorf("a first run that ended by itself: %+v", r)
	}
}

func TestRun_stdin(t *testing.T) {
	t.Parallel()
	success := &scenario.Expect{Exit: scenario.ExitSuccess}
	for _, tc := range []struct{ stdin, client string }{
		{"", "! read line"},
		{scenario.StdinClosed, "! true 3<&0"},
	} {
		script := scenario.Scenario{Run: scenario.Run{Stdin: tc.stdin}, Expect: success}
		if r := judgeOne(t, "("+tc.client+")", script); r.Verdict != certify.Pass {
			t.Errorf("%s: %+v", tc.stdin, r)
		}
	}
	script := scenario.Scenario{Run: scenario.Run{Stdin: scenario.StdinSilent},
		Expect: &scenario.Expect{Within: time.Second}}
	r := judgeOne(t, "read line", script)
	if len(r.Failed) != 1 || r.Failed[0].Expect != "within" || !strings.Contains(r.Failed[0].Hint, "echo y |") {
		t.Errorf("silent: %+v", r)
	}
}

// What wraps the upgrade script has directories of its own for what that leaves, and a dump beside which it can write.
func TestRun_ofTheScriptAPI(t *testing.T) {
	t.Parallel()
	script := scenario.Scenario{
		Name: "one", When: scenario.When{"api": scenario.APIScript},
		Expect: &scenario.Expect{Exit: scenario.ExitSuccess},
	}
	other := script
	other.Name = "other"
	tree := t.TempDir()
	if err := os.WriteFile(filepath.Join(tree, "toc.dat"), []byte("PGDMP"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dump := range map[string]string{"file": "", "directory": tree} {
		opts := options(t, `set -e
test -d "$HOME"; test -d "$TMPDIR"; test "$HOME" != "$TMPDIR"
test -z "$(ls -A "$HOME" "$TMPDIR" | grep -v :)"
mkdir "$HOME/x" "$TMPDIR/x" "$(dirname {dump})/x"
test -f {dump} || test -f {dump}/toc.dat`, &script, &other)
		if dump != "" {
			opts.Dump = dump
		}
		report, err := certify.Run(t.Context(), opts)
		if err != nil || report.Failed > 0 {
			t.Errorf("%s: %+v, %v", name, report, err)
		}
	}
}
