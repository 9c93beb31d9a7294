package scenario_test

import (
	"testing"

	"github.com/upgrademock/upgrademock/internal/apidoc"
	"github.com/upgrademock/upgrademock/internal/reference"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

//go:generate go test -run ^TestReference$ . -update

// The reference page has the keys of the schema.
func TestReference(t *testing.T) {
	t.Parallel()
	text, err := reference.Scenario(scenario.Schema())
	if err != nil {
		t.Fatal(err)
	}
	apidoc.Golden(t, "../../docs/reference/scenario-keys.md", reference.Page("The keys of a scenario", text))
}
