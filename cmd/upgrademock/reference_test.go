package main

import (
	"testing"

	"github.com/upgrademock/upgrademock/internal/apidoc"
	"github.com/upgrademock/upgrademock/internal/reference"
)

//go:generate go test -run ^TestReference$ . -update

// The reference page says what the program has.
func TestReference(t *testing.T) {
	t.Parallel()
	apidoc.Golden(t, "../../docs/reference/upgrademock.md",
		reference.Page("upgrademock", reference.Commands(newRootCommand())))
}
