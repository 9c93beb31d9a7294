package main

import (
	"fmt"
	"slices"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// judgeRun fills in the verdicts that only who ran the program can give: on its exit status and on its time.
func judgeRun(verdicts []mockserver.Verdict, scripts []*scenario.Scenario, result child.Result) []mockserver.Verdict {
	for i := range verdicts {
		v := &verdicts[i]
		at := slices.IndexFunc(scripts, func(s *scenario.Scenario) bool { return s.Name == v.Scenario })
		if at < 0 {
			continue
		}
		script := scripts[at]
		switch v.Expect {
		case "exit":
			v.Saw = fmt.Sprintf("exit status %d", result.Status)
			v.Verdict = verdict((result.Status == 0) == (script.Expect.Exit == scenario.ExitSuccess))
		case "within":
			v.Saw = fmt.Sprintf("it took %v", result.Took)
			v.Verdict = verdict(result.Took <= script.Expect.Within)
		}
	}
	return verdicts
}

func verdict(good bool) string {
	if good {
		return mockserver.Pass
	}
	return mockserver.Fail
}
