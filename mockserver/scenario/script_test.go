package scenario_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// wholeScript has every kind of thing that is for the script API.
const wholeScript = `name: everything-of-the-script
when: {api: script, contract: "M1*", target: "1[78].0", aim: test, actuator: cli, api_version: "0.*"}
steps:
  - {state: pending,  for: 1 poll, set: {is_pg_version_compatible: false}, log: ""}
  - {state: progress, for: 1h, log: "2026-01-01 00:00:00,000 1 INFO db_1 odoo: é\n"}
  - {state: failed,   set: {reason: "modules are missing", archived: true}, log: {file: end.log}}
faults:
  - {on: script.create, times: 1, failure: {message: "expired", form: error}}
  - {on: script.create, times: 1, failure: {message: "expired", form: result}}
  - {on: script.create, failure: {message: "expired"}, delay: 1s}
  - {on: script.transfer_start, http: {status: 502}}
  - {on: script.transfer_stop, garbage: true}
  - {on: script.process, truncate: true}
  - {on: script.status, skip: 1, times: 3, every: 2, reset: true}
  - {on: script.logs, cut: true, rate: 1KiB/s}
  - {on: script.wipe, delay: 61s}
  - {on: rsync.login, times: 1, refuse: true}
  - {on: rsync.login, times: 1, disconnect: true, delay: 1s}
  - {on: rsync.login, times: 1, hostkey: changed}
  - {on: rsync.login, times: 1, known_hosts: null}
  - {on: rsync.login, times: 1, known_hosts: "[127.0.0.1]:1 ssh-ed25519 AAAA"}
  - {on: rsync.login, times: 1, unreachable: true}
  - {on: rsync.upload, times: 1, after: 64KiB, disconnect: true}
  - {on: rsync.upload, times: 1, file: "*.dat.gz", reset: true}
  - {on: rsync.download, after: {file: "filestore/*"}, reset: true}
  - {on: rsync.download, rate: 1MiB/s, delay: 2s}
upgraded: {archive: dump, dump_name: upgrade.zip, filestore: files, report: report.html, log: null}
run: {stdin: silent, interrupted: {on: rsync.login, skip: 1}, database: true}
expect:
  calls: {script.create: 1, rsync.upload: ">=2"}
  order: [script.create, script.transfer_start, rsync.upload, script.transfer_stop, script.process, script.status,
    rsync.download]
  interval: {script.status: ">=4s"}
  gives_up: script.logs
  resumed: true
  filestore: merged
  shows: [reason, "text:a"]
`

func text(s string) *string { return &s }

func wholeScriptScenario() *scenario.Scenario {
	return &scenario.Scenario{
		Name: "everything-of-the-script",
		When: scenario.When{
			"api": scenario.APIScript, "contract": "M1*", "target": "1[78].0", "aim": "test", "actuator": "cli",
			"api_version": "0.*",
		},
		Steps: []scenario.Step{
			{
				State: "pending", For: scenario.For{Polls: 1}, Set: map[string]any{"is_pg_version_compatible": false},
				Log: &scenario.Log{},
			},
			{State: "progress", For: scenario.For{Duration: time.Hour}, Log: &scenario.Log{
				Text: "2026-01-01 00:00:00,000 1 INFO db_1 odoo: é\n",
			}},
			{
				State: "failed", Set: map[string]any{"reason": "modules are missing", "archived": true},
				Log: &scenario.Log{File: "end.log"},
			},
		},
		Faults: []scenario.Fault{
			{On: scenario.OnScriptCreate, Times: 1, Failure: &scenario.Failure{Message: "expired", Form: scenario.FormError}},
			{On: scenario.OnScriptCreate, Times: 1, Failure: &scenario.Failure{Message: "expired", Form: scenario.FormResult}},
			{On: scenario.OnScriptCreate, Failure: &scenario.Failure{Message: "expired"}, Delay: time.Second},
			{On: scenario.OnScriptTransferStart, HTTP: &scenario.HTTP{Status: 502}},
			{On: scenario.OnScriptTransferStop, Garbage: true},
			{On: scenario.OnScriptProcess, Truncate: true},
			{On: scenario.OnScriptStatus, Skip: 1, Times: 3, Every: 2, Reset: true},
			{On: scenario.OnScriptLogs, Cut: true, Rate: 1 << 10},
			{On: scenario.OnScriptWipe, Delay: 61 * time.Second},
			{On: scenario.OnRsyncLogin, Times: 1, Refuse: true},
			{On: scenario.OnRsyncLogin, Times: 1, Disconnect: true, Delay: time.Second},
			{On: scenario.OnRsyncLogin, Times: 1, HostKey: "changed"},
			{On: scenario.OnRsyncLogin, Times: 1, KnownHosts: text("")},
			{On: scenario.OnRsyncLogin, Times: 1, KnownHosts: text("[127.0.0.1]:1 ssh-ed25519 AAAA")},
			{On: scenario.OnRsyncLogin, Times: 1, Unreachable: true},
			{On: scenario.OnRsyncUpload, Times: 1, After: 64 << 10, Disconnect: true},
			{On: scenario.OnRsyncUpload, Times: 1, File: "*.dat.gz", Reset: true},
			{On: scenario.OnRsyncDownload, File: "filestore/*", Reset: true},
			{On: scenario.OnRsyncDownload, Rate: 1 << 20, Delay: 2 * time.Second},
		},
		Upgraded: scenario.Upgraded{
			Archive: "dump", DumpName: text("upgrade.zip"), Filestore: "files", Report: "report.html",
			Missing: scenario.Missing{Log: true},
		},
		Run: scenario.Run{
			Stdin: scenario.StdinSilent, Interrupted: &scenario.Interruption{On: scenario.OnRsyncLogin, Skip: 1},
			Database: true,
		},
		Expect: &scenario.Expect{
			Calls: map[string]scenario.Bound{"script.create": {Op: "=", N: 1}, "rsync.upload": {Op: ">=", N: 2}},
			Order: []string{
				"script.create", "script.transfer_start", "rsync.upload", "script.transfer_stop", "script.process", "script.status",
				"rsync.download",
			},
			Interval: map[string]scenario.Interval{"script.status": {Op: ">=", D: 4 * time.Second}},
			GivesUp:  "script.logs",
			Resumed:  true,

			Filestore: "merged",
			Shows:     scenario.Texts{{Key: "reason"}, {Literal: "a"}},
		},
	}
}

func TestParse_everythingOfTheScriptAPI(t *testing.T) {
	t.Parallel()
	got, err := scenario.Parse("script.yaml", []byte(wholeScript))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wholeScriptScenario(), got); diff != "" {
		t.Errorf("parsed (-want +got):\n%s", diff)
	}
	if err := wholeScriptScenario().Validate(); err != nil {
		t.Errorf("the same in Go: %v", err)
	}
	written, err := json.Marshal(wholeScriptScenario())
	if err != nil {
		t.Fatal(err)
	}
	again, err := scenario.Parse("script.json", written)
	if err != nil {
		t.Fatalf("%s\n%v", written, err)
	}
	if diff := cmp.Diff(wholeScriptScenario(), again); diff != "" {
		t.Errorf("written as %s (-want +got):\n%s", written, diff)
	}
}

// Each file of a result can be missing, and is written so.
func TestUpgraded_missing(t *testing.T) {
	t.Parallel()
	for src, want := range map[string]scenario.Upgraded{
		`{"archive":null}`:   {Missing: scenario.Missing{Archive: true}},
		`{"filestore":null}`: {Missing: scenario.Missing{Filestore: true}},
		`{"report":null}`:    {Missing: scenario.Missing{Report: true}},
		`{"log":null}`:       {Missing: scenario.Missing{Log: true}},
		`{"dump_name":null}`: {DumpName: text("")},
		`{"archive":null,"dump_name":"upgrade.zip","filestore":"f","log":"l","report":"r"}`: {
			DumpName: text("upgrade.zip"), Filestore: "f", Report: "r", Log: "l", Missing: scenario.Missing{Archive: true},
		},
	} {
		s, err := scenario.Parse("s.yaml", []byte("upgraded: "+src))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, s.Upgraded); diff != "" {
			t.Errorf("%s (-want +got):\n%s", src, diff)
		}
		if got, err := json.Marshal(s.Upgraded); err != nil || string(got) != src {
			t.Errorf("%s is written %s, %v", src, got, err)
		}
	}
}

func TestMatches_api(t *testing.T) {
	t.Parallel()
	older := map[string]string{"contract": "M1", "aim": "test", "email": "a@example.com"}
	newer := map[string]string{"api": "script", "contract": "M1", "aim": "test", "actuator": "cli", "api_version": "0.2"}
	for _, tc := range []struct {
		when         scenario.When
		older, newer bool
	}{
		{nil, true, true},
		{scenario.When{"contract": "M*"}, true, true},
		{scenario.When{"api": "script"}, false, true},
		{scenario.When{"api": "database"}, true, false},
		{scenario.When{"api": "script", "contract": "M2"}, false, false},
		{scenario.When{"actuator": "cli"}, false, true},
		{scenario.When{"api_version": ""}, true, false}, // what was not given is empty
		{scenario.When{"email": "*"}, true, true},
		{scenario.When{"email": "a@*"}, true, false},
	} {
		s := &scenario.Scenario{When: tc.when}
		if older, newer := s.Matches(older), s.Matches(newer); older != tc.older || newer != tc.newer {
			t.Errorf(
				"%v: a request of the database API %t, want %t; of the script API %t, want %t", tc.when, older, tc.older, newer,
				tc.newer,
			)
		}
	}
}

func TestDefaultScript(t *testing.T) {
	t.Parallel()
	first := scenario.DefaultScript()
	if err := first.Validate(); err != nil {
		t.Error(err)
	}
	first.Steps[0].State = "changed"
	var states []string
	for _, step := range scenario.DefaultScript().Steps {
		states = append(states, step.State)
	}
	if got := strings.Join(states, " "); got != "pending progress done" {
		t.Errorf("the states are %s", got)
	}
}

func TestFault_MatchesFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		glob, name string
		want       bool
	}{
		{"toc.dat", "toc.dat", true},
		{"toc.dat", "origin.dump/toc.dat", true},
		{"toc.dat", "stoc.dat", false},
		{"*.dat.gz", "origin.dump/3012.dat.gz", true},
		{"filestore/*", "filestore/0a/0a1b", true},
		{"filestore/*", "toc.dat", false},
		{"[", "[", false},
		{"", "toc.dat", false},
	} {
		f := &scenario.Fault{File: tc.glob}
		if got := f.MatchesFile(tc.name); got != tc.want {
			t.Errorf("%q and %q: %t, want %t", tc.glob, tc.name, got, tc.want)
		}
	}
}

func TestLoad_filesOfTheScriptAPI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"dump/toc.dat": "PGDMP", "files/0a/0a1b": "x", "report.html": "<p>", "up.log": "", "step.log": "a\n", "sub/a.yaml": `
when: {api: script}
steps: [{state: progress, for: 1 poll, log: {file: ../step.log}}, {state: done}]
upgraded: {archive: ../dump, filestore: ../files, report: ../report.html, log: ../up.log}
`, "bad.yaml": `
when: {api: script}
steps: [{state: done, log: {file: gone.log}}]
upgraded: {archive: files, filestore: up.log, report: files, log: gone.log}
`, "older.yaml": "upgraded: {archive: dump}\n",
	} {
		write(t, filepath.Join(dir, filepath.FromSlash(name)), text)
	}
	s, err := scenario.Load(filepath.Join(dir, "sub", "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := scenario.Upgraded{
		Archive: filepath.Join(dir, "dump"), Filestore: filepath.Join(dir, "files"),
		Report: filepath.Join(dir, "report.html"),
		Log:    filepath.Join(dir, "up.log"),
	}
	if diff := cmp.Diff(want, s.Upgraded); diff != "" {
		t.Errorf("upgraded (-want +got):\n%s", diff)
	}
	if got, want := s.Steps[0].Log.File, filepath.Join(dir, "step.log"); got != want {
		t.Errorf("the log of a step is %s, want %s", got, want)
	}

	_, err = scenario.Load(filepath.Join(dir, "bad.yaml"))
	got := mistakes(err)
	for _, want := range []string{
		":3:35: steps[0].log.file: cannot read the file",
		":4:21: upgraded.archive: not a dump in PostgreSQL's directory format",
		":4:39: upgraded.filestore: not a directory", ":4:55: upgraded.report: not a file",
		":4:67: upgraded.log: cannot read",
	} {
		if !anyHas(got, filepath.Join(dir, "bad.yaml")+want) {
			t.Errorf("no mistake is like %s\n%v", want, err)
		}
	}
	if len(got) != 5 {
		t.Errorf("%d mistakes, want 5:\n%v", len(got), err)
	}
	_, err = scenario.Load(filepath.Join(dir, "older.yaml"))
	if got := mistakes(err); len(got) != 1 || !strings.Contains(got[0], "`when: {api: script}`") {
		t.Errorf("a directory over both APIs: %v", err)
	}
}
