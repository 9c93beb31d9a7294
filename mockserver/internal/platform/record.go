package platform

import (
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

	ScriptAPI *scriptOrigin `json:"script_api,omitempty"` // nil: the request is one of the database API

	Script *scenario.Scenario `json:"script"` // shared by all requests it is for
}

// scriptOrigin is what a request of the script API was made with, beside what all requests have.
type scriptOrigin struct {
	Actuator   string   `json:"actuator,omitempty"`
	APIVersion string   `json:"api_version,omitempty"`
	SSHKey     string   `json:"ssh_key"` // in SSH wire form (RFC 4253 section 6.6), base64
	EnvVars    []string `json:"env_vars,omitempty"`
}

// work is what has become of a request.
type work struct {
	ProcessedAt *time.Time `json:"processed_at,omitempty"`

	Original  *file     `json:"original,omitempty"` // the last complete dump
	Described dump.Info `json:"described"`
	Upgraded  *file     `json:"upgraded,omitempty"` // only if the archive had to be made

	Position machine.Position `json:"position"`
	Forced   *forced          `json:"forced,omitempty"`
	Faults   machine.Counts   `json:"faults,omitempty"`

	Access *access `json:"access,omitempty"`

	// Of the script API alone.
	Tree    *tree     `json:"tree,omitempty"`    // nil: no session of rsync has written anything
	Reached []reached `json:"reached,omitempty"` // the states since new, oldest first
	Wiped   bool      `json:"wiped,omitempty"`
}

// file is a finished file in the dumps directory. Size may be less than the file's while something is appended.
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
