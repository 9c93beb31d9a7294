package conformance_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// A recording is judged offline as the server was, and the keys in it cannot be used.
func TestReplay(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, &mockserver.Options{FailureStatus: 400},
		mockservertest.AllowUnknownCalls) // so that some checks fail
	var recording bytes.Buffer
	opts := &conformance.Options{Level: conformance.LevelAssumed, Record: &recording,
		Skip: regexp.MustCompile("^upload/large$")}
	if testprog.Sample() {
		opts.Run = regexp.MustCompile("^(answers|process|sftp-access|urls)/|done")
	}
	rep := run(t, conformance.Target{URL: srv.URL(), Contract: contract}, opts)
	if rep.Failed == 0 || rep.Errors != 0 {
		t.Fatalf("%d failed and %d errors, want some and none", rep.Failed, rep.Errors)
	}
	for _, req := range srv.Requests() {
		if strings.Contains(recording.String(), req.Key) {
			t.Fatalf("the key of request %d is in the recording", req.ID)
		}
	}
	srv.Close() // offline is offline
	again, err := conformance.Replay(t.Context(), bytes.NewReader(recording.Bytes()),
		&conformance.Options{Run: opts.Run})
	if err != nil {
		t.Fatal(err)
	}
	verdicts := func(r *conformance.Report) map[string]conformance.Verdict {
		m := map[string]conformance.Verdict{}
		for _, res := range r.Results {
			if res.ID != "upload/large" { // which the recorded run left out
				m[res.ID] = res.Verdict
			}
		}
		return m
	}
	if diff := cmp.Diff(verdicts(rep), verdicts(again)); diff != "" {
		t.Errorf("judged differently (-live +replayed):\n%s", diff)
	}

	t.Run("broken off", func(t *testing.T) {
		half, _, _ := bytes.Cut(recording.Bytes()[:recording.Len()/2], []byte("\n{\"lane\":\"process/"))
		short, err := conformance.Replay(t.Context(), bytes.NewReader(append(half, '\n')), nil)
		if err == nil && (short.OK() || short.Errors == 0) {
			t.Errorf("a recording that is broken off was judged whole: %d passed, %d errors",
				short.Passed, short.Errors)
		}
	})
	t.Run("something else", func(t *testing.T) {
		if _, err := conformance.Replay(t.Context(), strings.NewReader("<html>"), nil); err == nil {
			t.Error("HTML was taken for a recording")
		}
	})
}
