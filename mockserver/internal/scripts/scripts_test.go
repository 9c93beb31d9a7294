package scripts_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/scripts"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The script of a request depends on the API over which it came, and on what its create got.
func TestForRequest(t *testing.T) {
	t.Parallel()
	set := scripts.New([]*scenario.Scenario{
		{Name: "new-actuator", When: scenario.When{"api": scenario.APIScript, "actuator": "web"}},
		{Name: "old-version", When: scenario.When{"api_version": "0.1"}},
		{Name: "script", When: scenario.When{"api": scenario.APIScript, "contract": "M1*"}},
		{Name: "database", When: scenario.When{"api": scenario.APIDatabase, "contract": "M1*"}},
		{Name: "both", When: scenario.When{"contract": "M2*"}},
	})
	for _, tc := range []struct {
		params platform.CreateParams
		want   string
	}{
		{platform.CreateParams{Contract: "M1"}, "database"},
		{platform.CreateParams{API: platform.APIDatabase, Contract: "M1"}, "database"},
		{platform.CreateParams{API: platform.APIScript, Contract: "M1", Actuator: "cli", APIVersion: "0.2"}, "script"},
		{platform.CreateParams{API: platform.APIScript, Contract: "M1", Actuator: " web "}, "new-actuator"},
		{platform.CreateParams{API: platform.APIScript, Contract: "M1", APIVersion: "0.1"}, "old-version"},
		{platform.CreateParams{Contract: "M2"}, "both"},
		{platform.CreateParams{API: platform.APIScript, Contract: "M2"}, "both"},
		{platform.CreateParams{Contract: "M3"}, "default"},
		{platform.CreateParams{API: platform.APIScript, Contract: "M3"}, "default-script"},
	} {
		if got := set.ForRequest(tc.params).Name; got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.params, got, tc.want)
		}
	}
	var names []string
	for _, s := range append(set.All(), set.Normal()...) {
		names = append(names, s.Name)
	}
	want := []string{"new-actuator", "old-version", "script", "database", "both", "default", "default-script"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("the scripts (-want +got):\n%s", diff)
	}
}

// Faults of create count for each contract, by places: those of the other API are not met.
func TestPickFor_countsPerContract(t *testing.T) {
	t.Parallel()
	script := &scenario.Scenario{Name: "s", Faults: []scenario.Fault{
		{On: scenario.OnCreate, Reset: true},
		{On: scenario.OnScriptCreate, Times: 1, Failure: &scenario.Failure{Message: "expired"}},
	}}
	set := scripts.New([]*scenario.Scenario{script})
	var got []int
	for _, who := range []string{"M1", "M1", "M2", "M2"} {
		index := -1
		if f := set.PickFor(script, scenario.OnScriptCreate, who); f != nil {
			index = f.Index
		}
		got = append(got, index)
	}
	if diff := cmp.Diff([]int{1, -1, 1, -1}, got); diff != "" {
		t.Errorf("the faults (-want +got):\n%s", diff)
	}
	set.Forget("M1")
	if set.PickFor(script, scenario.OnScriptCreate, "M1") == nil {
		t.Error("what was counted is not forgotten")
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	text := ""
	for want, f := range map[string]scenario.Fault{
		"faults[2]: script.status failure": {
			On: "script.status", Failure: &scenario.Failure{Message: "x"},
		},
		"faults[2]: rsync.login unreachable": {On: "rsync.login", Unreachable: true},
		"faults[2]: rsync.login known_hosts": {On: "rsync.login", KnownHosts: &text},
		"faults[2]: rsync.upload disconnect after 65536 rate 100 B/s": {
			On: "rsync.upload", Disconnect: true, After: 65536, Rate: 100,
		},
		"faults[2]: rsync.upload reset at the file *.dat delay 1s": {
			On: "rsync.upload", Reset: true, File: "*.dat", Delay: time.Second,
		},
	} {
		if got := scripts.Describe(&platform.Fault{Fault: &f, Index: 2}); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
