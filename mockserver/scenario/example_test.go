package scenario_test

import (
	"errors"
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
	if wrong, ok := errors.AsType[*scenario.Error](err); ok {
		for _, m := range wrong.Mistakes {
			fmt.Printf("%s:%d:%d: %s, did you mean %s?\n", m.File, m.Line, m.Column, m.Path, m.Nearest)
		}
	}
	// Output:
	// flaky.yaml:4:27: steps[0].for, did you mean 1 poll?
	// flaky.yaml:7:18: faults[0].time, did you mean times?
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
