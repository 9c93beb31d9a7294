package certify

import (
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// WriteJSON writes the report for programs.
func (rep *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(rep)
}

// ReadReport reads what WriteJSON has written. The journal is not part of it.
func ReadReport(r io.Reader) (*Report, error) {
	var rep Report
	if err := json.NewDecoder(r).Decode(&rep); err != nil {
		return nil, err
	}
	return &rep, nil
}

// WriteTable writes the report for people: a line for each scenario, and for each failed one what a good client
// would have done, with the journal's lines around the spot.
func (rep *Report) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SCENARIO\tVERDICT\tEXIT\tTIME\tNOT MET")
	for _, r := range rep.Results {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", r.Scenario, r.Verdict, r.Exit, took(r.Seconds),
			cmp.Or(strings.Join(r.notMet(), ", "), "-"))
	}
	for _, s := range rep.Skipped {
		fmt.Fprintf(table, "%s\tskipped\t-\t-\t%s\n", s.Scenario, s.Reason)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	var silent []string
	for _, r := range rep.Results {
		switch {
		case r.silent():
			silent = append(silent, r.Scenario)
		case r.Verdict != Pass:
			if _, err := fmt.Fprintf(w, "\n%s: %s\n%s", r.Scenario, r.Description, r.details("  ")); err != nil {
				return err
			}
		}
	}
	if silent != nil {
		last := rep.Results[slices.IndexFunc(rep.Results, func(r Result) bool { return r.silent() })].lastWords("  ")
		names := strings.Join(silent, ", ")
		if _, err := fmt.Fprintf(w, "\n%s: the client never called the emulator\n%s", names, last); err != nil {
			return err
		}
	}
	skipped := ""
	if n := len(rep.Skipped); n > 0 {
		skipped = fmt.Sprintf(", %d skipped", n)
	}
	_, err := fmt.Fprintf(w, "\n%d passed, %d failed%s\n", rep.Passed, rep.Failed, skipped)
	return err
}

// notMet names the expectations that were not met.
func (r *Result) notMet() []string {
	var names []string
	for _, f := range r.Failed {
		names = append(names, f.Expect)
	}
	return names
}

// details returns each failure with the journal's lines about it, and the end of the client's output.
func (r *Result) details(indent string) string {
	var b strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&b, indent+format+"\n", args...) }
	for _, f := range r.Failed {
		put("%s", f.Expect)
		put("    wanted: %s", f.Wanted)
		put("    saw:    %s", f.Saw)
		put("    hint:   %s", f.Hint)
		if len(f.Lines) > 0 {
			put("    in the journal:")
			for _, l := range f.Lines {
				put("      %s", l)
			}
		}
	}
	b.WriteString(r.lastWords(indent))
	return b.String()
}

// lastWords are the end of what the client printed.
func (r *Result) lastWords(indent string) string {
	if r.Output == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%sthe client's last words:\n", indent)
	for line := range strings.SplitSeq(r.Output, "\n") {
		line = strings.TrimSuffix(line, "\r")
		line = line[strings.LastIndexByte(line, '\r')+1:] // what a terminal shows of a progress bar in the end
		fmt.Fprintf(&b, "%s    %s\n", indent, line)
	}
	return b.String()
}

// Class is the class of the cases that WriteJUnit writes.
const Class = "upgrademock.certify"

// WriteJUnit writes the report in the XML form that CI systems read.
func (rep *Report) WriteJUnit(w io.Writer) error {
	suite := junit.Testsuite{Name: "upgrademock certify"}
	suite.AddProperty("upgrademock.version", rep.Version)
	if rep.Shard != "" {
		suite.AddProperty("upgrademock.shard", rep.Shard)
		suite.AddProperty("upgrademock.of", strings.Join(rep.Of, "\n"))
	}
	suite.Hostname = rep.Host
	if !rep.Began.IsZero() { // as in a report of an earlier version
		suite.SetTimestamp(rep.Began)
	}
	var total float64
	for _, r := range rep.Results {
		total += r.Seconds
		test := junit.Testcase{Name: r.Scenario, Classname: Class, Time: seconds(r.Seconds)}
		problem := &junit.Result{Message: strings.Join(r.notMet(), ", "),
			Data: printable(r.Description + "\n" + r.details(""))}
		switch r.Verdict {
		case Fail:
			test.Failure = problem
		case Error:
			test.Error = problem
		}
		suite.AddTestcase(test)
	}
	for _, s := range rep.Skipped {
		suite.AddTestcase(junit.Testcase{Name: s.Scenario, Classname: Class, Time: "0",
			Skipped: &junit.Result{Message: s.Reason}})
	}
	suite.Time = seconds(total)
	return WriteSuite(w, suite)
}

// WriteSuite writes a suite as a document of its own.
func WriteSuite(w io.Writer, suite junit.Testsuite) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.EncodeElement(suite, xml.StartElement{Name: xml.Name{Local: "testsuite"}}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// seconds is a time as JUnit's form has it.
func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }

// printable leaves out what XML cannot hold: a client may print anything.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' {
			return '?'
		}
		return r
	}, text)
}
