package testprog

import (
	"context"
	"errors"
	"io"
	"regexp"
	"testing"

	"github.com/upgrademock/upgrademock/internal/postgres"
)

// Postgres is a PostgreSQL server of one test. Its methods fail the test where a program does, and may be called at the
// same time.
type Postgres struct{ *postgres.Server }

// StartPostgres starts a server, which ends with the test.
func StartPostgres(tb testing.TB) *Postgres {
	tb.Helper()
	leaveOut(tb, "PostgreSQL")
	server, err := postgres.Start(tb.Context())
	if errors.Is(err, postgres.ErrMissing) {
		Missing(tb, err.Error(), "postgresql")
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &Postgres{server}
}

// Env returns the variables with which a program finds PostgreSQL's programs and the server, and speaks English.
func (pg *Postgres) Env() []string { return append(pg.Server.Env(), "LC_ALL=C") }

// Run runs one of PostgreSQL's programs in the server's directory, as the server's user, and returns what it writes.
func (pg *Postgres) Run(tb testing.TB, stdin io.Reader, program string, args ...string) string {
	tb.Helper()
	out, err := pg.Server.Run(context.Background(), stdin, program, args...) // also while the test is cleaned up
	if err != nil {
		tb.Fatal(err)
	}
	return out
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
