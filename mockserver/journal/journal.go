// Package journal holds the events that say what happened in the emulator: every HTTP exchange, every event
// of an SFTP or rsync session, every change of a request's state, in one order.
//
// A journal holds sizes and checksums, never bodies, and keys only shortened, so that it can be handed around.
// The JSON of an Event is what the control API answers, and a line of the file that
// mockserver.Options.JournalWriter leads to.
package journal

import "time"

// The values of Event.On that no scenario has a name for. The others are those of a scenario's faults and
// expectations: the names of the methods, such as "create" and "status", "download", "sftp.put" and "sftp.get",
// "rsync.upload" and "rsync.download".
const (
	OnPage    = "page"    // the page of a request, for people
	OnUnknown = "unknown" // a call to a path at which nothing is
	OnState   = "state"   // a change of state
	OnData    = "data"    // a note about the data directory

	OnScriptFile = "script.file" // the upgrade script itself, GET /upgrade
)

// Event is one thing that happened. Fields that mean nothing for its On are zero, and left out of the JSON.
type Event struct {
	Seq      uint64    `json:"seq"`                // from 1, without gaps until the journal is cleared
	At       time.Time `json:"at"`                 // by the emulator's clock; when a change of state logically happened
	On       string    `json:"on"`                 // a method, "download", "page", "sftp.…", "rsync.…" or "state"
	Request  int64     `json:"request,omitempty"`  // the id of the request
	Contract string    `json:"contract,omitempty"` // that the request was made for, or is to be made for
	Scenario string    `json:"scenario,omitempty"` // the name of the scenario that drives it

	// An HTTP exchange.
	Method     string            `json:"method,omitempty"`
	Path       string            `json:"path,omitempty"`           // without the query; of an SFTP event, as sent
	Params     map[string]string `json:"params,omitempty"`         // the key shortened, long values cut
	Agent      string            `json:"user_agent,omitempty"`     // the header User-Agent
	Status     int               `json:"status,omitempty"`         // HTTP status; 0: the connection broke before
	Received   int64             `json:"received,omitempty"`       // bytes of a dump
	Checksum   string            `json:"checksum,omitempty"`       // "crc32c:…", of the whole dump
	Sent       int64             `json:"sent,omitempty"`           // bytes of the answer's body
	State      string            `json:"state,omitempty"`          // of the request, as the answer says
	Failures   []string          `json:"failures,omitempty"`       // the reasons
	KeyIn      string            `json:"key_in,omitempty"`         // the headers that had the request's key in them
	RetryAfter time.Duration     `json:"retry_after_ns,omitempty"` // what the answer's header said
	Duration   time.Duration     `json:"duration_ns,omitempty"`    // by the real clock; 0 with another one

	// An SFTP or rsync event.
	Session uint64  `json:"session,omitempty"`
	User    string  `json:"user,omitempty"`       // the login name
	Client  string  `json:"client,omitempty"`     // the SSH version that the client announced
	Auth    string  `json:"auth,omitempty"`       // the authentication method
	PubKey  string  `json:"public_key,omitempty"` // the fingerprint
	Handle  uint64  `json:"handle,omitempty"`     // the number of the open file, unique in the session
	Op      string  `json:"op,omitempty"`         // the operation that was refused, or met the fault
	Flags   string  `json:"flags,omitempty"`      // with which the file was opened
	Size    int64   `json:"size,omitempty"`       // of the file
	Offset  int64   `json:"offset,omitempty"`     // in the file, of the operation or the fault
	Written []Range `json:"written,omitempty"`    // what was written to the file, in ascending order
	Read    []Range `json:"read,omitempty"`       // what was read of it

	// A session of rsync, as it ended. Received and Sent are the bytes of file data that went over the wire, and Size is
	// that of all its files.
	Rsync *Rsync `json:"rsync,omitempty"`

	// A change of state.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"` // From and To are states

	Fault string `json:"fault,omitempty"` // the scripted fault that fired: its place in the scenario, and what it does
	Fired *Fired `json:"fired,omitempty"` // where it did; nil for faults that have no such place
	Why   string `json:"why,omitempty"`   // an explanation for whoever tests a client
}

// Fired says where a scripted fault fired, and how many bytes went before and behind it.
type Fired struct {
	// At is the byte at which it fired: of the call's body on upload and upgrade, of the answer's body on other
	// calls, of the file (its offset) over SFTP, of the data of all files in a session of rsync. It is 0 for a fault that
	// fired before anything went.
	At int64 `json:"at"`
	// Received is how many bytes of the call's body, or of the file or files, came in.
	Received int64 `json:"received"`
	// Sent is how many bytes of the answer's body, or of the file or files, were sent.
	Sent int64 `json:"sent"`
}

// Range is a stretch of a file, from From up to but without To.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// NoExit is the Exit of a session of rsync whose connection ended before an exit status could be sent.
const NoExit = -1

// MaxFiles is how many files an Rsync names.
const MaxFiles = 100

// Rsync says what one session of rsync did.
type Rsync struct {
	Command string `json:"command"`           // what the client asked for, cut if it is long
	Exit    int    `json:"exit"`              // the exit status that was sent; NoExit: none was
	Count   int    `json:"count"`             // how many files arrived, or left, or were there already
	Skipped int    `json:"skipped,omitempty"` // how many of them were there already
	Saved   int64  `json:"saved,omitempty"`   // bytes of the files that did not have to be sent: see File.Sent
	Files   []File `json:"files,omitempty"`   // the files, in their order; no more than MaxFiles
}

// File is a file that a session of rsync has moved, or found in its place.
type File struct {
	Name     string `json:"name"`               // its path under /data
	Size     int64  `json:"size"`               // its bytes
	Sent     int64  `json:"sent"`               // how many were sent; the others were there, or found by differences
	Skipped  bool   `json:"skipped,omitempty"`  // it was there, with the same size and time, and was not touched
	Checksum string `json:"checksum,omitempty"` // "crc32c:…", of a file that is part of an uploaded dump
}

// Filter selects events. An event passes if it agrees with every field that is not zero; the zero Filter lets
// all pass.
type Filter struct {
	Request  int64     // an event's Request
	Contract string    // an event's Contract
	On       string    // an event's On, or its part before a dot: "sftp" is all of "sftp.…"
	Since    time.Time // not earlier
	After    uint64    // a later Seq
	Limit    int       // only the first so many of those that pass, for a page at a time; clearing has no use for it
}
