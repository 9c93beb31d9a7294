package mockserver

import (
	"context"
	"log/slog"

	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/skip"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// observer gets every event: it counts it, keeps it in the journal, and logs it.
type observer struct {
	journal *eventlog.Log
	metrics *metrics
	log     *slog.Logger
	skipper *skip.Skipper // nil: the clock does not jump
}

func (o *observer) record(e *journal.Event, params ...eventlog.Param) {
	o.metrics.count(e)
	o.journal.Add(e, params...)
	if o.skipper != nil {
		o.skipper.Recorded(e.Seq)
	}
	o.logEvent(e)
}

// changed journals a change of state. It is called under the platform's lock.
func (o *observer) changed(c platform.Change) {
	o.record(&journal.Event{
		On: journal.OnState, At: c.At, Request: c.ID, Contract: c.Contract, From: c.From, To: c.To,
	})
	if o.skipper != nil {
		o.skipper.Changed(c.ID)
	}
}

// logEvent writes an event of the journal to the log, as one line of level debug. Keys were shortened by the journal.
func (o *observer) logEvent(e *journal.Event) {
	ctx := context.Background()
	if !o.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("on", e.On)}
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	number := func(key string, value int64) {
		if value != 0 {
			attrs = append(attrs, slog.Int64(key, value))
		}
	}
	list := func(key string, n int, value any) {
		if n > 0 {
			attrs = append(attrs, slog.Any(key, value))
		}
	}
	number("session", int64(e.Session))
	text("method", e.Method)
	text("path", e.Path)
	number("request", e.Request)
	text("contract", e.Contract)
	text("user", e.User)
	number("status", int64(e.Status))
	text("state", e.State)
	text("from", e.From)
	text("to", e.To)
	list("failures", len(e.Failures), e.Failures)
	text("op", e.Op)
	number("handle", int64(e.Handle))
	text("flags", e.Flags)
	number("size", e.Size)
	list("written", len(e.Written), e.Written)
	list("read", len(e.Read), e.Read)
	number("received", e.Received)
	number("sent", e.Sent)
	text("fault", e.Fault)
	if f := e.Fired; f != nil {
		attrs = append(attrs, slog.Group("fired", "at", f.At, "received", f.Received, "sent", f.Sent))
	}
	if r := e.Rsync; r != nil {
		attrs = append(attrs, slog.Group("rsync", "exit", r.Exit, "count", r.Count, "skipped", r.Skipped, "saved", r.Saved))
	}
	text("why", e.Why)
	if e.Duration != 0 {
		attrs = append(attrs, slog.Duration("took", e.Duration))
	}
	o.log.LogAttrs(ctx, slog.LevelDebug, "event", attrs...)
}
