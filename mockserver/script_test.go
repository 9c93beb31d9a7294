package mockserver_test

import (
	"errors"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// scripted is a scenario, for options, of what the platform's states need to be tested in.
func scripted(tb testing.TB, yaml string) []*scenario.Scenario {
	tb.Helper()
	s, err := scenario.Parse("test.yaml", []byte(yaml))
	if err != nil {
		tb.Fatal(err)
	}
	return []*scenario.Scenario{s}
}

// isError is errors.Is, with nil for no error.
func isError(err, target error) bool { return errors.Is(err, target) }
