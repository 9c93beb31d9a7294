package mockserver_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// Whoever follows sees a change of state that comes by itself, without a call.
func TestFollow(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t,
		"steps: [{state: pending, for: 20ms}, {state: processing, for: 20ms}, {state: done}]")})
	srv := w.srv
	ctx, cancel := context.WithCancel(t.Context())
	states := make(chan string, 10)
	ended := make(chan error, 1)
	go func() {
		ended <- srv.Follow(ctx, journal.Filter{On: journal.OnState}, func(events []journal.Event) {
			for _, e := range events {
				states <- e.To
			}
		})
	}()
	m := w.create()
	w.upload(m, []byte("SELECT 1;\n"))
	w.good("process", m.params())
	var seen []string
	for range 3 {
		seen = append(seen, <-states)
	}
	if d := cmp.Diff([]string{"pending", "processing", "done"}, seen); d != "" {
		t.Errorf("the states (-want +got):\n%s", d)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow ended with %v", err)
	}
}
