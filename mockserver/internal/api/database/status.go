package database

import (
	"fmt"
	"strconv"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// status describes a request, and counts one poll (docs/fidelity.md, section 7).
func (a *API) status(c *api.Call) (any, error) {
	if c.Fails != nil {
		return nil, c.Fails
	}
	var fails platform.Failures
	if ownOf(c).answer.Snapshot, fails = c.Status(); fails != nil {
		return nil, fails
	}
	return a.describe(c), nil
}

// describe answers with the whole request, the call's own answer, and notes it for the journal.
func (a *API) describe(c *api.Call) *described {
	d := &ownOf(c).answer
	c.Note(&d.Snapshot)
	d.scheme, d.host = a.Base(c.R)
	d.region = a.Region
	return d
}

// Status is what the method status answers of a request, with URLs that begin with base.
func (a *API) Status(r platform.Snapshot, base string) map[string]any {
	d := &described{Snapshot: r, scheme: base, region: a.Region}
	f := fields{values: make(map[string]any, 30), set: d.Set, root: d.appendRoot(d.buffer[:0])}
	d.encode(&f)
	return f.values
}

// described is a request as create, upgrade and status answer it.
type described struct {
	platform.Snapshot
	scheme, host, region string    // of the URLs
	buffer               [128]byte // for what the URLs begin with
}

// appendJSON appends the keys as an object.
func (d *described) appendJSON(b []byte) ([]byte, error) {
	f := fields{b: append(b, '{'), set: d.Set, root: d.appendRoot(d.buffer[:0])}
	f.simple = len(d.Set) == 0 && needsNoEscape(d.scheme) && needsNoEscape(d.host) && needsNoEscape(d.region)
	d.encode(&f)
	return append(f.b[:len(f.b)-1], '}'), f.err
}

// encode writes every key, in the order of the documented sample; null for what is unknown.
func (d *described) encode(to *fields) {
	to.number("id", d.ID)
	to.text("key", d.Key)
	to.text("email", d.Email)
	to.text("target", d.Target)
	to.text("aim", d.Aim)
	to.text("filename", d.Filename)
	to.textOrNull("timezone", d.Timezone)
	to.text("state", d.State)
	to.text("issue_stage", d.issueStage())
	to.number("issue", d.ID+sampleIssue-sampleID)
	to.link("status_url", "status")
	to.link("notes_url", "upgraded/notes")
	to.link("original_sql_url", "original/sql")
	to.link("original_dump_url", "original/archive")
	to.link("upgraded_sql_url", "upgraded/sql")
	to.link("upgraded_dump_url", "upgraded/archive")
	to.link("modules_url", "modules/archive")
	to.textOrNull("filesize", d.filesize())
	to.textOrNull("database_uuid", d.Described.DatabaseUUID)
	to.moment("created_at", d.CreatedAt)
	to.null("estimated_time")
	if d.ProcessedAt == nil {
		to.null("processed_at")
	} else {
		to.moment("processed_at", *d.ProcessedAt)
	}
	to.text("elapsed", hoursMinutes(d.Elapsed))
	to.value("filestore", d.Filestore)
	to.null("customer_message")
	to.textOrNull("database_version", d.Described.DatabaseVersion)
	to.textOrNull("postgresql", d.PostgreSQL)
	to.value("compressions", d.compressions())
	if d.OneCall {
		to.link("migrated_sql_url", "upgraded/sql") // row 6.6
	}
}

// The documented sample's request, and the issue that came with it. Both ascend together (assumed).
const (
	sampleID    = 10534
	sampleIssue = 648398
)

// issueStage is the state, under another name as long as the upgrade has not begun.
func (d *described) issueStage() string {
	if d.State == platform.StateDraft {
		return "new"
	}
	return d.State
}

// appendRoot appends what the request's URLs begin with. Deliberately not escaped: the sample's end in
// …==/status (docs/fidelity.md, section 7).
func (d *described) appendRoot(b []byte) []byte {
	b = append(b, d.scheme...)
	b = append(b, d.host...)
	b = append(b, "/database/"...)
	b = append(b, d.region...)
	b = append(b, '/')
	b = strconv.AppendInt(b, d.ID, 10)
	b = append(b, '/')
	b = append(b, d.Key...)
	return append(b, '/')
}

func (d *described) filesize() string {
	if !d.HasDump {
		return ""
	}
	return dump.Size(d.DumpSize)
}

func (d *described) compressions() any {
	if !d.HasDump || d.Described.Compressions == nil {
		return []string{}
	}
	return d.Described.Compressions
}

// hoursMinutes is HH:MM (assumed; the sample has 00:00).
func hoursMinutes(d time.Duration) string {
	minutes := int64(d / time.Minute)
	if minutes == 0 {
		return "00:00"
	}
	return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60)
}
