package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/tty"
)

// mark is the sign of a verdict.
func mark(p tty.Paint, v conformance.Verdict) string {
	switch v {
	case conformance.Pass:
		return p.As("32", "✓")
	case conformance.Fail:
		return p.As("31", "✗")
	case conformance.Skip:
		return p.As("33", "-")
	}
	return p.As("35", "!")
}

// progress is one line on a terminal that says how far a run is.
type progress struct {
	w            io.Writer // nil: none
	done, failed int
}

func newProgress(w io.Writer, quiet bool) *progress {
	if quiet || !tty.Moves(w, os.Getenv) {
		return &progress{}
	}
	return &progress{w: w}
}

// saw counts a verdict. It is called by one goroutine at a time.
func (p *progress) saw(res conformance.Result) {
	p.done++
	if res.Verdict == conformance.Fail || res.Verdict == conformance.Error {
		p.failed++
	}
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K"+tty.Paint(false).Line(tty.Width(p.w),
			tty.Part{Text: fmt.Sprintf("%d judged, %d failed  %s", p.done, p.failed, res.ID)}))
	}
}

func (p *progress) end() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// print writes the report where the flags say. A run that ended with an error has no checks to show.
func (f *conformanceFlags) print(cmd *cobra.Command, rep *conformance.Report, runErr error) error {
	out := cmd.OutOrStdout()
	if f.json {
		if err := rep.WriteJSON(out); err != nil {
			return failed(err)
		}
	} else if runErr == nil {
		p := tty.Paint(f.colour == "always")
		if f.colour == "auto" {
			p = tty.Colours(out, os.Getenv)
		}
		printTree(out, rep, p)
	}
	if f.opts.Production && len(rep.Created) > 0 {
		w := out
		if f.json {
			w = cmd.ErrOrStderr()
		}
		fmt.Fprintln(w, "Requests left on the platform (their URLs open them to anybody):")
		for _, c := range rep.Created {
			url := c.StatusURL
			if c.API == conformance.APIScript {
				url = "of the script API"
			}
			fmt.Fprintf(w, "  %s  %s\n", c.ID, url)
		}
	}
	return failed(f.report.write(rep.WriteJUnit))
}

// printTree writes the report for people: a line for each group, and one for everything in it that did not pass.
func printTree(w io.Writer, rep *conformance.Report, p tty.Paint) {
	fmt.Fprintf(w, "%s, level %s\n\n", rep.Target, rep.Level)
	for _, l := range rep.LeftOut {
		fmt.Fprintf(w, "%s the %s API was left out: %s\n", mark(p, conformance.Skip), l.API, oneLine(l.Reason))
	}
	var groups []string
	members := map[string][]conformance.Result{}
	for _, res := range rep.Results {
		group, _, _ := strings.Cut(res.ID, "/")
		if members[group] == nil {
			groups = append(groups, group)
		}
		members[group] = append(members[group], res)
	}
	for _, group := range groups {
		worst, passed := conformance.Pass, 0
		for _, res := range members[group] {
			if res.Verdict == conformance.Pass {
				passed++
			}
			if rank(res.Verdict) > rank(worst) {
				worst = res.Verdict
			}
		}
		fmt.Fprintf(w, "%s %-12s %d of %d\n", mark(p, worst), group, passed, len(members[group]))
		skips := map[string][]string{}
		var reasons []string
		for _, res := range members[group] {
			switch {
			case res.Verdict == conformance.Pass && res.Message == "":
			case res.Verdict == conformance.Skip:
				if skips[res.Message] == nil {
					reasons = append(reasons, res.Message)
				}
				skips[res.Message] = append(skips[res.Message], res.ID)
			default:
				fmt.Fprintf(w, "  %s %s: %s (%s)\n", mark(p, res.Verdict), p.As("1", res.ID), oneLine(res.Message),
					res.Source())
			}
		}
		for _, reason := range reasons {
			ids := skips[reason]
			if len(ids) > 3 {
				ids = append(ids[:2:2], fmt.Sprintf("%d more", len(ids)-2))
			}
			fmt.Fprintf(w, "  %s %s: %s\n", mark(p, conformance.Skip), strings.Join(ids, ", "), oneLine(reason))
		}
	}
	fmt.Fprintf(w, "\n%s\n", lastLine(rep, p))
}

// lastLine sums a report up; skips are never passed over.
func lastLine(rep *conformance.Report, p tty.Paint) string {
	parts := []string{fmt.Sprintf("%d passed", rep.Passed), fmt.Sprintf("%d failed", rep.Failed)}
	if rep.Errors > 0 {
		parts = append(parts, fmt.Sprintf("%d could not be judged", rep.Errors))
	}
	if rep.Skipped > 0 {
		parts = append(parts, fmt.Sprintf("%d skipped, for the reasons above", rep.Skipped))
	}
	line := strings.Join(parts, ", ")
	if rep.OK() {
		return p.As("32", "PASS") + "  " + line
	}
	return p.As("31", "FAIL") + "  " + line
}

func rank(v conformance.Verdict) int {
	return map[conformance.Verdict]int{conformance.Pass: 0, conformance.Skip: 1, conformance.Error: 2,
		conformance.Fail: 3}[v]
}

// oneLine keeps what a server sent from making lines or colours of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// printList writes the checks that a run would make.
func (f *conformanceFlags) printList(w io.Writer) error {
	list := f.selected(f.opts.Level)
	if f.json {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(list)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range list {
		needs := c.Needs
		if needs == "" {
			needs = "-"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", c.ID, strings.Join(c.Rows, " "), c.Evidence.String(), needs, c.Says)
	}
	return tw.Flush()
}

// printDiff writes the rows that two reports judge differently.
func printDiff(w io.Writer, a, b *conformance.Report, diffs []conformance.Difference) {
	fmt.Fprintf(w, "A: %s, level %s\nB: %s, level %s\n\n", a.Target, a.Level, b.Target, b.Level)
	if len(diffs) == 0 {
		fmt.Fprintln(w, "Both are judged alike.")
		return
	}
	absent := func(v conformance.Verdict) string {
		if v == "" {
			return "not asked"
		}
		return string(v)
	}
	for _, d := range diffs {
		fmt.Fprintf(w, "row %-5s %s: %s in A, %s in B\n", d.Row, d.ID, absent(d.A), absent(d.B))
		for _, m := range []struct{ side, text string }{{"A", d.MessageA}, {"B", d.MessageB}} {
			if m.text != "" {
				fmt.Fprintf(w, "  %s: %s\n", m.side, oneLine(m.text))
			}
		}
	}
}
