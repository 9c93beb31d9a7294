// Package skip has a clock that stands jump over what clients wait for, so that the hours of an upgrade take no time.
//
// A client waits if it asks for a state again that it was told already. The clock then jumps to the next change, before
// the call is answered, if all others wait as well: no other call is being answered, nothing is transferred, and each
// request that time moves has a client that knows its state. So there is one jump at most for each poll, and each state
// is told before the clock leaves it; what happens depends on the order of calls alone, not on how long they take.
// Deliberately not after a pause without calls: how long a pause means waiting depends on how busy the machine is.
//
// For what has no client any more, or one that learns of the end in another way, there is a limit: after ten such calls
// the clock jumps all the same.
package skip

import (
	"sync"
	"time"
)

// patience is how often a client asks until others are not waited for, or until the same call, repeated, is taken for
// asking.
const patience = 10

// Options say what a Skipper works with. All fields are required.
type Options struct {
	Now     func() time.Time           // the clock
	Advance func(time.Duration) error  // advances it
	Dues    func() map[int64]time.Time // the requests that time moves, and when
	Moves   func() (moving, open bool) // whether something is transferred, and whether a port waits for that
	Failed  func(err error)            // is called if Advance fails
	Journal int                        // how many events are remembered
}

// Skipper follows the calls of clients. Its methods may be called concurrently.
type Skipper struct {
	opts Options
	turn sync.Mutex // of whoever lets the clock jump; taken before all other locks

	mu      sync.Mutex
	calls   int // being answered
	clients map[int64]*client
	came    map[uint64]time.Time // when events were recorded, by real time
	totals  Totals
}

// client is what a request's client has done since the request changed.
type client struct {
	told  bool
	at    time.Time // when it was told, by real time
	asked int       // how often it has asked again
	on    string    // the other call that it repeats
	same  int       // how often
}

// Totals say what came of it.
type Totals struct {
	Jumps   int
	Skipped time.Duration // by the clock
	Slept   time.Duration // real time that clients let pass before they asked again
}

// New returns a Skipper.
func New(opts Options) *Skipper {
	return &Skipper{opts: opts, clients: make(map[int64]*client), came: make(map[uint64]time.Time)}
}

// Begin says that a call has come. End must follow.
func (s *Skipper) Begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
}

// Ask says that the call asks for the state of the request, or if status is false, that it does something else.
func (s *Skipper) Ask(id int64, on string, status bool) {
	s.turn.Lock()
	defer s.turn.Unlock()
	if !s.waits(id, on, status) {
		return
	}
	dues := s.opts.Dues()
	if _, moves := dues[id]; !moves {
		return
	}
	moving, open := s.opts.Moves()
	next, ready := s.next(id, dues, open)
	if moving || !ready {
		return
	}
	if by := next.Sub(s.opts.Now()); by > 0 {
		if err := s.opts.Advance(by); err != nil {
			s.opts.Failed(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.totals.Jumps++
		s.totals.Skipped += by
	}
}

// waits reports whether the client of the call has waited, and nobody else's call is being answered.
func (s *Skipper) waits(id int64, on string, status bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clientLocked(id)
	switch {
	case !status && c.on != on:
		c.on, c.same = on, 1
		return false
	case !status:
		c.same++
		return c.same > patience && s.calls == 1
	case !c.told:
		return false
	}
	c.asked++
	now := time.Now()
	s.totals.Slept += now.Sub(c.at)
	c.at = now
	return s.calls == 1
}

func (s *Skipper) clientLocked(id int64) *client {
	c := s.clients[id]
	if c == nil {
		c = &client{}
		s.clients[id] = c
	}
	return c
}

// next is the next change, and whether the clock may jump there: whether all other clients wait, or were waited for.
func (s *Skipper) next(id int64, dues map[int64]time.Time, open bool) (next time.Time, ready bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ready = !open
	for other, due := range dues {
		if next.IsZero() || due.Before(next) {
			next = due
		}
		if c := s.clients[other]; other != id && (c == nil || !c.told) {
			ready = false
		}
	}
	c := s.clients[id]
	return next, ready || max(c.asked, c.same) > patience
}

// End says that the call has been answered, and whether its client was told the state of the request; id 0 is none.
func (s *Skipper) End(id int64, told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	if told {
		c := s.clientLocked(id)
		c.told, c.at, c.on, c.same = true, time.Now(), "", 0
	}
}

// Changed says that the state of a request has changed. It may be called while Ask runs.
func (s *Skipper) Changed(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, id)
}

// Recorded says that the event of that number is recorded now.
func (s *Skipper) Recorded(seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.came[seq] = time.Now()
	delete(s.came, seq-uint64(s.opts.Journal))
}

// Came returns when the event of that number was recorded, by real time; ok is false if that is not known.
func (s *Skipper) Came(seq uint64) (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok = s.came[seq]
	return at, ok
}

// Totals returns what came of it so far.
func (s *Skipper) Totals() Totals {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.totals
}
