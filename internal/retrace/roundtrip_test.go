package retrace_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/internal/testclient"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// TestFromJournal_roundTrip: under the scenario that is made of the journal of a run, the same client gets the same
// answers at the same places as in that run; for every built-in scenario.
func TestFromJournal_roundTrip(t *testing.T) {
	t.Parallel()
	skip := func(i int, _ *scenario.Scenario) bool { return testprog.Sample() && i%6 != 0 }
	testclient.Builtins(t, skip, func(t *testing.T, script *scenario.Scenario, run testclient.Run) {
		first := run(t, script, nil)
		c := retrace.New("", nil) // nothing is known but the journal
		for i := range first {
			c.Event(&first[i])
		}
		list, _ := c.Requests()
		if len(list) == 0 {
			t.Fatal("no request")
		}
		made, err := c.Script(list[len(list)-1].Request, retrace.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range scenario.Warnings(script.Name, made.YAML) {
			t.Error(w)
		}
		second := run(t, made.Scenario, nil)
		if diff := cmp.Diff(told(first), told(second)); diff != "" {
			t.Errorf("(-first +second):\n%s\n%s", diff, made.YAML)
		}
	})
}

var faultNumber = regexp.MustCompile(`^faults\[\d+\]: `)

// told is what a client was told, in its order for each kind of event.
func told(events []journal.Event) map[string][]string {
	kinds := map[string][]string{}
	for _, e := range events {
		kind := e.On
		switch {
		case kind == journal.OnState || !strings.HasPrefix(kind, "sftp.") && !strings.HasPrefix(kind, "rsync."):
		case strings.HasSuffix(kind, "connect"), strings.HasSuffix(kind, "offered"):
			continue // which says when a connection came and went
		}
		text := fmt.Sprintf("%d %s %s→%s %v", e.Status, e.State, e.From, e.To, e.Failures)
		if e.Fault != "" {
			text += " " + faultNumber.ReplaceAllString(e.Fault, "")
		}
		if e.Fired != nil {
			text += fmt.Sprint(" at ", e.Fired.At)
		}
		if e.Rsync != nil {
			text += fmt.Sprint(" exit ", e.Rsync.Exit)
		}
		if e.RetryAfter > 0 {
			text += " retry after " + e.RetryAfter.String()
		}
		kinds[kind] = append(kinds[kind], text)
	}
	return kinds
}
