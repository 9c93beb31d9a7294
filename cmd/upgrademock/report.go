package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/tty"
)

func newReportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Merge the reports of certify and conformance",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("say what to do: merge; see '%s --help'", cmd.CommandPath())
		},
	}
	cmd.AddCommand(newMergeCommand())
	return cmd
}

func newMergeCommand() *cobra.Command {
	var asJSON bool
	var junitFile string
	cmd := &cobra.Command{
		Use:   "merge FILE...",
		Short: "Make one report of those that several machines have made with --shard",
		Long: `merge reads reports that certify or conformance have written with --json, and prints one for all. The shards must be of one run,
and all be there. Files that --junit has written are merged, too: into the file of --junit, or to standard output.

Exit status: 0 nothing failed; 1 something did, or the reports do not belong together; 2 a wrong command line.`,
		Example: `  upgrademock report merge shard-*.json --junit report.xml
  upgrademock report merge shard-*.xml > report.xml`,
		Args: arguments(1, -1, "FILE..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			var m merger
			for _, name := range args {
				text, err := os.ReadFile(name)
				if err != nil {
					return fmt.Errorf("%s: %w; wanted a report that --json or --junit has written", name, reasonOf(err))
				}
				if err := m.add(name, text); err != nil {
					return failed(err)
				}
			}
			file, err := openReport("junit", junitFile)
			if err != nil {
				return err
			}
			defer file.Close()
			return m.write(cmd.OutOrStdout(), asJSON, file)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().StringVar(&junitFile, "junit", "",
		"also write the report to this `file`, in the XML form that CI systems read")
	return cmd
}

// A merger collects reports of one kind: the first says which.
type merger struct {
	kind   string
	parts  []part            // in the order of the files
	files  map[string]string // which has a result, by its name
	client *certify.Report
	server *conformance.Report
	suites []junit.Testsuite
	alone  bool // each file in JUnit's form had one suite and nothing around it
}

// add adds the report in a file.
func (m *merger) add(name string, text []byte) error {
	kind, one, err := read(text)
	if err != nil {
		return fmt.Errorf("%s: %w; wanted a report that --json or --junit has written", name, err)
	}
	if len(m.parts) == 0 {
		m.kind, m.files, m.alone = kind, make(map[string]string), true
	}
	if kind != m.kind {
		return fmt.Errorf("%s is a report %s, %s one %s: merge those of one kind", m.parts[0].file, m.kind, name, kind)
	}
	switch rep := one.(type) {
	case *certify.Report:
		if err := m.note(name, rep.Shard, rep.Version, rep.Of, resultNames(rep)); err != nil {
			return err
		}
		if m.client == nil {
			m.client = &certify.Report{Client: rep.Client, Version: rep.Version, Results: []certify.Result{},
				Skipped: []certify.Skipped{}}
		}
		if !slices.Equal(m.client.Client, rep.Client) {
			return fmt.Errorf("%s judges the client %q, %s %q", m.parts[0].file, m.client.Client, name, rep.Client)
		}
		m.client.Began, m.client.Host = together(m.client.Began, rep.Began, m.client.Host, rep.Host)
		m.client.Results = append(m.client.Results, rep.Results...)
		m.client.Skipped = append(m.client.Skipped, rep.Skipped...)
		m.client.Passed, m.client.Failed = m.client.Passed+rep.Passed, m.client.Failed+rep.Failed
	case *conformance.Report:
		if err := m.note(name, rep.Shard, rep.Version, rep.Of, checkIDs(rep)); err != nil {
			return err
		}
		if m.server == nil {
			m.server = &conformance.Report{Target: rep.Target, Level: rep.Level, Version: rep.Version,
				Results: []conformance.Result{}}
		}
		if m.server.Level != rep.Level {
			return fmt.Errorf("%s is of level %s, %s of level %s", m.parts[0].file, m.server.Level, name, rep.Level)
		}
		m.server.Began, m.server.Host = together(m.server.Began, rep.Began, m.server.Host, rep.Host)
		m.server.Results = append(m.server.Results, rep.Results...)
		for _, left := range rep.LeftOut {
			if !slices.Contains(m.server.LeftOut, left) {
				m.server.LeftOut = append(m.server.LeftOut, left)
			}
		}
	case suites:
		m.alone = m.alone && rep.alone
		return m.addSuites(name, rep.list)
	}
	return nil
}

// together is when the first of two runs began, and on which machines they ran.
func together(a, b time.Time, on, also string) (began time.Time, hosts string) {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		a = b
	}
	if also != "" && !slices.Contains(strings.Split(on, ", "), also) {
		on = strings.TrimPrefix(on+", "+also, ", ")
	}
	return a, on
}

// resultNames are the scenarios that a report is about.
func resultNames(rep *certify.Report) (names []string) {
	for _, r := range rep.Results {
		names = append(names, r.Scenario)
	}
	for _, s := range rep.Skipped {
		names = append(names, s.Scenario)
	}
	return names
}

// checkIDs are the checks that a report is about.
func checkIDs(rep *conformance.Report) (ids []string) {
	for _, r := range rep.Results {
		ids = append(ids, r.ID)
	}
	return ids
}

// write writes the report of all. The error is what is wrong with the reports, or with what they judge.
func (m *merger) write(stdout io.Writer, asJSON bool, file *reportFile) error {
	if err := m.complete(); err != nil {
		return failed(err)
	}
	good := true
	var text, xml func(io.Writer) error
	switch {
	case m.client != nil:
		sortBy(m.client.Results, m.order(), func(r certify.Result) string { return r.Scenario })
		sortBy(m.client.Skipped, m.order(), func(s certify.Skipped) string { return s.Scenario })
		good, text, xml = m.client.Failed == 0 && !m.client.Interrupted(), m.client.WriteTable, m.client.WriteJUnit
		if asJSON {
			text = m.client.WriteJSON
		}
	case m.server != nil:
		sortBy(m.server.Results, checkOrder(), func(r conformance.Result) string { return r.ID })
		count(m.server)
		good, xml = m.server.OK(), m.server.WriteJUnit
		text = func(w io.Writer) error { printTree(w, m.server, tty.Colours(w, os.Getenv)); return nil }
		if asJSON {
			text = m.server.WriteJSON
		}
	default:
		if asJSON {
			return errors.New("--json: files in JUnit's form are merged into one of their form")
		}
		good, xml = m.mergeSuites()
		text = func(io.Writer) error { return nil }
		if file == nil {
			text = xml
		}
	}
	if err := errors.Join(text(stdout), file.write(xml)); err != nil {
		return failed(err)
	}
	if !good {
		return exitCode{code: exitFailed}
	}
	return nil
}

// isJudged reports whether a result says that a run had nothing to judge, which a shard may have for its few checks.
func isJudged(id string) bool { return id == "suite/judged" }

// count counts the results of all shards.
func count(rep *conformance.Report) {
	of := make(map[conformance.Verdict]int)
	for _, r := range rep.Results {
		if !isJudged(r.ID) {
			of[r.Verdict]++
		}
	}
	if of[conformance.Pass]+of[conformance.Fail]+of[conformance.Error] > 0 {
		rep.Results = slices.DeleteFunc(rep.Results, func(r conformance.Result) bool { return isJudged(r.ID) })
	} else {
		of[conformance.Error] = 1
	}
	rep.Passed, rep.Failed = of[conformance.Pass], of[conformance.Fail]
	rep.Skipped, rep.Errors = of[conformance.Skip], of[conformance.Error]
}

// checkOrder is the order of the suite.
func checkOrder() (ids []string) {
	for _, check := range conformance.Checks() {
		ids = append(ids, check.ID)
	}
	return ids
}

// read returns a report, and what it is of, in words.
func read(text []byte) (kind string, report any, err error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("<")) {
		suites, err := readJUnit(text)
		return "in JUnit's form", suites, err
	}
	var keys struct {
		Client []string `json:"client"`
		Target *string  `json:"target"`
	}
	if err := json.Unmarshal(text, &keys); err != nil {
		return "", nil, err
	}
	switch {
	case keys.Client != nil:
		report, err = certify.ReadReport(bytes.NewReader(text))
		return "of certify", report, err
	case keys.Target != nil:
		report, err = conformance.ReadReport(bytes.NewReader(text))
		return "of conformance", report, err
	}
	return "", nil, errors.New("this is no report")
}
