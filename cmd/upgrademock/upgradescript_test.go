//go:build unix

package main

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// TestUpgradeScript runs a real copy of the upgrade script, of any age, with a file and with a database:
//
//	UPGRADE_SCRIPT=FILE go test ./cmd/upgrademock -run TestUpgradeScript -v
//
// UPGRADE_PYTHON names the interpreter (default python3). It is the one test that is skipped in CI: the script has no
// licence, so that it can be neither part of this repository nor fetched by it.
func TestUpgradeScript(t *testing.T) {
	t.Parallel()
	script := os.Getenv("UPGRADE_SCRIPT")
	if script == "" {
		t.Skip("UPGRADE_SCRIPT=FILE names no copy of the upgrade script, which has no licence and so is not here")
	}
	python, err := exec.LookPath(cmp.Or(os.Getenv("UPGRADE_PYTHON"), "python3"))
	if err != nil {
		t.Fatal(err)
	}
	testUpgradeScript(t, python, script)
}

// TestUpgradeScript_standin holds that what TestUpgradeScript wants can be had.
func TestUpgradeScript_standin(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("-short: TestStandin does most of it")
	}
	testUpgradeScript(t, testprog.Need(t, "python3", "python3"), "../../examples/script/upgrade_standin.py")
}

func testUpgradeScript(t *testing.T, python, script string) {
	script, err := filepath.Abs(script)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	pg := testprog.StartPostgres(t)
	pg.Load(t, "openchs", bytes.NewReader(fixtures.Dump("openchs.source.sql")))
	rsync := testprog.Need(t, "rsync", "rsync")
	for engine, flags := range map[string][]string{"internal": nil, "system": {"--rsync", rsync}} {
		p := &platform{ready: startPlatform(t, flags...), engine: engine, script: []string{python, script}, pg: pg}
		// Python 2.7 cannot verify an address in a certificate (row S1.17).
		local := "UPGRADE_SERVER_NAME=" + strings.Replace(p.HTTPSURL, "127.0.0.1", "localhost", 1)
		person := func(t *testing.T) *machine {
			m := p.machine(t, local, "DATA_SERVER_NAME=127.0.0.1")
			if !bytes.Contains(text, []byte("known_hosts")) { // it leaves it to ssh to ask about the host key (row S4.4)
				m.program("ssh", "exec "+pathOf(t, "ssh")+" -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile="+
					filepath.Join(m.tmp, "known")+" \"$@\"\n")
			}
			return m
		}
		t.Run("file, "+engine, func(t *testing.T) {
			t.Parallel()
			m := person(t)
			m.file("db.sql.gz", fixtures.Dump("openchs.sql.gz"))
			out := m.run("", "y\n", "test", "-i", "db.sql.gz", "-c", "M123456-abcdef", "-t", "17.0")
			if _, err := os.Stat(filepath.Join(m.work, "upgraded.zip")); err != nil || out.exit != 0 {
				t.Fatalf("exit status %d, %v\n%s%s", out.exit, err, out.stdout, out.stderr)
			}
			sql := inZip(t, filepath.Join(m.work, "upgraded.zip"), "dump.sql")
			if !bytes.Equal(sql, fixtures.Dump("openchs.sql")) {
				t.Errorf("what came back is not what was sent: %d bytes", len(sql))
			}
		})
		t.Run("database, "+engine, func(t *testing.T) {
			t.Parallel()
			m := person(t)
			upgraded := "script_" + engine
			out := m.run("", "y\n", "test", "-d", "openchs", "-r", upgraded, "-c", "M123456-abcdef", "-t", "17.0")
			if out.exit != 0 || strings.TrimSpace(pg.Run(t, nil, "psql", "-At", "-d", "postgres", "-c",
				"SELECT datname FROM pg_database WHERE datname = '"+upgraded+"'")) != upgraded {
				t.Fatalf("exit status %d, and no database %s\n%s%s", out.exit, upgraded, out.stdout, out.stderr)
			}
			if want, got := pg.Dump(t, "openchs"), pg.Dump(t, upgraded); want != got {
				t.Errorf("the database that was restored is not the one that was dumped:\n%s", gocmp.Diff(want, got))
			}
			tokens := regexp.MustCompile(`[A-Za-z0-9_-]{58}`).FindAllString(out.stdout+out.stderr, -1)
			if len(tokens) == 0 {
				t.Fatalf("the script names no token:\n%s%s", out.stdout, out.stderr)
			}
			for _, command := range []string{"status", "log"} {
				if out := m.run("", "", command, "-t", tokens[0]); out.exit != 0 || out.stdout+out.stderr == "" {
					t.Errorf("%s: exit status %d\n%s%s", command, out.exit, out.stdout, out.stderr)
				}
			}
		})
	}
}
