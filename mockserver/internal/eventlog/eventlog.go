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

// Param is a parameter of a call.
type Param struct{ Name, Value string }

// entry is an event in a Log. What it is asked for most stands beside the rest, which costs a look elsewhere.
type entry struct {
	seq     uint64
	request int64
	encoded
}

// passes reports whether the event passes the filter. The cheap conditions come first.
func (p *entry) passes(f *journal.Filter) bool {
	if p.seq <= f.After || f.Request != 0 && f.Request != p.request {
		return false
	}
	if f.On != "" {
		if on := string(p.on()); on != f.On && !strings.HasPrefix(on, f.On+".") {
			return false
		}
	}
	if f.Contract == "" && f.Since.IsZero() {
		return true
	}
	e := p.event()
	return (f.Contract == "" || f.Contract == e.Contract) && !e.At.Before(f.Since)
}

// Log is a bounded list of events. Its methods may be called concurrently.
type Log struct {
	mu      sync.Mutex
	seq     uint64
	dropped uint64
	bound   uint64  // the number of the latest event that was dropped
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
	p := entry{request: e.Request, encoded: encode(make([]byte, 0, usualSize), e, params)} // before the lock of all calls
	e.Seq = j.add(p)
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

func (j *Log) add(p entry) (seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	p.seq = j.seq
	if len(j.events) == j.cap {
		j.bound = j.events[0].seq
		j.events[0] = entry{}
		j.events = j.events[1:]
		j.dropped++
	}
	j.events = append(j.events, p)
	if j.out != nil {
		j.writeLocked(&p)
	}
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
	return j.seq
}

func (j *Log) writeLocked(p *entry) {
	if j.outErr == nil {
		j.outErr = j.out.Encode(p.event())
	}
}

// Events returns the events that pass, oldest first.
func (j *Log) Events(f journal.Filter) []journal.Event {
	j.mu.Lock()
	found := j.foundLocked(&f)
	j.mu.Unlock()
	return decoded(found)
}

// Around returns the events that pass, and are of that request or of none, oldest first.
func (j *Log) Around(request int64, f journal.Filter) []journal.Event {
	j.mu.Lock()
	var found []entry
	for i := j.behindLocked(f.After); i < len(j.events); i++ {
		if p := &j.events[i]; (p.request == request || p.request == 0) && p.passes(&f) {
			found = append(found, *p)
		}
	}
	j.mu.Unlock()
	return decoded(found)
}

// Part returns as many events that pass as the filter's limit: the oldest, or the latest of them, oldest first. It also
// returns how many are left out before them: those that pass, and those that were dropped behind the filter's After,
// whatever they were.
func (j *Log) Part(f journal.Filter, latest bool) (events []journal.Event, out uint64) {
	j.mu.Lock()
	var found []entry
	if latest {
		found, out = j.latestLocked(&f)
	} else {
		found = j.foundLocked(&f)
	}
	if j.bound > f.After {
		out += j.bound - f.After
	}
	j.mu.Unlock()
	return decoded(found), out
}

func (j *Log) latestLocked(f *journal.Filter) (found []entry, out uint64) {
	first := j.behindLocked(f.After)
	for i := len(j.events) - 1; i >= first; i-- {
		switch p := &j.events[i]; {
		case !p.passes(f):
		case f.Limit == 0 || len(found) < f.Limit:
			found = append(found, *p)
		default:
			out++
		}
	}
	slices.Reverse(found)
	return found, out
}

// behindLocked is the index of the first event behind that number.
func (j *Log) behindLocked(after uint64) int {
	first, _ := slices.BinarySearchFunc(j.events, after+1,
		func(e entry, seq uint64) int { return cmp.Compare(e.seq, seq) })
	return first
}

func (j *Log) foundLocked(f *journal.Filter) (found []entry) {
	for i := j.behindLocked(f.After); i < len(j.events); i++ {
		if p := &j.events[i]; p.passes(f) {
			if found = append(found, *p); len(found) == f.Limit {
				break
			}
		}
	}
	return found
}

// decoded is what the entries stand for. It needs no lock, which all calls wait for.
func decoded(list []entry) []journal.Event {
	if list == nil {
		return nil
	}
	events := make([]journal.Event, len(list))
	for i := range list {
		events[i] = list[i].event()
	}
	return events
}

// ErrClosed is what Next returns when the log was closed.
var ErrClosed = errors.New("journal: closed")

// Next returns the events that pass, and waits for one while there is none.
func (j *Log) Next(ctx context.Context, f journal.Filter) ([]journal.Event, error) {
	for {
		j.mu.Lock()
		found, closed := j.foundLocked(&f), j.closed
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		changed := j.changed
		j.mu.Unlock()
		switch {
		case len(found) > 0:
			return decoded(found), nil
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
	j.events = slices.DeleteFunc(j.events, func(e entry) bool { return e.passes(&f) })
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
