package eventlog_test

import (
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

func BenchmarkAdd(b *testing.B) {
	j := eventlog.New(0, nil, nil)
	e := journal.Event{
		At: time.Now(), On: "status", Request: 10534, Contract: "M123456-abcdef", Scenario: "normal", Method: "GET",
		Path:  "/database/v1/status",
		Agent: "curl/7.88.1", Status: 200, Sent: 1137, State: "draft", Duration: 50 * time.Microsecond,
	}
	params := []eventlog.Param{{Name: "request", Value: "10534"}, {Name: "key", Value: "abcd…"}}
	b.ReportAllocs()
	for b.Loop() {
		j.Add(&e, params...)
	}
}

// BenchmarkNext is what each event costs while somebody waits for the next one, behind a full journal.
func BenchmarkNext(b *testing.B) {
	j := eventlog.New(0, nil, nil)
	fill(j, eventlog.DefaultCapacity)
	for b.Loop() {
		last := j.Last()
		j.Add(&journal.Event{On: "status"})
		if events, err := j.Next(b.Context(), journal.Filter{After: last}); err != nil || len(events) != 1 {
			b.Fatalf("%d events, %v", len(events), err)
		}
	}
}
