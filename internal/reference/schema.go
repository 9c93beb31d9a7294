package reference

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
)

// A schema is a node of a JSON Schema or an OpenAPI document, with its keys in the document's order.
type schema yaml.MapSlice

func parse(document []byte) (schema, error) {
	var s yaml.MapSlice
	if err := yaml.UnmarshalWithOptions(document, &s, yaml.UseOrderedMap()); err != nil {
		return nil, fmt.Errorf("reference: %w", err)
	}
	return schema(s), nil
}

// get returns what stands at a path of keys, or nil.
func (s schema) get(path ...string) any {
	for _, item := range s {
		if fmt.Sprint(item.Key) != path[0] {
			continue
		}
		if len(path) == 1 {
			return item.Value
		}
		return s.node(path[0]).get(path[1:]...)
	}
	return nil
}

// node is a child that has keys, and empty if there is none.
func (s schema) node(path ...string) schema {
	m, _ := s.get(path...).(yaml.MapSlice)
	return schema(m)
}

func (s schema) text(key string) string {
	text, _ := s.get(key).(string)
	return text
}

func (s schema) list(key string) []any {
	list, _ := s.get(key).([]any)
	return list
}

func (s schema) nodes(key string) (nodes []schema) {
	for _, item := range s.list(key) {
		if m, ok := item.(yaml.MapSlice); ok {
			nodes = append(nodes, schema(m))
		}
	}
	return nodes
}

// kind says which values a schema takes.
func (s schema) kind() string {
	if ref := s.text("$ref"); ref != "" {
		return link(ref)
	}
	if values := s.list("enum"); len(values) > 0 {
		var words []string
		for _, v := range values {
			words = append(words, code(fmt.Sprint(v)))
		}
		return strings.Join(words, ", ")
	}
	if example := s.get("example"); example != nil && s.text("type") == "string" {
		return "string, such as " + code(fmt.Sprint(example))
	}
	for _, key := range []string{"anyOf", "oneOf", "allOf"} {
		var kinds []string
		for _, of := range s.nodes(key) {
			if k := of.kind(); k != "" && (len(kinds) == 0 || kinds[len(kinds)-1] != k) {
				kinds = append(kinds, k)
			}
		}
		if len(kinds) > 0 {
			return strings.Join(kinds, " or ")
		}
	}
	if s.text("type") == "array" {
		if of := s.node("items").kind(); of != "" {
			return "list of " + of
		}
		return "list"
	}
	return s.text("type")
}

// link leads to the heading of what a reference names.
func link(ref string) string {
	name := ref[strings.LastIndex(ref, "/")+1:]
	return "[" + name + "](#" + strings.ToLower(name) + ")"
}
