// Package mockservertest starts the emulator inside tests, as net/http/httptest does for handlers.
//
//	func TestUpgrade(t *testing.T) {
//		srv := mockservertest.New(t, &mockserver.Options{
//			Scenarios: mockservertest.Scenarios(t, "server-error-for-a-while"),
//		})
//		if err := upgradeMyDatabase(srv.Client(), "https://upgrade.odoo.com"); err != nil {
//			t.Error(err)
//		}
//	}
//
// The test fails by itself if the program makes a call that the platform does not know, or does not do what the
// scenario expects of a good client.
package mockservertest

import (
	"fmt"
	"log/slog"
	"net/http"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Allowance is something that does not fail a test, although it would without it.
type Allowance int

const (
	// AllowUnknownCalls lets the test make calls to paths that the platform does not have, and with HTTP
	// methods that it does not take.
	AllowUnknownCalls Allowance = iota + 1
	// AllowUnmetExpectations lets the client under test do otherwise than the scenarios expect.
	AllowUnmetExpectations
)

// New starts a server on free loopback ports, logs to the test's output, and closes it when the test ends. A
// server that cannot be made, started or closed fails the test. opts may be nil.
//
// When the test ends, each call in the journal to a path that the platform does not have fails it, and each
// expectation of a scenario that was not met, unless an Allowance says otherwise. What Server.ClearJournal and
// Server.Reset have forgotten by then is not judged.
func New(tb testing.TB, opts *mockserver.Options, allow ...Allowance) *mockserver.Server {
	tb.Helper()
	var full mockserver.Options
	if opts != nil {
		full = *opts
	}
	if full.Logger == nil {
		full.Logger = slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	srv, err := mockserver.New(&full)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		tb.Helper()
		judge(tb, srv, allow)
		if err := srv.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := srv.Start(); err != nil {
		tb.Fatal(err)
	}
	return srv
}

// judge fails the test for what the program under test did wrong.
func judge(tb testing.TB, srv *mockserver.Server, allow []Allowance) {
	tb.Helper()
	if tb.Skipped() {
		return
	}
	allowed := make(map[Allowance]bool)
	for _, a := range allow {
		allowed[a] = true
	}
	if !allowed[AllowUnknownCalls] {
		for _, e := range srv.Events(journal.Filter{}) {
			if e.On == journal.OnUnknown || e.Status == http.StatusMethodNotAllowed {
				tb.Errorf("unknown call: %s %s: %s", e.Method, e.Path, e.Why)
			}
		}
	}
	if allowed[AllowUnmetExpectations] {
		return
	}
	for _, o := range srv.Verify(journal.Filter{}) {
		if o.Verdict == mockserver.Fail {
			text := fmt.Sprintf("scenario %s: expect.%s: wanted %s, saw %s", o.Scenario, o.Expect, o.Wanted, o.Saw)
			if o.Hint != "" {
				text += "; " + o.Hint
			}
			tb.Error(text)
		}
	}
}

// Scenarios returns the built-in scenarios of those names, in their order, for Options.Scenarios. An unknown
// name fails the test; scenario.Builtins lists the names.
func Scenarios(tb testing.TB, names ...string) []*scenario.Scenario {
	tb.Helper()
	scripts := make([]*scenario.Scenario, len(names))
	for i, name := range names {
		var err error
		if scripts[i], err = scenario.Builtin(name); err != nil {
			tb.Fatal(err)
		}
	}
	return scripts
}
