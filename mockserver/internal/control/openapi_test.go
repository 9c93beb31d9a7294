package control

import (
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/journal"
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
			ID         string         `yaml:"operationId"`
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
			if op.Summary == "" || op.ID == "" || len(op.Responses) == 0 {
				t.Errorf("%s %s lacks a summary, an id or responses", method, path)
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

// TestOpenAPI_describesEvents holds the fields of an event and of what is in it against those of the Go types.
func TestOpenAPI_describesEvents(t *testing.T) {
	t.Parallel()
	type schema struct {
		Ref        string            `yaml:"$ref"`
		Properties map[string]schema `yaml:"properties"`
		Items      *schema           `yaml:"items"`
	}
	var doc struct {
		Components struct {
			Schemas map[string]schema `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(openAPI, &doc); err != nil {
		t.Fatal(err)
	}
	var compare func(path string, s schema, of reflect.Type)
	compare = func(path string, s schema, of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
			if s.Items != nil {
				s = *s.Items
			}
		}
		if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
			s = doc.Components.Schemas[name]
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() {
			return
		}
		var described, have []string
		for name := range s.Properties {
			described = append(described, name)
		}
		for i := range of.NumField() {
			name, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			have = append(have, name)
			compare(path+"."+name, s.Properties[name], of.Field(i).Type)
		}
		slices.Sort(described)
		slices.Sort(have)
		if diff := cmp.Diff(have, described); diff != "" {
			t.Errorf("%s (-journal +described):\n%s", path, diff)
		}
	}
	compare("event", doc.Components.Schemas["Event"], reflect.TypeFor[journal.Event]())
}
