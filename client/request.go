package client

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Ref names a request to every call that comes after create.
type Ref struct {
	ID  int64
	Key Key
}

// State is where a request stands. Production's own states are known by hearsay; any other word may come.
type State string

// The states that are known (6.2, 6.5).
const (
	StateDraft      State = "draft"      // made; the dump may be uploaded
	StatePending    State = "pending"    // waits for its turn
	StateProcessing State = "processing" // is being upgraded
	StateTesting    State = "testing"    // people look at the result
	StateDone       State = "done"       // the upgraded database can be had
	StateDelivered  State = "delivered"  // handed over after skip_test
	StateInvalid    State = "invalid"    // refused: CustomerMessage tells why
)

// Succeeded reports whether the upgraded database can be had.
func (s State) Succeeded() bool { return s == StateDone || s == StateDelivered }

// Rejected reports whether no upgraded database will come. Assumed: a cancelled request is over, too.
func (s State) Rejected() bool {
	return s == StateInvalid || s == "cancelled" || s == "canceled"
}

// Terminal reports whether waiting has an end.
func (s State) Terminal() bool { return s.Succeeded() || s.Rejected() }

// Known reports whether this package has heard of the state.
func (s State) Known() bool {
	switch s {
	case StateDraft, StatePending, StateProcessing, StateTesting:
		return true
	}
	return s.Terminal()
}

// Request is the platform's picture of a request (section 7). A null is the zero value; Raw tells null and empty apart.
type Request struct {
	ID  int64
	Key Key

	Email, Target, Aim, Filename, Timezone string

	State      State
	IssueStage string
	Issue      int64

	StatusURL       string // a page for people
	NotesURL        string
	OriginalSQLURL  string
	OriginalDumpURL string
	UpgradedSQLURL  string
	UpgradedDumpURL string
	ModulesURL      string

	Filesize        string    // for people, such as "912.99 Kb"
	DatabaseUUID    string    //
	CreatedAt       time.Time // UTC; zero when unknown or not readable
	ProcessedAt     time.Time // as CreatedAt
	EstimatedTime   string
	Elapsed         string
	Filestore       bool // the upgraded archive is a zip with dump.sql and filestore/
	CustomerMessage string
	DatabaseVersion string
	PostgreSQL      string
	Compressions    []string // outside in

	// Extra holds the keys that are not known here, nil when there are none.
	Extra map[string]json.RawMessage
	// Raw is the object as it came, the key in it.
	Raw json.RawMessage
}

// Ref returns what names the request to the other calls.
func (r *Request) Ref() Ref { return Ref{r.ID, r.Key} }

// LogValue leaves out everything private.
func (r *Request) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("id", r.ID), slog.String("state", string(r.State)))
}

var requestKeys = strings.Fields(`id key email target aim filename timezone state issue_stage issue status_url notes_url
	original_sql_url original_dump_url upgraded_sql_url upgraded_dump_url modules_url filesize database_uuid created_at
	processed_at estimated_time elapsed filestore customer_message database_version postgresql compressions`)

// readRequest decodes the answer's request object. known fills in what a status answer leaves out.
func (a *answer) readRequest(op string, known Ref) (*Request, error) {
	raw := a.fields["request"]
	var f map[string]json.RawMessage
	if err := json.Unmarshal(raw, &f); err != nil || f == nil {
		return nil, &Error{Op: op, Status: 200, Raw: a.raw, uncertain: true,
			Err: fmt.Errorf("%w: it has neither failures nor a request object; it begins with %q", ErrNotJSON, Redact(firstLine(a.raw), known.Key))}
	}
	r := &Request{
		Key:             Key(text(f["key"])),
		Email:           text(f["email"]),
		Target:          text(f["target"]),
		Aim:             text(f["aim"]),
		Filename:        text(f["filename"]),
		Timezone:        text(f["timezone"]),
		State:           State(text(f["state"])),
		IssueStage:      text(f["issue_stage"]),
		StatusURL:       text(f["status_url"]),
		NotesURL:        text(f["notes_url"]),
		OriginalSQLURL:  text(f["original_sql_url"]),
		OriginalDumpURL: text(f["original_dump_url"]),
		UpgradedSQLURL:  text(f["upgraded_sql_url"]),
		UpgradedDumpURL: text(f["upgraded_dump_url"]),
		ModulesURL:      text(f["modules_url"]),
		Filesize:        text(f["filesize"]),
		DatabaseUUID:    text(f["database_uuid"]),
		CreatedAt:       moment(f["created_at"]),
		ProcessedAt:     moment(f["processed_at"]),
		EstimatedTime:   text(f["estimated_time"]),
		Elapsed:         text(f["elapsed"]),
		Filestore:       boolean(f["filestore"]),
		CustomerMessage: text(f["customer_message"]),
		DatabaseVersion: text(f["database_version"]),
		PostgreSQL:      text(f["postgresql"]),
		Compressions:    list(f["compressions"]),
		Extra:           without(f, requestKeys...),
		Raw:             raw,
	}
	r.Issue, _ = integer(f["issue"])
	var ok bool
	if r.ID, ok = integer(f["id"]); !ok {
		r.ID = known.ID
	}
	if r.Key == "" {
		r.Key = known.Key
	}
	if r.ID == 0 || r.Key == "" {
		return nil, &Error{Op: op, Status: 200, Raw: a.raw, uncertain: true,
			Err: fmt.Errorf("%w: its request object lacks a usable id or key", ErrNotJSON)}
	}
	return r, nil
}
