package scenario_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var builtInName = regexp.MustCompile("`(script-[a-z-]+)`")

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// Each built-in scenario for the script API is in the documentation, and each that is there exists.
func TestDocs_builtIns(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, name := range scenario.Builtins() {
		if strings.HasPrefix(name, "script-") {
			want = append(want, name)
		}
	}
	for _, m := range builtInName.FindAllSubmatch(text, -1) {
		got = append(got, string(m[1]))
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("the built-in scenarios (-there +documented):\n%s", diff)
	}
}

// The examples of the documentation are scenarios.
func TestDocs_examples(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/reference/scenarios.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := os.ReadFile("../../docs/howto/reproduce.md")
	if err != nil {
		t.Fatal(err)
	}
	text = append(append(text, '\n'), more...)
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
