package doors

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// cited are the rows that a line names: "row 5.9", "rows 3.8, 4.7", "rows 5.4 to 5.6", "row S2.8".
var (
	cited     = regexp.MustCompile(`\brows? ((?:S?[0-9]+\.[0-9]+(?:, | to | and |,)?)+)`)
	rowNumber = regexp.MustCompile(`S?[0-9]+\.[0-9]+`)
	tableRow  = regexp.MustCompile(`(?m)^\| (S?[0-9]+\.[0-9]+) \|`)
)

// unknownRows returns the rows that text cites and the table does not have.
func unknownRows(text string, known map[string]bool) (unknown []string) {
	for _, match := range cited.FindAllStringSubmatch(text, -1) {
		for _, row := range rowNumber.FindAllString(match[1], -1) {
			if !known[row] {
				unknown = append(unknown, row)
			}
		}
	}
	return unknown
}

// Whatever cites a row of the contract cites one that docs/fidelity.md has.
func TestCitedRows(t *testing.T) {
	t.Parallel()
	root := filepath.Join("..", "..")
	table, err := os.ReadFile(filepath.Join(root, "docs", "fidelity.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, match := range tableRow.FindAllStringSubmatch(string(table), -1) {
		known[match[1]] = true
	}
	for _, name := range tracked(t, root, "*.go", "*.md", "*.txtar", "*.yaml", "*.sh", "*.py") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if name == "internal/doors/rows_test.go" {
			continue // its examples cite rows that are not there
		}
		for _, row := range unknownRows(string(text), known) {
			t.Errorf("%s cites row %s, which docs/fidelity.md does not have", name, row)
		}
	}
}

// The test above finds rows in each form in which they are cited.
func TestUnknownRows(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"1.7": true, "4.2": true, "S2.8": true}
	for text, want := range map[string]string{
		"(row 1.7)":                "",
		"(row 1.77)":               "1.77",
		"rows 1.7, 4.2, 9.9":       "9.9",
		"rows 1.7 to 4.3":          "4.3",
		"row S2.8 and row S2.9":    "S2.9",
		"version 4.3, rows of SQL": "",
	} {
		if got := strings.Join(unknownRows(text, known), " "); got != want {
			t.Errorf("%q cites unknown rows %q, want %q", text, got, want)
		}
	}
}
