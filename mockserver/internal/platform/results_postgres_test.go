//go:build unix

package platform

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// What real programs of PostgreSQL dump comes back so that they restore the same database: a directory with pg_restore,
// a file as SQL with psql.
func TestResults_restored(t *testing.T) {
	t.Parallel()
	pg := testprog.StartPostgres(t)
	pg.Load(t, "reference", bytes.NewReader(fixtures.Dump("openchs.source.sql")))
	want := pg.Dump(t, "reference")
	p := open(t, t.TempDir(), following(scenario.DefaultScript()))
	for name, tt := range map[string]struct{ option, upload string }{
		"directory":              {"-Fd -j4", "origin.dump"},
		"uncompressed directory": {"-Fd -Z0", "origin.dump"},
		"custom":                 {"-Fc", "origin.dump"},
		"sql":                    {"-Fp", "origin.sql"},
		"sql, compressed":        {"-Fp -Z6", "origin.sql.gz"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := strings.NewReplacer(" ", "_", ",", "").Replace(name)
			made := filepath.Join(pg.Dir, database+".made")
			pg.Run(t, nil, "pg_dump", append(strings.Fields(tt.option), "-f", made, "reference")...)
			r := createScript(t, p)
			upgrade(t, r, onDisk(t, made, tt.upload))
			files := resultsOf(t, r)
			if strings.HasPrefix(tt.option, "-Fd") {
				back := filepath.Join(pg.Dir, database+".back")
				sub, err := fs.Sub(files, r.DumpName())
				if err == nil {
					err = os.CopyFS(back, sub)
				}
				if err != nil {
					t.Fatal(err)
				}
				readable(t, back)
				pg.Run(t, nil, "createdb", "-T", "template0", database)
				pg.Run(t, nil, "pg_restore", "--no-owner", "--exit-on-error", "-Fd", back, "--dbname", database, "-j2")
			} else {
				zipped, err := fs.ReadFile(files, r.DumpName())
				if err != nil {
					t.Fatal(err)
				}
				pg.Load(t, database, strings.NewReader(unzipped(t, string(zipped))["dump.sql"]))
			}
			if diff := cmp.Diff(want, pg.Dump(t, database)); diff != "" {
				t.Errorf("the database that was restored (+) is not the one that was dumped (-):\n%s", diff)
			}
		})
	}
}

// onDisk are the files of a dump, as they are uploaded.
func onDisk(t *testing.T, made, upload string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(made, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		text, err := io.ReadAll(f)
		files[upload+strings.TrimPrefix(path, made)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// readable lets the server's user read a directory.
func readable(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
}
