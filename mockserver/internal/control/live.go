package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// DefaultHeartbeat is how often events sends a comment while nothing happens: sooner than anything between a browser
// and the emulator gives a quiet connection up.
const DefaultHeartbeat = 15 * time.Second

// How often a stream sends what has happened since: with a limit, as for a page to look at, and without.
const (
	pagePace = 250 * time.Millisecond
	pace     = 50 * time.Millisecond
)

// latest is how many seconds a stream with a limit may be late until it goes on with the latest events.
const latest = 4

// mostEvents is how many events a second all streams together send. So those who watch cost the emulator the same,
// however many they are and however much happens; see bench/README.md.
const mostEvents = 10_000

// events sends the journal as it grows, as server-sent events. A client that lost the connection goes on with
// Last-Event-ID. With a limit, no more than so many are sent in a second, and of many more only the latest; without,
// what comes too fast waits, as long as the journal remembers it. Of what is left out an event named skipped says how
// much it is.
func (a api) events(w http.ResponseWriter, r *http.Request, q query) (any, error) {
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		var err error
		if q.After, err = strconv.ParseUint(last, 10, 64); err != nil {
			return nil, badRequest("Last-Event-ID %q: wanted the seq of an event, such as 17", last)
		}
		if q.After > a.Journal.Last() {
			q.After = 0 // it is of an earlier emulator: all of this one's is new
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() { // an emulator that stops does not wait for its audience
		select {
		case <-a.Done:
			cancel()
		case <-ctx.Done():
		}
	}()
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	control.Flush()
	if r.Method == http.MethodHead {
		return nil, errWritten
	}
	a.streams.count.Add(1)
	defer a.streams.count.Add(-1)
	from := position{filter: q.Filter, after: q.After, limit: q.Limit}
	from.filter.After, from.filter.Limit = 0, 0
	for sent := time.Now(); ; {
		next, err := a.nextPart(ctx, from)
		if err != nil {
			return nil, errWritten
		}
		if len(next.data) == 0 && time.Since(sent) >= a.Heartbeat {
			next.data = []byte(": nothing happened\n\n")
		}
		if len(next.data) > 0 {
			sent = time.Now()
			if _, err := w.Write(next.data); err != nil || control.Flush() != nil {
				return nil, errWritten
			}
		}
		from.after = next.after
		pace := a.streams.pace(from)
		select {
		case <-time.After(pace - time.Duration(time.Now().UnixNano())%pace): // when the others look, too
		case <-ctx.Done():
			return nil, errWritten
		}
	}
}

// nextPart waits until something has happened, no longer than a heartbeat, and returns what a stream sends of it.
func (a api) nextPart(ctx context.Context, from position) (part, error) {
	beat, cancel := context.WithTimeout(ctx, a.Heartbeat)
	defer cancel()
	for a.Journal.Last() <= from.after {
		_, err := a.Journal.Next(beat, journal.Filter{After: from.after, Limit: 1})
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return part{nil, from.after}, nil
		}
		if err != nil {
			return part{}, err
		}
	}
	return a.streams.part(a.Journal, from)
}

// streams are the streams of events that there are. Those at the same place are sent the same bytes, made once.
type streams struct {
	count atomic.Int64

	mu        sync.Mutex
	began     time.Time // of the time in which parts are made once
	parts     map[position]part
	evaluated time.Time
}

// position is what a stream sends, and how far it has come.
type position struct {
	filter journal.Filter // without After and Limit
	after  uint64
	limit  int // 0: without
}

// pace is how long a stream waits until it looks for more. Many pages take turns that are longer.
func (s *streams) pace(p position) time.Duration {
	if p.limit > 0 {
		return pagePace * time.Duration(1+s.count.Load()/20)
	}
	return pace
}

// part is what a stream sends next, and how far it has come then.
type part struct {
	data  []byte
	after uint64
}

// part returns what a stream sends next: no more than its share.
func (s *streams) part(from Journal, at position) (part, error) {
	share := mostEvents / max(1, int(s.count.Load()))
	if at.limit > 0 {
		share = min(share, at.limit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.parts == nil || now.Sub(s.began) >= pace/2 {
		s.began, s.parts = now, make(map[position]part)
	}
	if now.Sub(s.evaluated) >= pagePace/2 {
		s.evaluated = now
		from.Evaluate()
	}
	if made, ok := s.parts[at]; ok {
		return made, nil
	}
	made, err := newPart(from, at, max(1, share*int(s.pace(at)/time.Millisecond)/1000))
	if err == nil {
		s.parts[at] = made
	}
	return made, err
}

// newPart makes a part of so many events at most.
func newPart(from Journal, at position, most int) (part, error) {
	f := at.filter
	f.After, f.Limit = at.after, most
	last := from.Last() // before, so that none is passed over
	late := at.limit > 0 && last > at.after+uint64(latest*at.limit)
	events, out := from.Part(f, late)
	if n := len(events); n > 0 && (n == most && !late || events[n-1].Seq > last) {
		last = events[n-1].Seq
	}
	var b bytes.Buffer
	if out > 0 {
		fmt.Fprintf(&b, "event: skipped\ndata: {\"skipped\": %d}\n\n", out)
	}
	for i := range events {
		text, err := json.Marshal(&events[i])
		if err != nil {
			return part{}, err
		}
		fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: %s\n\n", events[i].Seq, events[i].On, text)
	}
	return part{b.Bytes(), last}, nil
}
