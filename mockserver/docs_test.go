package mockserver_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The page about kinds of events has each that the control API knows, and no other.
func TestDocs_events(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/reference/events.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(string(text), -1) {
		got = append(got, strings.Fields(strings.ReplaceAll(row[1], "`", ""))...)
	}
	_, answer := onWire(t, nil).control("GET", "/journal?on=nothing", "")
	_, known, found := strings.Cut(answer["error"].(string), "known: ")
	if !found {
		t.Fatalf("no list of kinds in %v", answer)
	}
	want := strings.Split(known, ", ")
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds (-known +documented):\n%s", diff)
	}
}
