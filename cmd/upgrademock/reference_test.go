package main

import (
	"os"
	"testing"

	"github.com/upgrademock/upgrademock/internal/apidoc"
	"github.com/upgrademock/upgrademock/internal/reference"
)

//go:generate go test -run ^TestReference . -update

// The reference pages say what the program has.
func TestReference(t *testing.T) {
	t.Parallel()
	apidoc.Golden(t, "../../docs/reference/upgrademock.md",
		reference.Page("upgrademock", reference.Commands(newRootCommand())))
}

// The keys of scenarios are those of their schema.
func TestReference_scenario(t *testing.T) {
	t.Parallel()
	checkMade(t, "scenario-keys.md", "The keys of a scenario", "../../mockserver/scenario/scenario.schema.json",
		reference.Scenario)
}

// The calls of the control API are those of the OpenAPI document.
func TestReference_controlAPI(t *testing.T) {
	t.Parallel()
	checkMade(t, "control-api.md", "The control API", "../../mockserver/internal/control/openapi.yaml",
		func(document []byte) (string, error) { return reference.API(document, "control") })
}

func checkMade(t *testing.T, page, title, source string, describe func([]byte) (string, error)) {
	t.Helper()
	document, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	text, err := describe(document)
	if err != nil {
		t.Fatal(err)
	}
	apidoc.Golden(t, "../../docs/reference/"+page, reference.Page(title, text))
}
