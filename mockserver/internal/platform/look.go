package platform

import (
	"cmp"
	"slices"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Selection is which requests List returns, for a page of them at a time. The zero value selects all.
type Selection struct {
	Contract, State string // "" is any
	// Found reports whether a request is selected; nil: it is. It is called under the platform's lock.
	Found  func(*Snapshot) bool
	Newest bool  // the latest first
	After  int64 // the id behind which the page begins, in that order; 0: at the beginning
	Limit  int   // the most requests of a page; 0: all
}

// List returns the selected requests as they are, and how many there are on all pages.
func (p *Platform) List(of Selection) (page []Snapshot, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]int64, 0, len(p.requests))
	p.evaluateLocked()
	for id, r := range p.requests {
		if of.selectsLocked(r) {
			ids = append(ids, id)
		}
	}
	compare := cmp.Compare[int64]
	if of.Newest {
		compare = func(a, b int64) int { return cmp.Compare(b, a) }
	}
	slices.SortFunc(ids, compare)
	total = len(ids)
	if of.After != 0 {
		first, found := slices.BinarySearchFunc(ids, of.After, compare)
		if found {
			first++
		}
		ids = ids[first:]
	}
	if of.Limit > 0 && len(ids) > of.Limit {
		ids = ids[:of.Limit]
	}
	page = make([]Snapshot, len(ids))
	for i, id := range ids {
		page[i] = p.requests[id].snapshotLocked()
	}
	return page, total
}

func (of *Selection) selectsLocked(r *Request) bool {
	if of.Contract != "" && of.Contract != r.rec.Contract || of.State != "" && of.State != r.stateLocked() {
		return false
	}
	if of.Found == nil {
		return true
	}
	s := r.snapshotLocked()
	return of.Found(&s)
}

// Course is how far a request has come in its script: a copy, but for the script, which must not be changed.
type Course struct {
	Script      *scenario.Scenario
	Position    machine.Position // since ProcessedAt
	ProcessedAt *time.Time       // nil: nobody has called process
	Forced      string           // the state that it was put in from outside its script; "" if it was not
	ForcedAt    time.Time
	ForcedSet   map[string]any    // the keys that were set with it
	ByHand      []*scenario.Fault // that were triggered by Inject, the last ones
	Faults      machine.Counts
	Due         *time.Time // when the present step ends by itself; nil: it does not
}

// Course returns how far the request has come.
func (r *Request) Course() Course {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.evaluateLocked()
	c := Course{
		Script: r.rec.Script, Position: r.rec.Position, ProcessedAt: r.rec.ProcessedAt,
		Faults: slices.Clone(r.rec.Faults), ByHand: slices.Clone(r.p.byHand[r.rec.ID]),
	}
	if f := r.rec.Forced; f != nil {
		c.Forced, c.ForcedAt, c.ForcedSet = f.State, f.At, f.Set
	} else if c.ProcessedAt != nil {
		if due, ok := machine.Due(c.Script, c.Position); ok {
			c.Due = &due
		}
	}
	return c
}

// ByHand is the Index of a fault that no script has.
const ByHand = -1

// Inject has the fault trigger once, at the request's next call on its place, before any of its script. It is lost with
// the process. If the request was forgotten, it does nothing.
func (r *Request) Inject(fault *scenario.Fault) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.forgotten {
		return
	}
	if r.p.injected == nil {
		r.p.injected = make(map[int64][]*scenario.Fault)
	}
	r.p.injected[r.rec.ID] = append(r.p.injected[r.rec.ID], fault)
	r.injected.Store(true)
}

// Injected returns the faults that wait to be triggered once.
func (r *Request) Injected() []*scenario.Fault {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return slices.Clone(r.p.injected[r.rec.ID])
}

// takeInjectedLocked takes the first fault that waits for a call on that place, nil if there is none.
func (r *Request) takeInjectedLocked(on string) *Fault {
	waiting := r.p.injected[r.rec.ID]
	at := slices.IndexFunc(waiting, func(f *scenario.Fault) bool { return f.On == on })
	if at < 0 {
		return nil
	}
	fault := waiting[at]
	r.p.setInjectedLocked(r, slices.Delete(waiting, at, at+1))
	const most = 100
	past := append(r.p.byHand[r.rec.ID], fault)
	if r.p.byHand == nil {
		r.p.byHand = make(map[int64][]*scenario.Fault)
	}
	r.p.byHand[r.rec.ID] = past[max(0, len(past)-most):]
	return &Fault{fault, ByHand}
}

func (p *Platform) setInjectedLocked(r *Request, waiting []*scenario.Fault) {
	if len(waiting) == 0 {
		delete(p.injected, r.rec.ID)
		r.injected.Store(false)
		return
	}
	p.injected[r.rec.ID] = waiting
}
