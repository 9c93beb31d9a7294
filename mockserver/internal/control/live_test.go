package control_test

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// kept is a journal alone.
type kept struct{ *eventlog.Log }

func (kept) ClearJournal(journal.Filter) {}

func stream(t *testing.T, log *eventlog.Log, heartbeat time.Duration, path, lastID string) *bufio.Scanner {
	t.Helper()
	srv := httptest.NewServer(control.Handler(control.Config{
		Journal: kept{log}, Hosts: func() []string { return nil }, Done: t.Context().Done(), Heartbeat: heartbeat,
		Kinds: []string{"status"}, Status: func(error) int { return 0 },
	}))
	t.Cleanup(srv.Close)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", srv.URL+control.Base+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return bufio.NewScanner(resp.Body)
}

// A quiet stream has a comment again and again, so that nothing between takes the connection for dead.
func TestEvents_heartbeat(t *testing.T) {
	t.Parallel()
	lines := stream(t, eventlog.New(0, nil, nil), time.Millisecond, "/events", "")
	for beats := 0; beats < 3; {
		if !lines.Scan() {
			t.Fatal("the stream ended:", lines.Err())
		}
		switch line := lines.Text(); {
		case strings.HasPrefix(line, ":"):
			beats++
		case line != "":
			t.Errorf("a stream in which nothing happened has %q", line)
		}
	}
}

// A client goes on behind the event that it has seen last, and begins anew where that was another emulator's. A limit
// loses nothing.
func TestEvents_resume(t *testing.T) {
	t.Parallel()
	log := eventlog.New(0, nil, nil)
	for range 40 {
		log.Add(&journal.Event{On: "status"})
	}
	for _, tc := range []struct {
		name, path, lastID string
		first              string
		count              int
	}{
		{"from the beginning", "/events", "", "id: 1", 40},
		{"behind an event", "/events", "30", "id: 31", 10},
		{"since an event", "/events?since=38", "", "id: 39", 2},
		{"of an earlier emulator", "/events", "99", "id: 1", 40},
		{"with a limit", "/events?limit=64", "10", "id: 11", 30},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			lines := stream(t, log, time.Hour, tc.path, tc.lastID)
			var ids []string
			for len(ids) < tc.count && lines.Scan() {
				if id := lines.Text(); strings.HasPrefix(id, "id: ") {
					ids = append(ids, id)
				}
			}
			if len(ids) != tc.count || ids[0] != tc.first || ids[len(ids)-1] != "id: 40" {
				t.Errorf("got %d events, %v", len(ids), ids)
			}
		})
	}
}
