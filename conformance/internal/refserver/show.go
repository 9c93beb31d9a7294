package refserver

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
)

// show is the request as status shows it.
func (s *Server) show(req *Request) map[string]any {
	base := fmt.Sprintf("%s/database/eu1/%d/%s/", s.web.URL, req.id, req.key)
	var timezone any
	if z := req.Params["timezone"]; z != "" {
		timezone = z
	}
	d := s.describe(req)
	processed, estimated := s.times(req)
	stage := req.state
	if req.state == "draft" || s.is("process/stage-follows") {
		stage = "new"
	}
	created := req.created.UTC()
	if s.is("create/created-now") {
		created = created.Add(2 * time.Hour)
	}
	m := map[string]any{
		"id": req.id, "key": req.key, "email": req.Params["email"], "target": req.Params["target"],
		"aim": req.Params["aim"], "filename": req.name,
		"timezone": timezone, "state": req.state, "issue_stage": stage, "issue": 648398 + req.id,
		"status_url": base + "status", "notes_url": base + "upgraded/notes", "original_sql_url": base + "original/sql",
		"original_dump_url": base + "original/archive",
		"upgraded_sql_url":  base + "upgraded/sql", "upgraded_dump_url": base + "upgraded/archive",
		"modules_url": base + "modules/archive",
		"filesize":    d.filesize, "database_uuid": d.uuid, "created_at": created.Format(time.DateTime),
		"estimated_time": estimated, "processed_at": processed,
		"elapsed": "00:00", "filestore": s.is("filestore") && (req.state == "done" || s.is("edition 13.0")),
		"customer_message": nil,
		"database_version": d.version, "postgresql": d.postgresql, "compressions": d.compressions,
	}
	if req.viaUpgrade || s.is("upgrade/plain-status") {
		if !s.is("upgrade/migrated-sql-url") {
			m["migrated_sql_url"] = m["upgraded_sql_url"]
		}
		if d.postgresql == nil && !s.is("upgrade/postgresql") {
			m["postgresql"] = req.Params["postgresql"]
		}
	}
	if s.is("differently") {
		m["priority"], m["links"] = 3, map[string]any{}
	}
	return m
}

// shownDump is what status shows of a dump.
type shownDump struct {
	filesize, postgresql, version, uuid any
	compressions                        []string
}

// describe is what status shows of the request's dump.
func (s *Server) describe(req *Request) shownDump {
	var filesize, postgresql, version, uuid any
	compressions := []string{}
	if len(req.Dump) > 0 || req.uploaded {
		d := describe(req.Dump)
		unit := 1024.0
		if s.is("upload/filesize-units") || s.is("differently") {
			unit = 1000
		}
		filesize = size(len(req.Dump), unit)
		if s.is("sftp/same-dump") && req.viaSFTP {
			filesize = nil
		} else if s.is("upload/filesize") {
			filesize = strings.ToUpper(filesize.(string))
		}
		if d.postgresql != "" && !s.is("upload/postgresql") {
			postgresql = d.postgresql
		}
		if s.is("upload/postgresql-custom") && bytes.HasPrefix(req.Dump, []byte("PGDMP")) {
			postgresql = "9.4"
		}
		compressions = d.compressions
		if s.is("upload/compressions") && req.name != "backup.zip" && req.name != "backup.sql" &&
			len(compressions) > 1 {
			slices.Reverse(compressions)
		}
		if s.is("upload/compressions-by-content") &&
			(strings.HasSuffix(req.name, ".zip") || strings.HasSuffix(req.name, ".sql")) {
			compressions = []string{strings.TrimPrefix(req.name[strings.LastIndex(req.name, "."):], "."), "sql"}
		}
		if s.is("upload/compressions-others") && compressions[0] == "gzip" {
			compressions = []string{"gz", "sql"}
		}
		if d.uuid != "" && !s.is("upload/database-read") && !s.is("differently") {
			version, uuid = d.version, d.uuid
			if s.is("upload/database") {
				uuid = "00000000-0000-0000-0000-000000000000"
			}
		}
		if req.guessPostgresql != "" {
			postgresql = req.guessPostgresql
		}
	} else if s.is("differently") {
		compressions = nil
	}
	if s.is("create/no-dump-yet") && filesize == nil {
		filesize = "0.00 b"
	}
	return shownDump{filesize, postgresql, version, uuid, compressions}
}

// times are processed_at and estimated_time.
func (s *Server) times(req *Request) (any, any) {
	var processed, estimated any
	if !req.processed.IsZero() && !s.is("process/processed-at") &&
		!(s.is("process/processed-at-begins") && req.state != "done") {
		at := req.processed.UTC()
		if s.is("process/processed-at-stays") {
			at = at.Add(time.Duration(req.statusCalls) * time.Second)
		}
		processed = at.Format(time.DateTime)
		estimated = "00:30"
		if s.is("process/estimated-time") || s.is("differently") {
			estimated = "30 min"
		}
	}
	return processed, estimated
}
