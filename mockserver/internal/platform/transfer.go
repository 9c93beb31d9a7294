package platform

import (
	"fmt"
	"os"
	"strings"
)

// The kinds of transfers of the script API.
const (
	Uploading   = "upload"
	Downloading = "download"
)

// MayTransfer returns what speaks against a transfer of that kind, upload or download, now (row S3.10).
func (r *Request) MayTransfer(kind string) Failures {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.mayTransferLocked(kind)
}

func (r *Request) mayTransferLocked(kind string) Failures {
	if fails := r.readyLocked(); fails != nil {
		return fails
	}
	id, state := r.rec.ID, r.stateLocked()
	refuse := func(format string, args ...any) Failures {
		return Failures{{
			Reason: ReasonStateInvalid, Message: fmt.Sprintf(format, args...),
			Why: fmt.Sprintf("transfer/start for %s came while request %d was in state %s", quoted(kind), id, state),
		}}
	}
	switch {
	case kind != Uploading && kind != Downloading:
		return Failures{{
			Reason:  "TRANSFER_TYPE:INVALID",
			Message: fmt.Sprintf("There is no transfer_type %s: choose %s or %s", quoted(kind), Uploading, Downloading),
			Why:     "transfer_type is neither upload nor download",
		}}
	case r.rec.Wiped:
		return refuse("The database of request %d was wiped: begin a new upgrade", id)
	case kind == Uploading && state != StateNew:
		return refuse("Request %d is in state %s, and takes a database only in state %s: begin a new upgrade",
			id, state, StateNew)
	case kind == Downloading && ended(state) && state != StateDone:
		return refuse("Request %d is in state %s, and has nothing to download: begin a new upgrade", id, state)
	case kind == Downloading && state != StateDone:
		return refuse("Request %d is in state %s, and its upgraded database is there in state %s: wait for that",
			id, state, StateDone)
	}
	return nil
}

// DumpName is what the upgraded database is called for download: the name of a file or of a directory (rows S3.7, S10.3
// and S10.4); "" where the scenario wants none.
func (r *Request) DumpName() string {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	return r.dumpNameLocked()
}

const (
	upgradedDirectory = "upgraded.dump"
	upgradedZip       = "upgraded.zip"
)

func (r *Request) dumpNameLocked() string {
	u, t := &r.rec.Script.Upgraded, r.rec.Tree
	switch {
	case u.DumpName != nil:
		return *u.DumpName
	case u.Archive != "":
		if info, err := os.Stat(u.Archive); err == nil && info.IsDir() {
			return upgradedDirectory
		}
		for _, ext := range []string{".sql.gz", ".sql", ".dump"} {
			if strings.HasSuffix(u.Archive, ext) {
				return "upgraded" + ext
			}
		}
	case t.complete() && t.directory():
		return upgradedDirectory
	}
	return upgradedZip
}
