package mockserver_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func publicKey(name string) string { return string(fixtures.PublicKey(name)) }

// compact is a documented answer as the wire carries it: without the white space that is for people.
func compact(tb testing.TB, sample []byte) string {
	tb.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, sample); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// The page's sample: two failures at once, with exactly these keys in exactly this order (rows 1.8, 1.9, section 2).
func TestCreate_documentedFailures(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		a := w.call("create", sample("target", "5.0", "contract", "M123456-abcxyz"))
		diff(t, "answer", compact(t, fixtures.Answer("create-failures")), strings.TrimSpace(a.Body))
	})
}

// Every parameter's failures, each with its keys (docs/fidelity.md, section 2, 3.1, 3.5, 3.6).
func TestCreate_failures(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	missing := func(name string) map[string]any {
		return map[string]any{"reason": strings.ToUpper(name) + ":MISSING", "message": `Missing parameter "` + name + `"`}
	}
	invalid := func(reason, value string, expected ...any) map[string]any {
		f := map[string]any{"reason": reason, "message": `Invalid value "` + value + `"`, "value": value}
		if expected != nil {
			f["expected"] = expected
		}
		return f
	}
	target := func(v string) map[string]any { return invalid("TARGET:INVALID", v, "6.0", "6.1", "7.0", "8.0") }
	aim := func(v string) map[string]any { return invalid("AIM:INVALID", v, "test", "production") }
	long := strings.Repeat("n", 256)
	for name, tc := range map[string]struct {
		change []string
		want   []map[string]any
	}{
		"no contract": {[]string{"contract", "-"}, []map[string]any{missing("contract")}},
		"no email":    {[]string{"email", "-"}, []map[string]any{missing("email")}},
		"no target":   {[]string{"target", "-"}, []map[string]any{missing("target")}},
		"no aim":      {[]string{"aim", "-"}, []map[string]any{missing("aim")}},
		"no filename": {[]string{"filename", "-"}, []map[string]any{missing("filename")}},
		"empty is missing": {
			[]string{"email", "", "filename", ""}, []map[string]any{missing("email"), missing("filename")},
		},
		"nothing at all": {
			[]string{"contract", "-", "email", "-", "target", "-", "aim", "-", "filename", "-"},
			[]map[string]any{missing("contract"), missing("email"), missing("target"), missing("aim"), missing("filename")},
		},
		"target":                     {[]string{"target", "9.0"}, []map[string]any{target("9.0")}},
		"target with a blank inside": {[]string{"target", "8. 0"}, []map[string]any{target("8. 0")}},
		"invalid, as it was given": {[]string{"target", " 9.0", "aim", "prod ", "email", " john"}, []map[string]any{
			target(" 9.0"), aim("prod "), invalid("EMAIL:INVALID", " john")}},
		"unknown, as it was given": {[]string{"contract", " M123456-abcxyz"}, []map[string]any{{
			"reason": "CONTRACT:NOT_FOUND", "message": "Can not find contract  M123456-abcxyz", "code": " M123456-abcxyz"}}},
		"blanks are missing": {
			[]string{"contract", " ", "filename", "\t "}, []map[string]any{missing("contract"), missing("filename")},
		},
		"aim":             {[]string{"aim", "prod"}, []map[string]any{aim("prod")}},
		"aim in capitals": {[]string{"aim", "Test"}, []map[string]any{aim("Test")}},
		"email without @": {[]string{"email", "john"}, []map[string]any{invalid("EMAIL:INVALID", "john")}},
		"email with a name": {
			[]string{"email", "John <john@example.com>"},
			[]map[string]any{invalid("EMAIL:INVALID", "John <john@example.com>")},
		},
		"email without host": {[]string{"email", "john@"}, []map[string]any{invalid("EMAIL:INVALID", "john@")}},
		"two emails": {
			[]string{"email", "a@b.c, d@e.f"}, []map[string]any{invalid("EMAIL:INVALID", "a@b.c, d@e.f")},
		},
		"file .":  {[]string{"filename", "."}, []map[string]any{invalid("FILENAME:INVALID", ".")}},
		"file ..": {[]string{"filename", ".."}, []map[string]any{invalid("FILENAME:INVALID", "..")}},
		"file with ../": {
			[]string{"filename", "../../etc/passwd"}, []map[string]any{invalid("FILENAME:INVALID", "../../etc/passwd")},
		},
		"file with /":         {[]string{"filename", "a/b"}, []map[string]any{invalid("FILENAME:INVALID", "a/b")}},
		"file with backslash": {[]string{"filename", `a\b`}, []map[string]any{invalid("FILENAME:INVALID", `a\b`)}},
		"file with NUL":       {[]string{"filename", "a\x00b"}, []map[string]any{invalid("FILENAME:INVALID", "a\x00b")}},
		"file with line end":  {[]string{"filename", "a\nb"}, []map[string]any{invalid("FILENAME:INVALID", "a\nb")}},
		"file with DEL":       {[]string{"filename", "a\x7f"}, []map[string]any{invalid("FILENAME:INVALID", "a\x7f")}},
		"file too long":       {[]string{"filename", long}, []map[string]any{invalid("FILENAME:INVALID", long)}},
		"file too long in bytes": {[]string{"filename", strings.Repeat("é", 128)}, []map[string]any{
			invalid("FILENAME:INVALID", strings.Repeat("é", 128))}},
		"timezone": {
			[]string{"timezone", "Mars/Olympus"}, []map[string]any{invalid("TIMEZONE:INVALID", "Mars/Olympus")},
		},
		"timezone is a path": {
			[]string{"timezone", "../../etc/passwd"}, []map[string]any{invalid("TIMEZONE:INVALID", "../../etc/passwd")},
		},
		"timezone in other letters": {
			[]string{"timezone", "europe/brussels"}, []map[string]any{invalid("TIMEZONE:INVALID", "europe/brussels")},
		},
		"timezone is a folder": {
			[]string{"timezone", "Europe"}, []map[string]any{invalid("TIMEZONE:INVALID", "Europe")},
		},
		"timezone with a line": {
			[]string{"timezone", "UTC\nZulu"}, []map[string]any{invalid("TIMEZONE:INVALID", "UTC\nZulu")},
		},
		"timezone is a word": {[]string{"timezone", "Local"}, []map[string]any{invalid("TIMEZONE:INVALID", "Local")}},
		"contract": {
			[]string{"contract", "M123456-abcxyz"}, []map[string]any{
				{"reason": "CONTRACT:NOT_FOUND", "message": "Can not find contract M123456-abcxyz", "code": "M123456-abcxyz"},
			},
		},
		"everything is wrong": {
			[]string{
				"contract", "-", "email", "john", "target", "5.0", "aim", "prod", "filename", "../x", "timezone", "x y",
			},
			[]map[string]any{
				missing("contract"), target("5.0"), aim("prod"), invalid("EMAIL:INVALID", "john"),
				invalid("FILENAME:INVALID", "../x"), invalid("TIMEZONE:INVALID", "x y"),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			diff(t, "failures", tc.want, w.with(t).call("create", sample(tc.change...)).Failures)
		})
	}
}

// What is unusual and right (rows 3.1, 3.5, 3.6).
func TestCreate_accepts(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	for name, change := range map[string][]string{
		"production":          {"aim", "production"},
		"oldest target":       {"target", "6.0"},
		"short contract":      {"contract", "M123-abc"},
		"contract of digits":  {"contract", "M19061711465334"},
		"long contract":       {"contract", "M120123123-abcd"},
		"timezone":            {"timezone", "Europe/Brussels"},
		"timezone UTC":        {"timezone", "UTC"},
		"timezone of three":   {"timezone", "America/Argentina/Buenos_Aires"},
		"email with a plus":   {"email", "john+upgrade@example.com"},
		"timezone of old":     {"timezone", "US/Pacific-New"},
		"email after a blank": {"email", " john@example.com"},
		"email before a line": {"email", "john@example.com\r\n"},
		"target in blanks":    {"target", "\t8.0 "},
		"aim in blanks":       {"aim", " test "},
		"contract in blanks":  {"contract", " M123456-abcdef "},
		"file in blanks":      {"filename", " db.dump "},
		"timezone in blanks":  {"timezone", " Europe/Brussels "},
		"timezone of blanks":  {"timezone", "  "},
		"file with spaces":    {"filename", "my database.dump"},
		"file in Unicode":     {"filename", "базы.sql.gz"},
		"file of 255 bytes":   {"filename", strings.Repeat("n", 255)},
		"file with dots":      {"filename", "..x..dump"},
		"file with angles":    {"filename", "<b>&amp;.dump"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := w.with(t).good("create", sample(change...))
			if change[0] == "contract" {
				return // no key of the answer says it
			}
			if got := a.Request[change[0]]; got != change[1] {
				t.Errorf("%s is %v, want %s", change[0], got, change[1])
			}
		})
	}
}

// Every name that was in the IANA database once is taken, whatever this machine has of it (section 2,
// TIMEZONE:INVALID).
func TestCreate_timezones(t *testing.T) {
	t.Parallel()
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"Canada/East-Saskatchewan", "US/Pacific-New", "Asia/Hanoi", "Asia/Riyadh87", "Mideast/Riyadh89",
		"SystemV/AST4ADT", "SystemV/YST9"}
	files, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(goroot)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for _, f := range files.File {
		if !strings.HasSuffix(f.Name, "/") {
			names = append(names, f.Name)
		}
	}
	if len(names) < 500 {
		t.Fatalf("only %d names are known to Go", len(names))
	}
	w := onWire(t, nil)
	for _, name := range names {
		if a := w.call("create", sample("timezone", name)); len(a.Failures) > 0 {
			t.Errorf("%s: %v", name, a.reasons())
		}
	}
}

// Blanks around a value are not looked at where it is compared: by the globs of a scenario.
func TestCreate_blanksInScenarios(t *testing.T) {
	t.Parallel()
	script, err := scenario.Parse("production.yaml", []byte("name: production\nwhen: {aim: production, email: john@*}\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := onWire(t, &mockserver.Options{Scenarios: []*scenario.Scenario{script}})
	m := w.create("aim", "production ", "email", " john@example.com")
	for _, r := range w.srv.Requests() {
		if r.ID == m.id && r.Scenario != "production" {
			t.Errorf("scenario %q", r.Scenario)
		}
	}
}

// The edition of the page says which targets are valid, and an option what they are instead (rows 3.2, 3.3, 3.4).
func TestCreate_targets(t *testing.T) {
	t.Parallel()
	everything := []string{"6.0", "6.1", "7.0", "8.0", "9.0", "10.0", "11.0", "12.0", "13.0"}
	for name, tc := range map[string]struct {
		opts mockserver.Options
		want []string
	}{
		"by default":    {mockserver.Options{}, []string{"6.0", "6.1", "7.0", "8.0"}},
		"11.0":          {mockserver.Options{Edition: "11.0"}, []string{"6.0", "6.1", "7.0", "8.0"}},
		"13.0":          {mockserver.Options{Edition: "13.0"}, []string{"11.0", "12.0", "13.0"}},
		"all in use":    {mockserver.Options{Targets: everything}, everything},
		"in this order": {mockserver.Options{Edition: "13.0", Targets: []string{"9.0", "8.0"}}, []string{"9.0", "8.0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &tc.opts)
			var expected []any
			for _, target := range tc.want {
				w.create("target", target)
				expected = append(expected, target)
			}
			a := w.call("create", sample("target", "5.0"))
			if len(a.Failures) != 1 {
				t.Fatalf("target 5.0: %s", a.Body)
			}
			diff(t, "expected", any(expected), a.Failures[0]["expected"])
		})
	}
	if _, err := mockserver.New(&mockserver.Options{Edition: "12.0"}); err == nil ||
		!strings.Contains(err.Error(), "11.0 or 13.0") {
		t.Errorf("edition 12.0: %v", err)
	}
}

// Which contracts are known (row 3.7).
func TestCreate_contracts(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		globs          []string
		known, unknown []string
	}{
		"by default": {nil, []string{"M123456-abcdef", "anything at all"}, []string{"M123456-abcxyz"}},
		"globs": {
			[]string{"M1*", "M2?-abc"}, []string{"M123456-abcdef", "M1", "M23-abc"},
			[]string{"M123456-abcxyz", "M3", "m1", "M2-abc", "xM1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &mockserver.Options{Contracts: tc.globs})
			for _, contract := range tc.known {
				w.create("contract", contract)
			}
			for _, contract := range tc.unknown {
				diff(t, contract, []string{"CONTRACT:NOT_FOUND"}, w.call("create", sample("contract", contract)).reasons())
			}
		})
	}
	if _, err := mockserver.New(&mockserver.Options{Contracts: []string{"M["}}); err == nil ||
		!strings.Contains(err.Error(), `"M["`) {
		t.Errorf("a glob that is none: %v", err)
	}
}

// Ids ascend, keys are 16 random bytes in URL-safe base64 with padding, the state is draft (rows 3.8 to 3.11).
func TestCreate_success(t *testing.T) {
	t.Parallel()
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		seen := make(map[string]bool)
		var last int64
		for range 50 {
			a := w.good("create", sample())
			m := madeOf(t, a)
			raw, err := base64.URLEncoding.DecodeString(m.key)
			if err != nil || len(raw) != 16 || len(m.key) != 24 {
				t.Errorf("key %q: %v, %d bytes", m.key, err, len(raw))
			}
			if seen[m.key] || m.id <= last {
				t.Errorf("request %d after %d, its key seen before: %v", m.id, last, seen[m.key])
			}
			seen[m.key], last = true, m.id
			if a.Request["state"] != "draft" {
				t.Errorf("state %v", a.Request["state"])
			}
			if polled := w.good("status", m.params()); polled.Body != a.Body {
				t.Errorf("create and status of a draft tell of it differently:\n%s%s", a.Body, polled.Body)
			}
		}
	})
}

// Ids stay unique when everybody creates at once (row 3.9).
func TestCreate_concurrently(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	var mu sync.Mutex
	seen := make(map[int64]bool)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				_, _, body := direct(t, w.srv, "GET", "/database/v1/create?"+sample().Encode(), "", nil)
				var a struct{ Request struct{ ID int64 } }
				if err := json.Unmarshal(body, &a); err != nil || a.Request.ID == 0 {
					t.Errorf("%v: %s", err, body)
				}
				mu.Lock()
				if seen[a.Request.ID] {
					t.Errorf("id %d twice", a.Request.ID)
				}
				seen[a.Request.ID] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// With a seed, ids and keys are the same in each run.
func TestCreate_seeded(t *testing.T) {
	t.Parallel()
	var keys [2][]made
	for i := range keys {
		w := onWire(t, &mockserver.Options{Seed: 7})
		keys[i] = []made{w.create(), w.create()}
	}
	if keys[0][0] != keys[1][0] || keys[0][1] != keys[1][1] || keys[0][0].key == keys[0][1].key {
		t.Errorf("%v and %v", keys[0], keys[1])
	}
}
