package conformance

import (
	"encoding/xml"
	"io"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// WriteJUnit writes the report in the XML form that CI systems read, a suite for each group of checks.
func (r *Report) WriteJUnit(w io.Writer) error {
	var groups []*junit.Testsuite
	byName := map[string]*junit.Testsuite{}
	for _, res := range r.Results {
		group, name, _ := strings.Cut(res.ID, "/")
		if byName[group] == nil {
			byName[group] = &junit.Testsuite{Name: group, ID: len(groups), Time: "0"} // no time is kept
			byName[group].AddProperty("upgrademock.version", r.Version)
			groups = append(groups, byName[group])
		}
		test := junit.Testcase{Classname: "conformance." + group, Name: name}
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
		suites.AddSuite(*group)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	return suites.WriteXML(w)
}
