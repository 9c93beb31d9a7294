package conformance

import (
	"encoding/xml"
	"io"
	"strconv"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// WriteJUnit writes the report in the XML form that CI systems read, a suite for each group of checks.
func (r *Report) WriteJUnit(w io.Writer) error {
	var groups []*junit.Testsuite
	byName, took := map[string]*junit.Testsuite{}, map[string]float64{}
	add := func(group string) {
		suite := &junit.Testsuite{Name: group, ID: len(groups), Hostname: r.Host}
		if !r.Began.IsZero() { // as in a report of an earlier version
			suite.SetTimestamp(r.Began)
		}
		suite.AddProperty("upgrademock.version", r.Version)
		if r.Shard != "" {
			suite.AddProperty("upgrademock.shard", r.Shard)
		}
		if r.Shard != "" && len(groups) == 0 { // it is long, and once is enough
			suite.AddProperty("upgrademock.of", strings.Join(r.Of, "\n"))
		}
		groups, byName[group] = append(groups, suite), suite
	}
	if len(r.Results) == 0 {
		add("conformance") // for what it says
	}
	for _, res := range r.Results {
		group, name, _ := strings.Cut(res.ID, "/")
		if byName[group] == nil {
			add(group)
		}
		test := junit.Testcase{Classname: "conformance." + group, Name: name, Time: seconds(res.Seconds)}
		took[group] += res.Seconds
		note := &junit.Result{Message: res.Message, Data: res.Source()}
		switch res.Verdict {
		case Fail:
			test.Failure = note
		case Error:
			test.Error = note
		case Skip:
			test.Skipped = note
		}
		byName[group].AddTestcase(test)
	}
	var suites junit.Testsuites
	for _, group := range groups {
		group.Time = seconds(took[group.Name])
		suites.AddSuite(*group)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	return suites.WriteXML(w)
}

// seconds is a time as JUnit's form has it.
func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
