// Package mockservertest starts the emulator inside tests, as net/http/httptest does for handlers.
//
//	srv := mockservertest.New(t, nil)
//	resp, err := http.Get(srv.URL() + "/database/v1/status?request=10534&key=…")
package mockservertest

import (
	"log/slog"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver"
)

// New starts a server on free loopback ports, logs to the test's output, and closes it when the test ends. A server that cannot be
// made, started, or closed fails the test. opts may be nil.
func New(tb testing.TB, opts *mockserver.Options) *mockserver.Server {
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
		if err := srv.Close(); err != nil {
			tb.Error(err)
		}
	})
	if err := srv.Start(); err != nil {
		tb.Fatal(err)
	}
	return srv
}
