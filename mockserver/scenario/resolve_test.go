package scenario_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A copy of a script can be resolved while others use the script itself.
func TestResolve_leavesTheOriginal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.log"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	script := func() *scenario.Scenario {
		return &scenario.Scenario{
			When:     scenario.When{"api": scenario.APIScript},
			Steps:    []scenario.Step{{State: "progress", Log: &scenario.Log{File: "a.log"}}, {State: "done"}},
			Upgraded: scenario.Upgraded{Report: "a.log"},
		}
	}
	original := script()
	resolved := *original
	if err := resolved.Resolve(dir); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(script(), original); diff != "" {
		t.Errorf("the original has changed (-before +after):\n%s", diff)
	}
	path := filepath.Join(dir, "a.log")
	if diff := cmp.Diff([]string{path, path}, resolved.Files()); diff != "" {
		t.Errorf("its files (-want +got):\n%s", diff)
	}
}
