package mockserver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// ControlCall is a call of the control API that changes something, or was to; see Options.OnControl. Keys in it are
// shortened.
type ControlCall struct {
	At      time.Time // by the emulator's clock, after the call
	After   uint64    // the Seq of the journal's latest event before it
	Method  string    // of HTTP
	Path    string    // below /_mock/, with the query, such as "clock/advance"
	Body    string    // if it is one line of JSON, and not a long one
	Problem string    // why it changed nothing; "": it did
}

// called is what the control API calls after a call; nil if nobody wants to know.
func (s *Server) called() func(control.Call) {
	if s.opts.OnControl == nil {
		return nil
	}
	return func(c control.Call) {
		call := ControlCall{At: s.opts.Clock.Now(), After: c.After, Method: c.Method, Path: s.keys.Hide(c.Path),
			Body: s.keys.Hide(c.Body)}
		if c.Err != nil {
			call.Problem = s.keys.Hide(c.Err.Error())
		}
		s.opts.OnControl(call)
	}
}

// followed is how many events Follow passes on at once, at most.
const followed = 500

// Follow calls show with the events of the journal that pass, oldest first and some at a time, until ctx ends or the
// server is closed, and returns which error it was. While show has not returned, events wait in the journal, which
// forgets the oldest when it is full (Options.JournalSize): then there is a gap in their Seq.
//
// To find changes of state that come by themselves, Follow looks at all requests from time to time, and takes less than
// a hundredth of the time for it.
func (s *Server) Follow(ctx context.Context, f journal.Filter, show func([]journal.Event)) error {
	f.Limit = followed
	var look, due time.Time // when to look at the requests, at the earliest and if no event comes
	stale := true           // something has happened since they were looked at
	for {
		if now := time.Now(); stale && !now.Before(look) || !due.IsZero() && !now.Before(due) {
			s.platform.Evaluate()
			due = time.Time{}
			if at, ok := s.platform.Due(); ok && s.timed {
				due = at
			}
			look = time.Now().Add(100 * time.Since(now))
			if stale = false; !due.IsZero() && due.Before(look) {
				due = look
			}
		}
		next := due
		if stale {
			next = look
		}
		wait, cancel := ctx, context.CancelFunc(func() {})
		if !next.IsZero() {
			wait, cancel = context.WithDeadline(ctx, next)
		}
		events, err := s.observer.journal.Next(wait, f)
		cancel()
		switch {
		case len(events) > 0:
			f.After, stale = events[len(events)-1].Seq, true
			show(events)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, eventlog.ErrClosed):
			return err
		}
	}
}

// Next is what becomes of a request by its script.
type Next struct {
	From  string       // the state that it is in
	State string       // the next; "": there is none
	For   scenario.For // what it waits for; the zero For is for ever
	Polls int          // how many of For.Polls there have been
	Due   *time.Time   // when it comes by itself; nil: it does not
}

// Next returns what becomes of a request from the state that it is in; ErrNoRequest. A request that was not given to
// process, or was put in a state from outside its script, has nothing next.
func (s *Server) Next(id int64) (Next, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return Next{}, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	c := r.Course()
	at, steps := c.Position.Step, c.Script.Steps
	if c.ProcessedAt == nil || c.Forced != "" || at+1 >= len(steps) {
		return Next{From: r.Snapshot().State}, nil
	}
	return Next{From: steps[at].State, State: steps[at+1].State, For: steps[at].For, Polls: c.Position.Polls,
		Due: c.Due}, nil
}
