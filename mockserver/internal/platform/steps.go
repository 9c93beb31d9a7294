package platform

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
)

// stateLocked is r's state as of its last evaluation.
func (r *Request) stateLocked() string {
	switch {
	case r.rec.Forced != nil:
		return r.rec.Forced.State
	case r.rec.ProcessedAt == nil:
		return r.firstState()
	}
	return machine.State(r.rec.Script, r.rec.Position)
}

// firstState is the state in which a request waits for `process`.
func (r *Request) firstState() string {
	if r.rec.ScriptAPI != nil {
		return StateNew
	}
	return StateDraft
}

// evaluateLocked brings r to the present: steps whose time has passed, an access that has expired.
func (r *Request) evaluateLocked() {
	if r.rec.ProcessedAt == nil && r.rec.Access == nil || r.forgotten { // a draft waits for the client alone
		return
	}
	now := r.p.opts.Now()
	if r.rec.ProcessedAt != nil && r.rec.Forced == nil {
		pos, changes := machine.At(r.rec.Script, r.rec.Position, now)
		r.rec.Position = pos // derived from the clock: need not be kept
		r.rec.reach(r.rec.ScriptAPI, pos, changes)
		r.reportLocked(changes...)
	}
	if a := r.rec.Access; a != nil && (!now.Before(a.Expires) || a.Phase != phase(r.stateLocked())) {
		r.rec.Access = nil
		r.p.opts.AccessEnded(r.rec.ID)
	}
}

// dueLocked reports whether evaluateLocked may change anything.
func (r *Request) dueLocked(now time.Time) bool {
	if r.forgotten {
		return false
	}
	if r.rec.Access != nil {
		return true
	}
	at, ok := r.nextLocked()
	return ok && !now.Before(at)
}

func (r *Request) reportLocked(changes ...machine.Change) {
	if r.rec.ScriptAPI != nil && len(changes) > 0 {
		r.p.opts.TransferEnded(r.rec.ID)
	}
	for _, c := range changes {
		r.p.opts.Changed(Change{ID: r.rec.ID, Contract: r.rec.Contract, From: c.From, To: c.To, At: c.At})
	}
}

// Status describes the request after counting one poll (docs/fidelity.md, section 7).
func (r *Request) Status() (Snapshot, Failures) {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if fails := r.readyLocked(); fails != nil {
		return Snapshot{}, fails
	}
	if r.rec.ProcessedAt != nil && r.rec.Forced == nil {
		pos, changes := machine.Poll(r.rec.Script, r.rec.Position, p.opts.Now())
		// Also where the poll itself moves nothing: it answers what until now was only derived from the clock.
		if err := r.updateLocked(func(w *work) { w.Position = pos; w.reach(r.rec.ScriptAPI, pos, changes) }); err != nil {
			return Snapshot{}, Failures{ServerError("The poll can not be recorded", err)}
		}
		r.reportLocked(changes...)
		r.evaluateLocked()
	}
	return r.snapshotLocked(), nil
}

// Process begins the upgrade (row 6.1).
func (r *Request) Process() (Snapshot, Failures) {
	if r.rec.ScriptAPI != nil {
		return r.processScript()
	}
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	if fails := r.inStateLocked("process", StateDraft); fails != nil {
		return Snapshot{}, fails
	}
	if o := r.rec.Original; o != nil {
		if err := p.dumps.intact(o.Seq, o.Size); err != nil {
			r.noteDamageLocked(err)
			return Snapshot{}, Failures{ServerError("The request's database dump can not be read", err)}
		}
	}
	if why := r.noDumpLocked(); why != "" {
		message := "There is no complete database dump to process; upload one first"
		return Snapshot{}, Failures{{Reason: ReasonDumpMissing, Message: message, Why: why}}
	}
	return r.beginLocked()
}

// beginLocked begins the upgrade, in the first step of the script.
func (r *Request) beginLocked() (Snapshot, Failures) {
	now := r.p.opts.Now()
	pos, change := machine.Begin(r.rec.Script, r.firstState(), now)
	began := []machine.Change{change}
	if err := r.updateLocked(func(w *work) {
		w.ProcessedAt, w.Position = &now,
			pos
		w.reach(r.rec.ScriptAPI, pos, began)
	}); err != nil {
		return Snapshot{}, Failures{ServerError("The request can not be processed now", err)}
	}
	r.reportLocked(began...)
	r.evaluateLocked()
	return r.snapshotLocked(), nil
}

// noDumpLocked explains why there is nothing to process; "" if there is.
func (r *Request) noDumpLocked() string {
	if o := r.rec.Original; o != nil && o.Size > 0 {
		return ""
	}
	if d := r.shared; d != nil {
		size, _ := d.stat()
		from, missing := d.gap()
		switch {
		case d.inUse():
			return fmt.Sprintf("process came before the SFTP close: %d bytes of the shared file have arrived, its handle "+
				"is still open", size)
		case missing > 0:
			return fmt.Sprintf("%d bytes are missing from offset %d", missing, from)
		case size > 0:
			return fmt.Sprintf("the SFTP session broke after %d bytes without closing the file, and nobody continued it", size)
		}
	}
	if r.rec.Original != nil {
		return "the uploaded dump is empty"
	}
	return "nothing has been uploaded"
}

// SkipTest ends the tests: the upgraded dump is handed over (row 6.5).
func (r *Request) SkipTest() (Snapshot, Failures) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if fails := r.inStateLocked("skip_test", StateTesting); fails != nil {
		return Snapshot{}, fails
	}
	if err := r.forceLocked(StateDelivered, nil); err != nil {
		return Snapshot{}, Failures{ServerError("The tests can not be skipped now", err)}
	}
	return r.snapshotLocked(), nil
}

// forceLocked puts r in a state outside its script, until it is put in another.
func (r *Request) forceLocked(state string, set map[string]any) error {
	from, now := r.stateLocked(), r.p.opts.Now()
	err := r.updateLocked(func(w *work) {
		if w.ProcessedAt == nil {
			w.ProcessedAt = &now
		}
		w.Forced = &forced{State: state, Set: set, At: now}
		if r.rec.ScriptAPI != nil && from != state {
			reason, _ := set["reason"].(string)
			w.reachState(reached{State: state, Step: outside, At: now.UTC(), Reason: reason})
		}
	})
	if err != nil {
		return err
	}
	if from != state {
		r.reportLocked(machine.Change{From: from, To: state, At: now})
	}
	r.evaluateLocked()
	return nil
}

// ErrConflict is returned for what makes no sense for the request as it is.
var ErrConflict = errors.New("platform: not possible now")

// conflict is an ErrConflict that says what is in the way.
type conflict string

func (c conflict) Error() string        { return string(c) }
func (c conflict) Is(target error) bool { return target == ErrConflict }

func conflictf(format string, args ...any) error { return conflict(fmt.Sprintf(format, args...)) }

// Force puts the request in a state and sets keys of its status; a nil set leaves those that were set before. It may
// not go back to its first state, nor to a state with something to download when there is nothing: that is an
// [ErrConflict]. The error for a request that was forgotten is [fs.ErrNotExist].
func (r *Request) Force(state string, set map[string]any) (Snapshot, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if err := r.thereLocked(); err != nil {
		return Snapshot{}, err
	}
	id, now, upgraded := r.rec.ID, r.stateLocked(), &r.rec.Script.Upgraded
	first := r.firstState()
	switch {
	case state == first && now != first:
		return Snapshot{}, conflictf("request %d is in state %s, and no request goes back to %s; create "+
			"a new one", id, now, first)
	case state == first:
		return Snapshot{}, conflictf("request %d is in state %s already", id, first)
	case phase(state) == "download" && !r.hasDumpLocked() && upgraded.Archive == "" && !upgraded.Built:
		return Snapshot{}, conflictf("request %d has no dump, so there is nothing to hand out in state %s; upload "+
			"one first", id, state)
	}
	if set == nil && r.rec.Forced != nil {
		set = r.rec.Forced.Set
	}
	if err := r.forceLocked(state, set); err != nil {
		return Snapshot{}, err
	}
	return r.snapshotLocked(), nil
}

// hasDumpLocked reports whether a complete dump was uploaded, in whatever way.
func (r *Request) hasDumpLocked() bool { return r.rec.Original != nil || r.rec.Tree.complete() }

// Release lets a request go on that its script holds. If it does not, the error is an [ErrConflict]. The error for a
// request that was forgotten is [fs.ErrNotExist].
func (r *Request) Release() (Snapshot, error) {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if err := r.thereLocked(); err != nil {
		return Snapshot{}, err
	}
	id, state := r.rec.ID, r.stateLocked()
	if r.rec.ProcessedAt == nil || r.rec.Forced != nil {
		return Snapshot{}, conflictf("request %d is in state %s, and no step of its script holds it there", id, state)
	}
	pos, changes, err := machine.Release(r.rec.Script, r.rec.Position, r.p.opts.Now())
	if err != nil {
		return Snapshot{}, conflictf("request %d is in state %s: %v", id, state, err)
	}
	if err := r.updateLocked(func(w *work) { w.Position = pos; w.reach(r.rec.ScriptAPI, pos, changes) }); err != nil {
		return Snapshot{}, err
	}
	r.reportLocked(changes...)
	r.evaluateLocked()
	return r.snapshotLocked(), nil
}

// thereLocked brings r up to now, damaged or not, and fails if it was forgotten.
func (r *Request) thereLocked() error {
	if r.forgotten {
		return fmt.Errorf("platform: request %d: %w", r.rec.ID, fs.ErrNotExist)
	}
	r.evaluateLocked()
	return nil
}
