package conformance_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/conformance"
)

// wrongServers are servers that break rows of docs/fidelity.md in other ways than the saboteurs, which break one check's
// subject each. They are judged at the default level: every check in fails must fail, not err.
var wrongServers = map[string]struct {
	rows   string
	server saboteur
	fails  string
}{
	"ignores APPEND": {"5.12", saboteur{bends: []string{"ignores APPEND"}},
		"sftp/resume-append sftp/append sftp/append-same-offset sftp/append-out-of-order sftp/append-backwards sftp/append-behind sftp/append-two-handles"},
	"a dump sent over SFTP is not the request's": {"5.12 6.1", saboteur{bends: []string{"SFTP apart"}}, "process/sftp-dump"},
}

// TestWrongServers runs only the checks that must fail: the others are the saboteurs' business.
func TestWrongServers(t *testing.T) {
	t.Parallel()
	for name, wrong := range wrongServers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ids := strings.Fields(wrong.fails)
			opts := &conformance.Options{Wait: 3 * time.Second, Run: regexp.MustCompile("^(" + strings.Join(ids, "|") + ")$")}
			rep := conformance.Run(t.Context(), conformance.Target{URL: sabotaged(t, wrong.server).URL(), Contract: contract}, opts)
			if len(rep.Results) != len(ids) {
				t.Errorf("%d checks were made, want %v", len(rep.Results), ids)
			}
			for _, res := range rep.Results {
				if res.Verdict != conformance.Fail {
					t.Errorf("%s: %s %s, want fail", res.ID, res.Verdict, res.Message)
				}
			}
		})
	}
}
