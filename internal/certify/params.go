package certify

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// params are what the client has to give to create, chosen so that the scenario is for its request. The filename is
// the dump's, since many clients take it from there.
func params(script *scenario.Scenario, opts *mockserver.Options, dump string) (map[string]string, error) {
	chosen := map[string]string{
		"contract": "M123456-abcdef",
		"email":    "john.doe@example.com",
		"target":   "8.0",
		"aim":      "test",
		"filename": dump,
	}
	targets := append(opts.Targets, "6.0", "6.1", "7.0", "8.0", "9.0", "10.0", "11.0", "12.0", "13.0")
	switch {
	case script.When["api"] == scenario.APIScript:
		chosen["target"], chosen["api"], chosen["actuator"], chosen["api_version"] = "18.0", scenario.APIScript, "cli", "0.2"
		delete(chosen, "email") // its create has none
		targets = []string{"14.0", "15.0", "16.0", "17.0", "18.0", "19.0"}
	case len(opts.Targets) > 0:
		chosen["target"] = opts.Targets[len(opts.Targets)-1]
	case opts.Edition == mockserver.Edition13:
		chosen["target"] = "13.0"
	}
	if len(opts.Contracts) > 0 {
		chosen["contract"] = sample(opts.Contracts[0])
	}
	// Where the platform takes few values only, it must be one of them.
	valid := map[string][]string{
		"aim":    {"test", "production"},
		"target": targets,
	}
	for key, glob := range script.When {
		if _, known := chosen[key]; !known || key == "api" { // clients get no other parameters
			continue
		}
		only := scenario.Scenario{When: scenario.When{key: glob}}
		for _, value := range append([]string{chosen[key]}, append(valid[key], sample(glob))...) {
			if only.Matches(map[string]string{key: value}) {
				chosen[key] = value
				break
			}
		}
	}
	if !script.Matches(chosen) {
		return nil, fmt.Errorf("found no parameters that the scenario's `when` %v is for; make its globs simpler",
			script.When)
	}
	return chosen, nil
}

var class = regexp.MustCompile(`\[([^]^\\])[^]]*\]`)

// sample is a text that the glob matches, for the simple ones.
func sample(glob string) string {
	text := class.ReplaceAllString(glob, "$1")
	return strings.NewReplacer("*", "1", "?", "1", `\`, "").Replace(text)
}
