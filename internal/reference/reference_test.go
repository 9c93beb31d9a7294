package reference_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/reference"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{Use: "tool", Short: "Does things"}
	act := &cobra.Command{Use: "act NAME", Long: "act does <it>.\n\n  tool act it", Run: func(*cobra.Command, []string) {}}
	act.Flags().StringP("speed", "s", "slow", "a `word`: slow|fast")
	act.Flags().Bool("dry", false, "do nothing")
	root.AddCommand(act)
	want := "Does things.\n" +
		"\n## tool act\n\n```\ntool act NAME [flags]\n```\n\nact does \\<it>.\n\n```\ntool act it\n```\n" +
		"\n| flag | |\n|---|---|\n| `--dry` | do nothing |\n| `-s, --speed word` | a word: slow\\|fast (default `slow`) |\n"
	if diff := cmp.Diff(want, reference.Commands(root)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestScenario(t *testing.T) {
	t.Parallel()
	got, err := reference.Scenario([]byte(`{"properties": {"expect": {"description": "What is wanted.", "properties": {
		"calls": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
		"exit": {"enum": ["good", "bad"], "description": "How it ends."}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := "\n## expect\n\nWhat is wanted.\n\n| key | values | |\n|---|---|---|\n| `calls` | object |  |\n" +
		"| `calls.a` `calls.b` | integer |  |\n| `exit` | `good`, `bad` | How it ends. |\n"
	if !strings.HasSuffix(got, want) {
		t.Errorf("got:\n%s\nwanted at the end:\n%s", got, want)
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	got, err := reference.API([]byte(`
paths:
  /a:
    get:
      tags: [control]
      summary: Look
      parameters: [{$ref: "#/components/parameters/p"}]
      responses:
        "200": {description: It., content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}
        "404": {$ref: "#/components/responses/Problem"}
  /b: {get: {tags: [platform], summary: Not this, responses: {}}}
components:
  parameters: {p: {name: p, description: Which., schema: {type: integer}}}
  schemas: {Thing: {type: object, properties: {size: {type: integer, description: How large.}}}}
`), "control")
	if err != nil {
		t.Fatal(err)
	}
	want := "\n\n## GET /a\n\nLook.\n\n| parameter | values | |\n|---|---|---|\n| `p` | integer | Which. |\n" +
		"\nThe answer: It (`application/json`): [Thing](#thing).\n" +
		"\nOr `error`, which says what is wrong, with HTTP status 404.\n" +
		"\n# What they answer and take\n\n## Thing\n\n\n\n" +
		"| key | values | |\n|---|---|---|\n| `size` | integer | How large. |\n"
	if diff := cmp.Diff(want, "\n"+got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := reference.API([]byte("\t:"), "control"); err == nil {
		t.Error("what is no YAML is described")
	}
}
