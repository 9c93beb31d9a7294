package platform

import (
	"maps"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
)

// Wipe removes the dumps of all requests that the contract has over the script API. They count as archived from then
// on, and those that are under way are cancelled (row S9.4). Wiped and failed are the ids of those that it was and
// was not done to; what was wiped before is in neither. The token is that of any request of the contract.
func (p *Platform) Wipe(contract, token string) (wiped, failed []int64, _ Failures) {
	contract = strings.TrimSpace(contract)
	r, fails := p.FindToken(token)
	switch {
	case fails != nil:
		return nil, nil, fails
	case strings.TrimSpace(r.rec.Contract) != contract:
		fails := noToken()
		fails[0].Why = "the token is that of a request of another contract"
		return nil, nil, fails
	}
	defer p.sweep()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(p.requests)) {
		r := p.requests[id]
		if r.rec.ScriptAPI == nil || r.rec.Wiped || strings.TrimSpace(r.rec.Contract) != contract {
			continue
		}
		if err := r.wipeLocked(); err != nil {
			failed = append(failed, id)
		} else {
			wiped = append(wiped, id)
		}
	}
	return wiped, failed, nil
}

func (r *Request) wipeLocked() error {
	p := r.p
	r.evaluateLocked()
	from, now, files := r.stateLocked(), p.opts.Now(), r.filesLocked()
	cancelled := from != StateNew && !ended(from)
	err := r.updateLocked(func(w *work) {
		w.Wiped, w.Tree, w.Upgraded = true, nil, nil
		w.Described = initialWork.Described
		if cancelled {
			w.Forced = &forced{State: StateCancelled, At: now}
			w.reachState(reached{State: StateCancelled, Step: outside, At: now.UTC()})
		}
	})
	if err != nil {
		return err
	}
	p.trash = append(p.trash, files...)
	p.gone = append(p.gone, r.rec.ID)
	delete(p.damaged, r.rec.ID)
	p.opts.TransferEnded(r.rec.ID)
	if cancelled {
		r.reportLocked(machine.Change{From: from, To: StateCancelled, At: now})
	}
	return nil
}
