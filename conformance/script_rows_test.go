package conformance_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
)

// scriptNotAsked are the documented and observed rows of the script API that a server cannot be asked for, by row or by
// section, with the reason.
var scriptNotAsked = map[string]string{
	"S1.1":  "it is about the script's own configuration",
	"S1.2":  "it is about the script's own configuration",
	"S1.14": "it is about the script's patience",
	"S1.15": "it is about the script's patience",
	"S1.17": "it is about what the script trusts; that the suite reaches the server is what a run begins with",
	"S2.15": "it takes hours",
	"S3.12": "it takes five minutes, and what they count is assumed",
	"S4.4":  "it is about ssh's question to a person",
	"S5.9":  "it is about how the script names its own files",
	"S5.19": "which of these options pass is assumed",
	"S6.2":  "it is about what the script does with the answer",
	"S7.9":  "it takes hours, or months",
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

// No documented or observed row of the script API can be broken without a check at the default level, or a reason why
// there is none; and no check is made there that rests on assumptions alone.
func TestRows_script(t *testing.T) {
	t.Parallel()
	rows := scriptRows(t)
	asked := map[string][]string{}
	for _, c := range conformance.Checks() {
		if c.API != conformance.APIScript {
			continue
		}
		for _, row := range c.Rows {
			if rows[row] == "" {
				t.Errorf("%s: docs/fidelity.md has no row %s", c.ID, row)
			}
			if conformance.LevelObserved.Covers(c.Evidence) {
				asked[row] = append(asked[row], c.ID)
			}
		}
		if conformance.LevelObserved.Covers(c.Evidence) &&
			!slices.ContainsFunc(c.Rows, func(row string) bool { return known(rows[row]) }) {
			t.Errorf("%s is made at the default level, and all of its rows %v are assumed", c.ID, c.Rows)
		}
		if c.Evidence == conformance.EvidenceDocumented &&
			!slices.ContainsFunc(c.Rows, func(row string) bool { return strings.Contains(rows[row], "D") }) {
			t.Errorf("%s is called documented, and none of its rows %v is", c.ID, c.Rows)
		}
	}
	excused := map[string]bool{}
	for row, evidence := range rows {
		section, _, _ := strings.Cut(row, ".")
		reason := scriptNotAsked[row] + scriptNotAsked[section]
		if reason != "" {
			excused[row], excused[section] = true, true
		}
		switch ids := asked[row]; {
		case !known(evidence):
		case len(ids) == 0 && reason == "":
			t.Errorf("row %s, %s: no check is made at the default level", row, evidence)
		case len(ids) > 0 && reason != "":
			t.Errorf("row %s: said not to be asked for (%s), but there are checks: %v", row, reason, ids)
		}
	}
	for row := range scriptNotAsked {
		if !excused[row] {
			t.Errorf("docs/fidelity.md has no row %s", row)
		}
	}
}
