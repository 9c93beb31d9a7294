package conformance_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/conformance/internal/refserver"
	"github.com/upgrademock/upgrademock/internal/version"
)

func TestChecks_areWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	form := regexp.MustCompile(`^[a-z-]+/[a-z0-9._-]+$`)
	row := regexp.MustCompile(`^S?[1-9]\d*(\.\d+)?$`)
	for _, c := range conformance.Checks() {
		if !form.MatchString(c.ID) || seen[c.ID] {
			t.Errorf("%s: a bad id, or there twice", c.ID)
		}
		seen[c.ID] = true
		if len(c.Rows) == 0 || slices.ContainsFunc(c.Rows, func(r string) bool { return !row.MatchString(r) }) {
			t.Errorf("%s: rows %q", c.ID, c.Rows)
		}
		if !strings.Contains("DLOA", string(c.Evidence)) || !strings.HasSuffix(c.Says, ".") {
			t.Errorf("%s: evidence %q, says %q", c.ID, c.Evidence, c.Says)
		}
		if c.Gentle && c.Evidence == conformance.EvidenceAssumed {
			t.Errorf("%s: an assumption would be asked of production", c.ID)
		}
	}
}

// The JSON form is relied on from outside: exactly these keys.
func TestReport_JSON(t *testing.T) {
	t.Parallel()
	s := refserver.New(t, "create/target-invalid")
	rep := run(t, conformance.Target{URL: s.URL(), Contract: contract},
		&conformance.Options{Run: regexp.MustCompile("^create/target-(invalid|expected)$")})
	var buf bytes.Buffer
	if err := rep.WriteJSON(&buf); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	results := got["results"].([]any)
	message := results[0].(map[string]any)["message"].(string)
	for _, want := range []string{"5.0", "Invalid value", "Invalid target"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message does not have %q: %s", want, message)
		}
	}
	host, _ := os.Hostname()
	want := map[string]any{
		"target": s.URL(), "level": "observed", "version": version.String(),
		"passed": 1.0, "failed": 1.0, "skipped": 0.0, "errors": 0.0,
		"began": rep.Began.Format(time.RFC3339Nano), "host": host,
		"results": []any{
			map[string]any{"id": "create/target-invalid", "verdict": "fail", "rows": []any{"2"}, "evidence": "D",
				"message": message, "seconds": rep.Results[0].Seconds},
			map[string]any{"id": "create/target-expected", "verdict": "pass",
				"rows": []any{"2", "3.2", "3.3"}, "evidence": "D", "message": "", "seconds": rep.Results[1].Seconds},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := conformance.ReadReport(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if d := conformance.Diff(rep, again); len(d) != 0 {
		t.Errorf("read back it differs: %+v", d)
	}
}

// Whatever a server sends, CI systems can read the report: each test once, with its suite, its verdict and the reason.
func TestReport_JUnit(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 28, 9, 4, 3, 0, time.UTC)
	rep := &conformance.Report{Failed: 1, Passed: 1, Skipped: 1, Errors: 1, Began: began, Host: "vm"}
	rep.Results = []conformance.Result{
		{ID: "a/one", Verdict: conformance.Pass, Seconds: 1.5},
		{ID: "a/two", Verdict: conformance.Fail, Rows: []string{"2"}, Evidence: "D",
			Message: "came \x00\x1b[31m\xff & <b> ]]>", Seconds: 0.25},
		{ID: "b/three", Verdict: conformance.Skip, Message: "why"},
		{ID: "a/later", Verdict: conformance.Error, Message: "no answer"},
	}
	var buf bytes.Buffer
	if err := rep.WriteJUnit(&buf); err != nil {
		t.Fatal(err)
	}
	type note struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type test struct {
		Time    string `xml:"time,attr"`
		Class   string `xml:"classname,attr"`
		Name    string `xml:"name,attr"`
		Failure *note  `xml:"failure"`
		Error   *note  `xml:"error"`
		Skipped *note  `xml:"skipped"`
	}
	type suite struct {
		Host     string `xml:"hostname,attr"`
		At       string `xml:"timestamp,attr"`
		Time     string `xml:"time,attr"`
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Cases    []test `xml:"testcase"`
	}
	type suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Errors   int      `xml:"errors,attr"`
		Skipped  int      `xml:"skipped,attr"`
		Suites   []suite  `xml:"testsuite"`
	}
	var got suites
	if err := xml.Unmarshal(buf.Bytes(), &got); err != nil {
		t.Fatalf("%v in\n%s", err, buf.String())
	}
	const at = "2026-11-28T09:04:03Z"
	want := suites{XMLName: xml.Name{Local: "testsuites"}, Tests: 4, Failures: 1, Errors: 1, Skipped: 1,
		Suites: []suite{
			{Name: "a", Host: "vm", At: at, Time: "1.750", Tests: 3, Failures: 1, Errors: 1, Cases: []test{
				{Class: "conformance.a", Name: "one", Time: "1.500"},
				{Class: "conformance.a", Name: "two", Time: "0.250",
					Failure: &note{"came \uFFFD\uFFFD[31m\uFFFD & <b> ]]>", "row 2, documented"}},
				{Class: "conformance.a", Name: "later", Time: "0.000", Error: &note{"no answer", "evidence "}},
			}},
			{Name: "b", Host: "vm", At: at, Time: "0.000", Tests: 1, Skipped: 1, Cases: []test{
				{Class: "conformance.b", Name: "three", Time: "0.000", Skipped: &note{"why", "evidence "}},
			}},
		}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBaseline(t *testing.T) {
	t.Parallel()
	s := refserver.New(t, "create/target-invalid", "create/contract-unknown")
	base, err := conformance.ReadBaseline(strings.NewReader(`known:
  - {id: create/target-invalid, reason: the old front-end, expires: 2999-12-31}
  - {id: create/contract-unknown, reason: fixed soon, expires: 2020-01-01}
  - {id: create/target-expected, reason: long ago, expires: 2999-12-31}
`))
	if err != nil {
		t.Fatal(err)
	}
	rep := run(t, conformance.Target{URL: s.URL(), Contract: contract}, &conformance.Options{
		Run: regexp.MustCompile("^create/(target-invalid|target-expected|contract-unknown)$"), Baseline: base})
	got := map[string]string{}
	for _, res := range rep.Results {
		got[res.ID] = string(res.Verdict)
		for word, id := range map[string]string{"the old front-end": "create/target-invalid",
			"expired on 2020-01-01": "create/contract-unknown", "take the entry out": "create/target-expected"} {
			if id == res.ID && !strings.Contains(res.Message, word) {
				t.Errorf("%s: the message lacks %q: %s", id, word, res.Message)
			}
		}
	}
	if diff := cmp.Diff(map[string]string{"create/target-invalid": "skip", "create/contract-unknown": "fail",
		"create/target-expected": "pass"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, bad := range []string{
		"known: [{id: no/such, reason: x, expires: 2030-01-01}]",
		"known: [{id: create/echo, expires: 2030-01-01}]",
		"known: [{id: create/echo, reason: x, expires: soon}]",
		"known: [{id: create/echo, reason: x, expires: 2030-01-01, until: never}]",
		"known: 3",
	} {
		if _, err := conformance.ReadBaseline(strings.NewReader(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	a := &conformance.Report{Results: []conformance.Result{
		{ID: "x/same", Verdict: conformance.Pass, Rows: []string{"1.1"}},
		{ID: "x/later", Verdict: conformance.Pass, Rows: []string{"3.10", "3.9"}},
		{ID: "x/gone", Verdict: conformance.Fail, Rows: []string{"2"}, Message: "m"},
	}}
	b := &conformance.Report{Results: []conformance.Result{
		{ID: "x/later", Verdict: conformance.Fail, Rows: []string{"3.10", "3.9"}, Message: "n"},
		{ID: "x/same", Verdict: conformance.Pass, Rows: []string{"1.1"}},
		{ID: "x/new", Verdict: conformance.Skip, Rows: []string{"8.1"}},
	}}
	want := []conformance.Difference{
		{Row: "2", ID: "x/gone", A: conformance.Fail, MessageA: "m"},
		{Row: "3.9", ID: "x/later", A: conformance.Pass, B: conformance.Fail, MessageB: "n"},
		{Row: "3.10", ID: "x/later", A: conformance.Pass, B: conformance.Fail, MessageB: "n"},
		{Row: "8.1", ID: "x/new", B: conformance.Skip},
	}
	if diff := cmp.Diff(want, conformance.Diff(a, b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if d := conformance.Diff(a, a); len(d) != 0 {
		t.Errorf("a report differs from itself: %+v", d)
	}
}

func TestRun_nothingIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := refserver.New(t)
	s.SkipTest = false
	for name, opts := range map[string]*conformance.Options{
		"no check matches":  {Run: regexp.MustCompile("no such check")},
		"all are skipped":   {Run: regexp.MustCompile("^skip-test/")},
		"an unknown level":  {Level: "everything"},
		"assumed of others": {Level: conformance.LevelAssumed, Production: true},
	} {
		rep, _ := conformance.Run(t.Context(), conformance.Target{URL: s.URL(), Contract: contract}, opts)
		if rep.OK() || rep.Errors == 0 || rep.Results[len(rep.Results)-1].Message == "" {
			t.Errorf("%s: %+v", name, rep)
		}
	}
	rep, err := conformance.Run(t.Context(),
		conformance.Target{URL: "https://upgrade.odoo.example", Contract: contract}, nil)
	if rep.OK() || !errors.Is(err, conformance.ErrProduction) {
		t.Errorf("a shared platform was asked like any other server: error %v, %+v", err, rep)
	}
}

func TestRun_failFast(t *testing.T) {
	t.Parallel()
	s := refserver.New(t, "create/target-invalid", "create/contract-unknown")
	rep := run(t, conformance.Target{URL: s.URL(), Contract: contract},
		&conformance.Options{FailFast: true, Parallel: 1})
	if rep.Failed != 1 || rep.Skipped < 200 {
		t.Errorf("%d failed, %d skipped, want 1 and the rest", rep.Failed, rep.Skipped)
	}
}
