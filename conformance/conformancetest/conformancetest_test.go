package conformancetest_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/conformancetest"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// A server that is right passes, each check in a subtest.
func TestRun(t *testing.T) {
	srv := mockservertest.New(t, nil, mockservertest.AllowUnknownCalls)
	opts := &conformance.Options{Run: regexp.MustCompile("^(create|skip-test)/"), Level: conformance.LevelDocumented}
	rep := conformancetest.Run(t, conformance.Target{URL: srv.URL(), Contract: "M123456-abcdef"}, opts)
	if !rep.OK() {
		t.Errorf("%d passed, %d failed, %d errors", rep.Passed, rep.Failed, rep.Errors)
	}
}

// A server that is wrong fails the test: in a process of its own, where TestWrong may fail.
func TestRun_fails(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWrong$", "-test.v")
	cmd.Env = append(os.Environ(), "CONFORMANCETEST_WRONG=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: TestWrong/answers/failure-200") ||
		!strings.Contains(string(out), "--- PASS: TestWrong/answers/content-type") {
		t.Errorf("error %v:\n%s", err, out)
	}
}

func TestWrong(t *testing.T) {
	if os.Getenv("CONFORMANCETEST_WRONG") == "" {
		t.Skip("TestRun_fails runs this")
	}
	srv := mockservertest.New(t, &mockserver.Options{FailureStatus: 400}, mockservertest.AllowUnknownCalls)
	opts := &conformance.Options{Run: regexp.MustCompile("^answers/(failure-200|content-type)$"),
		Level: conformance.LevelAssumed}
	conformancetest.Run(t, conformance.Target{URL: srv.URL(), Contract: "M123456-abcdef"}, opts)
}
