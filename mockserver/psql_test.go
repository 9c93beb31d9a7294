//go:build unix

package mockserver_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// The upgraded database's SQL stream goes straight into psql, which stops at the first error (row 8.6).
func TestPrograms_psql(t *testing.T) {
	t.Parallel()
	testprog.Need(t, "psql", "postgresql-client")
	pg := testprog.StartPostgres(t)
	onBothWires(t, nil, func(t *testing.T, w *wire) {
		b := newBench(t, w)
		testprog.OneIn(t, 2)
		for i, name := range []string{"openchs.cdump", "openchs.zip", "openchs.sql.xz"} {
			m := w.create()
			w.upload(m, fixtures.Dump(name))
			url := w.finish(m)["upgraded_sql_url"].(string)
			out := b.shell(`set -e -o pipefail
				psql -X -q -d postgres -c "CREATE DATABASE $DB TEMPLATE template0"
				curl -sSf "$URL" | psql -X -q -v ON_ERROR_STOP=1 -d "$DB" > psql.log
				psql -X -At -d "$DB" -c "SELECT value FROM ir_config_parameter WHERE key = 'database.uuid'"`,
				"URL="+url, "DB="+strings.SplitN(w.base, ":", 2)[0]+strconv.Itoa(i), "PGHOST="+pg.Dir, "PGUSER=postgres")
			if want := w.status(m)["database_uuid"]; strings.TrimSpace(out) != want {
				t.Errorf("%s: the uuid in the database is %q, status says %v", name, out, want)
			}
		}
	})
}
