//go:build unix

package mockserver_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// The upgraded database's SQL stream goes straight into psql, which stops at the first error (row 8.6).
func TestPrograms_psql(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "psql", "postgresql-client")
	pg := startPostgres(t)
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		b := newBench(t, w)
		for i, name := range []string{"openchs.cdump", "openchs.zip", "openchs.sql.xz"} {
			m := w.create()
			w.upload(m, fixtures.Dump(name))
			url := w.finish(m)["upgraded_sql_url"].(string)
			out := b.shell(`set -e -o pipefail
				psql -X -q -d postgres -c "CREATE DATABASE $DB TEMPLATE template0"
				curl -sSf "$URL" | psql -X -q -v ON_ERROR_STOP=1 -d "$DB" > psql.log
				psql -X -At -d "$DB" -c "SELECT value FROM ir_config_parameter WHERE key = 'database.uuid'"`,
				"URL="+url, "DB="+strings.SplitN(w.base, ":", 2)[0]+strconv.Itoa(i), "PGHOST="+pg, "PGUSER=postgres")
			if want := w.status(m)["database_uuid"]; strings.TrimSpace(out) != want {
				t.Errorf("%s: the uuid in the database is %q, status says %v", name, out, want)
			}
		}
	})
}

// startPostgres starts a server of the test's own and returns the directory of its socket.
func startPostgres(t *testing.T) string {
	t.Helper()
	var bin string // Debian keeps the server's programs in a directory for each version
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		bin = filepath.Dir(found[len(found)-1])
	} else {
		bin = filepath.Dir(testprog.Need(t, "initdb", "postgresql"))
	}
	dir, err := os.MkdirTemp("", "pg") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	var as *syscall.SysProcAttr
	if os.Geteuid() == 0 { // which the server refuses to be
		u, err := user.Lookup("postgres")
		if err != nil {
			u, err = user.Lookup("nobody")
		}
		if err != nil {
			t.Fatal(err)
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		if err := os.Chown(dir, int(uid), int(gid)); err != nil {
			t.Fatal(err)
		}
	}
	run := func(program string, args ...string) {
		t.Helper()
		cmd := exec.Command(filepath.Join(bin, program), args...)
		cmd.Dir, cmd.Env, cmd.SysProcAttr = dir, []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")}, as
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	data, log := filepath.Join(dir, "data"), filepath.Join(dir, "log")
	run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	run("pg_ctl", "-D", data, "-s", "-w", "-l", log, "-o", "-c listen_addresses='' -c fsync=off -c unix_socket_directories='"+dir+"'", "start")
	t.Cleanup(func() { run("pg_ctl", "-D", data, "-s", "-m", "immediate", "stop") })
	return dir
}
