package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// TestRunScript_bigFileGoesOn: of a single large file, what has arrived is not sent again, from either engine of the
// emulator.
func TestRunScript_bigFileGoesOn(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "rsync", "rsync")
	for name, program := range map[string]string{"in process": "", "rsync": "rsync"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			dump, out := noise(t, dir, "db.sql", 8<<20), filepath.Join(dir, "out")
			script, err := scenario.Parse("cut.yaml", []byte("name: cut\nwhen: {api: script}\n"+
				"upgraded: {archive: '"+dump+"', dump_name: upgraded.sql}\n"+
				"faults:\n  - {on: rsync.download, times: 1, after: 5MiB, disconnect: true}\n"))
			if err != nil {
				t.Fatal(err)
			}
			srv := mockservertest.New(t, &mockserver.Options{Scenarios: []*scenario.Scenario{script}, Rsync: program})
			r := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out)...)
			if r.code != 0 || !sameFiles(t, dump, filepath.Join(out, "upgraded.sql")) {
				t.Fatalf("%+v", r)
			}
			var sent []int64
			for _, e := range srv.Events(journal.Filter{On: "rsync.download"}) {
				sent = append(sent, e.Sent)
			}
			if len(sent) != 2 || sent[1] > 4<<20 {
				t.Errorf("sent %d, want the rest the second time", sent)
			}
		})
	}
}

// TestRunScript_refusedLeavesNothing: after a create that was refused nothing is left, so that the same command with
// another contract, or another dump, begins anew.
func TestRunScript_refusedLeavesNothing(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, "script-create-broken")},
		mockservertest.AllowUnmetExpectations)
	dir := t.TempDir()
	dump := noise(t, dir, "db.sql", 1000)
	before := files(t, dir)
	for _, source := range []string{dump, "-"} {
		r := command(t, scriptEnv(srv), "a piped dump", scriptArgs(srv, "--dump", source, "--out",
			filepath.Join(dir, "out"))...)
		if r.code != 3 || !strings.Contains(r.stderr, "No upgrade to this version") {
			t.Errorf("%s: %+v", source, r)
		}
		if diff := cmp.Diff(before, files(t, dir)); diff != "" {
			t.Errorf("%s: -before +after:\n%s", source, diff)
		}
	}
}

// TestRunScript_changedDump: another dump is not taken for the one that the request was begun with.
func TestRunScript_changedDump(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, "script-upload-never-works")},
		mockservertest.AllowUnmetExpectations)
	dir := t.TempDir()
	dump, out := dumpFolder(t, dir, 2, 600_000), filepath.Join(dir, "out")
	gaveUp := scriptArgs(srv, "--dump", dump, "--out", out, "--max-outage", "300ms")
	if r := command(t, scriptEnv(srv), "", gaveUp...); r.code != 1 {
		t.Fatalf("%+v", r)
	}
	noise(t, dump, "3000.dat.gz", 10)
	r := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out)...)
	if r.code != 1 || !strings.Contains(r.stderr, "a decision is needed") || !strings.Contains(r.stderr, "has changed") {
		t.Errorf("%+v", r)
	}
	other := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out, "--target", "17.0")...)
	if other.code != 1 || !strings.Contains(other.stderr, `belongs to a run with --target "18.0"`) {
		t.Errorf("%+v", other)
	}
	env := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out, "--env", "A=1")...)
	if env.code != 1 || !strings.Contains(env.stderr, `belongs to a run without --env, and this one is with --env "A=1"`) {
		t.Errorf("%+v", env)
	}
	if n := len(srv.Requests()); n != 1 {
		t.Errorf("%d requests", n)
	}
	// Begun anew, it is the second request.
	r = command(t, scriptEnv(srv), "", append(gaveUp, "--new-request")...)
	if len(srv.Requests()) != 2 {
		t.Errorf("%d requests: %+v", len(srv.Requests()), r)
	}
}

// TestRunScript_oneAtATime: a second run on the same state file says so.
func TestRunScript_oneAtATime(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, "script-held")})
	dir := t.TempDir()
	args := scriptArgs(srv, "--dump", dumpFolder(t, dir, 1, 10), "--out", filepath.Join(dir, "out"))
	first := make(chan ran, 1)
	go func() { first <- command(t, scriptEnv(srv), "", args...) }()
	e, err := srv.Await(t.Context(), journal.Filter{On: "script.logs"})
	if err != nil {
		t.Fatal(err)
	}
	second := command(t, scriptEnv(srv), "", args...)
	if second.code != 1 || !strings.Contains(second.stderr, "another odoo-upgrade is at work") {
		t.Errorf("%+v", second)
	}
	if _, err := srv.Release(e.Request); err != nil {
		t.Fatal(err)
	}
	if r := <-first; r.code != 0 {
		t.Errorf("%+v", r)
	}
}
