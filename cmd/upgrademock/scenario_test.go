package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// TestScenarioCommand runs testdata/scenario/*.txtar. Their command `exits CODE ARGS...` runs `upgrademock ARGS...`
// and wants that exit code.
func TestScenarioCommand(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/scenario",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				want, err := strconv.Atoi(args[0])
				if err != nil || neg {
					ts.Fatalf("usage: exits CODE ARGS...")
				}
				root := &cobra.Command{Use: "upgrademock", SilenceErrors: true, SilenceUsage: true}
				root.AddCommand(newScenarioCommand())
				root.SetArgs(fromHere(ts, args[1:]))
				root.SetIn(strings.NewReader(ts.Getenv("STDIN")))
				root.SetOut(ts.Stdout())
				root.SetErr(ts.Stderr())
				got := exitFrom(root.Execute(), ts)
				if got != want {
					ts.Fatalf("exit %d, want %d", got, want)
				}
			},
		},
	})
}

// exitFrom is what main makes of a command's error.
func exitFrom(err error, ts *testscript.TestScript) int {
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) && code.err == nil {
		return code.code
	}
	fmt.Fprintf(ts.Stderr(), "upgrademock: %v\n", err)
	if code.code != 0 {
		return code.code
	}
	return exitUsage
}

// fromHere makes the scripts' own files absolute: the command runs in the test's process, not in the script's
// directory.
func fromHere(ts *testscript.TestScript, args []string) []string {
	made := make([]string, len(args))
	for i, arg := range args {
		made[i] = arg
		if strings.HasSuffix(arg, ".yaml") || strings.HasSuffix(arg, ".json") {
			made[i] = ts.MkAbs(arg)
		}
	}
	return made
}

func TestFindScenario(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "mine.yaml")
	if err := os.WriteFile(file, []byte("description: Mine."), 0o644); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("step: []"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		arg, name, err string
	}{
		{arg: "happy-path", name: "happy-path"},
		{arg: file, name: "mine"},
		{arg: "hapy-path", err: `unknown scenario "hapy-path", did you mean "happy-path"?`},
		{arg: "nothing-like-it-at-all", err: "'upgrademock scenario list' lists them"},
		{arg: bad, err: "bad.yaml:1:1: step: unknown key"},
	} {
		s, err := findScenario(tc.arg)
		switch {
		case tc.err == "" && (err != nil || s.Name != tc.name):
			t.Errorf("%s: %v, %v; want %s", tc.arg, s, err, tc.name)
		case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
			t.Errorf("%s: %v, want an error with %q", tc.arg, err, tc.err)
		}
	}
	if _, err := findScenario(filepath.Join(dir, "gone.yaml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v, want fs.ErrNotExist", err)
	}
}
