package testprog

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// ExitStatus is the command of scripts that wants an exit status: status CODE PROGRAM ARGUMENT...
func ExitStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE PROGRAM ARGUMENT...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	exit := (*exec.ExitError)(nil)
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// Runtime has the programs of a script run with the settings of Go's runtime that this process has: a script passes on
// no variables by itself.
func Runtime(env *testscript.Env) {
	for _, name := range []string{"GOGC", "GORACE"} {
		if value, set := os.LookupEnv(name); set {
			env.Setenv(name, value)
		}
	}
}

// Leakless runs the tests of a package for [testscript.Main], and fails if goroutines are left at their end.
type Leakless struct{ M *testing.M }

// Run returns the exit status.
func (l Leakless) Run() int {
	code := l.M.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
