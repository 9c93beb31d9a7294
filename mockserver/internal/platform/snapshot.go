package platform

import (
	"cmp"
	"maps"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
)

// Snapshot is a request at one moment: a copy, which nothing changes any more.
type Snapshot struct {
	ID                 int64
	Key                string
	Contract           string
	Email, Target, Aim string
	Filename, Timezone string // Timezone is "" if there is none
	State              string
	HasDump            bool
	DumpSize           int64
	DumpChecksum       string
	Described          dump.Info
	CreatedAt          time.Time
	ProcessedAt        *time.Time
	Elapsed            time.Duration
	Filestore          bool
	OneCall            bool
	PostgreSQL         string         // "" if unknown
	Set                map[string]any // what the script says of single keys, to be written as it is
	Scenario           string         // the script's name
	AccessExpires      *time.Time
	FaultsUsed         int // how often a fault of the script was used on one of its calls

	// Of the script API alone.
	API                  string // APIDatabase or APIScript
	Actuator, APIVersion string
	EnvVars              []string
	Reason               string // why it failed, or the like; "" if nothing is said
	Archived             bool
	PGCompatible         bool        // is_pg_version_compatible (row S6.2)
	Upload               *UploadInfo // nil: nothing came over rsync

	SharedSize, ContiguousBytes int64 // what the SFTP side shows, and how much of it is without a hole
}

// someVersion is what PostgreSQL a request made by upgrade has when neither dump nor caller says: its client compares
// the value as a version, so there has to be one (row 6.6). It is the documented sample's (assumed).
const someVersion = "9.4"

// Upgradable reports whether the upgraded database can be handed out (row 8.2).
func (s *Snapshot) Upgradable() bool { return phase(s.State) == "download" }

// Snapshot returns the request as it is; nothing is counted.
func (r *Request) Snapshot() Snapshot {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	r.evaluateLocked()
	return r.snapshotLocked()
}

func (r *Request) snapshotLocked() Snapshot {
	rec := &r.rec
	s := Snapshot{
		ID: rec.ID, Key: rec.Key, Contract: rec.Contract, Email: rec.Email, Target: rec.Target, Aim: rec.Aim,
		Filename: rec.Filename, Timezone: rec.Timezone,
		State: r.stateLocked(), CreatedAt: rec.CreatedAt, ProcessedAt: rec.ProcessedAt, Elapsed: r.elapsedLocked(),
		OneCall: rec.OneCall, PostgreSQL: rec.Described.PostgreSQL, Described: rec.Described,
		Set: r.setLocked(), Scenario: rec.Script.Name,
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
	for _, count := range rec.Faults {
		s.FaultsUsed += count.Used
	}
	s.API = r.API()
	if rec.ScriptAPI != nil {
		r.scriptSnapshotLocked(&s)
	}
	if set, ok := s.Set["filestore"].(bool); ok {
		s.Filestore = set
	} else if rec.ScriptAPI == nil {
		s.Filestore = (r.p.opts.Filestore || rec.Script.Upgraded.Built) && s.Upgradable()
	}
	return s
}

// setLocked is what the script, and a forced state, say of single keys of the status.
func (r *Request) setLocked() map[string]any {
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
func (r *Request) elapsedLocked() time.Duration {
	if r.rec.ProcessedAt == nil {
		return 0
	}
	until := r.p.opts.Now()
	switch {
	case r.rec.Forced != nil:
		until = r.rec.Forced.At
	case machine.Final(r.rec.Script, r.rec.Position):
		until = r.rec.Position.Since
	}
	return max(0, until.Sub(*r.rec.ProcessedAt))
}

// scriptSnapshotLocked adds what is of the script API alone.
func (r *Request) scriptSnapshotLocked(s *Snapshot) {
	o := r.rec.ScriptAPI
	s.Actuator, s.APIVersion, s.EnvVars = o.Actuator, o.APIVersion, o.EnvVars
	s.Reason, _ = s.Set["reason"].(string)
	s.Archived, _ = s.Set["archived"].(bool)
	s.Archived = s.Archived || r.rec.Wiped
	compatible, said := s.Set["is_pg_version_compatible"].(bool)
	s.PGCompatible = compatible || !said
	t := r.rec.Tree
	if s.Upload = t.info(); t == nil {
		return
	}
	s.Filename = t.Name
	if t.complete() {
		s.HasDump, s.DumpSize, s.DumpChecksum = true, t.Size, t.Checksum
	}
}
