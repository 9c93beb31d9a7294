package conformance_test

import (
	"flag"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

var wholeSuite = flag.Bool("whole-suite", false,
	"hold every saboteur against the whole suite, not only the checks of its group (takes minutes)")

// saboteur is a server that breaks exactly one thing.
type saboteur struct {
	mutations []string // nil, and no other field either: the one that is called as the check
	edit      func(method string, ok bool, answer map[string]any)
	file      func(w http.ResponseWriter, r *http.Request) bool
	front     func(w http.ResponseWriter, r *http.Request, next http.Handler)
	packet    func(f *refserver.Session, kind byte, p *refserver.Packet) (byte, []byte)
	steps     []string
	also      string // a regular expression: the other checks that fail, since the broken thing is theirs as well
}

type edit = func(method string, ok bool, answer map[string]any)

// onRequest edits the request of successful answers.
func onRequest(f func(method string, m map[string]any)) edit {
	return func(method string, ok bool, answer map[string]any) {
		if m, is := answer["request"].(map[string]any); is && ok {
			f(method, m)
		}
	}
}

// set changes one key of the request that the methods answer.
func set(key string, value any, methods ...string) edit {
	return onRequest(func(method string, m map[string]any) {
		if slices.Contains(methods, method) {
			m[key] = value
		}
	})
}

func drop(key string, methods ...string) edit {
	return onRequest(func(method string, m map[string]any) {
		if slices.Contains(methods, method) {
			delete(m, key)
		}
	})
}

// pending changes a key of the status of a request that is pending.
func pending(key string, value any) edit {
	return onRequest(func(method string, m map[string]any) {
		if method == "status" && m["state"] == "pending" {
			m[key] = value
		}
	})
}

// replace changes the text of every URL.
func replace(key, from, to string) edit {
	return onRequest(func(_ string, m map[string]any) {
		for k, v := range m {
			if s, is := v.(string); is && strings.HasSuffix(k, "_url") && (key == "" || k == key) {
				m[k] = strings.Replace(s, from, to, 1)
			}
		}
	})
}

// onFailures edits the list of refused calls of a method.
func onFailures(method string, f func(list []any) any) edit {
	return func(m string, ok bool, answer map[string]any) {
		if list, is := answer["failures"].([]any); is && m == method && !ok {
			answer["failures"] = f(list)
		}
	}
}

const everything = "."

// shortWait is how long an upgrade is waited for that never ends.
const shortWait = 200 * time.Millisecond

// sabotaged is a server that is wrong as the saboteur says.
func sabotaged(t testing.TB, sab saboteur) *refserver.Server {
	s := refserver.New(t, sab.mutations...)
	s.Edit, s.File, s.Front, s.Packet = sab.edit, sab.file, sab.front, sab.packet
	if sab.steps != nil {
		s.Steps = sab.steps
	}
	return s
}

// saboteurs are those that are more than a mutation that is called as the check.
func saboteurs() map[string]saboteur {
	both := []string{"create", "status"}
	out := map[string]saboteur{
		"answers/success-status": {also: "answers/success-200"},
		"answers/failure-without-request": {edit: func(_ string, ok bool, answer map[string]any) {
			if !ok {
				answer["request"] = nil
			}
		}},
		"status/query":  {also: "^status/(answer|same-twice)$"},
		"process/query": {also: "^process/answer$"},

		"create/succeeds":       {also: everything},
		"create/all-keys":       {edit: drop("modules_url", "create"), also: "create/same-as-status"},
		"create/types":          {edit: set("issue", "648398", "create"), also: "create/same-as-status"},
		"create/same-as-status": {edit: set("issue", 1, "create")},
		"create/id-integer": {edit: onRequest(func(method string, m map[string]any) {
			if id, is := m["id"].(int); is && method == "create" {
				m["id"] = strconv.Itoa(id)
			}
		}), also: "create/(types|same-as-status)"},
		"create/id-new":    {also: "create/(id-ascending|same-as-status)"},
		"create/stage-new": {edit: set("issue_stage", "draft", both...), also: "process/stage-follows"},
		"create/echo": {edit: onRequest(func(_ string, m map[string]any) {
			if email, ok := m["email"].(string); ok { // an SFTP access has none
				m["email"] = strings.ToLower(email)
			}
		})},
		"create/timezone": {edit: set("timezone", nil, both...)},
		"create/draft-values": {edit: onRequest(func(_ string, m map[string]any) {
			if m["state"] == "draft" {
				m["processed_at"] = m["created_at"]
			}
		}), also: "process/processed-at-stays"},
		"create/email-invalid":  {also: "create/all-problems-assumed"},
		"create/contract-forms": {also: "create/contracts-known"},
		"create/all-problems":   {also: "create/all-problems-(assumed|counted)"},

		"status/answer": {edit: func(method string, ok bool, answer map[string]any) {
			if method == "status" && ok {
				answer["failures"] = []any{map[string]any{"reason": "NOTE", "message": "be patient"}}
			}
		}, also: "^(status|params|answers)/"},
		"status/same-twice": {edit: func() edit {
			n := 0
			return onRequest(func(method string, m map[string]any) {
				if method == "status" {
					n++
					m["issue"] = n
				}
			})
		}(), also: "create/same-as-status|status/unchanging"},
		"status/own-request": {edit: onRequest(func(method string, m map[string]any) {
			if method == "status" && m["filename"] == "second.dump" {
				m["filename"] = "first.dump"
			}
		})},
		"status/unchanging": {edit: pending("issue", 5)},

		"url-form/base":   {edit: replace("", "://", "://localhost.example/")},
		"url-form/region": {edit: replace("", "/eu1/", "/eu2/")},
		"url-form/key":    {edit: replace("", "==/", "%3D%3D/")},

		"upload/answer":                  {also: "^(upload|answers)/"},
		"upload/custom-format":           {also: "upload/only-draft"},
		"upload/still-draft":             {also: everything},
		"upload/filesize":                {also: "upload/(filesize-units|describes-the-last)"},
		"upload/filesize-units":          {also: "upload/describes-the-last"},
		"upload/compressions":            {also: "upload/compressions-others"},
		"upload/compressions-by-content": {also: "upload/compressions-others"},
		"upload/postgresql": {also: "upload/(postgresql-custom|describes-the-last)|upgrade/postgresql|" +
			"sftp/same-dump"},
		"upload/database": {also: "upload/database-read"},
		"upload/chunked":  {also: "upload/broken-keeps-earlier"},

		"sftp-access/answer": {edit: drop("request_id", "request_sftp_access"),
			also: "sftp-access/(request-id|number-types)"},
		"sftp-access/hostname": {edit: set("hostname", "127.0.0.1:22", "request_sftp_access"),
			also: everything},
		"sftp-access/sftp-port": {edit: set("sftp_port", "ssh", "request_sftp_access"), also: everything},
		"sftp-access/sftp-user": {edit: set("sftp_user", "odoo", "request_sftp_access"),
			also: "sftp-access/sample-command"},
		"sftp-access/shared-file": {edit: set("shared_file", "dump", "request_sftp_access"),
			also: "sftp/unicode-name"},
		"sftp-access/request-id": {edit: set("request_id", 1, "request_sftp_access")},
		"sftp-access/sample-command": {edit: set("sample_command", "sftp -p 2200 localhost",
			"request_sftp_access")},
		"sftp-access/requires-keys":       {also: "sftp-access/(missing-keys|keys-invalid)"},
		"sftp-access/keys-with-comments":  {also: "sftp-access/(keys-(invalid|crlf)|no-key-in-comments)"},
		"sftp-access/several-keys":        {also: "sftp-access/keys-crlf|sftp/login-among-others"},
		"sftp-access/keys-crlf":           {also: "sftp-access/keys-invalid"},
		"sftp-access/only-draft-and-done": {also: "sftp-access/state-invalid"},
		"sftp-access/keys-file":           {also: everything},

		"sftp/login-ed25519": {also: "^sftp/|^sftp-access/keys|^sftp-access/several|done-access|" +
			"skip-test/sftp-delivered"},
		"sftp/foreign-key":   {also: "sftp/(done-old-keys|cross-request)|replaces-keys|sftp-access/ends"},
		"sftp/cross-request": {also: "sftp/no-access-asked"},
		"sftp/no-authentication": {also: "sftp/(foreign-key|cross-request|no-access-asked|password|password-key|" +
			"keyboard-interactive|done-old-keys)|sftp-access/(replaces-keys|ends)"},
		"sftp/port":             {also: "^skip-test/sftp-delivered$"},
		"sftp/list-only-shared": {also: "sftp/done-one-file"},
		"sftp/list-mode":        {also: "sftp/setstat"},
		"sftp/list-size":        {also: "sftp/(done-longname|longname)"},
		"sftp/stat-size": {also: "sftp/(list-from-start|truncate|resume-twice|next-session|interrupted|" +
			"done-get)$"},
		"sftp/put-path":  {also: "sftp/stat-size"},
		"sftp/overwrite": {also: "sftp/truncate"},
		"sftp/truncate":  {also: "sftp/overwrite"},
		"sftp/no-truncate": {also: "sftp/(truncate-setstat|resume|resume-twice|rewrite-middle|setstat|" +
			"next-session)"},
		"sftp/resume-append":      {also: "sftp/(append|interrupted)"},
		"sftp/append":             {also: "sftp/append-two-handles"},
		"sftp/append-same-offset": {also: "sftp/append-out-of-order"},
		"upload/odd-type":         {also: "upload/wrapped"},
		"upgrade/refusals":        {also: "upgrade/all-problems"},
		"upgrade/bytes":           {also: "upgrade/multipart-body"},
		"urls/answered":           {also: "urls/modules"},
		"urls/original-sql-zip":   {also: "urls/sql-is-text"},
		"sftp/no-create":          {also: "sftp/no-way-out|sftp/done-read-only"},
		"sftp/no-create-status":   {also: "sftp/no-way-out-status"},
		"sftp/no-such-file":       {also: "sftp/no-way-out-status"},
		"sftp/done-name":          {also: "urls/content-disposition"},

		"sftp/done-read-only":       {also: "sftp/done-one-file"},
		"sftp-access/keys-form":     {also: "sftp-access/keys-get-body"},
		"process/processed-at":      {also: "process/processed-at-begins"},
		"process/answer":            {also: everything},
		"process/leaves-draft":      {also: everything},
		"process/state-names":       {steps: []string{"queued", "done"}},
		"process/never-draft-again": {steps: []string{"pending", "draft", "done"}, also: "process/state-order"},
		"process/state-order":       {steps: []string{"processing", "pending", "done"}},
		"process/reaches-done":      {steps: []string{"pending"}, also: "upgrade/done"},
		"process/description-stays": {edit: pending("filesize", nil)},
		"urls/original-archive":     {also: "urls/(original-sql|sql-is-text)|process/sftp-dump"},
		"urls/upgraded-archive":     {also: "urls/(upgraded-as-uploaded|same-over-sftp)|skip-test/delivers"},
		"urls/upgraded-only-done":   {also: "urls/upgraded-404"},
		"urls/filestore-zip": {mutations: []string{"filestore", "urls/filestore-zip"},
			also: "urls/(upgraded-sql|sql-is-text|upgraded-whole)|upgrade/done"},
		"urls/wrong-key":           {also: "urls/wrong-key-404"},
		"urls/content-disposition": {also: "urls/upgraded-filename"},
		"urls/length":              {also: "urls/(head|range|if-range|last-modified)"},
		"urls/etag":                {also: "urls/(head|if-range)"},
		"urls/last-modified":       {also: "urls/head"},
		"urls/original-sql":        {also: "urls/sql-is-text"},
		"skip-test/wrong-key":      {mutations: []string{"skip-test/other-key"}},
		"skip-test/delivers": {steps: []string{"pending", "testing", "done"},
			mutations: []string{"skip-test/delivers"}, also: "skip-test/(form|get-body)"},
		"skip-test/form": {steps: []string{"pending", "testing"}, mutations: []string{"skip-test/form"}},
		"skip-test/get-body": {steps: []string{"pending", "testing"},
			mutations: []string{"skip-test/get-body"}},
		"skip-test/sftp-delivered": {steps: []string{"pending", "testing"},
			mutations: []string{"skip-test/sftp-delivered"}},
		"skip-test/refused-in-draft":  {also: "skip-test/state-invalid"},
		"upgrade/answer":              {edit: drop("modules_url", "upgrade")},
		"upgrade/processes":           {also: "upgrade/done"},
		"upgrade/all-problems":        {also: "upgrade/refusals"},
		"skip-test/all-problems":      {also: "skip-test/not-found"},
		"create/all-problems-counted": {also: "create/all-problems-assumed"},
		"upload/multipart-type":       {also: "upload/wrapped"},
		"urls/original-sql-custom":    {also: "urls/sql-is-text"},
		"urls/upgraded-sql":           {also: "urls/sql-is-text"},
		"sftp/no-way-out":             {also: ""},
		"answers/trailing-slash":      {also: ""},
		"sftp-access/missing-keys":    {also: ""},
		"sftp-access/unknown-request": {also: "sftp-access/not-found"},
	}
	for _, m := range []string{"create", "upload", "request_sftp_access", "process", "status"} {
		g := refserver.Group(m)
		out[g+"/failures-list"] = saboteur{edit: func(method string, ok bool, answer map[string]any) {
			if method == m && ok {
				delete(answer, "failures")
			}
		}}
		out[g+"/failure-object"] = saboteur{edit: onFailures(m,
			func(list []any) any { return append(list, "and something else") }), also: g + "/unknown-request"}
		if m != "create" {
			out[g+"/other-key"] = saboteur{also: g + "/not-found"}
			out[g+"/requires-key"] = saboteur{also: g + "/missing"}
			out[g+"/all-problems"] = saboteur{also: g + "/missing"}
			out[g+"/unknown-request"] = saboteur{also: g + "/not-found"}
		}
	}
	for _, p := range []string{"contract", "email", "target", "aim", "filename"} {
		out["create/requires-"+p] = saboteur{also: "create/all-problems-(assumed|counted)"}
	}
	for _, op := range []string{"mkdir", "rmdir", "remove", "rename", "link", "symlink"} {
		out["sftp/no-"+op] = saboteur{also: "sftp/done-no-change"}
	}
	// Keys of status: a value of another type while the request is pending. What a client reads out of them goes wrong
	// with them.
	for key, bad := range map[string]any{"id": "10534", "key": nil, "email": 7, "target": 8.0, "aim": nil,
		"filename": []any{}, "timezone": 2, "issue_stage": nil, "issue": "648398",
		"filesize": "912,99 Kb", "database_uuid": 5, "created_at": "2015-09-09T07:13:49Z",
		"estimated_time": 30, "processed_at": "09/09/2015", "elapsed": 0, "filestore": "false",
		"customer_message": false, "database_version": 8.0, "postgresql": 9.4, "compressions": "pgdmp_custom,sql"} {
		out["status/"+key] = saboteur{edit: pending(key, bad),
			also: "^status/unchanging$|^process/(processed-at-stays|estimated-time)$"}
	}
	out["status/state"] = saboteur{edit: set("state", 3, "status"), also: everything}
	for _, key := range []string{"status_url", "notes_url", "original_sql_url", "original_dump_url",
		"upgraded_sql_url", "upgraded_dump_url", "modules_url"} {
		out["status/"+key] = saboteur{edit: pending(key, nil), also: "^status/unchanging$"}
		out["url-form/"+key] = saboteur{edit: replace(key, "/database/", "/databases/"), also: everything}
	}
	// What shows in other groups, too: the same thing, asked for there as well.
	for id, far := range map[string]string{
		"upgrade/plain-status":        "create/(types|no-dump-yet)|status/postgresql",
		"skip-test/sftp-delivered":    "sftp/done-access",
		"urls/original-at-once":       "upload/replaces|sftp/same-dump",
		"process/sftp-dump":           "urls/original-sql-plain",
		"process/needs-dump":          "answers/trailing-slash",
		"process/stays-done":          "sftp/done|urls/|upgrade/done",
		"sftp/login-ed25519":          "sftp-access/replaces-keys",
		"sftp/login-ecdsa":            "sftp-access/several-keys",
		"upload/filesize-units":       "sftp/same-dump",
		"upload/filesize":             "sftp/same-dump",
		"upload/replaces":             "sftp/same-dump",
		"upload/form-type":            "upgrade/bytes",
		"upload/custom-format":        "urls/(original-archive|upgraded-as-uploaded)",
		"upload/answer":               "params/extra-ignored-upload",
		"sftp-access/missing":         "answers/trailing-slash",
		"upload/missing":              "answers/trailing-slash",
		"url-form/region":             everything,
		"status/compressions":         "process/description-stays",
		"status/postgresql":           "process/description-stays|upgrade/postgresql",
		"status/filesize":             "process/description-stays",
		"status/upgraded_sql_url":     "upgrade/migrated-sql-url",
		"status/original_dump_url":    "upload/only-draft|upgrade/bytes",
		"create/key-new":              everything,
		"create/all-problems":         "upgrade/refusals",
		"create/aims":                 "skip-test/",
		"create/created-now":          "process/processed-at",
		"create/filename-any-script":  "params/escapes|sftp/unicode-name",
		"create/state-draft":          everything,
		"create/id-new":               everything,
		"create/form":                 "params/",
		"create/multipart":            "params/",
		"create/post-query":           "params/",
		"create/query":                "params/",
		"status/form":                 "params/",
		"status/query":                "params/",
		"status/post-query":           "answers/http-methods",
		"params/extra-ignored-upload": "upgrade/answer",
		"params/escapes":              "sftp-access/keys-(form|get-body)",
		"answers/http-methods":        "upload/put",
	} {
		sab := out[id]
		if sab.also != "" {
			far += "|" + sab.also
		}
		sab.also = far
		out[id] = sab
	}
	return out
}

// Every check has a saboteur, and names it.
func TestSaboteurs(t *testing.T) {
	t.Parallel()
	all := saboteurs()
	ids := map[string]bool{}
	for _, c := range conformance.Checks() {
		if c.API != conformance.APIDatabase {
			continue
		}
		ids[c.ID] = true
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 3)
			sab := all[c.ID]
			if sab.mutations == nil && sab.edit == nil && sab.file == nil && sab.steps == nil {
				sab.mutations = []string{c.ID}
			}
			s := sabotaged(t, sab)
			opts := &conformance.Options{Level: conformance.LevelAssumed, Wait: 3 * time.Second}
			if c.ID == "process/reaches-done" {
				opts.Wait = shortWait
			}
			if c.ID != "upload/large" {
				opts.Skip = regexp.MustCompile("^upload/large$") // the one check that costs as much as all others
			}
			group, _, _ := strings.Cut(c.ID, "/")
			switch {
			case testprog.Sample(): // each is caught by its check; whether others fail is not asked
				opts.Run = regexp.MustCompile("^" + regexp.QuoteMeta(c.ID) + "$")
			case !*wholeSuite:
				opts.Run = regexp.MustCompile("^" + group + "/")
			}
			rep := run(t, conformance.Target{URL: s.URL(), Contract: contract}, opts)
			allowed := regexp.MustCompile("^$")
			if sab.also != "" {
				allowed = regexp.MustCompile(sab.also)
			}
			var caught bool
			for _, res := range rep.Results {
				switch {
				case res.ID == c.ID && res.Verdict == conformance.Fail:
					caught = true
				case res.ID == c.ID:
					t.Errorf("%s: %s %s, want fail", c.ID, res.Verdict, res.Message)
				case res.Verdict == conformance.Fail && !allowed.MatchString(res.ID):
					t.Errorf("%s fails, too: %s", res.ID, res.Message)
				case res.Verdict == conformance.Error && !allowed.MatchString(res.ID):
					t.Errorf("%s errs: %s", res.ID, res.Message)
				}
			}
			if !caught {
				t.Errorf("the check does not fail")
			}
		})
	}
	for id := range all {
		if !ids[id] {
			t.Errorf("the saboteur %s has no check", id)
		}
	}
}
