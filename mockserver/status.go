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
	number(key string, value int64)
	moment(key string, value time.Time)
	link(key, path string) // a URL of the request
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
	to.number("id", d.ID)
	to.text("key", d.Key)
	to.text("email", d.Email)
	to.text("target", d.Target)
	to.text("aim", d.Aim)
	to.text("filename", d.Filename)
	orNull(to, "timezone", d.Timezone)
	to.text("state", d.State)
	to.text("issue_stage", d.IssueStage)
	to.number("issue", d.Issue)
	to.link("status_url", "status")
	to.link("notes_url", "upgraded/notes")
	to.link("original_sql_url", "original/sql")
	to.link("original_dump_url", "original/archive")
	to.link("upgraded_sql_url", "upgraded/sql")
	to.link("upgraded_dump_url", "upgraded/archive")
	to.link("modules_url", "modules/archive")
	orNull(to, "filesize", d.filesize())
	orNull(to, "database_uuid", d.Described.DatabaseUUID)
	to.moment("created_at", d.CreatedAt)
	to.value("estimated_time", nil)
	if d.ProcessedAt == nil {
		to.value("processed_at", nil)
	} else {
		to.moment("processed_at", *d.ProcessedAt)
	}
	to.text("elapsed", hoursMinutes(d.Elapsed))
	to.value("filestore", d.Filestore)
	to.value("customer_message", nil)
	orNull(to, "database_version", d.Described.DatabaseVersion)
	orNull(to, "postgresql", d.PostgreSQL)
	to.value("compressions", d.compressions())
	if d.OneCall {
		to.link("migrated_sql_url", "upgraded/sql") // WIRE 6.6
	}
}

func orNull(to fields, key, value string) {
	if value == "" {
		to.value(key, nil)
	} else {
		to.text(key, value)
	}
}

// appendRoot appends what the request's URLs begin with. Deliberately not escaped: the sample's end in …==/status (WIRE section 7).
func (d *described) appendRoot(b []byte) []byte {
	b = append(b, d.base...)
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

func (d *described) compressions() []string {
	if !d.HasDump || d.Described.Compressions == nil {
		return none
	}
	return d.Described.Compressions
}

// values is the keys and what they are.
func (d *described) values() map[string]any {
	v := valueFields{set: d.Set, root: string(d.appendRoot(nil)), values: make(map[string]any, 30)}
	d.tell(v)
	return v.values
}

// valueFields collects the keys.
type valueFields struct {
	set, values map[string]any
	root        string
}

func (v valueFields) text(key, value string)         { v.value(key, value) }
func (v valueFields) number(key string, value int64) { v.value(key, value) }
func (v valueFields) moment(key string, t time.Time) { v.value(key, timestamp(t)) }
func (v valueFields) link(key, path string)          { v.value(key, v.root+path) }

func (v valueFields) value(key string, value any) {
	if set, ok := v.set[key]; ok { // the script knows better
		value = set
	}
	v.values[key] = value
}

// appendJSON appends the keys as an object.
func (d *described) appendJSON(b []byte) ([]byte, error) {
	w := jsonFields{d: d, b: append(b, '{')}
	d.tell(&w)
	return append(w.b[:len(w.b)-1], '}'), w.err
}

// jsonFields writes the keys, each with a comma behind it.
type jsonFields struct {
	d        *described
	b        []byte
	root, at int // a quote and the root of the links stand in b[root:at], once there was one
	err      error
}

// key writes the key, unless the script knows better what its value is: then that is written, too.
func (w *jsonFields) key(key string) (wanted bool) {
	w.b = append(w.b, '"')
	w.b = append(w.b, key...)
	w.b = append(w.b, `":`...)
	if len(w.d.Set) == 0 {
		return true
	}
	set, ok := w.d.Set[key]
	if ok {
		w.append(set)
	}
	return !ok
}

func (w *jsonFields) append(value any) {
	b, err := appendJSON(w.b, value)
	if err != nil {
		w.err = err
		return
	}
	w.b = append(b, ',')
}

func (w *jsonFields) text(key, value string) {
	if w.key(key) {
		w.b = append(appendString(w.b, value), ',')
	}
}

func (w *jsonFields) number(key string, value int64) {
	if w.key(key) {
		w.b = append(strconv.AppendInt(w.b, value, 10), ',')
	}
}

func (w *jsonFields) moment(key string, t time.Time) {
	if w.key(key) {
		w.b = append(w.b, '"')
		w.b = append(appendTimestamp(w.b, t), `",`...)
	}
}

func (w *jsonFields) link(key, path string) {
	if !w.key(key) {
		return
	}
	if w.at == 0 {
		w.root = len(w.b)
		w.b = w.d.appendRoot(append(w.b, '"'))
		if !needsNoEscape(w.b[w.root+1:]) {
			w.b = appendString(w.b[:w.root], string(w.b[w.root+1:]))
			w.b = w.b[:len(w.b)-1]
		}
		w.at = len(w.b)
	} else {
		w.b = append(w.b, w.b[w.root:w.at]...)
	}
	w.b = append(w.b, path...)
	w.b = append(w.b, `",`...)
}

func (w *jsonFields) value(key string, value any) {
	if w.key(key) {
		w.append(value)
	}
}

// timestamp is UTC, as the sample's created_at.
func timestamp(t time.Time) string { return string(appendTimestamp(nil, t)) }

// appendTimestamp is [time.DateTime] by way of RFC 3339, which the library formats three times as fast.
func appendTimestamp(b []byte, t time.Time) []byte {
	from := len(b)
	b = t.UTC().AppendFormat(b, time.RFC3339)
	b[from+len(time.DateOnly)] = ' '
	return b[:from+len(time.DateTime)]
}

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
