package scenario_test

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var kebab = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)*$`)

// The built-in scenarios live in fixtures, which knows nothing of the language; that they are good is judged here.
func TestBuiltIns(t *testing.T) {
	t.Parallel()
	names := scenario.Builtins()
	if !slices.IsSorted(names) {
		t.Errorf("the names are not sorted: %v", names)
	}
	if len(names) < 50 {
		t.Errorf("%d built-in scenarios, want at least 50", len(names))
	}
	described := map[string]string{}
	for _, name := range names {
		s, err := scenario.Builtin(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if s.Name != name || !kebab.MatchString(name) {
			t.Errorf("%s: the name is %q, want the file's, in-kebab-case.yaml", name, s.Name)
		}
		if d := s.Description; !strings.HasSuffix(d, ".") || strings.ContainsAny(d, "\n") || len(d) > 120 {
			t.Errorf("%s: the description is not one sentence of at most 120 characters: %q", name, d)
		}
		if other, ok := described[s.Description]; ok {
			t.Errorf("%s and %s have the same description", name, other)
		}
		described[s.Description] = name
		script := strings.HasPrefix(name, "script-")
		want := scenario.When{"api": scenario.APIScript}
		if script && !maps.Equal(s.When, want) || !script && len(s.When) > 0 {
			t.Errorf(
				"%s: a built-in scenario is for every request, or is called script-… and is for every one of the script API",
				name,
			)
		}
		judged(t, name, s)
	}
}

// judged checks that a client can be judged by s, soon: certify runs it with the real clock.
func judged(t *testing.T, name string, s *scenario.Scenario) {
	t.Helper()
	held, waits := false, time.Duration(0)
	for _, step := range s.Steps {
		held = held || step.For.Released
		waits += step.For.Duration
	}
	e := s.Expect
	switch {
	case held && e != nil:
		t.Errorf("%s: waits for people, so a client cannot be judged by it", name)
	case held:
	case e == nil:
		t.Errorf("%s: no expectation", name)
	case e.Exit == "" || e.Out == "" && e.Exit != scenario.ExitHonest || e.Within == 0:
		t.Errorf("%s: the expectation says nothing about exit, out, or within", name)
	case s.When["api"] == scenario.APIScript && e.Hides != "" && name != "script-token-secret":
		t.Errorf("%s: the upgrade script itself prints the token, which one scenario is about", name)
	case e.Params == "" || e.Requests == "" || e.Hides == "" && s.When["api"] != scenario.APIScript:
		t.Errorf("%s: the expectation says nothing about params, requests, or hides, which every client is judged by", name)
	case e.Dump == "" && e.Exit == scenario.ExitSuccess && !s.Run.Database:
		t.Errorf("%s: the expectation says nothing about the dump", name)
	case e.Exit != scenario.ExitHonest && (e.Exit == scenario.ExitSuccess) != (e.Out == scenario.OutUpgraded):
		t.Errorf("%s: exit %s and out %s", name, e.Exit, e.Out)
	case e.Exit == scenario.ExitSuccess && waits > 10*time.Second:
		t.Errorf("%s: takes %s", name, waits)
	}
}

func TestBuiltin_unknown(t *testing.T) {
	t.Parallel()
	_, err := scenario.Builtin("server-error-for-a-wile")
	unknown, ok := errors.AsType[*scenario.UnknownError](err)
	if !ok || unknown.Name != "server-error-for-a-wile" || unknown.Nearest != "server-error-for-a-while" {
		t.Errorf("got %#v, want an UnknownError with the nearest name", err)
	}
	if _, err := scenario.Builtin("../answers/ok"); err == nil {
		t.Error("a path is taken for a name")
	}
}
