package conformance_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/testprog"
)

// A wrong server breaks rows of docs/fidelity.md, and fails the checks.
type wrong struct {
	rows   string
	server saboteur
	fails  string
}

// notAsked are the documented and observed rows that a server cannot be asked for, with the reason.
var notAsked = map[string]string{
	"2 SERVER:ERROR": "no call makes a server answer so",
	"5.18":           "how an access ends is assumed, and that it ends by itself shows after a day only",
}

// namedRows are the checks of rows that have a name beside their section's number, as a regular expression; of the
// section 7, beside those that are called after the key. All other rows stand in the checks themselves.
var namedRows = map[string]string{
	"2 TARGET:INVALID": `^create/target-|^(create|upgrade)/(all-problems|all-problems-counted|refusals)$`,
	"2 CONTRACT:NOT_FOUND": `^create/contract-unknown$|` +
		`^(create|upgrade)/(all-problems|all-problems-counted|refusals)$`,
	"2 EMAIL:INVALID":     `^create/email-blank$`,
	"7 order":             `^create/all-keys$`, // beside status/<key> of each; the order itself means nothing in JSON
	"7 id":                `^create/id-integer$`,
	"7 key":               `^create/key-form$`,
	"7 email":             `^create/echo$`,
	"7 target":            `^create/(echo|targets)$`,
	"7 aim":               `^create/(echo|aims)$`,
	"7 filename":          `^create/(echo|filename-any-script)$`,
	"7 timezone":          `^create/timezone$`,
	"7 state":             `^create/state-draft$|^process/state-names$`,
	"7 issue_stage":       `^create/stage-new$`,
	"7 status_url":        `^url-form/(base|region|key)$|^urls/status-page$`,
	"7 notes_url":         `^url-form/(base|region|key)$|^urls/notes$`,
	"7 original_sql_url":  `^url-form/(base|region|key)$|^urls/(original-sql|sql-is-text)`,
	"7 original_dump_url": `^url-form/(base|region|key)$|^urls/original-archive$`,
	"7 upgraded_sql_url":  `^url-form/(base|region|key)$|^urls/(upgraded-sql|sql-is-text)$`,
	"7 upgraded_dump_url": `^url-form/(base|region|key)$|^urls/upgraded-(archive|whole)$`,
	"7 modules_url":       `^url-form/(base|region|key)$|^urls/answered$`,
	"7 URLs":              `^url-form/(base|region|key)$|^urls/answered$`,
	"7 filesize":          `^upload/filesize$|^process/description-stays$`,
	"7 database_uuid":     `^upload/database$`,
	"7 created_at":        `^create/created-now$`,
	"7 processed_at":      `^create/draft-values$|^process/processed-at`,
	"7 estimated_time":    `^create/draft-values$`,
	"7 elapsed":           `^create/draft-values$`,
	"7 filestore":         `^create/draft-values$|^urls/filestore-zip$`,
	"7 customer_message":  `^create/draft-values$`,
	"7 database_version":  `^upload/database$`,
	"7 postgresql":        `^upload/postgresql|^process/description-stays$`,
	"7 compressions":      `^upload/compressions|^process/description-stays$`,
	"9 formats":           `^upload/compressions`,
	"9 postgresql":        `^upload/postgresql`,
	"9 upgraded":          `^urls/filestore-zip$`,
}

// fidelityRows are the rows of docs/fidelity.md and their evidence.
func fidelityRows(t *testing.T) map[string]string {
	t.Helper()
	table, err := os.ReadFile("../docs/fidelity.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	form := regexp.MustCompile(`(?m)^\| ([1-9][^|]*?) \| [^|]+ \| ([DLOA, ]+) \|`)
	for _, m := range form.FindAllStringSubmatch(string(table), -1) {
		rows[m[1]] = m[2]
	}
	if len(rows) < 100 {
		t.Fatalf("only %d rows were found in docs/fidelity.md", len(rows))
	}
	return rows
}

// known reports whether more than an assumption is known.
func known(evidence string) bool { return strings.ContainsAny(evidence, "DLO") }

// checksOf are the checks, made at the default level, that fail when the row is broken: each one has a saboteur that
// breaks its subject, and TestSaboteurs holds that it fails then.
func checksOf(row string) (ids []string) {
	named := `^$`
	if section, key, ok := strings.Cut(row, " "); ok {
		named = namedRows[row]
		if section == "7" {
			named = strings.TrimPrefix(named+"|", "|") + "^(status|url-form)/" + regexp.QuoteMeta(key) + "$"
		}
		if named == "" {
			named = `^$`
		}
	}
	form := regexp.MustCompile(named)
	for _, c := range conformance.Checks() {
		if conformance.LevelObserved.Covers(c.Evidence) && (slices.Contains(c.Rows, row) || form.MatchString(c.ID)) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// No documented or observed row can be broken without a check that fails at the default level.
func TestRows(t *testing.T) {
	t.Parallel()
	rows := fidelityRows(t)
	for row, evidence := range rows {
		ids := checksOf(row)
		reason, excused := notAsked[row]
		switch {
		case !known(evidence):
		case len(ids) == 0 && !excused:
			t.Errorf("row %s, %s: no check fails when it is broken", row, evidence)
		case len(ids) > 0 && excused:
			t.Errorf("row %s: said not to be asked for (%s), but there are checks: %v", row, reason, ids)
		default:
			t.Logf("row %s, %s: %s%s", row, evidence, strings.Join(ids, " "), reason)
		}
	}
	for row := range notAsked {
		if !known(rows[row]) {
			t.Errorf("row %s is not one that is documented or observed", row)
		}
	}
	for row := range namedRows {
		if rows[row] == "" {
			t.Errorf("docs/fidelity.md has no row %s", row)
		}
	}
	for name, w := range wrongServers() {
		for _, row := range strings.Split(w.rows, ", ") {
			if !known(rows[row]) {
				t.Errorf("%s: row %q is not one that is documented or observed", name, row)
			}
		}
	}
}

// What is only assumed is never asserted at the default level: a check made there rests on a row that is known better.
func TestRows_nothingAssumed(t *testing.T) {
	t.Parallel()
	rows := fidelityRows(t)
	rests := map[string]bool{} // by the section or row that a check names
	for row, evidence := range rows {
		section, _, _ := strings.Cut(row, " ")
		rests[row] = rests[row] || known(evidence)
		rests[section] = rests[section] || known(evidence)
	}
	for _, c := range conformance.Checks() {
		if c.API != conformance.APIDatabase || !conformance.LevelObserved.Covers(c.Evidence) ||
			slices.ContainsFunc(c.Rows, func(row string) bool { return rests[row] }) {
			continue
		}
		t.Errorf("%s is made at the default level, and all of its rows %v are assumed", c.ID, c.Rows)
	}
}

// Each wrong server is judged at the default level: every check in fails must fail, not err. Only those are made: what
// else fails is the saboteurs' business.
func TestWrongServers(t *testing.T) {
	t.Parallel()
	for name, w := range wrongServers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testprog.OneIn(t, 3)
			ids := strings.Fields(w.fails)
			opts := &conformance.Options{Run: regexp.MustCompile(fmt.Sprintf("^(%s)$", strings.Join(ids, "|")))}
			if strings.Contains(w.fails, "process/reaches-done") || strings.Contains(w.fails, "process/state-names") {
				opts.Wait = shortWait // it is never done, or never known to be
			}
			rep := run(t, conformance.Target{URL: sabotaged(t, w.server).URL(), Contract: contract}, opts)
			if len(rep.Results) != len(ids) {
				t.Errorf("%d checks were made, want %v", len(rep.Results), ids)
			}
			for _, res := range rep.Results {
				if res.Verdict != conformance.Fail {
					t.Errorf("%s: %s %s, want fail", res.ID, res.Verdict, res.Message)
				}
			}
		})
	}
}
