package conformance_test

import (
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wrongStatuses are servers that show requests in another way.
func wrongStatuses() map[string]wrong {
	seconds := func(v any) any {
		at, err := time.Parse(time.DateTime, v.(string))
		if err != nil {
			return v
		}
		return at.Unix()
	}
	unless := func(v any, f func(any) any) any { // null stays null
		if v == nil {
			return nil
		}
		return f(v)
	}
	later := func(d time.Duration) func(any) any {
		return func(v any) any {
			at, err := time.Parse(time.DateTime, v.(string))
			if err != nil {
				return v
			}
			return at.Add(d).Format(time.DateTime)
		}
	}
	ifKnown := func(f func(any) any) func(any) any { return func(v any) any { return unless(v, f) } }
	const statusTypes = "create/types status/"

	return map[string]wrong{
		// The keys of status: other types and forms.
		"id is a text": {"7 id",
			instead("id", func(v any) any { return strconv.Itoa(v.(int)) }),
			statusTypes + "id create/id-integer"},
		"id is a fraction": {"7 id",
			rewritten("status", func(b []byte) []byte {
				return regexp.MustCompile(`"id":(\d+)`).ReplaceAll(b, []byte(`"id":$1.0`))
			}),
			"status/id"},
		"status shows another key": {"7 key", saboteur{edit: onRequest(func(method string, m map[string]any) {
			if method == "status" {
				m["key"] = "hidden"
			}
		})}, "create/same-as-status"},
		"status leaves the key out": {"7 key", saboteur{edit: drop("key", "status")}, "status/key"},
		"email is a list": {"7 email",
			instead("email", func(v any) any { return []any{v} }),
			statusTypes + "email create/echo"},
		"email in lower case": {"7 email",
			instead("email", func(v any) any { return strings.ToLower(v.(string)) }),
			"create/echo"},
		"target is a number": {"7 target", instead("target", just(8.0)), statusTypes + "target"},
		"target without .0": {"7 target",
			instead("target", reshape(`\.0$`, "")),
			"create/echo create/targets"},
		"aim with a capital": {"7 aim",
			instead("aim", reshape(`^t`, "T")),
			"create/echo create/aims"},
		"filename with _ for blanks": {"7 filename",
			instead("filename", reshape(` `, "_")),
			"create/echo params/escapes"},
		"timezone is empty": {"7 timezone", instead("timezone", just("")), "create/timezone"},
		"timezone is UTC":   {"7 timezone", instead("timezone", just("UTC")), "create/timezone"},
		"timezone is an offset": {"7 timezone",
			instead("timezone", ifKnown(just(120))),
			"create/timezone"},
		"state with a capital": {"7 state",
			instead("state", func(v any) any { return strings.ToUpper(v.(string)[:1]) + v.(string)[1:] }),
			"create/state-draft process/state-names"},
		"state is a number": {"7 state",
			instead("state", just(3)),
			statusTypes + "state create/state-draft"},
		"issue_stage is null": {"7 issue_stage",
			instead("issue_stage", just(nil)),
			statusTypes + "issue_stage create/stage-new"},
		"issue is null":   {"7 issue", instead("issue", just(nil)), statusTypes + "issue"},
		"issue is a text": {"7 issue", instead("issue", just("648398")), statusTypes + "issue"},
		"filesize is a number": {"7 filesize",
			instead("filesize", ifKnown(just(934902))),
			"status/filesize upload/filesize"},
		"filesize in KB": {"7 filesize",
			instead("filesize", reshape("Kb", "KB")),
			"upload/filesize"},
		"filesize in kB": {"7 filesize",
			instead("filesize", reshape("Kb", "kB")),
			"upload/filesize"},
		"filesize in KiB": {"7 filesize",
			instead("filesize", reshape("Kb", "KiB")),
			"upload/filesize"},
		"filesize without a blank": {"7 filesize",
			instead("filesize", reshape(" ", "")),
			"upload/filesize status/filesize"},
		"filesize with one decimal": {"7 filesize",
			instead("filesize", reshape(`(\.\d)\d`, "$1")),
			"upload/filesize status/filesize"},
		"filesize with a comma": {"7 filesize",
			instead("filesize", reshape(`\.`, ",")),
			"upload/filesize status/filesize"},
		"filesize of something else": {"7 filesize",
			instead("filesize", ifKnown(just("912.99 Kb"))),
			"upload/filesize"},
		"filesize is never known": {"7 filesize", instead("filesize", just(nil)), "upload/filesize"},
		"database_uuid is empty": {"7 database_uuid",
			instead("database_uuid", just("")),
			"upload/database"},
		"database_uuid is a number": {"7 database_uuid",
			instead("database_uuid", just(5)),
			statusTypes + "database_uuid"},
		"database_version is a number": {"7 database_version",
			instead("database_version", just(8)),
			statusTypes + "database_version"},
		"database_version is the target": {"7 database_version",
			instead("database_version", just("7.0")),
			"upload/database"},
		"created_at in ISO 8601": {"7 created_at",
			instead("created_at", reshape(`^(.{10}) (.*)$`, "${1}T${2}Z")),
			statusTypes + "created_at"},
		"created_at in seconds": {"7 created_at",
			instead("created_at", seconds),
			statusTypes + "created_at"},
		"created_at with a fraction": {"7 created_at",
			instead("created_at", reshape(`$`, ".123456")),
			statusTypes + "created_at"},
		"created_at two hours ahead": {"7 created_at",
			instead("created_at", later(2*time.Hour)),
			"create/created-now"},
		"created_at of the last call": {"7 created_at", func() saboteur {
			n := 0
			return saboteur{edit: onRequest(func(method string, m map[string]any) {
				if n++; method == "status" {
					m["created_at"] = later(time.Duration(n) * time.Second)(m["created_at"])
				}
			})}
		}(), "status/unchanging status/same-twice"},
		"processed_at from the start": {"7 processed_at",
			always(func(m map[string]any) { m["processed_at"] = m["created_at"] }),
			"create/draft-values"},
		"processed_at in ISO 8601": {"7 processed_at",
			instead("processed_at", reshape(`^(.{10}) (.*)$`, "${1}T${2}Z")),
			"status/processed_at process/processed-at"},
		"processed_at two hours behind": {"6.3",
			instead("processed_at", ifKnown(later(-2*time.Hour))),
			"process/processed-at"},
		"processed_at two hours ahead": {"6.3",
			instead("processed_at", ifKnown(later(2*time.Hour))),
			"process/processed-at"},
		"processed_at stays null": {"7 processed_at",
			instead("processed_at", just(nil)),
			"process/processed-at"},
		"processed_at is empty": {"7 processed_at", always(func(m map[string]any) {
			if m["processed_at"] == nil {
				m["processed_at"] = ""
			}
		}), "create/types create/draft-values"},
		"estimated_time is a number": {"7 estimated_time",
			instead("estimated_time", just(0)),
			statusTypes + "estimated_time create/draft-values"},
		"elapsed is a number": {"7 elapsed",
			instead("elapsed", just(0)),
			statusTypes + "elapsed create/draft-values"},
		"elapsed is null": {"7 elapsed",
			instead("elapsed", just(nil)),
			statusTypes + "elapsed create/draft-values"},
		"elapsed with seconds": {"7 elapsed",
			instead("elapsed", just("00:00:00")),
			statusTypes + "elapsed"},
		"filestore is null": {"7 filestore",
			instead("filestore", just(nil)),
			statusTypes + "filestore create/draft-values"},
		"filestore is 0": {"7 filestore",
			instead("filestore", just(0)),
			statusTypes + "filestore"},
		"filestore is a text": {"7 filestore",
			instead("filestore", just("false")),
			statusTypes + "filestore"},
		"customer_message is empty": {"7 customer_message",
			instead("customer_message", just("")),
			"create/draft-values"},
		"customer_message is false": {"7 customer_message",
			instead("customer_message", just(false)),
			statusTypes + "customer_message create/draft-values"},
		"postgresql is a number": {"7 postgresql",
			instead("postgresql", ifKnown(just(9.4))),
			"status/postgresql upload/postgresql"},
		"postgresql is that of pg_dump": {"9 postgresql", instead("postgresql", func(v any) any {
			if v == nil || v == "15" {
				return v
			}
			return "10"
		}), "upload/postgresql"},
		"postgresql in words": {"7 postgresql",
			instead("postgresql", ifKnown(just("PostgreSQL 9.4"))),
			"status/postgresql upload/postgresql"},
		"postgresql with its patch": {"7 postgresql",
			instead("postgresql", reshape("$", ".5")),
			"upload/postgresql"},
		"compressions is a text": {"7 compressions",
			instead("compressions", just("pgdmp_custom,sql")),
			statusTypes + "compressions upload/compressions"},
		"compressions from the inside": {"7 compressions",
			instead("compressions", func(v any) any {
				v = slices.Clone(v.([]string))
				slices.Reverse(v.([]string))
				return v
			}),
			"upload/compressions"},
		"compressions without the SQL": {"7 compressions",
			instead("compressions", func(v any) any { return v.([]string)[:min(1, len(v.([]string)))] }),
			"upload/compressions"},
		"compressions is always null": {"7 compressions",
			instead("compressions", just(nil)),
			"status/compressions upload/compressions"},
		"what is null is left out": {"7 order", always(func(m map[string]any) {
			maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
		}), "create/all-keys status/timezone status/customer_message"},
		"what is null is empty": {"7 order", always(func(m map[string]any) {
			for k, v := range m {
				if v == nil {
					m[k] = ""
				}
			}
		}), "create/types create/timezone create/draft-values"},
		"everything is a text": {"7 order", always(func(m map[string]any) {
			for k, v := range m {
				if _, is := v.(string); v != nil && !is {
					text, _ := json.Marshal(v)
					m[k] = string(text)
				}
			}
		}), "create/types status/id status/issue status/filestore status/compressions"},
		"another key is added for each missing": {"7 modules_url",
			always(func(m map[string]any) { m["modules"] = m["modules_url"]; delete(m, "modules_url") }),
			"create/all-keys status/modules_url"},

		// URLs.
		"URLs without a host": {"7 URLs",
			saboteur{edit: replace("", "http://", "")},
			"create/types"},
		"URLs without the key": {"7 URLs",
			always(func(m map[string]any) { dropKey(m) }),
			"url-form/status_url url-form/upgraded_dump_url"},
		"URLs with an escaped key": {"7 URLs",
			saboteur{edit: replace("", "==/", "%3D%3D/")},
			"url-form/key"},
		"URLs of another region": {"7 URLs",
			saboteur{edit: replace("", "/eu1/", "/us1/")},
			"url-form/region"},
		"URLs of another host": {"7 URLs",
			saboteur{edit: replace("", "127.0.0.1", "upgrade.example.com")},
			"url-form/base"},
		"archives under another name": {"7 upgraded_dump_url",
			saboteur{edit: replace("upgraded_dump_url", "/archive", "/dump")},
			"url-form/upgraded_dump_url"},
		"the SQL's URL is the archive's": {"7 original_sql_url",
			always(func(m map[string]any) { m["original_sql_url"] = m["original_dump_url"] }),
			"url-form/original_sql_url"},
		"URLs null before the upgrade": {"7 upgraded_sql_url", always(func(m map[string]any) {
			if m["state"] != "done" {
				m["upgraded_sql_url"], m["upgraded_dump_url"] = nil, nil
			}
		}), "create/types status/upgraded_sql_url status/upgraded_dump_url"},
	}
}
