package workflow_test

import (
	"testing"

	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
)

// Of what PostgreSQL's programs write, the line counts that says what went wrong, not the statement behind it.
func TestPostgres_problem(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"": "",
		"psql:<stdin>:3: NOTICE:  table exists\npsql:<stdin>:7: ERROR:  type \"x\" does not exist\n" +
			"LINE 1: CREATE TABLE a (b x);\n                          ^\n": "psql:<stdin>:7: ERROR:  type \"x\" does not exist",
		"pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter " +
			"\"transaction_timeout\"\nCommand was: SET transaction_timeout = 0;\n": "pg_restore: error: could not execute " +
			"query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"",
		"psql: FATAL:  no such role\nis the server running?\n": "psql: FATAL:  no such role",
		"killed\n\n": "killed",
	} {
		if got := workflow.Problem(said); got != want {
			t.Errorf("%q: %q, want %q", said, got, want)
		}
	}
}
