package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// DefaultHeartbeat is how often events sends a comment while nothing happens: sooner than anything between a browser
// and the emulator gives a quiet connection up.
const DefaultHeartbeat = 15 * time.Second

// pace is how often events looks for more where a limit is set. So a page that watches costs the emulator the same
// however much happens.
const pace = 250 * time.Millisecond

// events sends the journal as it grows, as server-sent events. A client that lost the connection goes on with
// Last-Event-ID. With a limit, no more than so many are sent in a second, and what comes sooner waits.
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
	paced := q.Limit > 0
	if paced {
		q.Limit = max(1, q.Limit*int(pace/time.Millisecond)/1000)
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	control.Flush()
	if r.Method == http.MethodHead {
		return nil, errWritten
	}
	for {
		if err := a.sendEvents(ctx, w, &q); err != nil || control.Flush() != nil {
			return nil, errWritten
		}
		if paced {
			select {
			case <-time.After(pace):
			case <-ctx.Done():
			}
		}
	}
}

// sendEvents waits for events and writes them, or a comment if there are none for too long. An error is the end.
func (a api) sendEvents(ctx context.Context, w http.ResponseWriter, q *query) error {
	beat, cancel := context.WithTimeout(ctx, a.Heartbeat)
	defer cancel()
	events, err := a.Journal.Next(beat, q.Filter)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		_, err = fmt.Fprint(w, ": nothing happened\n\n")
	}
	for i := range events {
		data, err := a.recent.encode(&events[i])
		if err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
		q.After = events[i].Seq
	}
	return err
}

// recent keeps the latest events as they are sent, for when many watch: encoding is most of what a page costs.
type recent struct {
	mu   sync.Mutex
	sent [512]struct {
		seq  uint64
		data []byte
	}
}

// encode returns an event as it is sent. Events with the same Seq are the same.
func (r *recent) encode(e *journal.Event) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	slot := &r.sent[e.Seq%uint64(len(r.sent))]
	if slot.seq != e.Seq {
		text, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		slot.seq, slot.data = e.Seq, fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.On, text)
	}
	return slot.data, nil
}
