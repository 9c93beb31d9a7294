package platform

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// record is what is kept of a request: what it was made with, and what has become of it. Times are UTC.
type record struct {
	origin
	*work
}

// origin is what a request was made with. It never changes, and is read without the lock.
type origin struct {
	ID        int64     `json:"id"`
	Key       string    `json:"key"`
	Contract  string    `json:"contract"`
	Email     string    `json:"email"`
	Target    string    `json:"target"`
	Aim       string    `json:"aim"`
	Filename  string    `json:"filename"`
	Timezone  string    `json:"timezone,omitempty"`
	CreatedAt time.Time `json:"created_at"`

	// OneCall is true for a request made by the method upgrade, which has two more promises (row 6.6).
	OneCall    bool   `json:"one_call,omitempty"`
	PostgreSQL string `json:"postgresql,omitempty"` // what the caller of upgrade said

	Script *scenario.Scenario `json:"script"` // shared by all requests it is for
}

// work is what has become of a request.
type work struct {
	ProcessedAt *time.Time `json:"processed_at,omitempty"`

	Original  *file     `json:"original,omitempty"` // the last complete dump
	Described dump.Info `json:"described"`
	Upgraded  *file     `json:"upgraded,omitempty"` // only when the archive had to be made

	Position machine.Position `json:"position"`
	Forced   *forced          `json:"forced,omitempty"`
	Faults   machine.Counts   `json:"faults,omitempty"`

	Access *access `json:"access,omitempty"`
}

// untouched is the work of all requests that nobody has touched yet: requests are held by the hundred thousand, and most of them wait.
var untouched = new(work)

// becomes changes what has become of r, and returns what that was before. It is replaced, since several requests may have it in common.
func (r *request) becomes(change func(*work)) (before *work) {
	before = r.rec.work
	next := *before
	change(&next)
	r.rec.work = &next
	return before
}

// file is a finished file in the dumps directory. Size may be less than the file's: somebody is appending.
type file struct {
	Seq     int64     `json:"seq"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mod_time"`

	Checksum string `json:"checksum,omitempty"` // "" for what an older version wrote
}

// forced is a state that was put on a request from outside its script.
type forced struct {
	State string         `json:"state"`
	Set   map[string]any `json:"set,omitempty"`
	At    time.Time      `json:"at"`
}

// access is the temporary SFTP access.
type access struct {
	Keys    []string  `json:"keys"` // public keys in SSH wire form (RFC 4253 section 6.6), base64
	Phase   string    `json:"phase"`
	Expires time.Time `json:"expires"`
}

// Snapshot is a request at one moment: a copy that nobody changes.
type Snapshot struct {
	ID                          int64
	Key                         string
	Contract                    string
	Email, Target, Aim          string
	Filename, Timezone          string // Timezone "" is none
	State, IssueStage           string
	Issue                       int64
	HasDump                     bool
	DumpSize                    int64
	DumpChecksum                string
	Described                   dump.Info
	CreatedAt                   time.Time
	ProcessedAt                 *time.Time
	Elapsed                     time.Duration
	Filestore                   bool
	OneCall                     bool
	PostgreSQL                  string         // "" is unknown
	Set                         map[string]any // what the script says of single keys, to be written as it is
	Scenario                    string         // the script's name
	AccessExpires               *time.Time
	SharedSize, ContiguousBytes int64 // what the SFTP side shows, and how much of it is without a hole
}

// someVersion is what PostgreSQL a request made by upgrade has when neither dump nor caller says: its client compares the
// value as a version, so there has to be one (row 6.6). It is the documented sample's (assumed).
const someVersion = "9.4"

// Upgradable tells whether the upgraded database is there to be handed out (row 8.2).
func (s *Snapshot) Upgradable() bool { return phase(s.State) == "download" }

func (p *Platform) snapshotLocked(r *request) (s Snapshot) {
	p.describeLocked(r, &s)
	return s
}

func (p *Platform) describeLocked(r *request, s *Snapshot) {
	rec := &r.rec
	*s = Snapshot{
		ID: rec.ID, Key: rec.Key, Contract: rec.Contract, Email: rec.Email, Target: rec.Target, Aim: rec.Aim,
		Filename: rec.Filename, Timezone: rec.Timezone,
		State: p.stateLocked(r), IssueStage: "new", Issue: rec.ID - firstID + firstIssue,
		CreatedAt: rec.CreatedAt, ProcessedAt: rec.ProcessedAt, Elapsed: p.elapsedLocked(r),
		OneCall: rec.OneCall, PostgreSQL: rec.Described.PostgreSQL, Described: rec.Described,
		Set: p.setLocked(r), Scenario: r.rec.Script.Name,
	}
	if s.State != StateDraft {
		s.IssueStage = s.State
	}
	if rec.Original != nil {
		s.HasDump, s.DumpSize, s.DumpChecksum = true, rec.Original.Size, rec.Original.Checksum
		s.SharedSize, s.ContiguousBytes = rec.Original.Size, rec.Original.Size
	}
	if rec.OneCall {
		s.PostgreSQL = cmp.Or(s.PostgreSQL, rec.PostgreSQL, someVersion)
	}
	if d := r.shared; d != nil {
		s.SharedSize, _ = d.stat()
		s.ContiguousBytes, _ = d.gap()
	}
	if a := rec.Access; a != nil {
		s.AccessExpires = &a.Expires
	}
	if set, ok := s.Set["filestore"].(bool); ok {
		s.Filestore = set
	} else {
		s.Filestore = (p.opts.Filestore || r.rec.Script.Upgraded.Built) && s.Upgradable()
	}
}

// setLocked is what the script, and whoever put r in a state of its own, say of single keys of the status.
func (p *Platform) setLocked(r *request) map[string]any {
	if r.rec.ProcessedAt == nil {
		return nil
	}
	var set map[string]any
	if r.rec.Position.Since.IsZero() { // forced before it was ever processed
		set = map[string]any{}
	} else {
		set = machine.Set(r.rec.Script, r.rec.Position)
	}
	if f := r.rec.Forced; f != nil && len(f.Set) > 0 {
		set = maps.Clone(set)
		maps.Copy(set, f.Set)
	}
	return set
}

// elapsedLocked is the time the upgrade took so far; it stands still once the last step is reached.
func (p *Platform) elapsedLocked(r *request) time.Duration {
	if r.rec.ProcessedAt == nil {
		return 0
	}
	until := p.opts.Now()
	switch {
	case r.rec.Forced != nil:
		until = r.rec.Forced.At
	case machine.Final(r.rec.Script, r.rec.Position):
		until = r.rec.Position.Since
	}
	return max(0, until.Sub(*r.rec.ProcessedAt))
}

// Fault is a fault that was picked, and its place in the script.
type Fault struct {
	*scenario.Fault
	Index int // in the script's Faults
}

// Pick chooses the fault of the request's script for what is about to happen on it, and counts it. It returns nil when nothing goes wrong.
func (p *Platform) Pick(id int64, on string) *Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.requests[id]; r != nil {
		return p.pickLocked(r, on)
	}
	return nil
}

func (p *Platform) pickLocked(r *request, on string) *Fault {
	if len(r.rec.Script.Faults) == 0 {
		return nil
	}
	fault, index, counts := machine.Pick(r.rec.Script, on, r.rec.Faults)
	p.countLocked(r, counts)
	if fault == nil {
		return nil
	}
	return &Fault{fault, index}
}

// countLocked keeps the counts. One that cannot be written is no reason to answer otherwise than the script says.
func (p *Platform) countLocked(r *request, counts machine.Counts) {
	count := func(w *work) { w.Faults = counts }
	if err := p.updateLocked(r, count); err != nil {
		r.becomes(count)
	}
}

func changesHostKey(script *scenario.Scenario) bool {
	return slices.ContainsFunc(script.Faults, func(f scenario.Fault) bool { return f.HostKey != "" })
}

// PickHostKey returns the fault for which the connection that is just beginning is to see another host key than before, and whose it is; nil: it sees
// the usual one. Nobody knows yet who connects: the first request with an SFTP access whose script wants that is taken to be the one.
func (p *Platform) PickHostKey() (fault *Fault, id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(p.hostKeyFaults)) {
		r := p.requests[id]
		if r.rec.Access == nil {
			continue
		}
		fault, index, counts := machine.Pick(r.rec.Script, scenario.OnSFTPLogin, r.rec.Faults)
		if fault != nil && fault.HostKey != "" {
			p.countLocked(r, counts)
			return &Fault{fault, index}, id
		}
	}
	return nil, 0
}

// SFTPUser is the name a request's SFTP user has (row 5.5).
func SFTPUser(id int64) string { return fmt.Sprintf("user_%d", id) }
