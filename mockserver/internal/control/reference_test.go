package control_test

import (
	"os"
	"testing"

	"github.com/upgrademock/upgrademock/internal/apidoc"
	"github.com/upgrademock/upgrademock/internal/reference"
)

//go:generate go test -run ^TestReference$ . -update

// The reference page has the calls of the OpenAPI document.
func TestReference(t *testing.T) {
	t.Parallel()
	document, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := reference.API(document, "control")
	if err != nil {
		t.Fatal(err)
	}
	apidoc.Golden(t, "../../../docs/reference/control-api.md", reference.Page("The control API", text))
}
