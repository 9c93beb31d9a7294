package mockservertest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/upgrademock/upgrademock/internal/apidoc"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAPI(t *testing.T) { apidoc.Check(t) }

// recorder is a test that New is given, and what it was failed with.
type recorder struct {
	testing.TB
	cleanups []func()
	errors   []string
}

func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }

func (r *recorder) Error(args ...any) { r.errors = append(r.errors, fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// end ends the test.
func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

func TestNew_judges(t *testing.T) {
	t.Parallel()
	script := &scenario.Scenario{
		Name: "polite", Expect: &scenario.Expect{Calls: map[string]scenario.Bound{scenario.OnStatus: {N: 1}}},
	}
	get := func(t *testing.T, srv *mockserver.Server, method, path string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "https://upgrade.odoo.com"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	unmet := "scenario polite: expect.calls.status: wanted status 1 times, saw "
	for name, tc := range map[string]struct {
		calls [][2]string
		clear bool
		allow []mockservertest.Allowance
		want  []string // beginnings
	}{
		"all is well": {calls: [][2]string{{"GET", "/database/v1/status?request=10534&key=KEY"}}},
		"no call":     {want: []string{unmet + "0 status"}},
		"one too many": {calls: [][2]string{{"GET", "/database/v1/status?request=10534&key=KEY"},
			{"POST", "/database/v1/status?request=10534&key=KEY"}}, want: []string{unmet}},
		"a method that there is not": {
			calls: [][2]string{{"GET", "/database/v1/status?request=10534&key=KEY"}, {"GET", "/database/v1/stauts"}},
			want:  []string{"unknown call: GET /database/v1/stauts: there is no such method"},
		},
		"another path": {
			calls: [][2]string{{"GET", "/database/v1/status?request=10534&key=KEY"}, {"GET", "/database/"}},
			want:  []string{"unknown call: GET /database/: nothing answers at this path"},
		},
		"another HTTP method": {
			calls: [][2]string{{"GET", "/database/v1/status?request=10534&key=KEY"}, {"DELETE", "/database/v1/process"}},
			want:  []string{"unknown call: DELETE /database/v1/process: the HTTP method is none of"},
		},
		"a call of the script API": {
			calls: [][2]string{{"GET", "/database/v1/status?request=10534&key=KEY"}, {"POST", "/upgrade/request/status"},
				{"GET", "/upgrade"}},
		},
		"an unknown call of the script API": {
			calls: [][2]string{{"GET", "/database/v1/status?request=10534&key=KEY"}, {"POST", "/upgrade/request/stauts"}},
			want: []string{
				"unknown call: POST /upgrade/request/stauts: there is no such call; did you mean /upgrade/request/status?"},
		},
		"another HTTP method of the script API": {
			calls: [][2]string{{"GET", "/database/v1/status?request=10534&key=KEY"}, {"GET", "/upgrade/request/status"}},
			want:  []string{"unknown call: GET /upgrade/request/status: the HTTP method is none of POST"},
		},
		"unknown, allowed": {
			calls: [][2]string{{"GET", "/database/v1/stauts"}, {"GET", "/x"}},
			allow: []mockservertest.Allowance{mockservertest.AllowUnknownCalls},
			want:  []string{unmet + "0 status"},
		},
		"unmet, allowed": {
			calls: [][2]string{{"GET", "/database/v1/stauts"}},
			allow: []mockservertest.Allowance{mockservertest.AllowUnmetExpectations},
			want:  []string{"unknown call"},
		},
		"all allowed": {
			calls: [][2]string{{"GET", "/database/v1/stauts"}},
			allow: []mockservertest.Allowance{mockservertest.AllowUnknownCalls, mockservertest.AllowUnmetExpectations},
		},
		"forgotten": {
			calls: [][2]string{{"GET", "/database/v1/stauts"}}, clear: true,
			want: []string{unmet + "0 status"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := &recorder{TB: t}
			srv := mockservertest.New(r, &mockserver.Options{
				Scenarios: []*scenario.Scenario{script}, Requests: []mockserver.NewRequest{{}},
			}, tc.allow...)
			key := srv.Requests()[0].Key
			for _, c := range tc.calls {
				get(t, srv, c[0], strings.ReplaceAll(c[1], "KEY", key))
			}
			if tc.clear {
				srv.ClearJournal(journal.Filter{On: journal.OnUnknown})
			}
			r.end()
			got := make([]string, len(r.errors))
			for i, text := range r.errors {
				if i < len(tc.want) && strings.HasPrefix(text, tc.want[i]) {
					text = tc.want[i]
				}
				got[i] = text
			}
			if diff := cmp.Diff(append([]string{}, tc.want...), got); diff != "" {
				t.Errorf("the test failed with (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScenarios(t *testing.T) {
	t.Parallel()
	scripts := mockservertest.Scenarios(t, "happy-path", "server-error-for-a-while")
	if len(scripts) != 2 || scripts[0].Name != "happy-path" || scripts[1].Name != "server-error-for-a-while" {
		t.Errorf("got %+v", scripts)
	}
	if none := mockservertest.Scenarios(t); len(none) != 0 {
		t.Errorf("got %+v", none)
	}
}
