package platform

import (
	"maps"
	"slices"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Fault is a fault that was picked, and its place in the script.
type Fault struct {
	*scenario.Fault
	Index int // in the script's Faults, or ByHand
}

// Pick chooses the fault of the request's script for the next call on a place, and counts the call. It returns nil if
// no fault applies.
func (r *Request) Pick(on string) *Fault {
	if len(r.rec.Script.Faults) == 0 && !r.injected.Load() {
		return nil
	}
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.forgotten {
		return nil
	}
	if fault := r.takeInjectedLocked(on); fault != nil {
		return fault
	}
	fault, index, counts := machine.Pick(r.rec.Script, on, r.rec.Faults)
	r.countLocked(counts)
	if fault == nil {
		return nil
	}
	return &Fault{fault, index}
}

// countLocked keeps the counts. One that cannot be written is no reason to answer otherwise than the script says.
func (r *Request) countLocked(counts machine.Counts) {
	count := func(w *work) { w.Faults = counts }
	if err := r.updateLocked(count); err != nil {
		r.rec.update(count)
	}
}

func changesHostKey(script *scenario.Scenario) bool {
	return slices.ContainsFunc(script.Faults, func(f scenario.Fault) bool { return f.HostKey != "" })
}

// PickHostKey returns the fault for which the SSH connection that is just beginning is to see another host key than
// before, and its request; nil if it sees the usual one. It is not known yet who connects: the first request with an
// SFTP access whose script wants that is taken to be the one.
func (p *Platform) PickHostKey() (*Fault, *Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(p.hostKeyFaults)) {
		r := p.requests[id]
		if r.rec.Access == nil {
			continue
		}
		fault, index, counts := machine.Pick(r.rec.Script, scenario.OnSFTPLogin, r.rec.Faults)
		if fault != nil && fault.HostKey != "" {
			r.countLocked(counts)
			return &Fault{fault, index}, r
		}
	}
	return nil, nil
}
