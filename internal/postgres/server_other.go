//go:build !unix

package postgres

import (
	"context"
	"io"
)

// Server is not there on this system.
type Server struct{ Dir, Bin string }

// Start returns ErrMissing.
func Start(context.Context) (*Server, error) { return nil, ErrMissing }

// Env returns nothing.
func (*Server) Env() []string { return nil }

// Run returns ErrMissing.
func (*Server) Run(context.Context, io.Reader, string, ...string) (string, error) {
	return "", ErrMissing
}

// Close does nothing.
func (*Server) Close() error { return nil }
