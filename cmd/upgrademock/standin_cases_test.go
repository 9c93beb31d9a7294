//go:build unix

package main

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

var ways = []string{"V6", "V8", "V10", "V11"}

// someWays are the newest one with -short, and all of them without.
func someWays() []string {
	if testing.Short() {
		return ways[3:]
	}
	return ways
}

// readTree returns the files of a directory.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// inZip returns a file of an archive.
func inZip(t *testing.T, archive, name string) []byte {
	t.Helper()
	r, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := fs.ReadFile(r, name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// databases makes the names of restored databases different.
var databases atomic.Int64

// testFiles sends dumps of every form with -i.
func (p *platform) testFiles(t *testing.T) {
	t.Parallel()
	want := p.pg.Dump(t, "openchs")
	forms := []string{".zip", "", ".dump", ".sql", ".sql.gz"}
	for i, way := range ways {
		for j, form := range forms {
			few := testprog.Sample() || strings.HasSuffix(t.Name(), "old")
			if way != "V11" && j > 1 || few && j != i {
				continue
			}
			t.Run(way+form, func(t *testing.T) {
				t.Parallel()
				testprog.OneIn(t, 2)
				m := p.machine(t)
				if way == "V10" { // the arguments come on the channel (row S5.18)
					m.env = append(m.env, "RSYNC_PROTECT_ARGS=1")
				}
				if form == "" {
					m.dump()
					m.succeed(way, "", "test", "-i", "tree", "-c", p.scenario(t, ""), "-t", "17.0")
					if diff := cmp.Diff(readTree(t, p.tree), readTree(t, filepath.Join(m.work, "upgraded.dump"))); diff != "" {
						t.Errorf("what came back (+) is not what was sent (-):\n%s", diff)
					}
					return
				}
				if way == "V11" && form == ".zip" { // with a key that the stand-in makes itself
					m.env = append(m.env, "SSH_KEY_NAME=")
				}
				fixture := "openchs" + form
				if form == ".dump" {
					fixture = "openchs.cdump"
				}
				m.file("db"+form, fixtures.Dump(fixture))
				m.succeed(way, "", "production", "-i", "db"+form, "-c", p.scenario(t, ""), "-t", "17.0")
				sql := inZip(t, filepath.Join(m.work, "upgraded.zip"), "dump.sql")
				database := fmt.Sprintf("files_%s_%d", p.engine, databases.Add(1))
				p.pg.Load(t, database, bytes.NewReader(sql))
				if got := p.pg.Dump(t, database); form != ".zip" && got != want { // the one in the zip has no owners
					t.Errorf("the database that came back (+) is not the one that was sent (-):\n%s", cmp.Diff(want, got))
				}
				if got := left(t, m.tmp, "odoo-upgrade-*"); len(got) > 0 {
					t.Errorf("the token is kept: %v", got)
				}
			})
		}
	}
}

// testDatabases dumps a database with -d, restores what comes back, and merges the filestores.
func (p *platform) testDatabases(t *testing.T) {
	t.Parallel()
	for _, way := range someWays() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			database, upgraded := "db_"+p.engine+way, "up_"+p.engine+way
			p.pg.Run(t, nil, "createdb", "-T", "untouched", database)
			m := p.machine(t)
			store := filepath.Join(t.TempDir(), "filestore")
			for name, content := range map[string]string{
				filepath.Join(store, "cd", "new"):                                             "made by the upgrade",
				filepath.Join(m.home(), ".local/share/Odoo/filestore", database, "ab", "old"): "kept",
			} {
				if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
					t.Fatal(err)
				}
				m.file(name, []byte(content))
			}
			contract := p.scenario(t, fmt.Sprintf("upgraded: {filestore: %q}", store))
			// The contract that the database names wins over the one of -c (row S2.1).
			p.pg.Run(t, nil, "psql", "-q", "-d", database, "-c",
				"INSERT INTO ir_config_parameter (key, value) VALUES ('database.enterprise_code', '"+contract+"')")
			m.succeed(way, "", "test", "-d", database, "-c", "M999999-abcxyz", "-t", "17.0", "-r", upgraded)

			if diff := cmp.Diff(p.pg.Dump(t, database), p.pg.Dump(t, upgraded)); diff != "" {
				t.Errorf("the database that was restored (+) is not the one that was dumped (-):\n%s", diff)
			}
			want := map[string]string{"ab/old": "kept", "cd/new": "made by the upgrade"}
			merged := filepath.Join(m.home(), ".local/share/Odoo/filestore", upgraded)
			if diff := cmp.Diff(want, readTree(t, merged)); diff != "" {
				t.Errorf("the merged filestore (-want +got):\n%s", diff)
			}
			if got := left(t, m.work, "*.dump", "filestore"); len(got) > 0 {
				t.Errorf("left in the working directory: %v", got)
			}
		})
	}
}

// home is the machine's home directory.
func (m *machine) home() string { return filepath.Join(filepath.Dir(m.work), "home") }

// testFailures holds the exit statuses of section 13: most failures end with 0.
func (p *platform) testFailures(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		scenario string
		exit     map[string]int // by way; 0 where it has none
		says     string
	}{
		"failed":      {"steps: [{state: progress, for: 1 poll}, {state: failed, set: {reason: a}}]", nil, "failed: a"},
		"no reason":   {"steps: [{state: progress, for: 1 poll}, {state: failed}]", nil, "ERROR: the upgrade failed"},
		"cancelled":   {"steps: [{state: cancelled}]", nil, "ERROR: the upgrade cancelled"},
		"result":      {"faults: [{on: script.create, failure: {message: not so, form: result}}]", nil, "create: not so"},
		"error":       {"faults: [{on: script.create, failure: {message: no, form: error}}]", nil, "create: Error: no"},
		"bad gateway": {"faults: [{on: script.status, http: {status: 502}}]", nil, "status: communication error"},
		"no log": {"steps: [{state: progress, for: 3 polls}, {state: done}]\n" +
			"faults: [{on: script.logs, http: {status: 502}}]",
			map[string]int{"V8": 1, "V10": 1}, "HTTPError: HTTP Error 502"},
		"broken upload": {"faults: [{on: rsync.upload, after: 1KiB, disconnect: true}]",
			map[string]int{"V10": 1}, "the upload broke"},
		"broken download": {"faults: [{on: rsync.download, after: 1KiB, disconnect: true}]", nil, "the download broke"},
		"no host key": {"faults: [{on: rsync.login, known_hosts: null}]",
			map[string]int{"V10": 1}, "Host key verification failed"},
		"another host key": {"faults: [{on: rsync.login, hostkey: changed}]",
			map[string]int{"V10": 1}, "Host key verification failed"},
		"firewall": {"faults: [{on: rsync.login, unreachable: true}]",
			map[string]int{"V10": 1}, "Connection refused"},
	} {
		for _, way := range []string{"V8", "V10"} { // between them the exit status of a broken upload has changed
			if testprog.Sample() && way == "V8" {
				continue
			}
			t.Run(name+" "+way, func(t *testing.T) {
				t.Parallel()
				testprog.OneIn(t, 3)
				m := p.machine(t)
				m.file("db.zip", fixtures.Dump("openchs.zip"))
				out := m.run(way, "", "test", "-i", "db.zip", "-c", p.scenario(t, tc.scenario), "-t", "17.0")
				if out.exit != tc.exit[way] || !strings.Contains(out.stderr, tc.says) {
					t.Errorf("exit status %d, want %d and a word about %q:\n%s", out.exit, tc.exit[way], tc.says, out.stderr)
				}
			})
		}
	}
	t.Run("an old PostgreSQL", func(t *testing.T) {
		t.Parallel()
		testprog.OneIn(t, 3)
		m := p.machine(t)
		contract := p.scenario(t, "steps: [{state: pending, for: 1 poll, set: {is_pg_version_compatible: false}},"+
			" {state: done}]")
		m.succeed("V11", "", "test", "-d", "openchs", "-c", contract, "-t", "17.0")
		if got := left(t, m.work, "*"); !slices.Contains(got, "upgraded.dump") {
			t.Errorf("in the working directory: %v, want upgraded.dump", got)
		}
	})
}

// testQuestions answers the questions that stop unattended runs, or does not (row S12.8).
func (p *platform) testQuestions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		way, input string
		requests   int
		exit       int
	}{
		"yes":             {"V11", "y\n", 1, 0},
		"yes by default":  {"V11", "\n", 1, 0},
		"no":              {"V11", "n\n", 2, 0},
		"no input":        {"V11", "", 1, 1},
		"one letter":      {"V6", "y", 1, 0},
		"an old no":       {"V6", "n", 2, 0},
		"an old no input": {"V6", "", 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 3)
			m := p.machine(t)
			m.file("db.zip", fixtures.Dump("openchs.zip"))
			contract := p.scenario(t, "faults: [{on: script.transfer_start, times: 1, http: {status: 503}}]")
			if out := m.run(tc.way, "", "test", "-i", "db.zip", "-c", contract, "-t", "17.0"); out.exit != 0 ||
				!strings.Contains(out.stderr, "communication error") {
				t.Fatalf("the first run: exit status %d\n%s", out.exit, out.stderr)
			}
			out := m.run(tc.way, tc.input, "test", "-i", "db.zip", "-c", contract, "-t", "17.0")
			if out.exit != tc.exit || tc.exit != 0 && !strings.Contains(out.stderr, "EOFError") {
				t.Errorf("exit status %d, want %d:\n%s", out.exit, tc.exit, out.stderr)
			}
			if tc.exit != 0 {
				return
			}
			if got := p.created(t, contract); got != tc.requests {
				t.Errorf("%d requests, want %d", got, tc.requests)
			}
		})
	}
	t.Run("archived", func(t *testing.T) { // no question, and a new request (row S7.8)
		t.Parallel()
		testprog.OneIn(t, 3)
		m := p.machine(t)
		m.file("db.zip", fixtures.Dump("openchs.zip"))
		contract := p.scenario(t, "faults: [{on: script.transfer_start, times: 1, http: {status: 503}}]")
		m.run("V11", "", "test", "-i", "db.zip", "-c", contract, "-t", "17.0")
		m.succeed("V11", "", "wipe", "-t", m.token, "-c", contract, "-y")
		m.run("V11", "", "test", "-i", "db.zip", "-c", contract, "-t", "17.0")
		if got := p.created(t, contract); got != 2 {
			t.Errorf("%d requests, want 2", got)
		}
	})
	t.Run("a stale token", func(t *testing.T) { // stops each later run
		t.Parallel()
		testprog.OneIn(t, 3)
		m := p.machine(t)
		m.file("db.zip", fixtures.Dump("openchs.zip"))
		contract := p.scenario(t, "faults: [{on: script.transfer_start, times: 1, http: {status: 503}}]")
		m.run("V11", "", "test", "-i", "db.zip", "-c", contract, "-t", "17.0")
		p.control(t, "POST", "/reset?request="+m.request, "", nil)
		out := m.run("V11", "y\n", "test", "-i", "db.zip", "-c", contract, "-t", "17.0")
		if out.exit != 0 || !strings.Contains(out.stderr, "ERROR: status: ") {
			t.Errorf("exit status %d\n%s", out.exit, out.stderr)
		}
	})
	t.Run("a missing program", func(t *testing.T) {
		t.Parallel()
		testprog.OneIn(t, 3)
		for input, exit := range map[string]int{"n\n": 1, "y\n": 0} {
			m := p.machine(t)
			m.file("db.zip", fixtures.Dump("openchs.zip"))
			m.program("rsync", "")
			bin := filepath.Join(filepath.Dir(m.work), "bin")
			for _, name := range []string{"ssh", "ssh-keygen"} {
				if err := os.Symlink(pathOf(t, name), filepath.Join(bin, name)); err != nil {
					t.Fatal(err)
				}
			}
			os.Remove(filepath.Join(bin, "rsync"))
			m.env = append(m.env, "PATH="+bin)
			out := m.run("V11", input, "test", "-i", "db.zip", "-c", p.scenario(t, "steps: [{state: failed}]"), "-t", "17.0")
			if !strings.Contains(out.stderr, "not installed: rsync") || exit == 1 && out.exit != 1 {
				t.Errorf("after %q: exit status %d\n%s", input, out.exit, out.stderr)
			}
		}
	})
}

// created returns how many requests were made for a contract.
func (p *platform) created(t *testing.T, contract string) int {
	t.Helper()
	var answer struct{ Events []journal.Event }
	p.control(t, "GET", "/journal?on=script.create&contract="+url.QueryEscape(contract), "", &answer)
	return len(answer.Events)
}

// testCommands runs the subcommands that take a token.
func (p *platform) testCommands(t *testing.T) {
	t.Parallel()
	for _, way := range someWays() {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			m := p.machine(t)
			database := "commands_" + p.engine + way
			contract := p.scenario(t, `steps: [{state: progress, for: 1 poll, log: "a café\nhalf a line"}, {state: done}]`)
			m.succeed(way, "", "test", "-d", "openchs", "-x", "-c", contract, "-t", "17.0")
			if got := strings.TrimSpace(m.succeed(way, "", "status", "-t", m.token).stdout); got != "DONE" {
				t.Errorf("status says %q", got)
			}
			if got := m.succeed(way, "", "log", "-t", m.token).stdout; got != "a café\n" {
				t.Errorf("the log is %q", got)
			}
			if got := m.succeed(way, "", "log", "-t", m.token, "-f", "2").stdout; got != "café\n" {
				t.Errorf("the log from byte 2 is %q", got)
			}
			if got := m.succeed(way, "", "log", "-t", m.token, "-f", "100000").stdout; got != "" {
				t.Errorf("behind its end the log is %q", got)
			}
			m.succeed(way, "", "restore", "-t", m.token, "-d", "openchs", "-r", database)
			if diff := cmp.Diff(p.pg.Dump(t, "openchs"), p.pg.Dump(t, database)); diff != "" {
				t.Errorf("the database that was restored (+) is not the one that was dumped (-):\n%s", diff)
			}
			out := m.run(way, "", "status", "-t", strings.Repeat("A", 58))
			if out.exit != 0 || !strings.Contains(out.stderr, "ERROR: status: ") {
				t.Errorf("another token: exit status %d\n%s", out.exit, out.stderr)
			}
			if way != "V10" && way != "V11" {
				return
			}
			out = m.run(way, "no\n", "wipe", "-t", m.token, "-c", contract)
			if !strings.Contains(out.stderr, "nothing was removed") {
				t.Errorf("wipe, declined, said %q", out.stderr)
			}
			for _, want := range []string{"1 requests wiped, 0 not", "0 requests wiped, 0 not"} {
				if got := m.succeed(way, "yes\n", "wipe", "-t", m.token, "-c", contract).stdout; !strings.Contains(got, want) {
					t.Errorf("wipe said %q, want %q", got, want)
				}
			}
		})
	}
}

// testMany has 20 people send dumps at once, each with a key of his own, and each gets his own back.
func (p *platform) testMany(t *testing.T) {
	number := 20
	if testprog.Sample() {
		number = 6
	}
	contract := p.scenario(t, "")
	var group sync.WaitGroup
	for i := range number {
		m := p.machine(t)
		key := filepath.Join(m.home(), "own")
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		sql := fmt.Appendf(fixtures.Dump("openchs.sql"), "\n-- number %d\n", i)
		m.file("db.sql", sql)
		cmd := m.standin(ways[i%len(ways)], "test", "-i", "db.sql", "-c", contract, "-t", "17.0", "-s", key)
		group.Go(func() {
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("number %d: %v\n%s", i, err, out)
			} else if r, err := zip.OpenReader(filepath.Join(m.work, "upgraded.zip")); err != nil {
				t.Errorf("number %d: %v\n%s", i, err, out)
			} else {
				defer r.Close()
				got, err := fs.ReadFile(r, "dump.sql")
				if err != nil || !bytes.Equal(got, sql) {
					t.Errorf("number %d got something else: %v", i, err)
				}
			}
		})
	}
	group.Wait()
}
