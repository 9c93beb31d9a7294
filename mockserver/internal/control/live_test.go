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
func (kept) Evaluate()                   {}

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

// A quiet stream has a comment again and again, so that nothing between takes the connection for dead; also where
// something happens all the time that is not for it.
func TestEvents_heartbeat(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/events", "/events?request=7"} {
		log := eventlog.New(0, nil, nil)
		lines := stream(t, log, time.Millisecond, path, "")
		for beats := 0; beats < 3; {
			if path != "/events" {
				log.Add(&journal.Event{On: "status", Request: 8})
			}
			if !lines.Scan() {
				t.Fatal("the stream ended:", lines.Err())
			}
			switch line := lines.Text(); {
			case strings.HasPrefix(line, ":"):
				beats++
			case line != "":
				t.Errorf("%s: a stream in which nothing happened has %q", path, line)
			}
		}
	}
}

// A client goes on behind the event that it has seen last, and begins anew where that was another emulator's. With a
// limit, one that is late by much is told of the latest events, and how many are left out.
func TestEvents_resume(t *testing.T) {
	t.Parallel()
	log := eventlog.New(0, nil, nil)
	for range 39 {
		log.Add(&journal.Event{On: "status"})
	}
	log.Add(&journal.Event{On: "status", Request: 7})
	for _, tc := range []struct {
		name, path, lastID string
		first              string
		count              int
		skipped            string
	}{
		{"from the beginning", "/events", "", "id: 1", 40, ""},
		{"behind an event", "/events", "30", "id: 31", 10, ""},
		{"since an event", "/events?since=38", "", "id: 39", 2, ""},
		{"of an earlier emulator", "/events", "99", "id: 1", 40, ""},
		{"with a limit", "/events?limit=64", "10", "id: 11", 30, ""},
		{"too late for a limit", "/events?limit=7", "10", "id: 40", 1, `data: {"skipped": 29}`},
		{"of a request", "/events?limit=64&request=7", "10", "id: 40", 1, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			lines := stream(t, log, time.Hour, tc.path, tc.lastID)
			var ids []string
			skipped := ""
			for len(ids) < tc.count && lines.Scan() {
				if line := lines.Text(); strings.HasPrefix(line, "id: ") {
					ids = append(ids, line)
				} else if strings.Contains(line, "skipped") && strings.HasPrefix(line, "data: ") {
					skipped = line
				}
			}
			if skipped != tc.skipped {
				t.Errorf("%q, want %q", skipped, tc.skipped)
			}
			if len(ids) != tc.count || ids[0] != tc.first || ids[len(ids)-1] != "id: 40" {
				t.Errorf("got %d events, %v", len(ids), ids)
			}
		})
	}
}

// What the journal's bound has cost a client that did not read is counted, and all streams at the same place are sent
// the same.
func TestEvents_bound(t *testing.T) {
	t.Parallel()
	log := eventlog.New(10, nil, nil)
	for range 40 {
		log.Add(&journal.Event{On: "status"})
	}
	for _, path := range []string{"/events", "/events?limit=500"} {
		var all []string
		for range 2 {
			lines := stream(t, log, time.Hour, path, "20")
			var got strings.Builder
			for !strings.Contains(got.String(), "id: 40") && lines.Scan() {
				got.WriteString(lines.Text() + "\n")
			}
			all = append(all, got.String())
		}
		if !strings.HasPrefix(all[0], "event: skipped\ndata: {\"skipped\": 10}\n\nid: 31\n") || all[0] != all[1] {
			t.Errorf("%s: %s\n%s", path, all[0], all[1])
		}
	}
}
