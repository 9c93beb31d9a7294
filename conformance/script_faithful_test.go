package conformance_test

import (
	"regexp"
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// scriptTarget is the target, and what is to be set to judge it.
func scriptTarget(s *refserver.Script) (conformance.Target, *conformance.Options) {
	return conformance.Target{URL: s.URL(), Contract: contract},
		&conformance.Options{API: conformance.APIScript, RootCAs: s.RootCAs()}
}

// A faithful server of the script API that is not the emulator, and in which the system's rsync runs, passes at every
// level, and one that chose otherwise wherever the contract leaves a choice passes below assumed.
func TestScript_faithful(t *testing.T) {
	t.Parallel()
	rsync := testprog.Need(t, "rsync", "rsync")
	for i, tt := range []struct {
		name      string
		mutations []string
		steps     []string
		level     conformance.Level
		run       string // what the server differs in; "": everything
	}{
		{name: "as assumed", level: conformance.LevelAssumed},
		{name: "differently", level: conformance.LevelObserved, mutations: []string{"differently"}},
		{name: "at once", level: conformance.LevelObserved, steps: []string{"done"}, run: "state|status|log|process"},
		{name: "slowly", level: conformance.LevelObserved, run: "state|status|log|process",
			steps: []string{"pending", "pending", "pending", "progress", "progress", "progress", "done"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if testprog.Sample() && i > 1 || testing.Short() && i > 0 {
				t.Skip("-short: the whole suite runs once")
			}
			s := refserver.NewScript(t, rsync, tt.mutations...)
			if tt.steps != nil {
				s.Steps = tt.steps
			}
			target, opts := scriptTarget(s)
			opts.Level, opts.Run = tt.level, regexp.MustCompile(tt.run)
			rep := judged(t, target, opts)
			for _, res := range rep.Results {
				if res.Verdict == conformance.Skip {
					t.Logf("%s is skipped: %s", res.ID, res.Message)
				}
			}
		})
	}
}
