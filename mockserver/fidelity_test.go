package mockserver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// contractRows are the rows of the wire contract, by section: each has its place in docs/fidelity.md.
var contractRows = []string{
	"1.1 1.2 1.3 1.4 1.5 1.6 1.7 1.8 1.9 1.10 1.11",
	"2+TARGET:INVALID 2+CONTRACT:NOT_FOUND 2+SERVER:ERROR 2+AIM:INVALID 2+EMAIL:INVALID 2+FILENAME:INVALID " +
		"2+TIMEZONE:INVALID 2+MISSING " +
		"2+REQUEST:NOT_FOUND 2+STATE:INVALID 2+SSH_KEYS:INVALID 2+DUMP:MISSING 2+DUMP:INCOMPLETE",
	"3.1 3.2 3.3 3.4 3.5 3.6 3.7 3.8 3.9 3.10 3.11",
	"4.1 4.2 4.3 4.4 4.5 4.6 4.7 4.8",
	"5.1 5.2 5.3 5.4 5.5 5.6 5.7 5.8 5.9 5.10 5.11 5.12 5.13 5.14 5.15 5.16 5.17 5.18 5.19 5.20 5.21 5.22",
	"6.1 6.2 6.3 6.4 6.5 6.6",
	"7+order 7+id 7+key 7+email 7+target 7+aim 7+filename 7+timezone 7+state 7+issue_stage 7+issue 7+status_url " +
		"7+notes_url 7+original_sql_url 7+original_dump_url 7+upgraded_sql_url 7+upgraded_dump_url 7+modules_url 7+URLs " +
		"7+filesize 7+database_uuid 7+created_at 7+processed_at 7+estimated_time 7+elapsed 7+filestore " +
		"7+customer_message 7+database_version " +
		"7+postgresql 7+compressions",
	"8.1 8.2 8.3 8.4 8.5 8.6 8.7",
	"9+formats 9+postgresql 9+database_version 9+database_uuid 9+sniffing 9+upgraded",
}

// scriptRows are the numbers of rows of the script API, by section.
var scriptRows = map[int]int{
	1: 19, 2: 17, 3: 13, 4: 11, 5: 19, 6: 6, 7: 11, 8: 10, 9: 4, 10: 7, 11: 7, 12: 10, 13: 6, 14: 9, 16: 8,
}

var evidenceLetters = regexp.MustCompile(`^[DLOA](, [DLOA])*$`)

// docs/fidelity.md has each row of the contract once, with its evidence, and with tests that there are.
func TestFidelity(t *testing.T) {
	t.Parallel()
	table, err := os.ReadFile("../docs/fidelity.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range fidelityProblems(string(table), testsIn) {
		t.Error(problem)
	}
}

// fidelityProblems is everything that is wrong with the table. testsOf names the tests of a folder below the
// module's root.
func fidelityProblems(table string, testsOf func(folder string) (map[string]bool, error)) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	wanted := make(map[string]bool)
	for _, section := range contractRows {
		for _, row := range strings.Fields(section) {
			wanted[strings.ReplaceAll(row, "+", " ")] = true
		}
	}
	for section, rows := range scriptRows {
		for row := range rows {
			wanted[fmt.Sprintf("S%d.%d", section, row+1)] = true
		}
	}
	seen := make(map[string]bool)
	known := make(map[string]map[string]bool) // the tests by folder
	rows := false                             // whether this is a table of rows
	for number, line := range strings.Split(table, "\n") {
		switch {
		case !strings.HasPrefix(line, "|"):
			rows = false
		case strings.HasPrefix(line, "| row |"):
			rows = true
			continue
		}
		if !rows || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) != 5 {
			say("line %d has %d cells, not 5", number+1, len(cells))
			continue
		}
		row, what, evidence, tests := cells[0], cells[1], cells[2], cells[3]
		if !wanted[row] {
			say("line %d: there is no row %q in the contract", number+1, row)
		}
		if seen[row] {
			say("line %d: row %s is there twice", number+1, row)
		}
		seen[row] = true
		if what == "" || !evidenceLetters.MatchString(evidence) {
			say("row %s: what %q, evidence %q", row, what, evidence)
		}
		if tests == "–" && strings.HasPrefix(row, "S") && !strings.Contains(evidence, "A") {
			continue // it says what the script does
		}
		folder := "mockserver"
		for test := range strings.SplitSeq(tests, ",") {
			test = strings.TrimSpace(test)
			if other, name, ok := strings.Cut(test, ": "); ok {
				folder, test = other, name
			}
			if known[folder] == nil {
				names, err := testsOf(folder)
				if err != nil {
					say("row %s: %v", row, err)
				}
				known[folder] = names
			}
			if !known[folder][test] {
				say("row %s: %s has no test %q", row, folder, test)
			}
		}
	}
	for row := range wanted {
		if !seen[row] {
			say("row %s is missing", row)
		}
	}
	return problems
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w*)\(`)

// testsIn reads the names of a folder's tests from its files.
func testsIn(folder string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(folder), "*_test.go"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("no tests in %s (%v)", folder, err)
	}
	names := make(map[string]bool)
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		for _, f := range testFunc.FindAllSubmatch(text, -1) {
			names[string(f[1])] = true
		}
	}
	return names, nil
}

// The check finds what it is to find.
func TestFidelity_findsMistakes(t *testing.T) {
	t.Parallel()
	good, err := os.ReadFile("../docs/fidelity.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ from, to, says string }{
		"a row twice":    {"\n| 4.2 |", "\n| 4.1 |", "row 4.1 is there twice"},
		"a row missing":  {"\n| 4.2 |", "\n| 4.1 |", "row 4.2 is missing"},
		"a row too many": {"\n| 4.2 |", "\n| 4.99 |", `no row "4.99"`},
		"no such letter": {"| D, O | TestUpload_body", "| D, X | TestUpload_body", "row 4.3"},
		"no such test":   {"TestUpload_reset,", "TestUpload_rest,", `mockserver has no test "TestUpload_rest"`},
		"another's test": {"sftpserver: TestRefused", "TestRefused", `mockserver has no test "TestRefused"`},
		"no such folder": {"sftpserver: TestRefused", "sftpservr: TestRefused", "no tests in sftpservr"},
		"nothing holds it": {
			"| A | TestScriptAPI_create, TestScriptAPI_paths |", "| A | – |", `row S1.18: mockserver has no test "–"`,
		},
		"a cell too many":  {"\n| 4.2 |", "\n| | 4.2 |", "6 cells"},
		"nothing is wrong": {"", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := strings.Replace(string(good), tc.from, tc.to, 1)
			problems := strings.Join(fidelityProblems(changed, testsIn), "\n")
			if tc.from != "" && changed == string(good) && tc.says != "" {
				t.Fatalf("nothing was changed")
			}
			if tc.says == "" && problems != "" || !strings.Contains(problems, tc.says) {
				t.Errorf("wanted to hear %q:\n%s", tc.says, problems)
			}
		})
	}
}
