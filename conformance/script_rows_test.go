package conformance_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/conformance"
)

// scriptNotAsked are the rows of the script API that a server is not asked for, by row or by section, with the reason.
var scriptNotAsked = map[string]string{
	"S1.1":  "it is about the script's own configuration",
	"S1.2":  "it is about the script's own configuration",
	"S1.14": "it is about the script's patience",
	"S1.15": "it is about the script's patience",
	"S1.17": "it is about what the script trusts; that the suite reaches the server is what a run begins with",
	"S2.15": "it takes hours",
	"S3.12": "it takes five minutes, and what they count is assumed",
	"S4.4":  "it is about ssh's question to a person",
	"S4.11": "any type will do",
	"S5.9":  "it is about how the script names its own files",
	"S5.19": "which of these options pass is assumed",
	"S6.2":  "it is about what the script does with the answer",
	"S7.9":  "it takes hours, or months",
	"S7.11": "nothing does that a client sends but wipe",
	"S8.3":  "it is about when the script asks",
	"S8.8":  "it is about what the script prints",
	"S10.6": "the database would have to be looked into",
	"S16.5": "a fixed port is a choice of whoever runs an emulator",
	"S11":   "it is about the script's order of calls",
	"S12":   "it is about the user's machine",
	"S13":   "it is about the script's exit status",
	"S14":   "it is about what changed in the script",
}

// scriptRows are the rows of the script API in docs/fidelity.md, and their evidence.
func scriptRows(t *testing.T) map[string]string {
	t.Helper()
	table, err := os.ReadFile("../docs/fidelity.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^\| (S\d+\.\d+) \| .+? \| ([DOA, ]+) \|`).
		FindAllStringSubmatch(string(table), -1) {
		rows[m[1]] = m[2]
	}
	if len(rows) < 120 {
		t.Fatalf("only %d rows were found in docs/fidelity.md", len(rows))
	}
	return rows
}

// No row of the script API can be broken without a check, or a reason why there is none; for one that is documented or
// observed, at the default level. No check is made there that rests on assumptions alone.
func TestRows_script(t *testing.T) {
	t.Parallel()
	rows := scriptRows(t)
	asked, anywhere := map[string][]string{}, map[string][]string{}
	for _, c := range conformance.Checks() {
		if c.API != conformance.APIScript {
			continue
		}
		atDefault := conformance.LevelObserved.Covers(c.Evidence)
		for _, row := range c.Rows {
			if rows[row] == "" {
				t.Errorf("%s: docs/fidelity.md has no row %s", c.ID, row)
			}
			anywhere[row] = append(anywhere[row], c.ID)
			if atDefault {
				asked[row] = append(asked[row], c.ID)
			}
		}
		if atDefault && !slices.ContainsFunc(c.Rows, func(row string) bool { return known(rows[row]) }) {
			t.Errorf("%s is made at the default level, and all of its rows %v are assumed", c.ID, c.Rows)
		}
		if c.Evidence == conformance.EvidenceDocumented &&
			!slices.ContainsFunc(c.Rows, func(row string) bool { return strings.Contains(rows[row], "D") }) {
			t.Errorf("%s is called documented, and none of its rows %v is", c.ID, c.Rows)
		}
	}
	for row, evidence := range rows {
		section, _, _ := strings.Cut(row, ".")
		reason := cmp.Or(scriptNotAsked[row], scriptNotAsked[section])
		ids := anywhere[row]
		if known(evidence) {
			ids = asked[row]
		}
		switch {
		case len(ids) == 0 && reason == "":
			t.Errorf("row %s, %s: no check is made, at the default level for what is known", row, evidence)
		case len(ids) > 0 && reason != "":
			t.Errorf("row %s: said not to be asked for (%s), but there are checks: %v", row, reason, ids)
		}
	}
	compareTable(t, rows, anywhere)
}

// compareTable holds the last table of docs/fidelity.md against the checks of each row.
func compareTable(t *testing.T, rows map[string]string, checks map[string][]string) {
	t.Helper()
	doc, err := os.ReadFile("../docs/fidelity.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	sections := map[string]bool{}
	sorted := slices.SortedFunc(maps.Keys(rows), func(a, b string) int {
		var x, y [2]int
		fmt.Sscanf(a, "S%d.%d", &x[0], &x[1])
		fmt.Sscanf(b, "S%d.%d", &y[0], &y[1])
		return slices.Compare(x[:], y[:])
	})
	for _, row := range sorted {
		section, _, _ := strings.Cut(row, ".")
		what := "not asked: " + cmp.Or(scriptNotAsked[row], scriptNotAsked[section])
		switch ids := checks[row]; {
		case scriptNotAsked[section] != "" && sections[section]:
			continue
		case scriptNotAsked[section] != "":
			sections[section], row = true, section
		case len(ids) > 0:
			what = strings.Join(ids, ", ")
		}
		want = append(want, "| "+row+" | "+strings.ReplaceAll(what, "script/", "")+" |")
	}
	table := regexp.MustCompile(`(?m)^\| S\d+(\.\d+)? \| [^|]+ \|$`).FindAllString(string(doc), -1)
	if diff := gocmp.Diff(want, table); diff != "" {
		t.Errorf("the table of checks in docs/fidelity.md (-want +got):\n%s\nIt should be:\n%s", diff,
			strings.Join(want, "\n"))
	}
}
