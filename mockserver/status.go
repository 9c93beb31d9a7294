package mockserver

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// handleStatus describes a request, and counts one poll (WIRE section 7).
func (s *Server) handleStatus(c *call) answer {
	snapshot, fails := s.platform.Status(c.ref)
	if fails != nil {
		return refused(fails...)
	}
	return s.describe(c, snapshot)
}

// fields is whoever wants to know the keys of a request, in order.
type fields interface {
	text(key, value string)
	link(key, root, path string) // the URL that both make
	value(key string, value any)
}

// described is a request as create, upgrade and status answer it.
type described struct {
	platform.Snapshot
	base   string // of the URLs
	region string
}

func (s *Server) described(r platform.Snapshot, base string) described {
	return described{Snapshot: r, base: base, region: s.opts.Region}
}

// tell tells every key, in the order of the documented sample; null for what is unknown.
func (d *described) tell(to fields) {
	orNull := func(key, value string) {
		if value == "" {
			to.value(key, nil)
		} else {
			to.text(key, value)
		}
	}
	// Deliberately not escaped: the sample's URLs end in …==/status (WIRE section 7).
	root := d.base + "/database/" + d.region + "/" + strconv.FormatInt(d.ID, 10) + "/" + d.Key + "/"
	to.value("id", d.ID)
	to.text("key", d.Key)
	to.text("email", d.Email)
	to.text("target", d.Target)
	to.text("aim", d.Aim)
	to.text("filename", d.Filename)
	orNull("timezone", d.Timezone)
	to.text("state", d.State)
	to.text("issue_stage", d.IssueStage)
	to.value("issue", d.Issue)
	to.link("status_url", root, "status")
	to.link("notes_url", root, "upgraded/notes")
	to.link("original_sql_url", root, "original/sql")
	to.link("original_dump_url", root, "original/archive")
	to.link("upgraded_sql_url", root, "upgraded/sql")
	to.link("upgraded_dump_url", root, "upgraded/archive")
	to.link("modules_url", root, "modules/archive")
	orNull("filesize", d.filesize())
	orNull("database_uuid", d.Described.DatabaseUUID)
	to.text("created_at", timestamp(d.CreatedAt))
	to.value("estimated_time", nil)
	if d.ProcessedAt == nil {
		to.value("processed_at", nil)
	} else {
		to.text("processed_at", timestamp(*d.ProcessedAt))
	}
	to.text("elapsed", hoursMinutes(d.Elapsed))
	to.value("filestore", d.Filestore)
	to.value("customer_message", nil)
	orNull("database_version", d.Described.DatabaseVersion)
	orNull("postgresql", d.PostgreSQL)
	to.value("compressions", d.compressions())
	if d.OneCall {
		to.link("migrated_sql_url", root, "upgraded/sql") // WIRE 6.6
	}
}

func (d *described) filesize() string {
	if !d.HasDump {
		return ""
	}
	return dump.Size(d.DumpSize)
}

func (d *described) compressions() []string {
	if !d.HasDump || d.Described.Compressions == nil {
		return none
	}
	return d.Described.Compressions
}

// values is the keys and what they are.
func (d *described) values() map[string]any {
	v := valueFields{set: d.Set, values: make(map[string]any, 30)}
	d.tell(v)
	return v.values
}

// valueFields collects the keys.
type valueFields struct{ set, values map[string]any }

func (v valueFields) text(key, value string)      { v.value(key, value) }
func (v valueFields) link(key, root, path string) { v.value(key, root+path) }

func (v valueFields) value(key string, value any) {
	if set, ok := v.set[key]; ok { // the script knows better
		value = set
	}
	v.values[key] = value
}

// appendJSON appends the keys as an object.
func (d *described) appendJSON(b []byte) ([]byte, error) {
	w := jsonFields{set: d.Set, b: append(b, '{')}
	d.tell(&w)
	return append(w.b[:len(w.b)-1], '}'), w.err
}

// jsonFields writes the keys, each with a comma behind it.
type jsonFields struct {
	set   map[string]any
	b     []byte
	plain string // the root of links that was found to need no escape: it is mostly the same one
	err   error
}

func (w *jsonFields) text(key, value string) {
	if len(w.set) > 0 || !needsNoEscape(value) {
		w.value(key, value)
		return
	}
	w.key(key)
	w.b = append(w.b, '"')
	w.b = append(w.b, value...)
	w.b = append(w.b, `",`...)
}

func (w *jsonFields) link(key, root, path string) {
	if root != w.plain && needsNoEscape(root) {
		w.plain = root
	}
	if len(w.set) > 0 || root != w.plain || !needsNoEscape(path) {
		w.value(key, root+path)
		return
	}
	w.key(key)
	w.b = append(w.b, '"')
	w.b = append(w.b, root...)
	w.b = append(w.b, path...)
	w.b = append(w.b, `",`...)
}

func (w *jsonFields) value(key string, value any) {
	if set, ok := w.set[key]; ok { // the script knows better
		value = set
	}
	w.key(key)
	b, err := appendJSON(w.b, value)
	if err != nil {
		w.err = err
		return
	}
	w.b = append(b, ',')
}

func (w *jsonFields) key(key string) {
	w.b = append(w.b, '"')
	w.b = append(w.b, key...)
	w.b = append(w.b, `":`...)
}

// timestamp is UTC, as the sample's created_at.
func timestamp(t time.Time) string { return t.UTC().Format(time.DateTime) }

// hoursMinutes is HH:MM (assumed; the sample has 00:00).
func hoursMinutes(d time.Duration) string {
	minutes := int64(d / time.Minute)
	if minutes == 0 {
		return "00:00"
	}
	return fmt.Sprintf("%02d:%02d", minutes/60, minutes%60)
}

// hostname is the host of a base URL, without port.
func hostname(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
