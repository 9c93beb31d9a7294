// Package reference makes the reference pages of the documentation from the code: the flags of the programs, the keys
// of scenarios, and the control API. Tests hold the pages against it.
package reference

import "strings"

// Page is a page with a title.
func Page(title, text string) []byte {
	return []byte("# " + title + "\n\n<!-- Made by go generate. -->\n\n" + text)
}

// row writes a row of a table.
func row(b *strings.Builder, cells ...string) {
	for _, cell := range cells {
		b.WriteString("| " + strings.Join(strings.Fields(strings.ReplaceAll(cell, "|", `\|`)), " ") + " ")
	}
	b.WriteString("|\n")
}

// code is text as it is typed.
func code(text string) string { return "`" + text + "`" }

// prose is text in which no character means anything to Markdown.
func prose(text string) string { return strings.NewReplacer("<", `\<`, "*", `\*`).Replace(text) }
