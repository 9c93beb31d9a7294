package main

import (
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Each built-in scenario by which a client can be judged is in the pack of its API, and in that one alone.
func TestUnpack(t *testing.T) {
	t.Parallel()
	packs := map[string]map[string]bool{}
	for _, pack := range []string{"basic", "full", "script-basic", "script-full"} {
		scripts, err := unpack(pack)
		if err != nil {
			t.Fatal(err)
		}
		packs[pack] = map[string]bool{}
		for _, s := range scripts {
			packs[pack][s.Name] = true
		}
	}
	for _, name := range scenario.Builtins() {
		s, err := scenario.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		script := strings.HasPrefix(name, "script-")
		if full := s.Expect != nil && !script; packs["full"][name] != full {
			t.Errorf("%s is in the pack full: %t, want %t", name, !full, full)
		}
		if in := s.Expect != nil && script; packs["script-full"][name] != in {
			t.Errorf("%s is in the pack script-full: %t, want %t", name, !in, in)
		}
	}
	for basic, full := range map[string]string{"basic": "full", "script-basic": "script-full"} {
		for name := range packs[basic] {
			if !packs[full][name] {
				t.Errorf("%s is in the pack %s, and not in %s", name, basic, full)
			}
		}
	}
	if len(packs["script-full"]) < 16 {
		t.Errorf("the pack script-full has %d scenarios", len(packs["script-full"]))
	}
}
