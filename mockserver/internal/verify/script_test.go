package verify_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// synced is a session of rsync.
func synced(ms int, name string, r journal.Rsync) journal.Event {
	return at(ms, journal.Event{On: name, Rsync: &r})
}

func status(ms int, state string) journal.Event {
	return at(ms, journal.Event{On: "script.status", Method: "POST", Status: 200, State: state})
}

func TestJudge_scriptAPI(t *testing.T) {
	t.Parallel()
	create := on(0, "script.create")
	broke := synced(10, "rsync.upload", journal.Rsync{Exit: journal.NoExit, Count: 3})
	const (
		sentHint = "a good client leaves the files, and their times, as they are, so that rsync finds them unchanged"
		goOn     = "a good client goes on with the request that it has, by its token: script.status, then another " +
			"script.transfer_start, and rsync in the same directory as before"
	)
	for _, tc := range []struct {
		name, expect string
		events       []journal.Event
		verdict      string
		saw, hint    string
	}{
		{
			name: "never sent", expect: "calls: {rsync.upload: 1}", events: []journal.Event{create}, verdict: "fail",
			saw:  "0 rsync.upload; the last thing that happened was script.create at 12:00:00.000",
			hint: "a good client sends its dump by rsync here",
		},
		{
			name: "never fetched", expect: "calls: {rsync.download: '>=1'}", events: []journal.Event{create},
			verdict: "fail", saw: "0 rsync.download; the last thing that happened was script.create at 12:00:00.000",
			hint: "a good client fetches the result by rsync here",
		},
		{name: "never connected", expect: "calls: {rsync.login: 1}", events: []journal.Event{create}, verdict: "fail",
			saw:  "0 rsync.login; the last thing that happened was script.create at 12:00:00.000",
			hint: "a good client connects to the port that script.transfer_start answers here"},
		{
			name: "sent once too often", expect: "calls: {rsync.upload: 1}",
			events: []journal.Event{create, broke, synced(20, "rsync.upload", journal.Rsync{Exit: 12})}, verdict: "fail",
			saw:  "2 rsync.upload; the last was rsync.upload, which ended with status 12 at 12:00:00.020",
			hint: "a good client does not call rsync.upload again",
		},
		{
			name: "in order",
			expect: "order: [script.create, script.transfer_start, rsync.upload, script.transfer_stop, script.process, " +
				"script.status, rsync.download]",
			events: []journal.Event{
				create, on(1, "script.transfer_start"), synced(2, "rsync.upload", journal.Rsync{}),
				on(3, "script.transfer_stop"), on(4, "script.process"), status(5, "pending"), on(6, "script.transfer_start"),
				synced(7, "rsync.download", journal.Rsync{}), on(8, "script.transfer_stop"),
			},
			verdict: "pass",
			saw: "script.create → script.transfer_start → rsync.upload → script.transfer_stop → script.process → " +
				"script.status → rsync.download",
		},
		{
			name: "a status before its turn", expect: "order: [script.create, script.process, script.status]",
			events: []journal.Event{create, status(1, "new"), on(2, "script.process"), status(3, "done")}, verdict: "pass",
			saw: "script.create → script.process → script.status",
		},
		{
			name: "process before the dump", expect: "order: [script.create, rsync.upload, script.process]",
			events:  []journal.Event{create, on(10, "script.process"), synced(30, "rsync.upload", journal.Rsync{})},
			verdict: "fail", saw: "script.process 20ms before rsync.upload",
			hint: "a good client waits for the end of rsync.upload before it calls script.process",
		},
		{
			name: "polls with a look at the log between", expect: "interval: {script.status: '>=4s'}",
			events: []journal.Event{
				status(0, "progress"), on(100, "script.logs"), status(5000, "progress"), on(5100, "script.logs"),
				status(10000, "done"),
			},
			verdict: "pass", saw: "5s to 5s",
		},
		{name: "impatient", expect: "interval: {script.status: '>=4s'}",
			events: []journal.Event{status(0, "progress"), on(100, "script.logs"), status(500, "progress")}, verdict: "fail",
			saw: "script.status at 12:00:00.500 after 500ms", hint: "a good client leaves that time between its calls"},
		{
			name: "the log at intervals", expect: "interval: {script.logs: '>=4s'}",
			events:  []journal.Event{on(0, "script.logs"), status(4900, "progress"), on(5000, "script.logs")},
			verdict: "pass", saw: "5s to 5s",
		},
		{
			name: "resumed, when there is nothing to wait for", expect: "interval: {script.status: '>=4s'}",
			events: []journal.Event{
				status(0, "new"), status(1, "new"), status(2, "failed"), status(3, "failed"), status(4, "cancelled"),
				status(5, "cancelled"),
			},
			verdict: "pass", saw: "no two calls",
		},
		{
			name: "a transfer between", expect: "interval: {script.status: '>=4s'}", events: []journal.Event{
				status(0, "pending"), synced(1, "rsync.download", journal.Rsync{}), status(2, "pending"),
			},
			verdict: "pass", saw: "no two calls",
		},
		{
			name: "logins in one session", expect: "interval: {rsync.login: '>=1s'}", events: []journal.Event{
				at(0, journal.Event{On: "rsync.connect", Session: 1}), at(5, journal.Event{On: "rsync.login", Session: 1}),
				at(2000, journal.Event{On: "rsync.connect", Session: 2}),
				at(2005, journal.Event{On: "rsync.login", Session: 2}),
			},
			verdict: "pass", saw: "1.995s to 1.995s",
		},
		{
			name: "resumed", expect: "resumed: true", events: []journal.Event{
				create, broke, synced(20, "rsync.upload", journal.Rsync{Count: 5, Skipped: 3, Saved: 900}),
			},
			verdict: "pass", saw: "3 files had arrived whole, and the next transfer skipped 3 of 5, and saved 900 bytes",
		},
		{
			name: "resumed by differences", expect: "resumed: true",
			events:  []journal.Event{create, broke, synced(20, "rsync.upload", journal.Rsync{Count: 5, Saved: 900})},
			verdict: "pass", saw: "3 files had arrived whole, and the next transfer skipped 0 of 5, and saved 900 bytes",
		},
		{
			name: "nothing was whole", expect: "resumed: true", events: []journal.Event{
				create, synced(1, "rsync.upload", journal.Rsync{Exit: 12}), synced(20, "rsync.upload", journal.Rsync{Count: 1}),
			},
			verdict: "pass", saw: "0 files had arrived whole, and the next transfer skipped 0 of 1, and saved 0 bytes",
		},
		{
			name: "sent again", expect: "resumed: true", events: []journal.Event{
				create, synced(1, "rsync.upload", journal.Rsync{Exit: 12, Count: 1}),
				synced(20, "rsync.upload", journal.Rsync{Count: 5}),
			},
			verdict: "fail",
			saw: "1 file had arrived whole, and the next transfer skipped 0 of 5, and saved 0 bytes: everything was sent " +
				"again",
			hint: sentHint,
		},
		{name: "gave up", expect: "resumed: true", events: []journal.Event{create, broke, status(30, "new")}, verdict: "fail",
			saw: "3 files had arrived whole when the transfer broke, and no other followed", hint: goOn},
		{
			name: "another request", expect: "resumed: true", events: []journal.Event{
				create, broke, at(30, journal.Event{On: "script.create", Request: 2}),
				at(40, journal.Event{On: "rsync.upload", Request: 2, Rsync: &journal.Rsync{Count: 5}}),
			},
			verdict: "fail",
			saw: "3 files had arrived whole when the transfer broke, and no other followed, but another request: " +
				"script.create at 12:00:00.030",
			hint: goOn,
		},
		{
			name: "the other direction", expect: "resumed: true",
			events:  []journal.Event{create, broke, synced(30, "rsync.download", journal.Rsync{Count: 5, Skipped: 3})},
			verdict: "fail", saw: "3 files had arrived whole when the transfer broke, and no other followed", hint: goOn,
		},
		{
			name: "a download resumed", expect: "resumed: true", events: []journal.Event{
				create, synced(1, "rsync.download", journal.Rsync{Exit: journal.NoExit, Count: 2}),
				synced(2, "rsync.download", journal.Rsync{Count: 4, Skipped: 2}),
			},
			verdict: "pass", saw: "2 files had arrived whole, and the next transfer skipped 2 of 4, and saved 0 bytes",
		},
		{
			name: "nothing broke", expect: "resumed: true",
			events: []journal.Event{create, synced(1, "rsync.upload", journal.Rsync{})}, verdict: "fail",
			saw: "no transfer broke", hint: goOn,
		},
		{
			name: "the token in a header", expect: "hides: key",
			events:  []journal.Event{create, at(1, journal.Event{On: "script.logs", Method: "GET", KeyIn: "Referer"})},
			verdict: "fail", saw: "the token of request 10534 is in the header Referer of script.logs at 12:00:00.001",
			hint: "a good client sends the token as a parameter only: headers are written to the logs of every server " +
				"on the way",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			script, err := scenario.Parse("x.yaml", []byte("name: x\nwhen: {api: script}\nexpect: {"+tc.expect+"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			judges(t, script, tc.events, verify.Result{Verdict: tc.verdict, Saw: tc.saw, Hint: tc.hint})
		})
	}
}

// A scenario that names no API judges clients of both, and what it says of the one holds for the like of the other.
func TestJudge_bothAPIs(t *testing.T) {
	t.Parallel()
	events := []journal.Event{
		on(0, "script.create"), on(1, "script.transfer_start"), on(2, "rsync.login"),
		synced(3, "rsync.upload", journal.Rsync{}),
		on(4, "script.transfer_stop"), on(5, "script.process"), status(6, "progress"), on(7, "script.logs"),
		status(5000, "done"),
		on(5001, "script.transfer_start"), on(5002, "rsync.login"), synced(5003, "rsync.download", journal.Rsync{}),
	}
	for expect, want := range map[string]string{
		"calls: {create: 1}":                                      "pass",
		"calls: {create: 2}":                                      "fail",
		"calls: {status: 2}":                                      "pass",
		"calls: {upload: 0}":                                      "fail",
		"calls: {sftp.put: 1}":                                    "pass",
		"calls: {download: 1}":                                    "pass",
		"calls: {script.create: 1}":                               "pass",
		"order: [create, upload, process, status]":                "pass",
		"order: [create, request_sftp_access, sftp.put, process]": "pass",
		"order: [create, process, upload]":                        "fail",
		"interval: {status: '>=4s'}":                              "pass",
		"interval: {status: '>=6s'}":                              "fail",
	} {
		if got := judgeRun(t, expect, verify.Evidence{Events: events}); got.Verdict != want {
			t.Errorf("%s: %+v, want %s", expect, got, want)
		}
	}
}

// A client that gets no further tries what comes before.
func TestJudge_givesUpATransfer(t *testing.T) {
	t.Parallel()
	still := verify.Run{Status: 143, Signal: syscall.SIGTERM, Took: 2 * time.Minute, TimedOut: true}
	for _, on := range []string{"rsync.upload", "rsync.login", "script.transfer_start"} {
		for verdict, seconds := range map[string][]int{
			"pass": {1, 2, 4, 8, 16, 32, 62, 92}, "fail": {1, 2, 3, 4, 5, 6, 7, 8},
		} {
			var events []journal.Event
			for i, s := range seconds {
				events = append(events, at(1000*s, journal.Event{On: on, Session: uint64(i + 1)}))
			}
			got := judgeRun(t, "gives_up: rsync.upload", verify.Evidence{Events: events, Run: &still})
			if got.Verdict != verdict || !strings.Contains(got.Saw, "it had tried 8 times") {
				t.Errorf("%s: %+v, want %s", on, got, verdict)
			}
		}
	}
}

// tree makes a tree of what is not nil.
func tree(files map[string]string) func() (fs.FS, func() error, error) {
	return func() (fs.FS, func() error, error) {
		if files == nil {
			return nil, nil, fs.ErrNotExist
		}
		all := fstest.MapFS{}
		for name, text := range files {
			all[name] = &fstest.MapFile{Data: []byte(text)}
		}
		return all, func() error { return nil }, nil
	}
}

// written writes files below a directory of the test, and returns it.
func written(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestJudge_uploadedFiles(t *testing.T) {
	t.Parallel()
	dir := written(
		t, map[string]string{"db.dump": "PGDMP", "dump/toc.dat": "toc", "dump/1.dat": "one", "dump/blobs/2.dat": "two"},
	)
	whole := map[string]string{"origin.dump/toc.dat": "toc", "origin.dump/1.dat": "one", "origin.dump/blobs/2.dat": "two"}
	with := func(name, text string) map[string]string {
		changed := map[string]string{name: text}
		for n, t := range whole {
			if n != name {
				changed[n] = t
			}
		}
		if text == "" {
			delete(changed, name)
		}
		return changed
	}
	for _, tc := range []struct {
		name, dump   string
		uploaded     map[string]string
		verdict, saw string
	}{
		{"a file", "db.dump", map[string]string{"origin.dump": "PGDMP"}, "pass", "the dump, byte for byte"},
		{
			"another file", "db.dump", map[string]string{"origin.dump": "PGDUMP"}, "fail",
			"the first difference is at offset 3",
		},
		{"a directory", "dump", whole, "pass", "the dump, 3 files, byte for byte"},
		{"a file is missing", "dump", with("origin.dump/1.dat", ""), "fail", "the dump without its file 1.dat"},
		{"a file more", "dump", with("origin.dump/3.dat", "x"), "fail", "the dump with a file 3.dat more"},
		{
			"a file differs", "dump", with("origin.dump/blobs/2.dat", "twp"), "fail",
			"at blobs/2.dat: something else of 3 bytes; the first difference is at offset 2",
		},
		{"a directory for a file", "db.dump", whole, "fail", "a directory in place of the dump, which is a file"},
		{
			"a file for a directory", "dump", map[string]string{"origin.zip": "PK"}, "fail",
			"a file in place of the dump, which is a directory",
		},
		{"several things", "dump", with("origin.zip", "PK"), "fail", "2 files and directories in place of one dump"},
		{"nothing", "dump", nil, "unjudged", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := judgeRun(t, "dump: intact", verify.Evidence{
				Requests: []verify.Request{{ID: 1, Processed: true, Uploaded: tree(tc.uploaded), Results: tree(nil)}},
				Run:      &verify.Run{Dump: filepath.Join(dir, tc.dump)},
			})
			if got.Verdict != tc.verdict || !strings.Contains(got.Saw, tc.saw) {
				t.Errorf("%+v, want %s: %s", got, tc.verdict, tc.saw)
			}
		})
	}
}

func TestJudge_fetchedFiles(t *testing.T) {
	t.Parallel()
	dir := written(t, map[string]string{
		"out.zip": "PK", "other.zip": "PQ", "in/upgraded.zip": "PK", "out/toc.dat": "toc",
		"in/upgraded.dump/toc.dat": "toc", "empty/a": "",
	})
	zip := map[string]string{"upgraded.zip": "PK", "upgrade.log": "a"}
	directory := map[string]string{"upgraded.dump/toc.dat": "toc", "filestore/0a/0a1b": "x"}
	for _, tc := range []struct {
		name, out, dumpName string
		results             map[string]string
		verdict, saw        string
	}{
		{"a file", "out.zip", "upgraded.zip", zip, "pass", "the upgraded dump, byte for byte"},
		{"in a directory", "in", "upgraded.zip", zip, "pass", "the upgraded dump, byte for byte"},
		{"another file", "other.zip", "upgraded.zip", zip, "fail", "at offset 1"},
		{"a directory", "out", "upgraded.dump", directory, "pass", "the upgraded dump, 1 files, byte for byte"},
		{"a directory in another", "in", "upgraded.dump", directory, "pass", "the upgraded dump, 1 files, byte for byte"},
		{"another directory", "empty", "upgraded.dump", directory, "fail", "the upgraded dump without its file toc.dat"},
		{"nothing", "gone", "upgraded.dump", directory, "fail", "no file"},
		{"no result", "out.zip", "upgraded.zip", nil, "fail", "a file, though there is no upgraded dump"},
		{
			"no dump in the result", "out.zip", "upgraded.zip", map[string]string{"upgrade.log": "a"}, "fail",
			"a file, though there is no upgraded dump",
		},
		{"no name", "out.zip", "", zip, "fail", "a file, though there is no upgraded dump"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := judgeRun(t, "out: upgraded", verify.Evidence{
				Requests: []verify.Request{{ID: 1, Results: tree(tc.results), DumpName: tc.dumpName}},
				Run:      &verify.Run{Out: filepath.Join(dir, tc.out)},
			})
			if got.Verdict != tc.verdict || !strings.Contains(got.Saw, tc.saw) {
				t.Errorf("%+v, want %s: %s", got, tc.verdict, tc.saw)
			}
		})
	}
	absent := judgeRun(t, "out: absent", verify.Evidence{Run: &verify.Run{Out: filepath.Join(dir, "out")}})
	if absent.Verdict != "fail" || absent.Saw != "a directory with toc.dat in it" {
		t.Errorf("%+v, want a fail: a directory with toc.dat in it", absent)
	}
}

// create of the script API has three of the parameters, and V12 writes targets in another way.
func TestJudge_paramsOfTheScriptAPI(t *testing.T) {
	t.Parallel()
	told := map[string]string{
		"contract": "M1", "email": "a@example.com", "target": "18.0", "aim": "test", "filename": "db.dump",
	}
	for _, tc := range []struct {
		name, target string
		got          map[string]string
		verdict, saw string
	}{
		{
			"as told", "18.0", map[string]string{"contract": "M1", "target": "18.0", "aim": "test", "actuator": "cli"},
			"pass", "create got what the client was told",
		},
		{
			"a short target", "18", map[string]string{"contract": "M1", "target": "18.0", "aim": "test"}, "pass",
			"create got what",
		},
		{
			"a target with a letter", "v18", map[string]string{"contract": "M1", "target": "18.0", "aim": "test"}, "pass",
			"create got what",
		},
		{
			"another target", "18.0", map[string]string{"contract": "M1", "target": "17.0", "aim": "test"}, "fail",
			`target "17.0" in place of "18.0"`,
		},
		{
			"another aim", "18.0", map[string]string{"contract": "M1", "target": "18.0", "aim": "production"}, "fail",
			`aim "production" in place of "test"`,
		},
		{"no contract", "18.0", map[string]string{"target": "18.0", "aim": "test"}, "fail", `no contract in place of "M1"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			params := map[string]string{}
			for name, value := range told {
				params[name] = value
			}
			params["target"] = tc.target
			got := judgeRun(t, "params: as told", verify.Evidence{
				Creates: []journal.Event{at(0, journal.Event{On: "script.create", Params: tc.got})}, Run: &verify.Run{
					Params: params,
				},
			})
			if got.Verdict != tc.verdict || !strings.Contains(got.Saw, tc.saw) {
				t.Errorf("%+v, want %s: %s", got, tc.verdict, tc.saw)
			}
		})
	}
}

func TestJudge_tokens(t *testing.T) {
	t.Parallel()
	events := []journal.Event{on(0, "script.create")}
	const token = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz-_0123"
	requests := []verify.Request{{ID: 1, Key: token, Status: map[string]any{"reason": nil}}}
	for printed, want := range map[string]string{
		"all is well":                     "pass",
		"\ntoken: " + token:               "fail",
		"logs?token=" + "%61" + token[1:]: "fail",
	} {
		got := judgeRun(t, "hides: key", verify.Evidence{
			Events: events, Requests: requests, Run: &verify.Run{Printed: map[string]string{"standard error": printed}},
		})
		if got.Verdict != want || want == "fail" && !strings.HasPrefix(got.Saw, "the token of request 1 is in line") {
			t.Errorf("%q: %+v, want %s", printed, got, want)
		}
	}
	strays := []journal.Event{at(1, journal.Event{
		On: "script.status", Params: map[string]string{"token": "abcd…"}, Why: "no such token",
	})}
	got := judgeRun(t, "requests: known", verify.Evidence{Events: events, Strays: strays})
	if got.Verdict != "fail" || !strings.HasPrefix(got.Saw, `script.status with token "abcd…": no such token`) {
		t.Errorf("%+v, want the stray token", got)
	}
	shown := judgeRun(t, "shows: reason", verify.Evidence{
		Events: events, Requests: requests, Run: &verify.Run{Printed: map[string]string{"standard error": "<nil>"}},
	})
	if shown.Verdict != "fail" || shown.Saw != "the request has no reason" {
		t.Errorf("%+v, want no reason", shown)
	}
	ended := judgeRun(t, "exit: failure", verify.Evidence{Events: events, Run: &verify.Run{}})
	if ended.Verdict != "fail" || !strings.Contains(ended.Hint, "that of the upgrade script is 0 also after a failure") {
		t.Errorf("%+v, want a hint at the status of the script", ended)
	}
}
