package platform

import "fmt"

// processScriptLocked begins the upgrade of a request of the script API. While it is under way, the call answers as the
// first one did, and changes nothing (rows S6.4 to S6.6).
func (r *Request) processScriptLocked() (Snapshot, Failures) {
	if fails := r.readyLocked(); fails != nil {
		return Snapshot{}, fails
	}
	id, state := r.rec.ID, r.stateLocked()
	switch {
	case r.rec.Wiped:
		return Snapshot{}, Failures{{
			Reason:  ReasonStateInvalid,
			Message: fmt.Sprintf("The database of request %d was wiped: begin a new upgrade", id),
			Why:     "process came after the contract's data were wiped",
		}}
	case ended(state):
		return Snapshot{}, Failures{{
			Reason:  ReasonStateInvalid,
			Message: fmt.Sprintf("Request %d is in state %s, and is not upgraded again: begin a new upgrade", id, state),
			Why:     fmt.Sprintf("process came while request %d was in state %s", id, state),
		}}
	case state != StateNew:
		return r.snapshotLocked(), nil
	}
	if why := r.noTreeLocked(); why != "" {
		return Snapshot{}, Failures{{
			Reason:  ReasonDumpMissing,
			Message: "There is no complete database to upgrade (" + why + "): upload it, and try again",
			Why:     why,
		}}
	}
	return r.beginLocked()
}

// noTreeLocked explains why there is nothing to process; "" if there is.
func (r *Request) noTreeLocked() string {
	switch t := r.rec.Tree; {
	case t == nil:
		return "nothing has been uploaded"
	case r.p.uploads[r.rec.ID] != nil:
		return "a session of rsync still writes it"
	case t.Missing != "":
		return t.Missing
	case t.Writing || t.List == 0:
		return "the session of rsync broke, and was not continued"
	case t.Size == 0:
		return "the uploaded dump is empty"
	}
	return ""
}
