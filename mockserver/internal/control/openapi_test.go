package control

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

type parameter struct {
	Ref  string `yaml:"$ref"`
	Name string `yaml:"name"`
	In   string `yaml:"in"`
}

// TestOpenAPI_describesEveryRoute holds the document and the routes together, with their query parameters, in
// both directions.
func TestOpenAPI_describesEveryRoute(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]map[string]struct {
			Tags       []string       `yaml:"tags"`
			Summary    string         `yaml:"summary"`
			Parameters []parameter    `yaml:"parameters"`
			Responses  map[string]any `yaml:"responses"`
		} `yaml:"paths"`
		Components struct {
			Parameters map[string]parameter `yaml:"parameters"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.Summary == "" || len(op.Responses) == 0 {
				t.Errorf("%s %s lacks a summary or responses", method, path)
			}
			if slices.Contains(op.Tags, "control") {
				line := path + " " + method
				for _, p := range op.Parameters {
					if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
						p = doc.Components.Parameters[name]
					}
					if p.In == "query" {
						line += " " + p.Name
					}
				}
				described = append(described, line)
			}
		}
	}
	for _, r := range (api{}).routes() {
		served = append(served, strings.Join(append([]string{Base + r.path + " " + strings.ToLower(r.method)}, r.query...),
			" "))
	}
	slices.Sort(described)
	slices.Sort(served)
	if diff := cmp.Diff(served, described); diff != "" {
		t.Errorf("routes and document differ (-served +described):\n%s", diff)
	}
}

// TestOpenAPI_hasNoDanglingReference follows every $ref.
func TestOpenAPI_hasNoDanglingReference(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	for _, ref := range regexp.MustCompile(`\$ref: "#/([^"]+)"`).FindAllStringSubmatch(string(openAPI), -1) {
		var at any = doc
		for name := range strings.SplitSeq(ref[1], "/") {
			object, _ := at.(map[string]any)
			at = object[name]
		}
		if at == nil {
			t.Errorf("%s leads nowhere", ref[1])
		}
	}
}
