package main

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"github.com/upgrademock/upgrademock/internal/certify"
)

// suites is a file in JUnit's form.
type suites struct {
	list  []junit.Testsuite
	alone bool // there is one, which is the root
}

// readJUnit reads a file in JUnit's form, which has one suite or several.
func readJUnit(text []byte) (suites, error) {
	var root struct{ XMLName xml.Name }
	if err := xml.Unmarshal(text, &root); err != nil {
		return suites{}, err
	}
	switch root.XMLName.Local {
	case "testsuite":
		var suite junit.Testsuite
		err := xml.Unmarshal(text, &suite)
		return suites{[]junit.Testsuite{suite}, true}, err
	case "testsuites":
		var all junit.Testsuites
		err := xml.Unmarshal(text, &all)
		return suites{all.Suites, false}, err
	}
	return suites{}, fmt.Errorf("it begins with <%s>", root.XMLName.Local)
}

// The properties of a suite that is a part of a run.
const (
	propertyVersion = "upgrademock.version"
	propertyShard   = "upgrademock.shard"
	propertyOf      = "upgrademock.of"
)

// addSuites adds the suites of a file.
func (m *merger) addSuites(file string, list []junit.Testsuite) error {
	said := make(map[string]string)
	var names []string
	for i := range list {
		suite := &list[i]
		if suite.Properties != nil {
			for _, p := range *suite.Properties {
				said[p.Name] = p.Value
			}
			*suite.Properties = slices.DeleteFunc(*suite.Properties, func(p junit.Property) bool {
				return p.Name == propertyShard || p.Name == propertyOf
			})
		}
		for _, test := range suite.Testcases {
			names = append(names, caseName(test))
		}
	}
	if said[propertyShard] == "" {
		names = nil // other people's suites may have what they want
	}
	var of []string
	if said[propertyOf] != "" {
		of = strings.Split(said[propertyOf], "\n")
	}
	if err := m.note(file, said[propertyShard], said[propertyVersion], of, names); err != nil {
		return err
	}
	m.suites = append(m.suites, list...)
	return nil
}

// caseName is the name of a scenario, or the id of a check.
func caseName(test junit.Testcase) string {
	if group, ok := strings.CutPrefix(test.Classname, "conformance."); ok {
		return group + "/" + test.Name
	}
	return test.Name
}

// mergeSuites returns whether nothing failed, and what writes the suites: those of shards as those of the whole run.
func (m *merger) mergeSuites() (good bool, write func(io.Writer) error) {
	merged := m.suites
	if m.parts[0].shard.Count > 0 {
		merged = joined(m.suites, m.order())
	}
	var all junit.Testsuites
	for i, suite := range merged {
		suite.ID = i
		all.AddSuite(suite)
	}
	good = all.Failures+all.Errors == 0
	if !m.alone || len(merged) != 1 {
		return good, func(w io.Writer) error {
			if _, err := io.WriteString(w, xml.Header); err != nil {
				return err
			}
			return all.WriteXML(w)
		}
	}
	return good, func(w io.Writer) error { return certify.WriteSuite(w, merged[0]) }
}

// joined makes one suite of those with the same name, with suites and cases in the order of a whole run.
func joined(parts []junit.Testsuite, order []string) (list []junit.Testsuite) {
	judged := slices.ContainsFunc(parts, func(p junit.Testsuite) bool {
		return slices.ContainsFunc(p.Testcases, func(c junit.Testcase) bool {
			return c.Skipped == nil && !isJudged(caseName(c))
		})
	})
	for _, p := range parts {
		at := slices.IndexFunc(list, func(s junit.Testsuite) bool { return s.Name == p.Name })
		if at < 0 {
			at = len(list)
			list = append(list, junit.Testsuite{Name: p.Name, Hostname: p.Hostname, Time: p.Time, Timestamp: p.Timestamp,
				Properties: p.Properties})
		} else if a, b := seconds(list[at].Time), seconds(p.Time); a+b > 0 {
			list[at].Time = fmt.Sprintf("%.3f", a+b)
		}
		if p.Timestamp != "" {
			list[at].Timestamp = min(list[at].Timestamp, p.Timestamp)
		}
		for _, c := range p.Testcases {
			if !judged || !isJudged(caseName(c)) {
				list[at].AddTestcase(c)
			}
		}
	}
	if len(list) > 1 {
		list = slices.DeleteFunc(list, func(s junit.Testsuite) bool { return s.Tests == 0 })
	}
	for _, suite := range list {
		sortBy(suite.Testcases, order, caseName)
		slices.SortStableFunc(suite.Testcases, func(a, b junit.Testcase) int { return skippedLast(a) - skippedLast(b) })
	}
	slices.SortStableFunc(list, func(a, b junit.Testsuite) int {
		return cmp.Compare(slices.Index(order, caseName(a.Testcases[0])), slices.Index(order, caseName(b.Testcases[0])))
	})
	return list
}

// skippedLast is 1 for a scenario that was skipped, which stands behind those that were not.
func skippedLast(c junit.Testcase) int {
	if c.Classname == certify.Class && c.Skipped != nil {
		return 1
	}
	return 0
}

// seconds reads a time; 0 if there is none.
func seconds(text string) float64 {
	s, _ := strconv.ParseFloat(text, 64)
	return s
}
