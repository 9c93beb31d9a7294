package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/upgrademock/upgrademock/internal/isolate"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// TestMain lets scripts run the command upgrademock, which is this test program under another name.
func TestMain(m *testing.M) {
	isolate.Init()
	testscript.Main(leakless{m}, map[string]func(){"upgrademock": main, "go-get": get})
}

// get is a program in Go that prints what a URL answers.
func get() {
	answer, err := http.Get(os.Args[1])
	if err == nil {
		_, err = io.Copy(os.Stdout, answer.Body)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println()
}

type leakless struct{ m *testing.M }

func (l leakless) Run() int {
	testprog.UsePython()
	return testprog.Leakless{M: l.m}.Run()
}

// scripts are what the scripts of testdata share.
//
//	status CODE PROGRAM ARGUMENT...   wants that exit status
//	timeless FILE FILE                wants the same report in both, apart from times
//	[ci]                              a missing program is a failure
//	[sample]                          a sample of many programs is enough; see testprog.Sample
//	[isolate]                         the kernel lets us isolate programs
//	[python:MODULE]                   Debian's Python has the module
func scripts(dir string) testscript.Params {
	return testscript.Params{
		Dir:                 dir,
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":   testprog.ExitStatus,
			"timeless": timeless,
		},
		Condition: func(cond string) (bool, error) {
			if module, ok := strings.CutPrefix(cond, "python:"); ok {
				return testprog.PythonWith(module) == "/usr/bin/python3", nil
			}
			switch cond {
			case "ci":
				return os.Getenv("CI") == "true", nil
			case "isolate":
				return canIsolate(), nil
			case "sample":
				return testprog.Sample(), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(env *testscript.Env) error {
			env.Vars = slices.DeleteFunc(env.Vars, func(entry string) bool {
				name, _, _ := strings.Cut(strings.ToLower(entry), "=")
				return strings.HasSuffix(name, "_proxy")
			})
			examples, err := filepath.Abs("../../examples")
			if err != nil {
				return err
			}
			testprog.Runtime(env)
			env.Setenv("EXAMPLES", examples)
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", env.WorkDir+"/cache")
			return nil
		},
	}
}

// canIsolate reports whether the kernel lets us isolate programs.
var canIsolate = sync.OnceValue(func() bool {
	space, err := isolate.Start()
	return err == nil && space.Close() == nil
})

// times are those of reports, and the machine.
var times = regexp.MustCompile(`("seconds": |"began": "|"host": "|\btime=")[^",]*| timestamp="[^"]*"`)

func timeless(ts *testscript.TestScript, _ bool, files []string) {
	want := times.ReplaceAllString(ts.ReadFile(files[0]), "$1")
	if diff := cmp.Diff(want, times.ReplaceAllString(ts.ReadFile(files[1]), "$1")); diff != "" {
		ts.Fatalf("-%s +%s:\n%s", files[0], files[1], diff)
	}
}

func TestExecCommand(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("testdata/exec"))
}

func TestCertifyCommand(t *testing.T) {
	t.Parallel()
	params := scripts("testdata/certify")
	setup := params.Setup
	params.Setup = func(env *testscript.Env) error { // clients start faster without the authorities of the system
		env.Setenv("SSL_CERT_FILE", os.DevNull)
		return setup(env)
	}
	// Our own client is built once, for those scripts that ask for it.
	build := sync.OnceValues(func() (string, error) {
		bin := filepath.Join(t.TempDir(), "odoo-upgrade")
		out, err := exec.Command("go", "build", "-o", bin, "../odoo-upgrade").CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
		return bin, err
	})
	params.Cmds["build-odoo-upgrade"] = func(ts *testscript.TestScript, _ bool, _ []string) {
		bin, err := build()
		ts.Check(err)
		ts.Setenv("ODOO_UPGRADE", bin)
	}
	testscript.Run(t, params)
}

func TestReportCommand(t *testing.T) {
	t.Parallel()
	testscript.Run(t, scripts("testdata/report"))
}
