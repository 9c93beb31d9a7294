package conformance_test

import (
	"regexp"
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// A faithful server that is not the emulator passes at every level, and one that chose otherwise wherever the contract
// leaves a choice passes below assumed.
func TestFaithful(t *testing.T) {
	t.Parallel()
	for i, tt := range []struct {
		name      string
		mutations []string
		steps     []string
		level     conformance.Level
	}{
		{name: "as assumed", level: conformance.LevelAssumed},
		{name: "with testing", level: conformance.LevelAssumed, steps: []string{"pending", "processing", "testing"}},
		{name: "differently", level: conformance.LevelObserved, mutations: []string{"differently"}},
		{name: "at once", level: conformance.LevelObserved, mutations: []string{"differently"},
			steps: []string{"done"}},
		{name: "slowly", level: conformance.LevelObserved, mutations: []string{"differently"},
			steps: []string{"processing", "processing", "processing", "processing", "processing", "done"}},
		{name: "with a filestore", level: conformance.LevelObserved, mutations: []string{"filestore"}},
		{name: "with one from the start", level: conformance.LevelObserved,
			mutations: []string{"filestore", "edition 13.0"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && i > 2 {
				t.Skip("-short: three servers are enough")
			}
			opts := &conformance.Options{Level: tt.level}
			if testprog.Sample() && i > 0 { // only what they differ in
				opts.Run = regexp.MustCompile("^(process|urls|skip-test|sftp-access)/|done")
			}
			s := refserver.New(t, tt.mutations...)
			if tt.steps != nil {
				s.Steps = tt.steps
			}
			judged(t, conformance.Target{URL: s.URL(), Contract: contract}, opts)
		})
	}
}
