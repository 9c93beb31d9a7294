package scenario

import "strings"

// notYAML is what to do about a mistake of YAML itself, for which the reader has words of its own: they speak of
// tokens and contexts.
func notYAML(message string) string {
	for _, known := range yamlMistakes {
		for _, part := range known.parts {
			if strings.Contains(message, part) {
				return known.words
			}
		}
	}
	return "this line fits none above it: wanted `KEY: VALUE`, such as `name: my-scenario`, with a blank behind the " +
		"colon and the keys of one object in one column"
}

// yamlMistakes are the mistakes that people make, by parts of the reader's messages; the first that fits counts.
var yamlMistakes = []struct {
	parts []string
	words string
}{
	{[]string{"tab character", `'\t'`, "'\t'"}, "a tab cannot stand here: wanted blanks, such as two for each level"},
	{[]string{"end character of"}, "this text in quotes does not end: wanted the same quote behind it, such as " +
		"`\"a: b\"`"},
	{[]string{"escape", "surrogate"}, "`\\` in double quotes begins an escape, and this is none: wanted single " +
		"quotes, such as `'C:\\dump'`, or `\\\\` for the character itself"},
	{[]string{"reserved character"}, "a text cannot begin with this character: wanted quotes around it, such as " +
		"`\"@home\"`"},
	{[]string{"mapping value is not allowed", "implicit line break"},
		"a second `: ` stands in this line: wanted quotes around a text that has one, such as `description: \"first: " +
			"then\"`, or a line of its own for each key"},
	{[]string{"value is not allowed", "pre-defined"}, "this fits neither what is above it nor what is before it: " +
		"wanted the keys of one object in one column, such as `name: a` and below it `steps: []`, and nothing behind a " +
		"value, such as a bracket too many"},
	{[]string{"']'", "'['", "sequence element"}, "this list in brackets is not well-formed: wanted commas between " +
		"its items and one `]` at its end, such as `[create, process]`"},
	{[]string{"'}'", "'{'", "flow map"}, "this object in braces is not well-formed: wanted commas between its keys " +
		"and one `}` at its end, such as `{state: done}`"},
	{[]string{"sequence entries", "sequence entry"}, "a list cannot begin in this line: wanted each `- ` in a line " +
		"of its own below the key, such as `steps:` and then `  - {state: done}`"},
	{[]string{"anchor", "alias", "tag", "merge key"}, "scripts have no anchors, aliases or tags: wanted quotes " +
		"around a text that begins with `&`, `*` or `!`, such as `\"*.dump\"`"},
	{[]string{"directive", "YAML version", "document separator"}, "scripts have no directives, and a file holds one " +
		"script: wanted its first key here, such as `name: my-scenario`"},
	{[]string{"nested too deeply"}, "nested too deeply: wanted a script of a few levels, such as `steps: " +
		"[{state: done}]`"},
	{[]string{"multi-line content"}, "a text in lines follows `|` or `>` in the lines below it: wanted it further to " +
		"the right than its key"},
}
