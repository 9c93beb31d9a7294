// Package eventlog keeps the emulator's journal in memory: the latest events, in one order, and how many older
// ones were dropped. Next waits for an event.
package eventlog

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// pass decodes an event and reports whether it passes the filter. The cheap conditions come first.
func pass(f *journal.Filter, kept entry) (e journal.Event, ok bool) {
	request, on := kept.head()
	if kept.seq <= f.After || f.Request != 0 && f.Request != request ||
		f.On != "" && f.On != string(on) && !strings.HasPrefix(string(on), f.On+".") {
		return journal.Event{}, false
	}
	e = kept.event(kept.seq)
	return e, (f.Contract == "" || f.Contract == e.Contract) && !e.At.Before(f.Since)
}

// Param is a parameter of a call.
type Param struct{ Name, Value string }

// entry is an event in a Log.
type entry struct {
	seq uint64
	encoded
}

// Log is a bounded list of events. Its methods may be called concurrently.
type Log struct {
	mu      sync.Mutex
	seq     uint64
	dropped uint64
	events  []entry // oldest first
	cap     int
	changed chan struct{}       // closed when an event is added; nil while no Next waits
	hide    func(string) string // replaces each text that came from outside; nil: they stay as they are
	out     *json.Encoder
	outErr  error
	closed  bool
}

// DefaultCapacity is how many events a Log holds by default.
const DefaultCapacity = 10_000

// New makes a log of capacity events; 0 is DefaultCapacity. Each event is also written to out as one line of
// JSON; if out is nil, events are not written. Each text that came from outside is kept as hide returns it; if
// hide is nil, as it is.
func New(capacity int, out io.Writer, hide func(string) string) *Log {
	if capacity <= 0 {
		capacity = DefaultCapacity
	}
	j := &Log{cap: capacity, hide: hide}
	if out != nil {
		j.out = json.NewEncoder(out)
		j.out.SetEscapeHTML(false)
	}
	return j
}

// Add appends the event, sets its Seq, and hides what is to be hidden in its texts. Its Params come beside it,
// as a list, which is made sooner than a map. Add keeps neither.
func (j *Log) Add(e *journal.Event, params ...Param) {
	if j.hide != nil {
		j.redact(e, params)
	}
	e.Seq = j.add(encode(make([]byte, 0, usualSize), e, params)) // before the lock, which every call needs
}

func (j *Log) redact(e *journal.Event, params []Param) {
	for _, text := range [...]*string{
		&e.Contract, &e.Method, &e.Path, &e.Agent, &e.User, &e.Client, &e.Op, &e.Why,
	} {
		*text = j.hide(*text)
	}
	if e.Rsync != nil {
		r := *e.Rsync // what the caller has may be shared
		r.Command, r.Files = j.hide(r.Command), slices.Clone(r.Files)
		for i := range r.Files {
			r.Files[i].Name = j.hide(r.Files[i].Name)
		}
		e.Rsync = &r
	}
	for i := range params {
		params[i] = Param{j.hide(params[i].Name), j.hide(params[i].Value)}
	}
}

func (j *Log) add(p encoded) (seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	if len(j.events) == j.cap {
		j.events[0] = entry{}
		j.events = j.events[1:]
		j.dropped++
	}
	j.events = append(j.events, entry{j.seq, p})
	if j.out != nil {
		j.writeLocked(p)
	}
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
	return j.seq
}

func (j *Log) writeLocked(p encoded) {
	if j.outErr == nil {
		j.outErr = j.out.Encode(p.event(j.seq))
	}
}

// Events returns the events that pass, oldest first.
func (j *Log) Events(f journal.Filter) []journal.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.eventsLocked(f)
}

func (j *Log) eventsLocked(f journal.Filter) []journal.Event {
	var found []journal.Event
	first, _ := slices.BinarySearchFunc(j.events, f.After+1,
		func(e entry, seq uint64) int { return cmp.Compare(e.seq, seq) })
	for _, kept := range j.events[first:] {
		if e, ok := pass(&f, kept); ok {
			if found = append(found, e); len(found) == f.Limit {
				break
			}
		}
	}
	return found
}

// ErrClosed is what Next returns when the log was closed.
var ErrClosed = errors.New("journal: closed")

// Next returns the events that pass, and waits for one while there is none.
func (j *Log) Next(ctx context.Context, f journal.Filter) ([]journal.Event, error) {
	for {
		j.mu.Lock()
		found, closed := j.eventsLocked(f), j.closed
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		changed := j.changed
		j.mu.Unlock()
		switch {
		case len(found) > 0:
			return found, nil
		case closed:
			return nil, ErrClosed
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// First is the number of the oldest event that is remembered, or of the next one if none is.
func (j *Log) First() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.events) == 0 {
		return j.seq + 1
	}
	return j.events[0].seq
}

// Last is the number of the latest event.
func (j *Log) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq
}

// Dropped is how many events were dropped because the log was full.
func (j *Log) Dropped() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Clear forgets the events that pass, keeping the others; the numbers go on.
func (j *Log) Clear(f journal.Filter) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = slices.DeleteFunc(j.events, func(e entry) bool {
		_, ok := pass(&f, e)
		return ok
	})
	if f == (journal.Filter{}) {
		j.dropped = 0
	}
}

// Close ends every Next, and returns the error of writing events, if any.
func (j *Log) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
	if j.outErr != nil {
		return fmt.Errorf("journal: write: %w", j.outErr)
	}
	return nil
}
