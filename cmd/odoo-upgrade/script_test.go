package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// dumpFolder makes a dump in the directory format, with so many files of so many bytes.
func dumpFolder(tb testing.TB, dir string, files, size int) string {
	tb.Helper()
	dump := filepath.Join(dir, "db")
	if err := os.MkdirAll(dump, 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dump, "toc.dat"), []byte("PGDMP\x01\x0e\x00"), 0o600); err != nil {
		tb.Fatal(err)
	}
	for i := range files {
		noise(tb, dump, fmt.Sprintf("%d.dat.gz", 3000+i), size+i)
	}
	return dump
}

// folder returns the files of a folder and of those in it, with their contents.
func folder(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(rel)] = string(raw)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// scriptEnv returns the variables with which the command calls an emulator.
func scriptEnv(srv *mockserver.Server) map[string]string {
	return map[string]string{"UPGRADE_URL": srv.HTTPSURL(), "UPGRADE_CONTRACT": "M123456-abcdef"}
}

// scriptArgs returns the arguments of a run by the script API.
func scriptArgs(srv *mockserver.Server, more ...string) []string {
	return append([]string{"run", "--ca-file", srv.CAFile(), "--target", "18.0", "--aim", "test", "--interval", "100ms",
		"--call-timeout", "10s", "--max-outage", "20s"}, more...)
}

func TestRunScript_wholeWay(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, "script-filestore")})
	dir := t.TempDir()
	dump, out := dumpFolder(t, dir, 20, 10_000), filepath.Join(dir, "out")
	store := filepath.Join(dir, "store")
	if err := os.MkdirAll(filepath.Join(store, "ab"), 0o700); err != nil {
		t.Fatal(err)
	}
	noise(t, filepath.Join(store, "ab"), "mine", 5)
	r := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out, "--merge-filestore", store)...)
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if diff := cmp.Diff(folder(t, dump), folder(t, filepath.Join(out, "upgraded.dump"))); diff != "" {
		t.Errorf("-sent +got:\n%s", diff)
	}
	for _, name := range []string{"upgrade-report.html", "upgrade.log"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil || !strings.Contains(r.stdout, filepath.Join(out, name)) {
			t.Errorf("%s: %v\n%s", name, err, r.stdout)
		}
	}
	merged, made := folder(t, store), folder(t, filepath.Join(out, "filestore"))
	if len(made) == 0 || len(merged) != len(made)+1 || len(merged["ab/mine"]) != 5 {
		t.Errorf("%d files merged, %d made", len(merged), len(made))
	}
	for name, want := range made {
		if merged[name] != want {
			t.Errorf("%s was not merged", name)
		}
	}
	// The log was shown, each byte once, without its control characters.
	log, _ := os.ReadFile(filepath.Join(out, "upgrade.log"))
	if len(log) == 0 || strings.Count(r.stderr, string(log)) > 1 {
		t.Errorf("the log has %d bytes, and came %d times", len(log), strings.Count(r.stderr, string(log)))
	}
	for line := range strings.Lines(string(log)) {
		if n := strings.Count(r.stderr, line); n != strings.Count(string(log), line) {
			t.Errorf("%q came %d times", line, n)
		}
	}
	// A second run has nothing to do.
	calls := len(srv.Events(journal.Filter{On: "script"}))
	again := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out, "--merge-filestore", store)...)
	if again.code != 0 || !strings.Contains(again.stdout, "an earlier run had finished this") ||
		len(srv.Events(journal.Filter{On: "script"})) != calls {
		t.Errorf("again: %+v", again)
	}
}

// TestRunScript_forms sends a dump in each form, from a file and from a pipe.
func TestRunScript_forms(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, nil)
	fixture := filepath.Join("..", "..", "fixtures", "dumps")
	for _, name := range []string{"openchs.cdump", "openchs.sql", "openchs.sql.gz", "openchs.zip"} {
		for _, pipe := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", name, pipe), func(t *testing.T) {
				t.Parallel()
				raw, err := os.ReadFile(filepath.Join(fixture, name))
				if err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				dump, stdin := filepath.Join(dir, name), ""
				if err := os.WriteFile(dump, raw, 0o600); err != nil {
					t.Fatal(err)
				}
				if pipe {
					dump, stdin = "-", string(raw)
				}
				out := filepath.Join(dir, "out")
				r := command(t, scriptEnv(srv), stdin, scriptArgs(srv, "--dump", dump, "--out", out)...)
				if r.code != 0 {
					t.Fatalf("%+v", r)
				}
				if _, err := os.Stat(filepath.Join(out, "upgraded.zip")); err != nil {
					t.Errorf("%v\n%s", err, r.stdout)
				}
				left, _ := filepath.Glob(filepath.Join(dir, "*.spooled"))
				claims, _ := filepath.Glob(filepath.Join(dir, "*.odoo-upgrade"))
				if len(left)+len(claims) > 0 {
					t.Errorf("left behind: %q %q", left, claims)
				}
			})
		}
	}
}

// TestRunScript_builtInScenarios does an upgrade under every built-in scenario for the script API, and asks the
// scenario whether that is what a good client does.
func TestRunScript_builtInScenarios(t *testing.T) {
	t.Parallel()
	type job struct {
		script   *scenario.Scenario
		problems []string
		log      string
	}
	var jobs []*job
	for _, name := range scenario.Builtins() {
		s, err := scenario.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Expect != nil && s.When["api"] == scenario.APIScript {
			jobs = append(jobs, &job{script: s})
		}
	}
	if len(jobs) < 20 {
		t.Fatalf("%d scenarios", len(jobs))
	}
	if testing.Short() {
		jobs = everyFifth(jobs)
		// These take as long as a call may, or as broken transfers are tried.
		jobs = slices.DeleteFunc(jobs, func(j *job) bool {
			return j.script.Name == "script-status-silent" || j.script.Name == "script-upload-never-works"
		})
	}
	var all errgroup.Group
	all.SetLimit(16)
	for _, j := range jobs {
		dir := t.TempDir()
		all.Go(func() error { j.problems, j.log = underScriptScenario(t, j.script, dir); return nil })
	}
	_ = all.Wait()
	for _, j := range jobs {
		t.Run(j.script.Name, func(t *testing.T) {
			for _, p := range j.problems {
				t.Error(p)
			}
			if t.Failed() {
				t.Log(j.log)
			}
		})
	}
}

func underScriptScenario(t *testing.T, s *scenario.Scenario, dir string) (problems []string, log string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	srv, err := mockserver.New(&mockserver.Options{Scenarios: []*scenario.Scenario{s},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return []string{err.Error()}, ""
	}
	defer srv.Close()
	if err := srv.Start(); err != nil {
		return []string{err.Error()}, ""
	}
	dump, out := dumpFolder(t, dir, 8, 400_000), filepath.Join(dir, "out")
	interval := "100ms"
	if len(s.Expect.Interval) > 0 {
		interval = "5s"
	}
	r := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out, "--interval", interval)...)
	log = r.stdout + r.stderr
	for _, v := range srv.Verify(journal.Filter{}) {
		if v.Verdict == "fail" {
			bad("%s: wanted %s, saw %s (%s)", v.Expect, v.Wanted, v.Saw, v.Hint)
		}
	}
	if want := s.Expect.Exit; want != scenario.ExitHonest && (r.code == 0) != (want == scenario.ExitSuccess) {
		bad("exit code %d, wanted %s", r.code, want)
	}
	reason := ""
	for _, req := range srv.Requests() {
		if req.Key != "" && strings.Contains(log, req.Key) {
			bad("the token was printed")
		}
		reason, _ = req.Status["reason"].(string)
	}
	for _, want := range s.Expect.Shows {
		text := want.Literal
		if want.Key == "reason" {
			text = reason
		}
		if text != "" && !strings.Contains(log, text) {
			bad("%q was not shown", text)
		}
	}
	dumps, _ := filepath.Glob(filepath.Join(out, "upgrade*.dump"))
	if zips, _ := filepath.Glob(filepath.Join(out, "*.zip")); len(zips) > 0 {
		dumps = append(dumps, zips...)
	}
	switch {
	case s.Expect.Out == scenario.OutAbsent && len(dumps) > 0:
		bad("there is an upgraded dump")
	case s.Expect.Out == scenario.OutUpgraded && len(dumps) == 0:
		bad("there is no upgraded dump")
	}
	return problems, log
}

// TestRunScript_exitCodes: the exit code tells who has refused.
func TestRunScript_exitCodes(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{
		"script-done": 0, "script-failed": 1, "script-failed-without-reason": 1, "script-cancelled": 3,
		"script-create-broken": 3, "script-contract-expired": 3, "script-process-refused": 3, "script-dump-missing": 1,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := mockservertest.New(t, &mockserver.Options{Scenarios: mockservertest.Scenarios(t, name)},
				mockservertest.AllowUnmetExpectations)
			dir := t.TempDir()
			r := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dumpFolder(t, dir, 2, 100), "--out",
				filepath.Join(dir, "out"), "--email", "john.doe@example.com")...)
			if r.code != want || !strings.Contains(r.stderr, "--email has no effect") {
				t.Errorf("exit code %d, want %d\n%s", r.code, want, r.stderr)
			}
		})
	}
}

func TestChooseAPI(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"14.0": "script", "18.0": "script", "18": "script", "v17": "script", "saas~17.2": "script", "100.0": "script",
		"13.0": "database", "8.0": "database", "6.1": "database", "": "database", "latest": "database", "18.0.1": "database",
	} {
		if got := chooseAPI(apiAuto, target); got != want {
			t.Errorf("%q: got %s, want %s", target, got, want)
		}
	}
	for target, want := range map[string]string{
		"18.0": "18.0", "18": "18.0", "v18": "18.0", "v18.0": "18.0", "saas~17.2": "saas~17.2", "latest": "latest",
	} {
		if got := scriptTarget(target); got != want {
			t.Errorf("%q: got %q, want %q", target, got, want)
		}
	}
}

// TestRunScript_commandLine: what cannot go together is refused before anything is called or written.
func TestRunScript_commandLine(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, nil)
	dir := t.TempDir()
	dump := dumpFolder(t, dir, 1, 10)
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(full, 0o700); err != nil {
		t.Fatal(err)
	}
	noise(t, full, "precious", 10)
	before := files(t, dir)
	for name, tt := range map[string]struct {
		args []string
		says string
	}{
		"both sources": {[]string{"--dump", dump, "--database", "x"}, "exclude each other"},
		"no source":    {nil, "--dump is missing"},
		"older flag":   {[]string{"--dump", dump, "--via", "sftp"}, "--via cannot go with the target 18.0"},
		"older API": {[]string{"--dump", dump, "--api", "database", "--restore-into", "x"},
			"--restore-into cannot go with"},
		"unknown API":       {[]string{"--dump", dump, "--api", "soap"}, "choose auto, script or database"},
		"a variable":        {[]string{"--dump", dump, "--env", "x"}, "expected NAME=value"},
		"jobs":              {[]string{"--dump", dump, "--jobs", "0"}, "--jobs 0"},
		"plain http":        {[]string{"--dump", dump, "--url", "http://127.0.0.1:1"}, "https"},
		"a missing dump":    {[]string{"--dump", filepath.Join(dir, "none")}, "no such file"},
		"no dump's folder":  {[]string{"--dump", full}, "toc.dat"},
		"a full folder":     {[]string{"--dump", dump, "--out", full}, "not empty"},
		"out in the dump":   {[]string{"--dump", dump, "--out", filepath.Join(dump, "out")}, "in each other"},
		"state in the dump": {[]string{"--dump", dump, "--state", filepath.Join(dump, "state")}, "in each other"},
		"no filestore":      {[]string{"--dump", dump, "--merge-filestore", filepath.Join(dir, "none")}, "is not there"},
	} {
		t.Run(name, func(t *testing.T) {
			args := tt.args
			if !strings.Contains(strings.Join(args, " "), "--out") {
				args = append(args, "--out", filepath.Join(dir, "out"))
			}
			r := command(t, scriptEnv(srv), "", scriptArgs(srv, args...)...)
			if r.code != 2 || !strings.Contains(r.stderr, tt.says) {
				t.Errorf("%+v, want a refusal with %q", r, tt.says)
			}
			if diff := cmp.Diff(before, files(t, dir)); diff != "" {
				t.Errorf("-before +after:\n%s", diff)
			}
		})
	}
	if len(srv.Requests()) > 0 {
		t.Error("the platform was called")
	}
}

func TestScriptCommands(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, nil)
	dir := t.TempDir()
	dump, out := dumpFolder(t, dir, 3, 1000), filepath.Join(dir, "out")
	if r := command(t, scriptEnv(srv), "", scriptArgs(srv, "--dump", dump, "--out", out)...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	state, ca := out+".upgrade-state.json", srv.CAFile()
	token := srv.Requests()[0].Key
	env := scriptEnv(srv)
	withToken := scriptEnv(srv)
	withToken["UPGRADE_TOKEN"] = token
	log, err := os.ReadFile(filepath.Join(out, "upgrade.log"))
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]ran{
		"by state": command(t, env, "", "logs", "--ca-file", ca, "--state", state),
		"by token": command(t, withToken, "", "logs", "--ca-file", ca),
		"follow":   command(t, withToken, "", "logs", "--ca-file", ca, "--follow"),
	} {
		if r.code != 0 || r.stdout != string(log) {
			t.Errorf("logs %s: %d, %d bytes of %d\n%s", name, r.code, len(r.stdout), len(log), r.stderr)
		}
	}
	if r := command(t, env, "", "logs", "--ca-file", ca, "--state", state, "--from",
		"100"); r.stdout != string(log[100:]) {
		t.Errorf("logs --from: %d bytes of %d", len(r.stdout), len(log)-100)
	}
	if r := command(t, env, "", "logs", "--ca-file", ca); r.code != 2 || !strings.Contains(r.stderr, "UPGRADE_TOKEN") {
		t.Errorf("logs of nothing: %+v", r)
	}
	wrong := scriptEnv(srv)
	wrong["UPGRADE_TOKEN"] = "wRoNg-token-wRoNg-token-wRoNg-token"
	if r := command(t, wrong, "", "logs", "--ca-file", ca); r.code != 3 || strings.Contains(r.stderr, "wRoNg") {
		t.Errorf("logs of an unknown token: %+v", r)
	}
	// The folder is gone: restore fetches it again.
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	if r := command(t, env, "", "restore", "--ca-file", ca, "--state", state); r.code != 0 {
		t.Errorf("restore: %+v", r)
	}
	if diff := cmp.Diff(folder(t, dump), folder(t, filepath.Join(out, "upgraded.dump"))); diff != "" {
		t.Errorf("-sent +got:\n%s", diff)
	}
	if r := command(t, withToken, "", "restore", "--ca-file", ca, "--out", filepath.Join(dir, "other")); r.code != 2 ||
		!strings.Contains(r.stderr, "--ssh-key") {
		t.Errorf("restore without a key: %+v", r)
	}
	// Status has both APIs; the older API's other commands say whose the file is.
	for name, r := range map[string]ran{
		"by state": command(t, env, "", "status", "--ca-file", ca, "--state", state),
		"by token": command(t, withToken, "", "status", "--ca-file", ca),
	} {
		if r.code != 0 || !strings.Contains(r.stdout, "done") {
			t.Errorf("status %s: %+v", name, r)
		}
	}
	r := command(t, env, "", "process", "--ca-file", ca, "--state", state)
	if r.code == 0 || !strings.Contains(r.stderr, "script API") {
		t.Errorf("process: %+v", r)
	}
	if r := command(t, env, "", "wipe", "--ca-file", ca, "--state", state); r.code != 1 || !strings.Contains(r.stderr,
		"--yes") {
		t.Errorf("wipe: %+v", r)
	}
	if r := command(t, env, "", "wipe", "--ca-file", ca, "--state", state, "--yes"); r.code != 0 ||
		!strings.Contains(r.stdout, fmt.Sprint(srv.Requests()[0].ID)) {
		t.Errorf("wipe --yes: %+v", r)
	}
	if r := command(t, env, "", "wipe", "--ca-file", ca, "--state", state, "--yes"); !strings.Contains(r.stdout,
		"nothing was left") {
		t.Errorf("wipe again: %+v", r)
	}
}
