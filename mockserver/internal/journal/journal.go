// Package journal remembers what happened: every HTTP exchange, every SFTP event, every change of state, in one order.
//
// It is bounded: the latest events, with a count of those that fell out. It holds sizes and checksums,
// never bodies, and keys only shortened. Whoever wants to wait for something reads with Next, which blocks until
// there is something to read; nothing polls.
package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// Event is one thing that happened. What means nothing for its On is zero, and left out of the JSON.
type Event struct {
	Seq      uint64    `json:"seq"` // from 1, without gaps until the journal is cleared
	At       time.Time `json:"at"`  // by the emulator's clock; for a change of state, when it logically happened
	On       string    `json:"on"`  // a method, "download", "page", "sftp.…" or "state"
	Request  int64     `json:"request,omitempty"`
	Contract string    `json:"contract,omitempty"`
	Scenario string    `json:"scenario,omitempty"`

	// An HTTP exchange.
	Method     string            `json:"method,omitempty"`
	Path       string            `json:"path,omitempty"`
	Params     map[string]string `json:"params,omitempty"` // the key shortened, long values cut
	Agent      string            `json:"user_agent,omitempty"`
	Status     int               `json:"status,omitempty"`
	Received   int64             `json:"received,omitempty"`       // bytes of a dump
	Checksum   string            `json:"checksum,omitempty"`       // "crc32c:…", of the whole dump: received, closed over SFTP, or processed
	Sent       int64             `json:"sent,omitempty"`           // bytes of the answer's body
	State      string            `json:"state,omitempty"`          // of the request, as the answer says
	Failures   []string          `json:"failures,omitempty"`       // the reasons
	KeyIn      string            `json:"key_in,omitempty"`         // the headers of the call that had the request's key in them
	RetryAfter time.Duration     `json:"retry_after_ns,omitempty"` // what the answer's header said
	Duration   time.Duration     `json:"duration_ns,omitempty"`

	// An SFTP event.
	Session uint64  `json:"session,omitempty"`
	User    string  `json:"user,omitempty"`
	Client  string  `json:"client,omitempty"`
	Auth    string  `json:"auth,omitempty"` // the authentication method
	PubKey  string  `json:"public_key,omitempty"`
	Handle  uint64  `json:"handle,omitempty"`
	Op      string  `json:"op,omitempty"`
	Flags   string  `json:"flags,omitempty"`
	Size    int64   `json:"size,omitempty"`
	Offset  int64   `json:"offset,omitempty"`
	Written []Range `json:"written,omitempty"`
	Read    []Range `json:"read,omitempty"`

	// A change of state.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`

	Fault string `json:"fault,omitempty"` // the scripted fault that fired: its place in the scenario, and what it does
	Fired *Fired `json:"fired,omitempty"` // where it did; nil for faults that have no such place
	Why   string `json:"why,omitempty"`   // an explanation for whoever tests a client
}

// Fired says where a scripted fault fired, and how many bytes went before and behind it.
type Fired struct {
	// At is the byte at which it fired: of the call's body on upload and upgrade, of the answer's body on other calls, of the file
	// (its offset) over SFTP. A fault that fired before anything went has 0.
	At int64 `json:"at"`
	// Received is how many bytes of the call's body, or of the file, came in.
	Received int64 `json:"received"`
	// Sent is how many bytes of the answer's body, or of the file, were sent.
	Sent int64 `json:"sent"`
}

// Range is a stretch of a file, from From up to but without To.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Filter narrows the events down; a zero field lets all pass.
type Filter struct {
	Request  int64
	Contract string
	On       string    // an event's On, or its part before a dot: "sftp" is all of "sftp.…"
	Since    time.Time // not earlier
	After    uint64    // a later Seq
}

// pass returns the event that is remembered there, if it passes. What most of them do not have in common is looked at first.
func (f *Filter) pass(seq uint64, p packed) (e Event, ok bool) {
	request, on := p.head()
	if seq <= f.After || f.Request != 0 && f.Request != request || f.On != "" && f.On != string(on) && !strings.HasPrefix(string(on), f.On+".") {
		return Event{}, false
	}
	e = p.event(seq)
	return e, (f.Contract == "" || f.Contract == e.Contract) && !e.At.Before(f.Since)
}

// Param is a parameter of a call.
type Param struct{ Name, Value string }

// Journal is a bounded list of events. Its methods may be called concurrently.
type Journal struct {
	mu      sync.Mutex
	seq     uint64
	dropped uint64
	events  queue // what each Add changes stands at its beginning, and so all of it together
	cap     int
	changed chan struct{}       // closed when an event is added; nil while nobody waits
	hide    func(string) string // what an event shows of a text
	out     *json.Encoder
	outErr  error
	closed  bool
}

// DefaultCapacity is how many events a Journal holds unless told otherwise.
const DefaultCapacity = 10_000

// New makes a journal of capacity events, 0 meaning DefaultCapacity. Each event is also written to out as one line
// of JSON, unless out is nil. Every text that came from outside is remembered as hide returns it; nil leaves it as it is.
func New(capacity int, out io.Writer, hide func(string) string) *Journal {
	if capacity <= 0 {
		capacity = DefaultCapacity
	}
	j := &Journal{cap: capacity, hide: hide}
	if out != nil {
		j.out = json.NewEncoder(out)
		j.out.SetEscapeHTML(false)
	}
	return j
}

// Add appends the event, giving it its number and hiding what is to be hidden in its texts. Its Params come beside it: a list is made sooner than
// a map. Nothing of either is held on to.
func (j *Journal) Add(e *Event, params ...Param) {
	if j.hide != nil {
		j.redact(e, params)
	}
	room := rooms.Get().(*[]byte)
	p := pack((*room)[:0], e, params) // before the lock, which every call needs
	e.Seq = j.add(p)
	if cap(p) <= usualSize { // one large event must not keep its memory for all that follow
		*room = p
	}
	rooms.Put(room)
}

func (j *Journal) redact(e *Event, params []Param) {
	for _, text := range [...]*string{
		&e.Contract, &e.Method, &e.Path, &e.Agent, &e.User, &e.Client, &e.Op, &e.Why,
	} {
		*text = j.hide(*text)
	}
	for i := range params {
		params[i] = Param{j.hide(params[i].Name), j.hide(params[i].Value)}
	}
}

// rooms is memory to pack events in.
var rooms = sync.Pool{New: func() any { return new([]byte) }}

func (j *Journal) add(p packed) (seq uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	if j.events.len() == j.cap {
		j.events.drop()
		j.dropped++
	}
	j.events.add(j.seq, p)
	if j.out != nil {
		j.writeLocked(p)
	}
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
	return j.seq
}

func (j *Journal) writeLocked(p packed) {
	if j.outErr == nil {
		j.outErr = j.out.Encode(p.event(j.seq))
	}
}

// Events returns the events that pass, oldest first.
func (j *Journal) Events(f Filter) []Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.eventsLocked(f)
}

func (j *Journal) eventsLocked(f Filter) []Event {
	var found []Event
	for seq, p := range j.events.later(f.After) {
		if e, ok := f.pass(seq, p); ok {
			found = append(found, e)
		}
	}
	return found
}

// ErrClosed is returned to whoever waits for events of a journal that gets no more.
var ErrClosed = fmt.Errorf("journal: closed")

// Next returns the events that pass, and waits for one while there is none.
func (j *Journal) Next(ctx context.Context, f Filter) ([]Event, error) {
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

// Last is the number of the latest event.
func (j *Journal) Last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seq
}

// Dropped is how many events the bound has cost.
func (j *Journal) Dropped() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.dropped
}

// Clear forgets the events that pass, keeping the others; the numbers go on.
func (j *Journal) Clear(f Filter) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var kept queue
	for seq, p := range j.events.later(0) {
		if _, ok := f.pass(seq, p); !ok {
			kept.add(seq, p)
		}
	}
	j.events = kept
	if f == (Filter{}) {
		j.dropped = 0
	}
}

// Close ends all waiting, and tells what went wrong in writing events out.
func (j *Journal) Close() error {
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
