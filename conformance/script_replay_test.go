package conformance_test

import (
	"bytes"
	"crypto/x509"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// A recording of another server than the emulator, which fails many checks, is judged offline as the server was. What
// opens its requests cannot be read from it.
func TestScript_replayOther(t *testing.T) {
	t.Parallel()
	if testprog.Sample() {
		t.Skip("-short: TestScript_replay does the same with the emulator")
	}
	s := refserver.NewScript(t, testprog.Need(t, "rsync", "rsync"), "differently")
	target, opts := scriptTarget(s)
	var recording bytes.Buffer
	opts.Level, opts.Record = conformance.LevelAssumed, &recording
	live := run(t, target, opts)
	again, err := conformance.Replay(t.Context(), bytes.NewReader(recording.Bytes()), nil)
	if err != nil {
		t.Fatal(err)
	}
	if live.Failed < 10 || live.Errors > 0 {
		t.Errorf("%d failed and %d errors, want ten and none", live.Failed, live.Errors)
	}
	if diff := cmp.Diff(live.Results, again.Results, timeless); diff != "" {
		t.Errorf("judged differently (-live +replayed):\n%s", diff)
	}
	if len(s.Tokens()) < 50 || recording.Len() < 100_000 {
		t.Errorf("%d requests were made, and %d bytes recorded", len(s.Tokens()), recording.Len())
	}
	for _, token := range s.Tokens() {
		if strings.Contains(recording.String(), token[4:24]) || strings.Contains(recording.String(), token[34:]) {
			t.Errorf("a part of the token %.4s… is in the recording", token)
		}
	}
	if i := strings.Index(recording.String(), "PRIVATE KEY"); i >= 0 {
		t.Errorf("a private key is in the recording, at byte %d", i)
	}
}

// Two servers that are both right differ where the contract leaves a choice, and there alone.
func TestScript_diff(t *testing.T) {
	t.Parallel()
	mock := newMock(t, nil)
	pem, err := os.ReadFile(mock.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	const run = "request-id|ssh-port-number|port-range|id-echo|create-only-keys|create-answer|status-answer|wipe-answer"
	opts := &conformance.Options{API: conformance.APIScript, Level: conformance.LevelAssumed, RootCAs: pool,
		Run: regexp.MustCompile("^script/(" + run + ")$")}
	ours := judged(t, conformance.Target{URL: mock.HTTPSURL(), Contract: contract}, opts)
	other := refserver.NewScript(t, testprog.Need(t, "rsync", "rsync"), "differently")
	opts.RootCAs = other.RootCAs()
	theirs, err := conformance.Run(t.Context(), conformance.Target{URL: other.URL(), Contract: contract}, opts)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, d := range conformance.Diff(ours, theirs) {
		rows = append(rows, d.Row)
		if d.A != conformance.Pass || d.B != conformance.Fail || d.MessageB == "" {
			t.Errorf("%s %s: %s and %s, %q", d.Row, d.ID, d.A, d.B, d.MessageB)
		}
	}
	if want := []string{"S1.9", "S2.12", "S2.13", "S3.3"}; !slices.Equal(rows, want) {
		t.Errorf("the servers differ in %v, want %v", rows, want)
	}
}
