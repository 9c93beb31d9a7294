package conformance_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// A server that takes one run of rsync in a transfer is not wrong: other transfers are opened for others, and what it
// does not keep until then is not judged.
func TestScript_oneRunInATransfer(t *testing.T) {
	t.Parallel()
	rsync := testprog.Need(t, "rsync", "rsync")
	for name, tt := range map[string]struct {
		mutations []string
		want      conformance.Verdict
	}{
		"files are kept":     {nil, conformance.Pass},
		"files are not kept": {[]string{"files not kept after a break"}, conformance.Skip},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := refserver.NewScript(t, rsync, tt.mutations...)
			var runs atomic.Int32
			s.Front = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if strings.HasSuffix(r.URL.Path, "/start") {
					runs.Store(0)
				}
				next.ServeHTTP(w, r)
			}
			s.Run = func(_ *refserver.Command, next func() int) int {
				if runs.Add(1) > 1 {
					return 1
				}
				return next()
			}
			target, opts := scriptTarget(s)
			opts.Parallel = 1
			opts.Run = regexp.MustCompile("^script/(upload-(v11|again|delta)|delete-after)$")
			rep := run(t, target, opts)
			if len(rep.Results) != 4 {
				t.Errorf("%d checks were made", len(rep.Results))
			}
			for _, res := range rep.Results {
				if res.Verdict != tt.want && !(res.ID == "script/upload-v11" && res.Verdict == conformance.Pass) {
					t.Errorf("%s: %s %s, want %s", res.ID, res.Verdict, res.Message, tt.want)
				}
			}
		})
	}
}
