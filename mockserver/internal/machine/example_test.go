package machine_test

import (
	"fmt"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Eight hours pass in no time, since time is an argument.
func ExamplePoll() {
	s := &scenario.Scenario{Steps: []scenario.Step{
		{State: "pending", For: scenario.For{Polls: 1}},
		{State: "processing", For: scenario.For{Duration: 8 * time.Hour}},
		{State: "done"},
	}}
	now := time.Date(2015, 9, 9, 7, 0, 0, 0, time.UTC)
	p, _ := machine.Begin(s, "draft", now)
	for range 3 {
		var changes []machine.Change
		p, changes = machine.Poll(s, p, now)
		for _, c := range changes {
			fmt.Println(c.At.Format(time.TimeOnly), c.From, "→", c.To)
		}
		fmt.Println(now.Format(time.TimeOnly), "status says", machine.State(s, p))
		now = now.Add(5 * time.Hour)
	}
	// Output:
	// 07:00:00 status says pending
	// 12:00:00 pending → processing
	// 12:00:00 status says processing
	// 17:00:00 status says processing
}

func ExamplePick() {
	s := &scenario.Scenario{Faults: []scenario.Fault{
		{On: scenario.OnStatus, Skip: 1, Times: 2, Failure: &scenario.Failure{Reason: "SERVER:ERROR"}},
	}}
	var counts machine.Counts
	for call := 1; call <= 4; call++ {
		var fault *scenario.Fault
		fault, _, counts = machine.Pick(s, scenario.OnStatus, counts)
		fmt.Println(call, fault != nil)
	}
	// Output:
	// 1 false
	// 2 true
	// 3 true
	// 4 false
}
