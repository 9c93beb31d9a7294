package verify_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/likeness"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

const key = "c2VjcmV0LXNlY3JldC0tLQ=="

func content(data []byte) func() (*verify.Content, error) {
	return func() (*verify.Content, error) {
		if data == nil {
			return nil, errors.New("nothing there")
		}
		return &verify.Content{File: likeness.Bytes(data), Close: func() error { return nil }}, nil
	}
}

func zipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

// judgeRun judges one expectation, and returns what Judge says of it.
func judgeRun(t *testing.T, expect string, evidence verify.Evidence) verify.Result {
	t.Helper()
	script, err := scenario.Parse("x.yaml", []byte("name: x\nexpect: {"+expect+"}\n"))
	if err != nil {
		t.Fatal(err)
	}
	results := verify.Judge(script, evidence)
	if len(results) != 1 {
		t.Fatalf("%d results: %+v", len(results), results)
	}
	return results[0]
}

func TestJudge_end(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, expect string
		run          verify.Run
		verdict, saw string
	}{
		{"success", "exit: success", verify.Run{}, "pass", "exit status 0"},
		{"no success", "exit: success", verify.Run{Status: 1}, "fail", "exit status 1"},
		{"failure", "exit: failure", verify.Run{Status: 3}, "pass", "exit status 3"},
		{"no failure", "exit: failure", verify.Run{}, "fail", "exit status 0"},
		{
			"killed, no success", "exit: success", verify.Run{Status: 137, Signal: syscall.SIGKILL}, "fail",
			"it was ended by signal 9 (killed)",
		},
		{
			"killed is no failure that it told of", "exit: failure", verify.Run{Status: 137, Signal: syscall.SIGKILL},
			"fail", "it was ended by signal 9 (killed)",
		},
		{
			"crashed", "exit: failure", verify.Run{Status: 139, Signal: syscall.SIGSEGV}, "fail",
			"it was ended by signal 11 (segmentation fault)",
		},
		{"in time", "within: 2s", verify.Run{Took: time.Second}, "pass", "it ended after 1s"},
		{"too late", "within: 2s", verify.Run{Took: 3 * time.Second}, "fail", "it ended after 3s"},
		{
			"not at all", "within: 2s", verify.Run{Took: 2 * time.Second, TimedOut: true}, "fail",
			"it was still running after 2s, and was ended",
		},
		{
			"not at all, without a limit", "", verify.Run{Took: 5 * time.Minute, TimedOut: true}, "fail",
			"it was still running after 5m0s, and was ended",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := judgeRun(t, tc.expect, verify.Evidence{Run: &tc.run}); got.Verdict != tc.verdict || got.Saw != tc.saw {
				t.Errorf("%+v, want %s: %s", got, tc.verdict, tc.saw)
			}
		})
	}
}

func TestJudge_honest(t *testing.T) {
	t.Parallel()
	upgraded := []byte("the upgraded one")
	requests := []verify.Request{{ID: 1, Upgraded: content(upgraded), UpgradedSQL: content(nil)}}
	for _, tc := range []struct {
		name    string
		file    []byte // nil: none
		run     verify.Run
		verdict string
	}{
		{"success with the dump", upgraded, verify.Run{}, "pass"},
		{"failure without", nil, verify.Run{Status: 1}, "pass"},
		{"success without", nil, verify.Run{}, "fail"},
		{"success with another file", []byte("<html>"), verify.Run{}, "fail"},
		{"failure with the dump", upgraded, verify.Run{Status: 1}, "fail"},
		{"killed", nil, verify.Run{Status: 137, Signal: syscall.SIGKILL}, "fail"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tc.run.Out = filepath.Join(t.TempDir(), "out")
			if tc.file != nil {
				if err := os.WriteFile(tc.run.Out, tc.file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if got := judgeRun(t, "exit: honest", verify.Evidence{Requests: requests, Run: &tc.run}); got.Verdict != tc.verdict {
				t.Errorf("%+v, want %s", got, tc.verdict)
			}
		})
	}
	got := judgeRun(t, "exit: honest", verify.Evidence{Requests: requests, Run: &verify.Run{}})
	if got.Verdict != verify.Unjudged {
		t.Errorf("%+v, want unjudged: nobody knows the file", got)
	}
}

func TestJudge_givesUp(t *testing.T) {
	t.Parallel()
	tried := func(name string, seconds ...int) (events []journal.Event) {
		for i, s := range seconds {
			events = append(events, at(1000*s, journal.Event{On: name, Session: uint64(i + 1)}))
			if name == "sftp.fault" {
				events[i].Op = "login"
			}
		}
		return events
	}
	ended := verify.Run{Status: 1, Took: 40 * time.Second}
	still := verify.Run{Status: 143, Signal: syscall.SIGTERM, Took: 2 * time.Minute, TimedOut: true}
	for _, tc := range []struct {
		name, expect string
		events       []journal.Event
		run          verify.Run
		verdict, saw string
	}{
		{"gave up", "gives_up: status", tried("status", 1, 2, 3), ended, "pass", "it ended after 40s"},
		{
			"still trying, ever more slowly", "gives_up: status", tried("status", 1, 2, 4, 8, 16, 32, 62, 92), still, "pass",
			"its pauses went from 2s to 30s",
		},
		{
			"for ever", "gives_up: status", tried("status", 1, 2, 3, 4, 5, 6, 7, 8), still, "fail",
			"after 2m0s it had tried 8 times, and was ended; its pauses went from 1s to 1s",
		},
		{
			"for ever, once at once", "gives_up: status", tried("status", 1, 1, 2, 3, 4, 5, 6, 7), still, "fail",
			"from 1s to 1s",
		},
		{"hammering", "gives_up: upload", tried("upload", 1, 1, 1, 1, 1), still, "fail", "from 0s to 0s"},
		{"over SFTP", "gives_up: upload", tried("sftp.fault", 1, 2, 4, 8, 16, 32, 62, 92), still, "pass", "from 2s to 30s"},
		{"stuck", "gives_up: status", tried("status", 1), still, "fail", "it was still running after 2m0s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			// A client that is ended was not asked for its exit status, nor for its time.
			for _, more := range []string{"", ", within: 2m, exit: failure"} {
				script, err := scenario.Parse("x.yaml", []byte("expect: {"+tc.expect+more+"}"))
				if err != nil {
					t.Fatal(err)
				}
				for _, got := range verify.Judge(script, verify.Evidence{Events: tc.events, Run: &tc.run}) {
					asWanted := got.Verdict == verify.Pass
					if got.Expect == "gives_up" {
						asWanted = got.Verdict == tc.verdict && strings.Contains(got.Saw, tc.saw)
					}
					if !asWanted {
						t.Errorf("%+v, want %s: %s", got, tc.verdict, tc.saw)
					}
				}
			}
		})
	}
}

func TestJudge_params(t *testing.T) {
	t.Parallel()
	told := map[string]string{
		"contract": "M123456-abcdef", "email": "john.doe@example.com", "target": "8.0", "aim": "test",
		"filename": "db_name.dump",
	}
	with := func(name, value string) map[string]string {
		params := maps.Clone(told)
		params[name] = value
		if value == "" {
			delete(params, name)
		}
		return params
	}
	for _, tc := range []struct {
		name, on string
		params   map[string]string
		saw      string // "": as told
	}{
		{"as told", "create", told, ""},
		{"more than told", "create", with("dbname", "x"), ""},
		{"a time zone of its own", "create", with("timezone", "Europe/Brussels"), ""},
		{"blanks around", "create", with("email", " john.doe@example.com"), ""},
		{"packed", "create", with("filename", "db_name.dump.gz"), ""},
		{"the name of the file", "create", with("filename", "local.dump"), ""},
		{"another aim", "create", with("aim", "production"), `aim "production" in place of "test"`},
		{"another target", "create", with("target", "7.0"), `target "7.0" in place of "8.0"`},
		{
			"another email", "create", with("email", "admin@example.com"),
			`email "admin@example.com" in place of "john.doe@example.com"`,
		},
		{"another contract", "create", with("contract", "M1"), `contract "M1" in place of "M123456-abcdef"`},
		{"another filename", "create", with("filename", "dump.sql"), `filename "dump.sql" in place of "db_name.dump"`},
		{
			"a path", "create", with("filename", "/tmp/db_name.dump"),
			`filename "/tmp/db_name.dump" in place of "db_name.dump"`,
		},
		{"none", "create", with("email", ""), `no email in place of "john.doe@example.com"`},
		{"in one call", "upgrade", with("aim", "production"), `aim "production" in place of "test"`},
		{"in one call, without a filename", "upgrade", with("filename", ""), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			event := at(0, journal.Event{Seq: 7, On: tc.on, Params: tc.params})
			got := judgeRun(
				t, "params: as told",
				verify.Evidence{Creates: []journal.Event{event}, Run: &verify.Run{Params: told, Dump: "/tmp/local.dump"}},
			)
			good := tc.saw == ""
			if (got.Verdict == verify.Pass) != good || !strings.Contains(got.Saw, tc.saw) || !good && got.Nearest != 7 {
				t.Errorf("%+v, want %q", got, tc.saw)
			}
		})
	}
	if got := judgeRun(t, "params: as told", verify.Evidence{Run: &verify.Run{}}); got.Verdict != verify.Unjudged {
		t.Errorf("%+v, want unjudged: nobody knows what the client was told", got)
	}
}

func TestJudge_dump(t *testing.T) {
	t.Parallel()
	dump := []byte("-- PostgreSQL database dump\n")
	file := filepath.Join(t.TempDir(), "db_name.dump")
	if err := os.WriteFile(file, dump, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name      string
		got       []byte
		processed bool
		verdict   string
		saw       string
	}{
		{"as it is", dump, true, "pass", "the dump, byte for byte"},
		{"packed", zipped(dump), true, "pass", "the dump, packed as gzip"},
		{"something else", []byte("SELECT 1;"), true, "fail", "something else of 9 bytes"},
		{"never processed", []byte("SELECT 1;"), false, "pass", "nothing was processed"},
		{"forgotten", nil, true, "unjudged", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := judgeRun(t, "dump: intact", verify.Evidence{
				Events: []journal.Event{
					at(0, journal.Event{Seq: 3, On: "upload", Request: 1}),
					at(1, journal.Event{Seq: 4, On: "process", Request: 1}),
				},
				Requests: []verify.Request{{ID: 1, Processed: tc.processed, Original: content(tc.got)}},
				Run:      &verify.Run{Dump: file},
			})
			nearest := got.Verdict != verify.Fail || got.Nearest == 3
			if got.Verdict != tc.verdict || !strings.Contains(got.Saw, tc.saw) || !nearest {
				t.Errorf("%+v, want %s: %s", got, tc.verdict, tc.saw)
			}
		})
	}
	for _, run := range []*verify.Run{nil, {}, {Dump: file + ".gone"}} {
		requests := []verify.Request{{ID: 1, Processed: true, Original: content(dump)}}
		if got := judgeRun(t, "dump: intact", verify.Evidence{Requests: requests, Run: run}); got.Verdict != verify.Unjudged {
			t.Errorf("%+v, want unjudged", got)
		}
	}
}

func TestJudge_requests(t *testing.T) {
	t.Parallel()
	refused := at(0, journal.Event{Seq: 1, On: "create", Failures: []string{"TARGET:INVALID"}})
	created := at(0, journal.Event{Seq: 1, On: "create"})
	stray := at(
		5, journal.Event{
			Seq: 2, On: "process", Params: map[string]string{"request": "None", "key": "None"},
			Why: "there is no request with this id",
		},
	)
	for _, tc := range []struct {
		name    string
		creates []journal.Event
		strays  []journal.Event
		saw     string
	}{
		{"none", []journal.Event{created}, nil, ""},
		{
			"refused, and went on", []journal.Event{refused}, []journal.Event{stray},
			`process with request "None": there is no request with this id; ` +
				`before it, create answered TARGET:INVALID at 12:00:00.000`,
		},
		{
			"a wrong key", []journal.Event{created}, []journal.Event{
				at(
					5, journal.Event{
						Seq: 2, On: "status", Params: map[string]string{"request": "10534"}, Why: "the key is not request 10534's",
					},
				),
			},
			`status with request "10534": the key is not request 10534's`,
		},
		{
			"empty", []journal.Event{refused}, []journal.Event{at(5, journal.Event{Seq: 2, On: "upload"})},
			"upload without a request; before it, create",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := judgeRun(t, "requests: known", verify.Evidence{Creates: tc.creates, Strays: tc.strays})
			good := tc.saw == ""
			if (got.Verdict == verify.Pass) != good || !strings.Contains(got.Saw, tc.saw) || !good && got.Nearest != 2 {
				t.Errorf("%+v, want %q", got, tc.saw)
			}
		})
	}
}

func TestJudge_out(t *testing.T) {
	t.Parallel()
	upgraded, sql := []byte("PGDMP\x00 the upgraded one"), []byte("-- the same as SQL\n")
	requests := []verify.Request{{ID: 1, Upgraded: content(upgraded), UpgradedSQL: content(sql)}}
	for _, tc := range []struct {
		name, expect string
		file         []byte // nil: none
		requests     []verify.Request
		verdict, saw string
	}{
		{"the archive", "out: upgraded", upgraded, requests, "pass", "the upgraded dump"},
		{"the SQL", "out: upgraded", sql, requests, "pass", "the upgraded dump as SQL"},
		{"packed is another file", "out: upgraded", zipped(upgraded), requests, "fail", "packed as gzip"},
		{"none", "out: upgraded", nil, requests, "fail", "no file"},
		{"half", "out: upgraded", upgraded[:10], requests, "fail", "only the first 10 of the 23 bytes of the upgraded dump"},
		{"a page", "out: upgraded", []byte("<html><h1>502 Bad Gateway</h1></html>"), requests, "fail", "an HTML page"},
		{
			"nothing was upgraded", "out: upgraded", upgraded,
			[]verify.Request{{ID: 1, Upgraded: content(nil), UpgradedSQL: content(nil)}}, "fail",
			"there is no upgraded dump",
		},
		{"no request", "out: upgraded", upgraded, nil, "fail", "there is no request"},
		{"absent", "out: absent", nil, nil, "pass", "no file"},
		{"not absent", "out: absent", []byte("<!doctype html><p>503"), nil, "fail", "a file of 21 bytes, an HTML page"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out")
			if tc.file != nil {
				if err := os.WriteFile(out, tc.file, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got := judgeRun(t, tc.expect, verify.Evidence{Requests: tc.requests, Run: &verify.Run{Out: out}})
			if got.Verdict != tc.verdict || !strings.Contains(got.Saw, tc.saw) {
				t.Errorf("%+v, want %s: %s", got, tc.verdict, tc.saw)
			}
		})
	}
}

// A directory for what comes back is no upgraded dump, as long as there is none in it.
func TestJudge_outIsDirectory(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{"": "pass", "upgrade.log": "pass", "upgraded.zip": "fail"} {
		out := t.TempDir()
		if file != "" {
			if err := os.WriteFile(filepath.Join(out, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got := judgeRun(t, "out: absent", verify.Evidence{Run: &verify.Run{Out: out}})
		if got.Verdict != want || want == "fail" && !strings.Contains(got.Saw, "a directory with upgraded.zip in it") {
			t.Errorf("with %q: %+v", file, got)
		}
	}
}

func TestJudge_printed(t *testing.T) {
	t.Parallel()
	status := map[string]any{"customer_message": "The table \"res_users\" is missing."}
	requests := []verify.Request{{ID: 1, Key: key, Status: status}}
	for _, tc := range []struct {
		name, expect, printed string
		verdict               string
	}{
		{"shown", "shows: customer_message", "error: The table \"res_users\" is missing.", "pass"},
		{"shown in JSON", "shows: customer_message", `{"message": "The table \"res_users\" is missing."}`, "pass"},
		{"shown in two lines", "shows: customer_message", "The table\n  \"res_users\" is missing.", "pass"},
		{"not shown", "shows: customer_message", "invalid", "fail"},
		{"a literal", "shows: 'text:Invalid value'", "Invalid value \"5.0\"", "pass"},
		{"hidden", "hides: key", "request 1", "pass"},
		{"printed", "hides: key", "\nkey=" + key, "fail"},
		{"without padding", "hides: key", strings.TrimRight(key, "="), "fail"},
		{"escaped", "hides: key", "100% key=" + strings.ReplaceAll(key, "=", "%3d"), "fail"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := judgeRun(
				t, tc.expect,
				verify.Evidence{Requests: requests, Run: &verify.Run{Printed: map[string]string{"standard error": tc.printed}}},
			)
			if got.Verdict != tc.verdict {
				t.Errorf("%+v, want %s", got, tc.verdict)
			}
			unknown := judgeRun(t, tc.expect, verify.Evidence{Requests: requests, Run: &verify.Run{}})
			if unknown.Verdict != verify.Unjudged {
				t.Errorf("%+v, want unjudged: nobody knows what was printed", unknown)
			}
		})
	}
}

// Of several texts, each is judged: a client that shows only the first is told of the second.
func TestJudge_showsEach(t *testing.T) {
	t.Parallel()
	script, err := scenario.Parse(
		"x.yaml", []byte("expect: {shows: ['text:Invalid value', 'text:Can not find contract']}"),
	)
	if err != nil {
		t.Fatal(err)
	}
	results := verify.Judge(
		script, verify.Evidence{Run: &verify.Run{Printed: map[string]string{"standard output": "Invalid value"}}},
	)
	if len(results) != 2 || results[0].Verdict != verify.Pass || results[1].Verdict != verify.Fail ||
		!strings.Contains(results[1].Hint, "Can not find contract") {
		t.Errorf("%+v", results)
	}
}
