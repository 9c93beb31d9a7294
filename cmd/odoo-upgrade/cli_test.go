package main

import (
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Every call says which version of the program made it, as --version does.
func TestVersion(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, nil, mockservertest.AllowUnknownCalls)
	r := command(t, nil, "", "--version")
	name, version, _ := strings.Cut(strings.TrimSpace(r.stdout), " ")
	if r.code != 0 || name != "odoo-upgrade" || version == "" {
		t.Fatalf("%d %q", r.code, r.stdout)
	}
	command(t, nil, "", "--url", srv.URL(), "status", "--request", "1", "--key", "k")
	if events := srv.Events(journal.Filter{On: "status"}); len(events) == 0 || events[0].Agent != name+"/"+version {
		t.Errorf("the program calls itself otherwise: %+v", events)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	noEnv := map[string]string{}
	tests := []struct {
		env  map[string]string
		args []string
		says string
	}{
		{noEnv, []string{"nonsense"}, `unknown command "nonsense"`},
		{noEnv, []string{"stats"}, `unknown command "stats" for "odoo-upgrade"; did you mean "status"?`},
		{noEnv, []string{"help", "stats"}, `did you mean "status"?`},
		{noEnv, []string{"status", "--reqest", "1"}, "unknown flag: --reqest; did you mean --request?"},
		{noEnv, []string{"status", "extra"}, "unknown command"},
		{noEnv, []string{"--nonsense"}, "unknown flag: --nonsense"},
		{noEnv, []string{"status"}, "which request?"},
		{noEnv, []string{"status", "--request", "ten", "--key", "k"}, "an id is a number"},
		{noEnv, []string{"--url", "upgrade.odoo.com", "status", "--request", "1", "--key", "k"}, "must begin with https://"},
		{noEnv, []string{"--call-timeout", "0s", "status", "--request", "1", "--key", "k"}, "--call-timeout"},
		{noEnv, []string{"create"}, "--contract is missing"},
		{noEnv, []string{"create", "--contract", "M1", "--email", "a@b.cd", "--target", "8.0", "--aim", "test"},
			"--filename is missing"},
		{noEnv, []string{"run", "--contract", "M1", "--email", "a@b.cd", "--target", "8.0", "--aim", "test"},
			"--dump is missing"},
		{noEnv, []string{"run", "--contract", "M1", "--email", "a@b.cd", "--target", "8.0", "--aim", "test", "--dump", "d",
			"--via", "pigeon"}, "choose auto, https or sftp"},
		{noEnv, []string{"run", "--contract", "M1", "--email", "a@b.cd", "--target", "8.0", "--aim", "test", "--dump", "d",
			"--interval", "1ms"}, "no way to treat"},
		{noEnv, []string{"run", "--contract", "M1", "--email", "a@b.cd", "--target", "8.0", "--aim", "test",
			"--ssh-key", "k", "--generate-key"}, "cannot go with --ssh-key"},
		{noEnv, []string{"download", "--request", "1", "--key", "k", "--what", "moon"}, "choose one of upgraded,"},
		{noEnv, []string{"download", "--request", "1", "--key", "k", "--what", "notes", "--via", "sftp"},
			"only the upgraded dump"},
		{noEnv, []string{"sftp-access", "--request", "1", "--key", "k"}, "which keys may log in?"},
		{map[string]string{"UPGRADE_REQUEST": "1", "UPGRADE_KEY": "k"}, []string{"upload"}, "--dump is missing"},

		// Values that the library would complain of in Go's words.
		{noEnv, []string{"wait", "--request", "1", "--key", "k", "--interval", "1day"}, "such as 500ms, 30s, 5m or 1h30m"},
		{noEnv, []string{"wait", "--request", "1", "--key", "k", "--timeout", "30"},
			`--timeout "30": expected a number with its unit`},
		{noEnv, []string{"wait", "--request", "1", "--key", "k", "--max-outage", ""}, "expected a number with its unit"},
		{noEnv, []string{"run", "--sftp-from", "many"}, `--sftp-from "many": expected a whole number, such as 256`},
		{noEnv, []string{"run", "--sftp-from", "99999999999999999999"}, "expected a whole number"},
		{noEnv, []string{"run", "--yes=perhaps"}, `--yes "perhaps": expected true or false`},
		{noEnv, []string{"--url", "https://upgrade.odoo.com:99999", "status", "--request", "1", "--key", "k"},
			"expected one from 1 to 65535"},
		{noEnv, []string{"--url", "https://upgrade.odoo.com:0", "status", "--request", "1", "--key", "k"},
			"expected one from 1 to 65535"},
		{noEnv, []string{"--url", "https://upgrade.odoo.com:port", "status", "--request", "1", "--key", "k"},
			"such as https://upgrade.odoo.com"},
		{noEnv, []string{"--url", "https://%zz", "status", "--request", "1", "--key", "k"},
			"such as https://upgrade.odoo.com"},
		{noEnv, []string{"--url", ":", "status", "--request", "1", "--key", "k"}, "such as https://upgrade.odoo.com"},
		{noEnv, []string{"status", "--request", "99999999999999999999", "--key", "k"}, "an id is a number, such as 10534"},

		// Files that are not there, or cannot be used.
		{noEnv, []string{"status", "--state", "missing.json"}, "there is no state file"},
		{noEnv, []string{"status", "--request", "1", "--key", "k", "--ca-file", "missing.pem"},
			"--ca-file missing.pem cannot be read"},
		{noEnv, []string{"status", "--request", "1", "--key", "k", "--ca-file", "cli_test.go"}, "no certificate in PEM form"},
		{noEnv, []string{"upload", "--request", "1", "--key", "k", "--dump", "missing.dump"}, "missing.dump does not exist"},
		{noEnv, []string{"upload", "--request", "1", "--key", "k", "--dump", "."}, "is a folder"},
		{noEnv, []string{"upload", "--request", "1", "--key", "k", "--dump", os.DevNull}, "no regular file"},
		{noEnv, []string{"sftp-upload", "--request", "1", "--key", "k", "--dump", "missing.dump"},
			"missing.dump does not exist"},
		{noEnv, []string{"sftp-upload", "--request", "1", "--key", "k", "--dump", "main.go", "--ssh-key", "missing"},
			"missing"},
		{noEnv, []string{"sftp-upload", "--request", "1", "--key", "k", "--dump", "main.go", "--known-hosts", "main.go"},
			"--dump and --known-hosts are one file"},
		{noEnv, []string{"sftp-access", "--request", "1", "--key", "k", "--authorized-keys", "missing.pub"},
			"missing.pub cannot be read"},
		{noEnv, []string{"sftp-access", "--request", "1", "--key", "k", "--generate-key", "main.go"},
			"main.go cannot be made"},
		{noEnv, []string{"download", "--request", "1", "--key", "k", "--out", "."}, "the name of a folder"},
		{noEnv, []string{"download", "--request", "1", "--key", "k", "--out", os.DevNull}, "no regular file"},
		{noEnv, []string{"download", "--request", "1", "--key", "k", "--out", "missing/out"},
			"there is no such file or folder"},
	}
	for _, tt := range tests {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			r := command(t, tt.env, "", tt.args...)
			if r.code != 2 || !strings.Contains(r.stderr, tt.says) || !strings.Contains(r.stderr, "--help") {
				t.Errorf("%+v, want code 2 and %q", r, tt.says)
			}
			for _, raw := range []string{"strconv", "time: ", "parse ", "net/url", "invalid argument", "x509: ", "asn1",
				"ssh: ", "open "} {
				if strings.Contains(r.stderr, raw) {
					t.Errorf("a library's words, %q, in %q", raw, r.stderr)
				}
			}
		})
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"__start_odoo-upgrade": {"completion", "bash"},
		"upgraded-sql":         {"__complete", "download", "--what", ""},
		"sftp":                 {"__complete", "run", "--via", ""},
		"auto\n":               {"__complete", "run", "--via", ""},
		"production\n":         {"__complete", "create", "--aim", ""},
		"script\t":             {"__complete", "run", "--api", "s"},
		":4\n":                 {"__complete", "create", "--contract", ""}, // no files
		"json\n:8\n":           {"__complete", "status", "--state", ""},
		":16\n":                {"__complete", "restore", "--out", ""}, // directories
	} {
		if r := command(t, nil, "", args...); r.code != 0 || !strings.Contains(r.stdout, want) {
			t.Errorf("%v: %+v, want %q", args, r, want)
		}
	}
}

func TestStepByStep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump := noise(t, dir, "db.dump", 100_000)
	p := newPlatform(t, "pending", "done")
	p.extra["customer_message"] = "look at /77/" + platformKey + "/ \x1b[31m"
	env := p.env()
	step := func(wantOut string, args ...string) ran {
		t.Helper()
		r := command(t, env, "", args...)
		if r.code != 0 || !strings.Contains(r.stdout, wantOut) {
			t.Fatalf("%s: %+v, want %q", args[0], r, wantOut)
		}
		return r
	}
	r := step("key", "create", "--target", "8.0", "--aim", "test", "--filename", "db.dump")
	if !strings.Contains(r.stdout, platformKey) {
		t.Errorf("create does not print the key: %s", r.stdout)
	}
	step("Uploaded", "upload", "--dump", dump)
	step("has begun", "process")
	r = step("done", "wait", "--interval", "100ms")
	if strings.Contains(r.stdout+r.stderr, platformKey) || strings.Contains(r.stdout, "\x1b") {
		t.Errorf("wait shows the key or a control character: %q", r.stdout)
	}
	r = step("look at /77/[key]/", "status")
	if !strings.HasPrefix(r.stdout, "request    77\nstate      done\nmessage    look") {
		t.Errorf("the table is not aligned: %s", r.stdout)
	}
	out := filepath.Join(dir, "got")
	step("Downloaded", "download", "--out", out)
	if !sameFiles(t, dump, out) {
		t.Error("something else came down")
	}
	r = step(platformKey, "status", "--json")
	var status map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &status); err != nil || status["state"] != "done" ||
		status["key"] != platformKey {
		t.Errorf("status --json: %v, %v", status, err)
	}
}

func TestFromAPipe(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, "done")
	if r := command(t, p.env(), "piped", "upload", "--dump", "-", "--json"); r.code != 0 ||
		!strings.Contains(r.stdout, `"bytes": 5`) || string(p.dump) != "piped" {
		t.Errorf("%+v, the platform has %q", r, p.dump)
	}
}

// TestErrors: each kind of error is a sentence, with exit code 1 and without the key.
func TestErrors(t *testing.T) {
	t.Parallel()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "<!DOCTYPE html>\n<html>"+r.FormValue("key"))
	}))
	t.Cleanup(page.Close)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = quiet
	secure.StartTLS()
	t.Cleanup(secure.Close)
	p := newPlatform(t, "done")
	tests := []struct {
		name, url string
		args      []string
		says      []string
	}{
		{"a page", page.URL, []string{"status"}, []string{"HTML page", "<!DOCTYPE html>"}},
		{"a certificate", secure.URL, []string{"status"}, []string{"not trusted", "--ca-file"}},
		{"a closed port", "http://127.0.0.1:1", []string{"status"}, []string{"nothing answers"}},
		{"a closed port, for a download", "http://127.0.0.1:1", []string{"download"}, []string{"nothing answers"}},
		{"an unknown request", p.URL, []string{"status", "--request", "78"}, []string{"REQUEST:NOT_FOUND"}},
		{"no such file yet", p.URL, []string{"download", "--out", filepath.Join(t.TempDir(), "x")},
			[]string{"the file upgraded is not there (yet)"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := p.env()
			env["UPGRADE_URL"] = tt.url
			r := command(t, env, "", append(tt.args, "-v")...)
			for _, s := range tt.says {
				if !strings.Contains(r.stderr, s) {
					t.Errorf("standard error does not say %q: %s", s, r.stderr)
				}
			}
			if r.code != 1 || strings.Contains(r.stderr+r.stdout, platformKey) {
				t.Errorf("%+v", r)
			}
		})
	}
	// With its authority trusted, the certificate is accepted.
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}),
		0o600); err != nil {
		t.Fatal(err)
	}
	env := p.env()
	env["UPGRADE_URL"] = secure.URL
	if r := command(t, env, "", "status", "--ca-file", ca); !strings.Contains(r.stderr, "404") {
		t.Errorf("with --ca-file: %+v", r)
	}
}

// TestProductionAsks: nothing reaches the real platform with the aim production unless it was confirmed. No call may
// be made in this test, so the confirmation must come before the first.
func TestProductionAsks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump := noise(t, dir, "db.dump", 1000)
	order := []string{"--contract", "M1", "--email", "a@b.cd", "--target", "8.0", "--aim", "production"}
	for _, args := range [][]string{
		append([]string{"create", "--filename", "db.dump"}, order...),
		append([]string{"run", "--dump", dump, "--out", filepath.Join(dir, "out")}, order...),
		append([]string{"create", "--filename", "db.dump", "--url", "https://UPGRADE.odoo.com:443/"}, order...),
	} {
		r := command(t, map[string]string{}, "y\n", args...)
		if r.code != 1 || !strings.Contains(r.stderr, "add --yes") {
			t.Errorf("%v: %+v", args, r)
		}
	}
	// Other platforms need no confirmation.
	p := newPlatform(t, "done")
	if r := command(t, p.env(), "", "create", "--target", "8.0", "--aim", "production", "--filename",
		"db.dump"); r.code != 0 {
		t.Errorf("%+v", r)
	}
}

func TestSFTP_stepByStep(t *testing.T) {
	t.Parallel()
	srv := mockservertest.New(t, nil, mockservertest.AllowUnknownCalls) // skip_test, of another edition
	dir := t.TempDir()
	dump := noise(t, dir, "db.dump", 3<<20+1)
	env := map[string]string{"UPGRADE_URL": srv.HTTPSURL(), "UPGRADE_CONTRACT": "M123456-abcdef",
		"UPGRADE_EMAIL": "a@b.cd"}
	do := func(args ...string) ran {
		t.Helper()
		return command(t, env, "", append(args, "--ca-file", srv.CAFile())...)
	}
	var made struct {
		ID  int64
		Key string
	}
	r := do("create", "--target", "8.0", "--aim", "test", "--filename", "db.dump", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &made); err != nil || made.Key == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	env["UPGRADE_REQUEST"], env["UPGRADE_KEY"] = strings.Trim(jsonNumber(made.ID), `"`), made.Key

	key := filepath.Join(dir, "id")
	r = do("sftp-access", "--generate-key", key)
	if r.code != 0 || !strings.Contains(r.stdout, "sftp -i "+key+" -P ") {
		t.Fatalf("%+v", r)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key: %v, %v", info, err)
	}
	if r := do("sftp-access", "--authorized-keys", key); r.code != 2 || !strings.Contains(r.stderr, "private key") {
		t.Errorf("a private key for a public one: %+v", r)
	}

	hosts := filepath.Join(dir, "hosts")
	if r := do("sftp-upload", "--dump", dump, "--ssh-key", key, "--known-hosts", hosts); r.code != 1 ||
		!strings.Contains(r.stderr, "--accept-new-host-key") {
		t.Errorf("an unknown host: %+v", r)
	}
	if r := do("sftp-upload", "--dump", dump, "--ssh-key", key, "--known-hosts", hosts,
		"--accept-new-host-key"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	// Now it is known; and everything is there already.
	if r := do("sftp-upload", "--dump", dump, "--known-hosts", hosts, "--json"); r.code != 0 ||
		!strings.Contains(r.stdout, `"sent": 0`) {
		t.Errorf("%+v", r)
	}
	if r := do("process"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if r := do("wait", "--interval", "100ms"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	out := filepath.Join(dir, "out")
	if r := do("download", "--via", "sftp", "--known-hosts", hosts, "--out", out); r.code != 0 ||
		!sameFiles(t, dump, out) {
		t.Errorf("%+v", r)
	}
	for _, what := range []string{"notes", "original", "status"} {
		if r := do("download", "--what", what, "--out", out+what); r.code != 0 {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if r := do("skip-test"); r.code != 1 || !strings.Contains(r.stderr, "Platforms before 13.0") {
		t.Errorf("%+v", r)
	}
}

func jsonNumber(n int64) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}

// TestRun_humanTests: the request stays in testing until skip_test, which only platforms since 13.0 have.
func TestRun_humanTests(t *testing.T) {
	t.Parallel()
	script, err := scenario.Parse("held.yaml", []byte("name: held\nsteps:\n"+
		"  - {state: testing, for: released, set: {filestore: false}}\n  - {state: done}\n"))
	if err != nil {
		t.Fatal(err)
	}
	srv := mockservertest.New(t, &mockserver.Options{Edition: mockserver.Edition13,
		Scenarios: []*scenario.Scenario{script}})
	dir := t.TempDir()
	dump, out := noise(t, dir, "db.dump", 1000), filepath.Join(dir, "out")
	r := command(t, map[string]string{}, "", "run", "--url", srv.URL(), "--contract", "M1-a", "--email", "a@b.cd",
		"--target", "13.0", "--aim", "production",
		"--dump", dump, "--out", out, "--interval", "100ms", "--skip-test", "--download-via", "sftp", "--known-hosts",
		srv.KnownHostsFile())
	if r.code != 0 || !sameFiles(t, dump, out) {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff("delivered", srv.Requests()[0].State); diff != "" {
		t.Error(diff)
	}
}

// TestRun_fallsBack: what stands against SFTP on the way there sends a run without --via over HTTPS, but a host key
// that has changed does not.
func TestRun_fallsBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	dump := noise(t, dir, "db.dump", 1<<20)
	srv := mockservertest.New(t, nil)
	args := func(out, hosts string) []string {
		return []string{"run", "--url", srv.URL(), "--contract", "M1-a", "--email", "a@b.cd", "--target", "8.0", "--aim",
			"test", "--sftp-from", "0",
			"--dump", dump, "--out", filepath.Join(dir, out), "--interval", "100ms", "--known-hosts", hosts}
	}
	r := command(t, nil, "", args("unknown", filepath.Join(dir, "hosts"))...)
	if r.code != 0 || !strings.Contains(r.stderr, "Going over HTTPS instead") ||
		!sameFiles(t, dump, filepath.Join(dir, "unknown")) {
		t.Errorf("unknown host: %+v", r)
	}
	known, err := os.ReadFile(srv.KnownHostsFile())
	if err != nil {
		t.Fatal(err)
	}
	other, err := os.ReadFile(mockservertest.New(t, nil).KnownHostsFile())
	if err != nil {
		t.Fatal(err)
	}
	// The names of the one with the key of the other.
	wrong := filepath.Join(dir, "wrong")
	names, keys := strings.Fields(string(known)), strings.Fields(string(other))
	if err := os.WriteFile(wrong, []byte(strings.Join([]string{names[0], keys[1], keys[2]}, " ")+"\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	r = command(t, nil, "", args("changed", wrong)...)
	if r.code != 1 || !strings.Contains(r.stderr, "has changed") || srv.Requests()[1].State != "draft" {
		t.Errorf("changed host key: %+v", r)
	}
}

// TestRun_brokenBeforeClose: when the connection breaks after the last byte and before the file was closed, the
// server has every byte and, by row 5.17, still no complete dump. Only opening and closing the file again makes it
// one.
func TestRun_brokenBeforeClose(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	for _, action := range []string{"disconnect: true", "reset: true", "revoke: true"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			script, err := scenario.Parse("close.yaml",
				[]byte("name: close\nfaults:\n  - {on: sftp.close, "+action+", times: 1}\nsteps:\n  - {state: done}\n"))
			if err != nil {
				t.Fatal(err)
			}
			srv := mockservertest.New(t, &mockserver.Options{Scenarios: []*scenario.Scenario{script}})
			dir := t.TempDir()
			dump, out := noise(t, dir, "db.dump", size), filepath.Join(dir, "out")
			r := command(t, nil, "", "run", "--url", srv.URL(), "--contract", "M1-a", "--email", "a@b.cd", "--target", "8.0",
				"--aim", "test",
				"--dump", dump, "--out", out, "--interval", "100ms", "--via", "sftp", "--download-via", "https", "--known-hosts",
				srv.KnownHostsFile())
			if r.code != 0 || !sameFiles(t, dump, out) {
				t.Errorf("%+v", r)
			}
			var sent int64
			for _, e := range srv.Events(journal.Filter{}) {
				for _, r := range e.Written {
					sent += r.To - r.From
				}
			}
			if sent != size {
				t.Errorf("%d bytes were sent for a dump of %d", sent, size)
			}
		})
	}
}
