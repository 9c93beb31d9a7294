package scenario_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// What Parse accepts is valid, and written as JSON and parsed again it is the same; what it refuses it refuses with
// mistakes that have a place in the file.
func FuzzParse(f *testing.F) {
	for _, src := range append(builtIns(f), whole, wholeScript) {
		f.Add([]byte(src))
	}
	for _, src := range []string{
		"", "{", "[[[[", "a: &a [*a, *a]", "? {a: b}\n: c", "steps: [{state: a, for: .5s}, {state: 'b'}]",
		"name: |\n  a\n  b\n",
		"faults: [{on: status, failure: {reason: x, a: 1e21, b: -0.0, c: 123456789012345678901234567890, d: 0x1f, " +
			"e: [{}], f: \"\\u0000\"}}]",
		"faults: [{on: status, failure: {reason: x, a: 1e17, b: 1000000000000000128.0, c: -1e18, d: 1e19, e: 9.3e18}}]",
		"faults: [{on: download, after: 1.5KiB, truncate: true, delay: 1h0.5s}]", "upgraded: {built: 8MiB, notes: n}",
		"expect: {calls: {status: '>  3', create: '==1'}, interval: {status: '<1h'}, shows: 'text: a'}",
		"when: {api: script}\nupgraded: {dump_name: null}",
		"faults: [{on: rsync.upload, after: {file: '*'}, reset: true}, {on: rsync.login, known_hosts: null, delay: 1s}]",
		"\ufeff{\"name\":\t\"\\ud83d\\ude00\"}",
	} {
		f.Add([]byte(src))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		s, err := scenario.Parse("fuzz.yaml", src)
		if err != nil {
			var e *scenario.Error
			if !errors.As(err, &e) || len(e.Mistakes) == 0 {
				t.Fatalf("an error without mistakes: %v", err)
			}
			for _, m := range e.Mistakes {
				if m.File != "fuzz.yaml" || m.Line < 1 || m.Column < 1 || m.Message == "" {
					t.Errorf("a mistake without a place: %+v", m)
				}
				if strings.HasPrefix(m.Message, "not YAML") && !strings.Contains(m.Message, "wanted") {
					t.Errorf("a mistake without what was wanted: %+v", m)
				}
			}
			return
		}
		if err := s.Validate(); err != nil {
			t.Errorf("parsed but not valid: %v", err)
		}
		written, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := scenario.Parse("fuzz.yaml", written)
		if err != nil {
			t.Fatalf("written as %s\n%v", written, err)
		}
		if diff := cmp.Diff(s, again, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("written as %s (-first +again):\n%s", written, diff)
		}
	})
}
