package client

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// A Ref names a request.
type Ref struct {
	ID  int64 // the number that the platform gave the request
	Key Key   // the secret that came with it
}

// A State is the state of a request. The platform may report states that are not known here.
type State string

// The known states (rows 6.2 and 6.5).
const (
	StateDraft      State = "draft"      // the dump may be uploaded
	StatePending    State = "pending"    // waiting for its turn
	StateProcessing State = "processing" // being upgraded
	StateTesting    State = "testing"    // being tested by people
	StateDone       State = "done"       // the upgraded database is there
	StateDelivered  State = "delivered"  // the upgraded database is there, after skip_test
	StateInvalid    State = "invalid"    // refused; CustomerMessage says why
)

// Succeeded reports whether the upgraded database is there.
func (s State) Succeeded() bool { return s == StateDone || s == StateDelivered }

// Rejected reports whether no upgraded database will come. That this holds for a cancelled request is assumed.
func (s State) Rejected() bool {
	return s == StateInvalid || s == "cancelled" || s == "canceled"
}

// Terminal reports whether the state is final: whether it is Succeeded or Rejected.
func (s State) Terminal() bool { return s.Succeeded() || s.Rejected() }

// Known reports whether the state is known here.
func (s State) Known() bool {
	switch s {
	case StateDraft, StatePending, StateProcessing, StateTesting:
		return true
	}
	return s.Terminal()
}

// A Request is a request as the platform describes it (section 7 of docs/fidelity.md). A value that is null, missing
// or not readable is the zero value.
type Request struct {
	ID  int64 // the number of the request
	Key Key   // the secret that gives access to it

	Email    string // as given to Create
	Target   string // as given to Create
	Aim      string // as given to Create
	Filename string // as given to Create
	Timezone string // as given to Create

	State      State  // where the request stands
	IssueStage string // the stage of the platform's issue
	Issue      int64  // the number of the platform's issue about the request

	StatusURL       string // a page for people
	NotesURL        string // the notes of the upgrade, a page for people
	OriginalSQLURL  string // the uploaded dump as SQL
	OriginalDumpURL string // the uploaded dump as it is
	UpgradedSQLURL  string // the upgraded dump as SQL
	UpgradedDumpURL string // the upgraded dump as an archive
	ModulesURL      string // an archive of custom modules

	Filesize        string    // the size of the dump for people, such as "912.99 Kb"
	DatabaseUUID    string    // the database's own id
	CreatedAt       time.Time // in UTC
	ProcessedAt     time.Time // in UTC
	EstimatedTime   string    // how long the upgrade may take, for people
	Elapsed         string    // how long the upgrade has taken, for people
	Filestore       bool      // whether the upgraded archive is a zip with dump.sql and filestore/
	CustomerMessage string    // what the platform says to the customer
	DatabaseVersion string    // the Odoo version of the uploaded database
	PostgreSQL      string    // the version of PostgreSQL
	Compressions    []string  // how the dump is packed, the outermost first

	// Extra holds the keys that have no field here; nil if there are none.
	Extra map[string]json.RawMessage

	// Raw is the object as it came. It holds the key.
	Raw json.RawMessage
}

// Ref returns the id and the key, which name the request in other calls.
func (r *Request) Ref() Ref { return Ref{r.ID, r.Key} }

// LogValue returns the id and the state.
func (r *Request) LogValue() slog.Value {
	return slog.GroupValue(slog.Int64("id", r.ID), slog.String("state", string(r.State)))
}

// requestKeys are the keys of a request that have a field of Request.
var requestKeys = strings.Fields(`id key email target aim filename timezone state issue_stage issue
	status_url notes_url original_sql_url original_dump_url upgraded_sql_url upgraded_dump_url modules_url
	filesize database_uuid created_at processed_at estimated_time elapsed filestore customer_message
	database_version postgresql compressions`)

// readRequest decodes the request object of an answer. An id or key that it lacks is taken from known.
func (a *answer) readRequest(op string, known Ref) (*Request, error) {
	raw := a.fields["request"]
	var f map[string]json.RawMessage
	if err := json.Unmarshal(raw, &f); err != nil || f == nil {
		return nil, &Error{Op: op, Status: 200, Raw: a.raw, uncertain: true,
			Err: fmt.Errorf("%w: it has neither failures nor a request object; it begins with %q",
				ErrNotJSON, Redact(firstLine(a.raw), known.Key))}
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
