package main

import (
	"io"
	"testing"

	"github.com/upgrademock/upgrademock/internal/apidoc"
	"github.com/upgrademock/upgrademock/internal/reference"
)

//go:generate go test -run ^TestReference$ . -update

// The reference page says what the program has.
func TestReference(t *testing.T) {
	t.Parallel()
	root := newApp(environment{stdout: io.Discard, stderr: io.Discard,
		getenv: func(string) string { return "" }}).rootCommand()
	apidoc.Golden(t, "../../docs/reference/odoo-upgrade.md",
		reference.Page("odoo-upgrade", reference.Commands(root)))
}
