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

// requestObject is a request as create, upgrade and status answer it: every key, in the order of the documented sample, null for
// what is unknown.
func (s *Server) requestObject(r platform.Snapshot, base string) object {
	// Deliberately not escaped: the sample's URLs end in …==/status (WIRE section 7).
	root := base + "/database/" + s.opts.Region + "/" + strconv.FormatInt(r.ID, 10) + "/" + r.Key + "/"
	var filesize any
	compressions := []string{}
	if r.HasDump {
		filesize = dump.Size(r.DumpSize)
		if r.Described.Compressions != nil {
			compressions = r.Described.Compressions
		}
	}
	o := object{
		{"id", r.ID},
		{"key", r.Key},
		{"email", r.Email},
		{"target", r.Target},
		{"aim", r.Aim},
		{"filename", r.Filename},
		{"timezone", orNull(r.Timezone)},
		{"state", r.State},
		{"issue_stage", r.IssueStage},
		{"issue", r.Issue},
		{"status_url", root + "status"},
		{"notes_url", root + "upgraded/notes"},
		{"original_sql_url", root + "original/sql"},
		{"original_dump_url", root + "original/archive"},
		{"upgraded_sql_url", root + "upgraded/sql"},
		{"upgraded_dump_url", root + "upgraded/archive"},
		{"modules_url", root + "modules/archive"},
		{"filesize", filesize},
		{"database_uuid", orNull(r.Described.DatabaseUUID)},
		{"created_at", timestamp(&r.CreatedAt)},
		{"estimated_time", nil},
		{"processed_at", timestamp(r.ProcessedAt)},
		{"elapsed", hoursMinutes(r.Elapsed)},
		{"filestore", r.Filestore},
		{"customer_message", nil},
		{"database_version", orNull(r.Described.DatabaseVersion)},
		{"postgresql", orNull(r.PostgreSQL)},
		{"compressions", compressions},
	}
	if r.OneCall {
		o = append(o, field{"migrated_sql_url", root + "upgraded/sql"}) // WIRE 6.6
	}
	if len(r.Set) > 0 {
		for i := range o {
			if value, ok := r.Set[o[i].key]; ok {
				o[i].value = value
			}
		}
	}
	return o
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// timestamp is UTC, as the sample's created_at.
func timestamp(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format(time.DateTime)
}

// hoursMinutes is HH:MM (assumed; the sample has 00:00).
func hoursMinutes(d time.Duration) string {
	minutes := int64(d / time.Minute)
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
