package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/shard"
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
	first  string            // the first file
	parts  []shard.Shard     // in the order of the files
	files  map[string]string // which has a result, by its name
	client *certify.Report
	server *conformance.Report
	suites junit.Testsuites
}

// add adds the report in a file.
func (m *merger) add(name string, text []byte) error {
	kind, one, err := read(text)
	if err != nil {
		return fmt.Errorf("%s: %w; wanted a report that --json or --junit has written", name, err)
	}
	if m.first == "" {
		m.kind, m.first, m.files = kind, name, make(map[string]string)
	}
	if kind != m.kind {
		return fmt.Errorf("%s is a report %s, %s one %s: merge those of one kind", m.first, m.kind, name, kind)
	}
	switch rep := one.(type) {
	case *certify.Report:
		if m.client == nil {
			m.client = &certify.Report{Client: rep.Client, Version: rep.Version, Results: []certify.Result{},
				Skipped: []certify.Skipped{}}
		}
		if !slices.Equal(m.client.Client, rep.Client) {
			return fmt.Errorf("%s judges the client %q, %s %q", m.first, m.client.Client, name, rep.Client)
		}
		m.client.Results = append(m.client.Results, rep.Results...)
		m.client.Skipped = append(m.client.Skipped, rep.Skipped...)
		m.client.Passed, m.client.Failed = m.client.Passed+rep.Passed, m.client.Failed+rep.Failed
		return note(m, name, rep.Shard, rep.Results, func(r certify.Result) string { return r.Scenario })
	case *conformance.Report:
		if m.server == nil {
			m.server = &conformance.Report{Target: rep.Target, Level: rep.Level, Version: rep.Version,
				Results: []conformance.Result{}, LeftOut: rep.LeftOut}
		}
		if m.server.Level != rep.Level {
			return fmt.Errorf("%s is of level %s, %s of level %s", m.first, m.server.Level, name, rep.Level)
		}
		m.server.Results = append(m.server.Results, rep.Results...)
		m.server.Passed, m.server.Failed = m.server.Passed+rep.Passed, m.server.Failed+rep.Failed
		m.server.Skipped, m.server.Errors = m.server.Skipped+rep.Skipped, m.server.Errors+rep.Errors
		return note(m, name, rep.Shard, rep.Results, func(r conformance.Result) string { return r.ID })
	case []junit.Testsuite:
		for _, suite := range rep {
			suite.ID = len(m.suites.Suites)
			m.suites.AddSuite(suite)
		}
	}
	return nil
}

// note writes down which part of the work a report is, and refuses a result that another one has.
func note[R any](m *merger, file, part string, results []R, name func(R) string) error {
	p := shard.Shard{}
	if part != "" {
		var err error
		if p, err = shard.Parse(part, os.Getenv); err != nil {
			return fmt.Errorf("%s: shard: %w", file, err)
		}
	}
	m.parts = append(m.parts, p)
	for _, r := range results {
		if other, found := m.files[name(r)]; found && other != file {
			return fmt.Errorf("%s is in %s and in %s: these are no parts of one run", name(r), other, file)
		}
		m.files[name(r)] = file
	}
	return nil
}

// complete is an error if shards of the run are missing, or are not of one run.
func (m *merger) complete() error {
	if len(m.parts) == 0 {
		return nil
	}
	count := m.parts[0].Count
	found := make([]bool, count)
	for _, part := range m.parts {
		if part.Count != count {
			return fmt.Errorf("%s is shard %s, and another file %q: these are no parts of one run", m.first, m.parts[0],
				part)
		}
		if count > 0 {
			found[part.Index-1] = true
		}
	}
	var missing []string
	for i, ok := range found {
		if !ok {
			missing = append(missing, shard.Shard{Index: i + 1, Count: count}.String())
		}
	}
	if missing != nil {
		return fmt.Errorf("the report of shard %s is missing", strings.Join(missing, ", "))
	}
	return nil
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
		slices.SortStableFunc(m.client.Results, func(a, b certify.Result) int { return cmp.Compare(a.Scenario, b.Scenario) })
		good, text, xml = m.client.Failed == 0, m.client.WriteTable, m.client.WriteJUnit
		if asJSON {
			text = m.client.WriteJSON
		}
	case m.server != nil:
		order := make(map[string]int)
		for i, check := range conformance.Checks() {
			order[check.ID] = i - len(conformance.Checks()) // others come behind them
		}
		slices.SortStableFunc(m.server.Results, func(a, b conformance.Result) int {
			return cmp.Compare(order[a.ID], order[b.ID])
		})
		good, xml = m.server.OK(), m.server.WriteJUnit
		text = func(w io.Writer) error { printTree(w, m.server, tty.Colours(w, os.Getenv)); return nil }
		if asJSON {
			text = m.server.WriteJSON
		}
	default:
		if asJSON {
			return errors.New("--json: files in JUnit's form are merged into one of their form")
		}
		good, xml = m.suites.Failures+m.suites.Errors == 0, m.suites.WriteXML
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

// readJUnit reads a file in JUnit's form, which has one suite or several.
func readJUnit(text []byte) ([]junit.Testsuite, error) {
	var root struct{ XMLName xml.Name }
	if err := xml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	switch root.XMLName.Local {
	case "testsuite":
		var suite junit.Testsuite
		err := xml.Unmarshal(text, &suite)
		return []junit.Testsuite{suite}, err
	case "testsuites":
		var suites junit.Testsuites
		err := xml.Unmarshal(text, &suites)
		return suites.Suites, err
	}
	return nil, fmt.Errorf("it begins with <%s>", root.XMLName.Local)
}
