package platform

import "fmt"

// processScript begins the upgrade of a request of the script API. While it is under way, the call answers as the first
// one did, and changes nothing (rows S6.4 to S6.6).
func (r *Request) processScript() (Snapshot, Failures) {
	r.checkTree()
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if fails := r.readyLocked(); fails != nil {
		return Snapshot{}, fails
	}
	id, state := r.rec.ID, r.stateLocked()
	refuse := func(reason, why, format string, args ...any) (Snapshot, Failures) {
		return Snapshot{}, Failures{{Reason: reason, Message: fmt.Sprintf(format, args...), Why: why}}
	}
	switch {
	case r.rec.Wiped:
		return refuse(ReasonStateInvalid, "process came after the contract's data were wiped",
			"The database of request %d was wiped: begin a new upgrade", id)
	case ended(state):
		return refuse(ReasonStateInvalid, fmt.Sprintf("process came while request %d was in state %s", id, state),
			"Request %d is in state %s, and is not upgraded again: begin a new upgrade", id, state)
	case state != StateNew:
		return r.snapshotLocked(), nil
	}
	if why := r.noTreeLocked(); why != "" {
		return refuse(ReasonDumpMissing, why, "There is no complete database to upgrade (%s): upload it, and try again", why)
	}
	s, fails := r.beginLocked()
	if fails == nil {
		r.prepareLocked(s)
	}
	return s, fails
}

// prepareLocked begins to make the zip that will be handed out, if there is to be one, so that a download need not wait
// for all of it.
func (r *Request) prepareLocked(s Snapshot) {
	p, t, steps := r.p, r.rec.Tree, r.rec.Script.Steps
	u := &r.rec.Script.Upgraded
	last := steps[len(steps)-1].State
	if t.directory() || u.Archive != "" || u.Missing.Archive || last != StateDone || p.dumps.interrupted() {
		return
	}
	p.background.Go(func() {
		if whole, err := r.zipIsWhole(t); err == nil && !whole {
			_, _ = r.buildScript(t, s) // an error comes again when it is asked for
		}
	})
}

// noTreeLocked explains why there is nothing to process; "" if there is.
func (r *Request) noTreeLocked() string {
	switch t := r.rec.Tree; {
	case t == nil:
		return "nothing has been uploaded"
	case t.Writing:
		return "a session of rsync still writes it"
	case t.Missing != "":
		return t.Missing
	case t.Size == 0:
		return "the uploaded dump is empty"
	}
	return ""
}

// checkTree makes r a damaged request if the files of its complete upload are not what they were. It looks at them
// without the platform's lock: they may be many.
func (r *Request) checkTree() {
	r.p.mu.Lock()
	t := r.rec.Tree
	r.p.mu.Unlock()
	if !t.complete() {
		return
	}
	err := r.p.trees.intact(r.rec.ID, t)
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.rec.Tree == t && !r.forgotten {
		r.noteDamageLocked(err)
	}
}
