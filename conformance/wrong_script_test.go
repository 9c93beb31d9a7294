package conformance_test

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// wrongScript is a server of the script API that breaks one row of docs/fidelity.md.
type wrongScript struct {
	row       string
	assumed   bool // what is broken is assumed: it is asked for at that level only
	mutations []string
	edit      edit
	front     func(w http.ResponseWriter, r *http.Request, next http.Handler)
	login     func(config *ssh.ServerConfig)
	request   func(r *ssh.Request, ch ssh.Channel) bool
	run       func(c *refserver.Command, next func() int) int
	steps     []string
	reason    string
}

// serve starts the server.
func (w wrongScript) serve(t testing.TB, rsync string) *refserver.Script {
	s := refserver.NewScript(t, rsync, w.mutations...)
	s.Edit, s.Front, s.Login, s.Request, s.Run, s.Reason = w.edit, w.front, w.login, w.request, w.run, w.reason
	if w.steps != nil {
		s.Steps = w.steps
	}
	return s
}

// wrongScripts are all of them.
func wrongScripts() map[string]wrongScript {
	all := map[string]wrongScript{}
	for _, some := range []map[string]wrongScript{wrongEnvelopes(), wrongCreates(), wrongStates(), wrongLogs(),
		wrongTransfers(), wrongLogins(), wrongRsyncs(), wrongResults()} {
		maps.Copy(all, some)
	}
	return all
}

// notServed are the documented and observed rows that no server can be asked for, as a regular expression: what
// clients do, how long things take, and what is said again elsewhere.
var notServed = regexp.MustCompile(`^S(` + strings.Join([]string{
	`1\.(1|2|14|15|17)`, // what the script is told, and how it calls
	`2\.15`,             // hours
	`3\.(9|12)`,         // what the script calls, and five minutes
	`4\.4`,              // ssh's question
	`5\.(5|9|12|19)`,    // what stays with the client, and options of which it is assumed that they pass
	`6\.(2|3)`,          // what the script does with the answer
	`7\.(4|5|9)`,        // what it does with states, and how often; hours
	`8\.(3|8)`,          // when it asks, and what it prints
	`10\.[56]`,          // how scripts cope with what is absent, and what shows in the database only
	`1[1-4]\.\d+`,       // the script's own ways and versions
	`16\.[1-68]`,        // said again in the sections before
}, "|") + `)$`)

// Every documented and observed row that a server can break has a server that breaks it.
func TestWrongScripts_rows(t *testing.T) {
	t.Parallel()
	rows := scriptRows(t)
	broken := map[string]bool{}
	for name, w := range wrongScripts() {
		if rows[w.row] == "" {
			t.Errorf("%s: docs/fidelity.md has no row %s", name, w.row)
		}
		if !w.assumed && !known(rows[w.row]) {
			t.Errorf("%s: row %s is only assumed", name, w.row)
		}
		broken[w.row] = broken[w.row] || !w.assumed
	}
	for row, evidence := range rows {
		if known(evidence) && broken[row] == notServed.MatchString(row) {
			t.Errorf("row %s: broken by a server: %v, said not to be served: %v", row, broken[row], broken[row])
		}
	}
	t.Logf("%d wrong servers break %d rows", len(wrongScripts()), len(broken))
}

// Each wrong server fails a check of the row that it breaks, at the level at which the row is judged.
func TestWrongScripts(t *testing.T) {
	t.Parallel()
	rsync := testprog.Need(t, "rsync", "rsync")
	all := wrongScripts()
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if testprog.Sample() && i%16 != 0 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := all[name]
			level := conformance.LevelObserved
			if w.assumed {
				level = conformance.LevelAssumed
			}
			var ids []string
			for _, c := range conformance.Checks() {
				if slices.Contains(c.Rows, w.row) && level.Covers(c.Evidence) {
					ids = append(ids, regexp.QuoteMeta(c.ID))
				}
			}
			if len(ids) == 0 {
				t.Fatalf("row %s: no check at level %s", w.row, level)
			}
			target, opts := scriptTarget(w.serve(t, rsync))
			opts.Level, opts.Wait = level, 2*time.Second
			if *wholeSuite {
				opts.API = ""
			} else {
				opts.Run = regexp.MustCompile("^(" + strings.Join(ids, "|") + ")$")
			}
			rep := run(t, target, opts)
			caught := slices.ContainsFunc(rep.Results, func(res conformance.Result) bool {
				return res.Verdict == conformance.Fail && slices.Contains(res.Rows, w.row)
			})
			if !caught {
				t.Errorf("row %s: no check of it fails", w.row)
			}
			for _, res := range rep.Results {
				switch {
				case res.Verdict == conformance.Error, !caught && slices.Contains(res.Rows, w.row):
					t.Errorf("%s: %s %s", res.ID, res.Verdict, res.Message)
				case res.Verdict == conformance.Fail:
					t.Logf("%s %v: %s", res.ID, res.Rows, res.Message)
				}
			}
		})
	}
}
