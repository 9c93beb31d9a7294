// Package postgres starts a PostgreSQL server that nobody else uses: for a test, or for the clients that certify runs.
package postgres

import "errors"

// ErrMissing is the error, wrapped, of Start on a machine where no server can be started.
var ErrMissing = errors.New("there is no PostgreSQL server that can be started")
