package scenario_test

import (
	"fmt"

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

// A built-in scenario is a good start for one of your own.
func ExampleBuiltin() {
	s, err := scenario.Builtin("server-error-for-a-while")
	if err != nil {
		fmt.Println(err)
		return
	}
	s.Name = "longer"
	for i := range s.Faults {
		s.Faults[i].Times *= 10
	}
	fmt.Println(s.Validate(), s.Faults[0].On)
	// Output:
	// <nil> status
}
