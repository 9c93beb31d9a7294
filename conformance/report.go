package conformance

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"
)

// Verdict is the outcome of one check.
type Verdict string

// The verdicts.
const (
	Pass  Verdict = "pass"  // the server does what the check asks
	Fail  Verdict = "fail"  // the server is wrong
	Skip  Verdict = "skip"  // not judged; the message says why
	Error Verdict = "error" // the suite could not judge
)

// Result is the verdict of one check.
type Result struct {
	ID       string   `json:"id"`       // of the check; suite/… for a result about the run itself
	Verdict  Verdict  `json:"verdict"`  // what came of it
	Rows     []string `json:"rows"`     // of docs/fidelity.md that the check judges; empty for a result about the run
	Evidence Evidence `json:"evidence"` // for what the check asks

	// Message says, for a failure, what was sent, what was expected and what came, with the requests' keys
	// shortened; for a skip or an error, the reason. It is empty for a pass, save for one that a [Baseline]
	// lists as failing.
	Message string `json:"message"`

	// Seconds is how long it took, with the time in which the server was waited for, and without that for a turn. What
	// many checks share, such as an upgrade, counts for the first of them.
	Seconds float64 `json:"seconds"`
}

// Source says what the check rests on: rows of docs/fidelity.md and how well they are known, as in "row 1.7, assumed".
// It is the evidence alone for a result about the run itself, which has no row.
func (r Result) Source() string {
	known := r.Evidence.String()
	switch len(r.Rows) {
	case 0:
		return known
	case 1:
		return "row " + r.Rows[0] + ", " + known
	}
	return "rows " + strings.Join(r.Rows, ", ") + ", " + known
}

// Report is the outcome of a run. Its JSON form is stable.
type Report struct {
	Target  string   `json:"target"`          // the URL judged
	Level   Level    `json:"level"`           // how far the run went
	Version string   `json:"version"`         // of this module, whose suite it was
	Shard   string   `json:"shard,omitempty"` // which part of the checks whoever ran it chose, as 2/5; empty for all
	Of      []string `json:"of,omitempty"`    // the ids of the checks of all parts; nil without Shard
	Results []Result `json:"results"`         // of each selected check, in the order of [Checks]

	// LeftOut are the APIs whose checks were left out because the server has another one alone.
	LeftOut []LeftOut `json:"left_out,omitempty"`

	// Passed, Failed, Skipped and Errors count the results by verdict.
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Skipped int `json:"skipped"`
	Errors  int `json:"errors"`

	// Began is when the run did, and Host the name of the machine that made it; both are empty in reports of earlier
	// versions.
	Began time.Time `json:"began,omitzero"`
	Host  string    `json:"host,omitempty"`

	// Created are the requests that the run left on the server. They are not part of the JSON form, since
	// a request's status URL opens it to anybody.
	Created []Created `json:"-"`
}

// LeftOut is an API that a run did not judge.
type LeftOut struct {
	API    API    `json:"api"`    // APIDatabase or APIScript
	Reason string `json:"reason"` // what the server answered when it was asked for the API
}

// Created is a request that a run made on the server.
type Created struct {
	API       API    // that the request is of: APIDatabase or APIScript
	ID        string // as create answered it
	StatusURL string // has the request's key in it; empty for a request of the script API
}

// OK reports whether the server was judged, and no check failed or could not be made.
func (r *Report) OK() bool { return r.Failed == 0 && r.Errors == 0 && r.Passed > 0 }

// count fills in the sums, and makes a run in which nothing was judged an error.
func (r *Report) count() {
	tally := func() {
		r.Passed, r.Failed, r.Skipped, r.Errors = 0, 0, 0, 0
		for _, res := range r.Results {
			switch res.Verdict {
			case Pass:
				r.Passed++
			case Fail:
				r.Failed++
			case Skip:
				r.Skipped++
			default:
				r.Errors++
			}
		}
	}
	if tally(); r.Passed+r.Failed+r.Errors == 0 {
		msg := "no check was selected"
		if len(r.Results) > 0 {
			msg = "nothing could be judged: every check was skipped, first because: " + r.Results[0].Message
		}
		r.Results = append(r.Results, runError("suite/judged", msg))
		tally()
	}
}

// WriteJSON writes the report's stable form, indented.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// ReadReport reads what [Report.WriteJSON] wrote.
func ReadReport(rd io.Reader) (*Report, error) {
	var r Report
	if err := json.NewDecoder(rd).Decode(&r); err != nil {
		return nil, err
	}
	return &r, nil
}

// Difference is one row of the wire contract that two reports judge differently.
type Difference struct {
	Row string // of docs/fidelity.md
	ID  string // of the check that judges it

	// A and B are the reports' verdicts, empty for a report that does not have the check.
	A, B Verdict

	// MessageA and MessageB are the messages of these verdicts.
	MessageA, MessageB string
}

// Diff compares two reports check by check and lists the differences in the order of the contract's rows.
// A check that judges two rows gives two differences.
func Diff(a, b *Report) []Difference {
	var diffs []Difference
	inB := map[string]Result{}
	for _, res := range b.Results {
		inB[res.ID] = res
	}
	add := func(x, y Result, rows []string) {
		for _, row := range rows {
			diffs = append(diffs, Difference{Row: row, ID: cmp.Or(x.ID, y.ID), A: x.Verdict, B: y.Verdict,
				MessageA: x.Message, MessageB: y.Message})
		}
	}
	for _, x := range a.Results {
		y := inB[x.ID]
		delete(inB, x.ID)
		if x.Verdict != y.Verdict {
			add(x, y, x.Rows)
		}
	}
	for _, y := range b.Results {
		if _, left := inB[y.ID]; left {
			add(Result{}, y, y.Rows)
		}
	}
	slices.SortStableFunc(diffs, func(x, y Difference) int { return compareRows(x.Row, y.Row) })
	return diffs
}

// compareRows orders "2" < "3.9" < "3.10".
func compareRows(a, b string) int {
	return slices.CompareFunc(strings.Split(a, "."), strings.Split(b, "."), func(x, y string) int {
		return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y))
	})
}
