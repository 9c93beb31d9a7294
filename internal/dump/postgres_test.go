//go:build unix

package dump_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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
	pg := postgres{testprog.StartPostgres(t)}
	pg.Load(t, "reference", bytes.NewReader(fixtures.Dump("openchs.source.sql")))
	want := pg.Dump(t, "reference")
	if !strings.Contains(want, "a quote '' and a backslash") {
		t.Fatalf("the reference is not what was loaded:\n%s", want)
	}

	for i, name := range realDumps {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 3)
			b := fixtures.Dump(name)
			sql, err := openSQL(t.Context(), bytes.NewReader(b), int64(len(b)))
			if err != nil {
				t.Fatal(err)
			}
			defer sql.Close()
			database := fmt.Sprintf("copy%d", i)
			pg.Load(t, database, sql)
			if diff := cmp.Diff(want, pg.Dump(t, database)); diff != "" {
				t.Errorf("the database that was loaded (+) is not the one that was dumped (-):\n%s", diff)
			}
		})
	}
	t.Run("built", func(t *testing.T) {
		t.Parallel()
		testprog.OneIn(t, 3)
		var zipped bytes.Buffer
		if err := dump.BuildOdooZip(&zipped, dump.OdooZip{UUID: "it's"}); err != nil {
			t.Fatal(err)
		}
		sql, err := openSQL(t.Context(), bytes.NewReader(zipped.Bytes()), int64(zipped.Len()))
		if err != nil {
			t.Fatal(err)
		}
		defer sql.Close()
		pg.Load(t, "built", sql)
		if got := pg.Dump(t, "built"); !strings.Contains(got, "database.uuid\tit's\n") {
			t.Errorf("the database that was loaded has no such uuid:\n%s", got)
		}
	})
	// Every keyword is a name here: what needs quotes has them.
	t.Run("keywords", func(t *testing.T) {
		t.Parallel()
		testprog.OneIn(t, 5)
		pg.Load(t, "keywords", strings.NewReader(`
			SELECT format('CREATE TABLE %s (%s int); COMMENT ON TABLE %s IS %L', name, name, name, word)
			FROM (SELECT word, '"' || word || '"' AS name FROM pg_get_keywords()) AS k \gexec`))
		pg.Run(t, nil, "pg_dump", "-F", "custom", "-f", "keywords.cdump", "keywords")
		pg.restores(t, "keywords", "keywords.cdump")
	})
	pg.Load(t, "big", strings.NewReader(`
		CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS text FROM generate_series(1, 1000) AS i;
		SELECT lo_from_bytea(0, decode(repeat(md5(i::text), 3000), 'hex')) FROM generate_series(1, 5) AS i;
		CREATE TABLE u AS SELECT * FROM t`))
	pg.restoresArchives(t)
	pg.restoresFolders(t)
}

// restoresArchives tests archives that pg_dump makes here and now: of whatever version this PostgreSQL writes, with
// what changes the archive but not the database, and bigger than any buffer.
func (pg postgres) restoresArchives(t *testing.T) {
	options := []string{
		"big -Fc", "big -Ft",
		"reference -Fc --inserts", "reference -Ft --column-inserts", "reference -Fc --load-via-partition-root -Z9",
	}
	if strings.Contains(pg.Run(t, nil, "pg_dump", "--help"), "--compress=METHOD") { // since PostgreSQL 16
		options = append(options, "big -Fc --compress=none", "big -Fc --compress=lz4", "big -Fc --compress=zstd:3")
	}
	for i, line := range options {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 5)
			file := fmt.Sprintf("made%d", i)
			args := strings.Fields(line)
			pg.Run(t, nil, "pg_dump", append(args[1:], "-f", file, args[0])...)
			pg.restores(t, args[0], file)
		})
	}
}

// restoresFolders tests dumps of several files, as people roll them into one.
func (pg postgres) restoresFolders(t *testing.T) {
	folders := []string{"big -Fd", "big -Fd -Z0", "big -Fd -j2", "reference -Fd", "big -Ft", "reference -Ft"}
	if strings.Contains(pg.Run(t, nil, "pg_dump", "--help"), "--compress=METHOD") { // since PostgreSQL 16
		folders = append(folders, "big -Fd --compress=lz4", "big -Fd --compress=zstd:long")
	}
	for i, line := range folders {
		t.Run(line+", rolled into one", func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 10)
			name := fmt.Sprintf("folder%d", i)
			args := strings.Fields(line)
			if slices.Contains(args, "-Ft") { // unpacked, to be packed again
				pg.Run(t, nil, "pg_dump", append(args[1:], "-f", name+".pg.tar", args[0])...)
				if err := os.Mkdir(filepath.Join(pg.Dir, name), 0o755); err != nil {
					t.Fatal(err)
				}
				pg.shell(t, "tar -C %s -xf %s.pg.tar", name, name)
			} else {
				pg.Run(t, nil, "pg_dump", append(args[1:], "-f", name, args[0])...)
				pg.sniffs(t, name)
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
			zipFolder(t, filepath.Join(pg.Dir, name), filepath.Join(pg.Dir, file))
			pg.restores(t, args[0], file)
		})
	}
}

// shell runs a command line in the server's directory.
func (pg postgres) shell(t *testing.T, format string, args ...any) {
	t.Helper()
	cmd := exec.Command("sh", "-c", fmt.Sprintf(format, args...))
	cmd.Dir = pg.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Args[2], err, out)
	}
}

// sniffs checks that a directory-format dump in the server's directory is described as one of this server.
func (pg postgres) sniffs(t *testing.T, folder string) {
	t.Helper()
	info := dump.SniffFS(os.DirFS(filepath.Join(pg.Dir, folder)))
	for _, m := range []struct{ pattern, method string }{
		{"*.dat.gz", "gzip"}, {"*.dat.lz4", "lz4"}, {"*.dat.zst", "zstd"}, {"*.dat", "none"},
	} {
		if found, _ := filepath.Glob(filepath.Join(pg.Dir, folder, m.pattern)); len(found) > 1 || m.pattern != "*.dat" &&
			len(found) > 0 {
			if info.DataCompression != m.method {
				t.Errorf("the data's compression is %q, want %q", info.DataCompression, m.method)
			}
			break
		}
	}
	server, _, _ := strings.Cut(pg.Run(t, nil, "psql", "-d", "postgres", "-Atc", "SHOW server_version"), ".")
	if diff := cmp.Diff([]string{"pgdmp_directory", "sql"}, info.Compressions); diff != "" || info.PostgreSQL != server {
		t.Errorf("%+v is of PostgreSQL %s (-want +got)\n%s", info, server, diff)
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

// postgres is a server, and what the tests of this file do with it.
type postgres struct{ *testprog.Postgres }

// restores checks that the SQL of the dump in a file of the server's directory makes the database again.
func (pg postgres) restores(t *testing.T, database, file string) {
	t.Helper()
	f, err := os.Open(filepath.Join(pg.Dir, file))
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
	pg.Load(t, "from_"+file, sql)
	if want, got := pg.Dump(t, database), pg.Dump(t, "from_"+file); want != got {
		t.Errorf("the database that was loaded is not the one that was dumped: %d bytes of SQL, want %d", len(got), len(want))
	}
}
