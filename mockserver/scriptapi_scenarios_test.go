package mockserver_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// A scenario that names no API drives the requests of both. What it says of the one never reaches the other.
func TestScenario_bothAPIs(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t, `
name: both
when: {contract: "M1*"}
steps:
  - {state: done, set: {reason: a view, archived: true, customer_message: a module, is_pg_version_compatible: false}}
faults:
  - {on: status, times: 1, failure: {reason: "SERVER:ERROR", message: of the older one}}
  - {on: script.status, skip: 1, times: 1, failure: {message: of the newer one}}
`)})
	old := w.create()
	w.upload(old, []byte("-- PostgreSQL database dump\n"))
	r := w.rsyncFor()
	if a := r.rpc("status", "token", r.token); a.Failure != "" {
		t.Errorf("the first status of the script API: %s", a.Body)
	}
	if a := r.rpc("status", "token", r.token); a.Failure != "of the newer one" {
		t.Errorf("the second status of the script API: %s", a.Body)
	}
	if a := w.call("status", old.params()); !slices.Equal(a.reasons(), []string{"SERVER:ERROR"}) {
		t.Errorf("the first status of the database API: %s", a.Body)
	}

	before := slices.Sorted(maps.Keys(w.status(old)))
	w.good("process", old.params())
	status := w.status(old)
	if diff := cmp.Diff(before, slices.Sorted(maps.Keys(status))); diff != "" {
		t.Errorf("the keys of the database API's status (-draft +done):\n%s", diff)
	}
	if status["state"] != "done" || status["customer_message"] != "a module" {
		t.Errorf("the status of the database API: %v", status)
	}

	if err := os.WriteFile(filepath.Join(r.dir, "db.sql"), []byte("-- PostgreSQL database dump\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	port, _ := r.start("upload")
	if out, err := r.upload(port, "db.sql"); err != nil {
		t.Fatalf("upload: %v\n%s", err, out)
	}
	if a := r.rpc("process", "token", r.token); a.Result["is_pg_version_compatible"] != false {
		t.Errorf("process: %s", a.Body)
	}
	result := r.rpc("status", "token", r.token).Result
	delete(result, "host_uri")
	if diff := cmp.Diff(map[string]any{"status": "done", "reason": "a view", "archived": true}, result); diff != "" {
		t.Errorf("the status of the script API (-want +got):\n%s", diff)
	}
}

// A client that sends a directory, is cut, and goes on, is judged by its files.
func TestServer_Judge_directory(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t, `
name: cut
when: {api: script}
steps: [{state: progress, for: 1 poll}, {state: done}]
faults:
  - {on: rsync.upload, times: 1, file: toc.dat, disconnect: true}
expect:
  exit: honest
  calls: {script.create: 1, rsync.upload: 2, rsync.login: 3}
  order: [script.create, script.transfer_start, rsync.upload, script.process, script.status, rsync.download]
  resumed: true
  params: as told
  dump: intact
  requests: known
  out: upgraded
`)})
	r := w.rsyncFor()
	dir := filepath.Join(r.dir, "dump")
	for name, text := range map[string]string{
		"1.dat": "one", "2.dat": "two", "toc.dat": "PGDMP" + strings.Repeat("x", 1000),
	} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	upload := func() (string, error) {
		port, _ := r.start("upload")
		return r.run(
			port, "--delete-after", "--recursive", "--links", "--times", "dump/", "odoo@"+r.host+":/data/origin.dump",
		)
	}
	if out, err := upload(); err == nil {
		t.Fatalf("the first upload was not cut:\n%s", out)
	}
	if out, err := upload(); err != nil {
		t.Fatalf("upload: %v\n%s", err, out)
	}
	r.rpc("transfer/stop", "token", r.token)
	r.rpc("process", "token", r.token)
	for range 2 {
		r.rpc("status", "token", r.token)
	}
	port, result := r.start("download")
	name := result["dump_name"].(string)
	if out, err := r.run(port, "-a", "--ignore-missing-args", "odoo@"+r.host+":/data/"+name, "."); err != nil {
		t.Fatalf("download: %v\n%s", err, out)
	}

	run := &mockserver.Run{
		Params: map[string]string{"contract": "M123456-abcdef", "target": "18.0", "aim": "test", "email": "a@example.com"},
		Dump:   dir, Out: filepath.Join(r.dir, name),
	}
	for _, o := range w.srv.Judge(journal.Filter{}, run) {
		if o.Verdict != mockserver.Pass {
			t.Errorf("%+v", o)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "2.dat"), []byte("twp"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.dir, name, "1.dat")); err != nil {
		t.Fatal(err)
	}
	saw := map[string]string{"dump": "at 2.dat: ", "out": "without its file 1.dat", "exit": "without its file 1.dat"}
	for _, o := range w.srv.Judge(journal.Filter{}, run) {
		want := saw[o.Expect]
		if (o.Verdict == mockserver.Fail) != (want != "") || !strings.Contains(o.Saw, want) {
			t.Errorf("%+v, want to see %q", o, want)
		}
	}
}
