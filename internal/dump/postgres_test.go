//go:build unix

package dump_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/dump"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// What SQL gives, psql loads without an error, and the database is the one that was dumped: pg_dump says the same
// of both.
func TestSQL_restores(t *testing.T) {
	t.Parallel()
	pg := startPostgres(t)
	pg.load(t, "reference", bytes.NewReader(fixtures.Dump("openchs.source.sql")))
	want := pg.dump(t, "reference")
	if !strings.Contains(want, "a quote '' and a backslash") {
		t.Fatalf("the reference is not what was loaded:\n%s", want)
	}

	for i, name := range realDumps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := fixtures.Dump(name)
			sql, err := openSQL(t.Context(), bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			defer sql.Close()
			database := fmt.Sprintf("copy%d", i)
			pg.load(t, database, sql)
			if diff := cmp.Diff(want, pg.dump(t, database)); diff != "" {
				t.Errorf("the database that was loaded (+) is not the one that was dumped (-):\n%s", diff)
			}
		})
	}
	t.Run("built", func(t *testing.T) {
		t.Parallel()
		var zipped bytes.Buffer
		if err := dump.BuildOdooZip(&zipped, dump.OdooZip{UUID: "it's"}); err != nil {
			t.Fatal(err)
		}
		sql, err := openSQL(t.Context(), bytes.NewReader(zipped.Bytes()), int64(zipped.Len()))
		if err != nil {
			t.Fatal(err)
		}
		defer sql.Close()
		pg.load(t, "built", sql)
		if got := pg.dump(t, "built"); !strings.Contains(got, "database.uuid\tit's\n") {
			t.Errorf("the database that was loaded has no such uuid:\n%s", got)
		}
	})
	// Every keyword is a name here: what needs quotes has them.
	t.Run("keywords", func(t *testing.T) {
		t.Parallel()
		pg.load(t, "keywords", strings.NewReader(`
			SELECT format('CREATE TABLE %s (%s int); COMMENT ON TABLE %s IS %L', name, name, name, word)
			FROM (SELECT word, '"' || word || '"' AS name FROM pg_get_keywords()) AS k \gexec`))
		pg.run(t, nil, "pg_dump", "-F", "custom", "-f", "keywords.cdump", "keywords")
		pg.restores(t, "keywords", "keywords.cdump")
	})
	// Archives that pg_dump makes here and now: of whatever version this PostgreSQL writes, with what changes the
	// archive but not the database, and bigger than any buffer.
	pg.load(t, "big", strings.NewReader(`
		CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS text FROM generate_series(1, 1000) AS i;
		SELECT lo_from_bytea(0, decode(repeat(md5(i::text), 3000), 'hex')) FROM generate_series(1, 5) AS i;
		CREATE TABLE u AS SELECT * FROM t`))
	options := []string{
		"big -Fc", "big -Ft",
		"reference -Fc --inserts", "reference -Ft --column-inserts", "reference -Fc --load-via-partition-root -Z9",
	}
	if strings.Contains(pg.run(t, nil, "pg_dump", "--help"), "--compress=METHOD") { // since PostgreSQL 16
		options = append(options, "big -Fc --compress=none", "big -Fc --compress=lz4", "big -Fc --compress=zstd:3")
	}
	for i, line := range options {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			file := fmt.Sprintf("made%d", i)
			args := strings.Fields(line)
			pg.run(t, nil, "pg_dump", append(args[1:], "-f", file, args[0])...)
			pg.restores(t, args[0], file)
		})
	}
	// Dumps of several files, as people roll them into one.
	folders := []string{"big -Fd", "big -Fd -Z0", "big -Fd -j2", "reference -Fd", "big -Ft", "reference -Ft"}
	if strings.Contains(pg.run(t, nil, "pg_dump", "--help"), "--compress=METHOD") { // since PostgreSQL 16
		folders = append(folders, "big -Fd --compress=lz4", "big -Fd --compress=zstd:long")
	}
	for i, line := range folders {
		t.Run(line+", rolled into one", func(t *testing.T) {
			t.Parallel()
			name := fmt.Sprintf("folder%d", i)
			args := strings.Fields(line)
			if slices.Contains(args, "-Ft") { // unpacked, to be packed again
				pg.run(t, nil, "pg_dump", append(args[1:], "-f", name+".pg.tar", args[0])...)
				if err := os.Mkdir(filepath.Join(pg.dir, name), 0o755); err != nil {
					t.Fatal(err)
				}
				pg.shell(t, "tar -C %s -xf %s.pg.tar", name, name)
			} else {
				pg.run(t, nil, "pg_dump", append(args[1:], "-f", name, args[0])...)
			}
			for j, command := range []string{
				"tar -cf %[2]s %[1]s",
				"tar -C %[1]s -czf %[2]s .",
				"ls -r %[1]s | tar -C %[1]s -cf %[2]s -T -",
				"tar -C %[1]s --sort=name -cf - . | xz -0 > %[2]s",
			} {
				file := fmt.Sprintf("%s.%d", name, j)
				pg.shell(t, command, name, file)
				pg.restores(t, args[0], file)
			}
			file := name + ".zip"
			zipFolder(t, filepath.Join(pg.dir, name), filepath.Join(pg.dir, file))
			pg.restores(t, args[0], file)
		})
	}
}

// shell runs a command line in the server's directory.
func (pg *postgres) shell(t *testing.T, format string, args ...any) {
	t.Helper()
	cmd := exec.Command("sh", "-c", fmt.Sprintf(format, args...))
	cmd.Dir = pg.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Args[2], err, out)
	}
}

// zipFolder packs a folder, with its own name before those of the files.
func zipFolder(t *testing.T, folder, file string) {
	t.Helper()
	var members []member
	names, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(folder, name.Name()))
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, member{"backup/" + name.Name(), string(content)})
	}
	if err := os.WriteFile(file, []byte(zipped(t, zip.Deflate, members...)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// A postgres is a server that nobody else uses, on a socket in its own directory.
type postgres struct {
	bin, dir string
	as       *syscall.SysProcAttr // the server refuses to be root
}

func startPostgres(t *testing.T) *postgres {
	t.Helper()
	pg := &postgres{}
	// Debian keeps the server's programs out of the PATH, in a directory for each version.
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		pg.bin = filepath.Dir(found[len(found)-1])
	} else {
		pg.bin = filepath.Dir(testprog.Need(t, "initdb", "postgresql"))
	}
	dir, err := os.MkdirTemp("", "pg") // the path of a socket has to be short
	if err != nil {
		t.Fatal(err)
	}
	pg.dir = dir
	t.Cleanup(func() { os.RemoveAll(dir) })
	if os.Geteuid() == 0 {
		pg.as = &syscall.SysProcAttr{Credential: unprivileged(t)}
		if err := os.Chown(dir, int(pg.as.Credential.Uid), int(pg.as.Credential.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "data")
	pg.run(t, nil, "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	pg.run(t, nil, "pg_ctl", "-D", data, "-s", "-w", "-l", filepath.Join(dir, "log"), "-o",
		"-c listen_addresses='' -c fsync=off -c unix_socket_directories='"+dir+"'", "start")
	t.Cleanup(func() { pg.run(t, nil, "pg_ctl", "-D", data, "-s", "-m", "immediate", "stop") })
	return pg
}

func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Fatal("a PostgreSQL server cannot run as root, and there is neither a user postgres nor nobody")
	return nil
}

// run runs one of PostgreSQL's programs and returns what it writes.
func (pg *postgres) run(t *testing.T, stdin io.Reader, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(pg.bin, program), args...)
	cmd.Dir = pg.dir
	cmd.Env = []string{"PGHOST=" + pg.dir, "PGUSER=postgres", "LC_ALL=C", "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = pg.as
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

// load makes a database of SQL, and fails where psql would.
func (pg *postgres) load(t *testing.T, database string, sql io.Reader) {
	t.Helper()
	pg.run(t, nil, "createdb", "-T", "template0", database)
	pg.run(t, sql, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database)
}

// restores checks that the SQL of the dump in a file of the server's directory makes the database again.
func (pg *postgres) restores(t *testing.T, database, file string) {
	t.Helper()
	f, err := os.Open(filepath.Join(pg.dir, file))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	sql, err := openSQL(t.Context(), f, stat.Size())
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close()
	pg.load(t, "from_"+file, sql)
	if want, got := pg.dump(t, database), pg.dump(t, "from_"+file); want != got {
		t.Errorf("the database that was loaded is not the one that was dumped: %d bytes of SQL, want %d", len(got), len(want))
	}
}

// restrict is the line with a random key that pg_dump writes since August 2025.
var restrict = regexp.MustCompile(`(?m)^\\(un)?restrict .*\n`)

// dump returns a database as SQL.
func (pg *postgres) dump(t *testing.T, database string) string {
	t.Helper()
	return restrict.ReplaceAllString(pg.run(t, nil, "pg_dump", database), "")
}
