//go:build unix

package testprog

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Postgres is a PostgreSQL server of one test, on a socket in a directory of its own. Its methods fail the test where a
// program does, and may be called at the same time.
type Postgres struct {
	Dir string // of the server's files and its socket: what PGHOST names
	Bin string // the directory of PostgreSQL's programs

	as *syscall.SysProcAttr // the server refuses to be root
}

// StartPostgres starts a server, which ends with the test.
func StartPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	pg := &Postgres{}
	// Debian keeps the server's programs out of the PATH, in a directory for each version.
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		pg.Bin = filepath.Dir(found[len(found)-1])
	} else {
		pg.Bin = filepath.Dir(Need(tb, "initdb", "postgresql"))
	}
	dir, err := os.MkdirTemp("", "pg") // the path of a socket has to be short
	if err != nil {
		tb.Fatal(err)
	}
	pg.Dir = dir
	tb.Cleanup(func() { os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		pg.as = &syscall.SysProcAttr{Credential: unprivileged(tb)}
		if err := os.Chown(dir, int(pg.as.Credential.Uid), int(pg.as.Credential.Gid)); err != nil {
			tb.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	pg.Run(tb, nil, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	pg.Run(tb, nil, "pg_ctl", "-D", data, "-s", "-w", "-l", filepath.Join(dir, "log"), "-o",
		"-c listen_addresses='' -c fsync=off -c unix_socket_directories='"+dir+"'", "start")
	tb.Cleanup(func() { pg.Run(tb, nil, "pg_ctl", "-D", data, "-s", "-m", "immediate", "stop") })
	return pg
}

func unprivileged(tb testing.TB) *syscall.Credential {
	tb.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	tb.Fatal("a PostgreSQL server cannot run as root, and there is neither a user postgres nor nobody")
	return nil
}

// Env returns the variables with which a program finds PostgreSQL's programs and the server.
func (pg *Postgres) Env() []string {
	return []string{"PGHOST=" + pg.Dir, "PGUSER=postgres", "LC_ALL=C",
		"PATH=" + pg.Bin + string(filepath.ListSeparator) + os.Getenv("PATH")}
}

// Run runs one of PostgreSQL's programs in the server's directory, as the server's user, and returns what it writes.
func (pg *Postgres) Run(tb testing.TB, stdin io.Reader, program string, args ...string) string {
	tb.Helper()
	cmd := exec.Command(filepath.Join(pg.Bin, program), args...)
	cmd.Dir, cmd.Env, cmd.SysProcAttr = pg.Dir, pg.Env(), pg.as
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		tb.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// Load makes a database of SQL, and fails where psql would.
func (pg *Postgres) Load(tb testing.TB, database string, sql io.Reader) {
	tb.Helper()
	pg.Run(tb, nil, "createdb", "-T", "template0", database)
	pg.Run(tb, sql, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database)
}

// restrict is the line with a random key that pg_dump writes since August 2025.
var restrict = regexp.MustCompile(`(?m)^\\(un)?restrict .*\n`)

// Dump returns a database as SQL. Databases with the same content give the same text.
func (pg *Postgres) Dump(tb testing.TB, database string) string {
	tb.Helper()
	return restrict.ReplaceAllString(pg.Run(tb, nil, "pg_dump", database), "")
}
