package scenario_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// The examples of the documentation are scenarios.
func TestDocs_examples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d examples, want at least 3", len(blocks))
	}
	for _, block := range blocks {
		if _, err := scenario.Parse("example.yaml", block[1]); err != nil {
			t.Errorf("%s\n%v", block[1], err)
		}
	}
}
