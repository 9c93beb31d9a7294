package reference

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Scenario describes the keys of scenarios, of which schema is the JSON Schema.
func Scenario(document []byte) (string, error) {
	root, err := parse(document)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	seen := make(map[string]string)
	b.WriteString("[The language](scenarios.md) explains them; `upgrademock scenario schema` prints the schema of " +
		"which this is made.\n")
	for _, item := range root.node("properties") {
		key := fmt.Sprint(item.Key)
		of := schema(item.Value.(yaml.MapSlice))
		b.WriteString("\n## " + key + "\n\n" + prose(of.text("description")) + "\n")
		var rows strings.Builder
		keys(&rows, "", of, shorten(key+".", seen))
		if rows.Len() > 0 {
			b.WriteString("\n| key | values | |\n|---|---|---|\n" + rows.String())
		}
		if key == "faults" {
			places(&b, of.node("items"))
		}
	}
	return b.String(), nil
}

// shorten returns a function that replaces long lists of words which stand there already, by the key that has them.
func shorten(prefix string, seen map[string]string) func(key, kind string) string {
	return func(key, kind string) string {
		words, isList := strings.CutPrefix(kind, "list of ")
		if len(words) < 200 {
			return kind
		}
		first, ok := seen[words]
		if !ok {
			seen[words] = prefix + key
			return kind
		}
		if isList {
			return "list of what " + code(first) + " takes"
		}
		return "as " + code(first)
	}
}

// keys writes a row for each key below a schema. Several in a row that are the same have one row.
func keys(b *strings.Builder, prefix string, s schema, short func(key, kind string) string) {
	if of := s.node("items"); of != nil {
		keys(b, prefix, of, short)
	}
	for _, of := range s.nodes("anyOf") {
		keys(b, prefix, of, short)
	}
	properties := s.node("properties")
	for i := 0; i < len(properties); {
		of := schema(properties[i].Value.(yaml.MapSlice))
		var names []string
		var rows string
		for ; i < len(properties); i++ {
			next := schema(properties[i].Value.(yaml.MapSlice))
			name := prefix + fmt.Sprint(properties[i].Key)
			var below strings.Builder
			keys(&below, name+".", next, short)
			if len(names) > 0 && (below.Len() > 0 || rows != "" || fmt.Sprint(next) != fmt.Sprint(of)) {
				break
			}
			names, rows = append(names, code(name)), below.String()
		}
		row(b, strings.Join(names, " "), short(strings.Trim(names[0], "`"), of.kind()), prose(of.text("description")))
		b.WriteString(rows)
	}
}

// places writes a table of which keys a fault can have where.
func places(b *strings.Builder, fault schema) {
	b.WriteString("\nWhere a fault is decides which keys it can have, beside `on`, `at`, `skip`, `times`, `every` and " +
		"`delay`:\n\n| on | keys |\n|---|---|\n")
	var on []string
	last := ""
	flush := func() {
		if len(on) > 0 {
			row(b, strings.Join(on, " "), last)
		}
		on = nil
	}
	for _, of := range fault.nodes("allOf") {
		place := of.node("if").nodes("anyOf")
		if len(place) == 0 {
			continue
		}
		var allowed []string
		for _, key := range of.node("then", "propertyNames").list("enum") {
			if !slices.Contains([]any{"at", "delay", "every", "on", "skip", "times"}, key) {
				allowed = append(allowed, code(fmt.Sprint(key)))
			}
		}
		if keys := strings.Join(allowed, " "); keys != last {
			flush()
			last = keys
		}
		on = append(on, code(fmt.Sprint(place[0].get("properties", "on", "const"))))
	}
	flush()
}
