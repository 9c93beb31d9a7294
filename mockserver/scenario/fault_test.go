package scenario_test

import (
	"encoding/json"
	"testing"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func TestFailure_marshalsAsInAnAnswer(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(&scenario.Failure{
		Reason: "TARGET:INVALID", Message: `Invalid value "5.0"`,
		More: map[string]any{"value": "5.0", "expected": []string{"6.0", "6.1"}, "reason": "not this one"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"expected":["6.0","6.1"],"message":"Invalid value \"5.0\"","reason":"TARGET:INVALID","value":"5.0"}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
