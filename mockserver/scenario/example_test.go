package scenario_test

import (
	"fmt"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func ExampleParse() {
	_, err := scenario.Parse("flaky.yaml", []byte(`
name: flaky
steps:
  - {state: pending, for: 1 pol}
  - {state: done}
faults:
  - {on: status, time: 2, reset: true}
`))
	fmt.Println(err)
	// Output:
	// flaky.yaml:4:27: steps[0].for: wanted a duration such as `2s`, a number of polls such as `3 polls`, or `released`, found `1 pol`, did you mean `1 poll`?
	// flaky.yaml:7:18: faults[0].time: unknown key `time`, did you mean `times`? Valid here: `after`, `cut`, `delay`, `disconnect`, `error`, `every`, `failure`, `garbage`, `hostkey`, `http`, `on`, `rate`, `refuse`, `reset`, `revoke`, `skip`, `times` or `truncate`
}

// Eight hours pass in no time, since time is an argument.
func ExampleScenario_Poll() {
	s := &scenario.Scenario{Steps: []scenario.Step{
		{State: "pending", For: scenario.For{Polls: 1}},
		{State: "processing", For: scenario.For{Duration: 8 * time.Hour}},
		{State: "done"},
	}}
	now := time.Date(2015, 9, 9, 7, 0, 0, 0, time.UTC)
	p, _ := s.Begin(now)
	for range 3 {
		var changes []scenario.Change
		p, changes = s.Poll(p, now)
		for _, c := range changes {
			fmt.Println(c.At.Format(time.TimeOnly), c.From, "→", c.To)
		}
		fmt.Println(now.Format(time.TimeOnly), "status says", s.State(p))
		now = now.Add(5 * time.Hour)
	}
	// Output:
	// 07:00:00 status says pending
	// 12:00:00 pending → processing
	// 12:00:00 status says processing
	// 17:00:00 status says processing
}

func ExampleScenario_Pick() {
	s := &scenario.Scenario{Faults: []scenario.Fault{
		{On: scenario.OnStatus, Skip: 1, Times: 2, Failure: &scenario.Failure{Reason: "SERVER:ERROR"}},
	}}
	var counts scenario.Counts
	for call := 1; call <= 4; call++ {
		var fault *scenario.Fault
		fault, _, counts = s.Pick(scenario.OnStatus, counts)
		fmt.Println(call, fault != nil)
	}
	// Output:
	// 1 false
	// 2 true
	// 3 true
	// 4 false
}
