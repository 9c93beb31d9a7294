package main

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
)

// TestConformanceCommand runs testdata/conformance/*.txtar, each beside an emulator of its own at $URL, which shows its
// script API alone at $SCRIPT_ONLY, and one at $BENT that answers failures with HTTP 400.
func TestConformanceCommand(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata/conformance",
		Setup: func(env *testscript.Env) error {
			tb := env.T().(testing.TB)
			srv := mockservertest.New(tb, nil, mockservertest.AllowUnknownCalls)
			env.Setenv("URL", srv.URL())
			env.Setenv("HTTPS_URL", srv.HTTPSURL())
			env.Setenv("CA_FILE", srv.CAFile())
			env.Setenv("HTTP_BY_HTTPS", strings.Replace(srv.URL(), "http:", "https:", 1))
			env.Setenv("HTTPS_BY_HTTP", strings.Replace(srv.HTTPSURL(), "https:", "http:", 1))
			only := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasPrefix(r.URL.Path, "/upgrade") {
					http.NotFound(w, r)
					return
				}
				srv.ServeHTTP(w, r)
			}))
			env.Defer(only.Close)
			env.Setenv("SCRIPT_ONLY", only.URL)
			env.Setenv("BENT", mockservertest.New(tb, &mockserver.Options{FailureStatus: 400},
				mockservertest.AllowUnknownCalls).URL())
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				want, err := strconv.Atoi(args[0])
				if err != nil || neg {
					ts.Fatalf("usage: exits CODE ARGS...")
				}
				root := &cobra.Command{Use: "upgrademock", SilenceErrors: true, SilenceUsage: true}
				root.AddCommand(newConformanceCommand())
				root.SetArgs(withFiles(ts, args[1:]))
				root.SetIn(strings.NewReader(ts.Getenv("STDIN")))
				root.SetOut(ts.Stdout())
				root.SetErr(ts.Stderr())
				if got := exitFrom(root.Execute(), ts); got != want {
					ts.Fatalf("exit %d, want %d", got, want)
				}
			},
		},
	})
}

// withFiles makes the scripts' own files absolute: the command runs in the test's process, not in the script's
// directory.
func withFiles(ts *testscript.TestScript, args []string) []string {
	made := make([]string, len(args))
	for i, arg := range args {
		made[i] = arg
		for _, ext := range []string{".json", ".yaml", ".xml", ".rec", ".pem", ".dump"} {
			if strings.HasSuffix(arg, ext) && !strings.HasPrefix(arg, "-") {
				made[i] = ts.MkAbs(arg)
			}
		}
	}
	return made
}
