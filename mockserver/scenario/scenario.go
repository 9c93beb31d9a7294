// Package scenario is the script language of the emulator: what the platform does after `process`, what goes wrong
// on the way, and what a good client makes of it.
//
// A script is YAML (or JSON, which is YAML):
//
//	name: flaky-production
//	description: Two refused polls, a human test phase, then done.
//	when: {aim: production, contract: "M1*"}
//	steps:
//	  - {state: pending,    for: 1 poll}
//	  - {state: processing, for: 2s, set: {estimated_time: "00:30"}}
//	  - {state: testing,    for: released}
//	  - {state: done,       set: {filestore: true}}
//	faults:
//	  - {on: status, times: 2, failure: {reason: "SERVER:ERROR", message: "try again"}}
//	  - {on: upload, skip: 1, times: 1, after: 64KiB, reset: true}
//	upgraded: built
//	expect: {exit: success, calls: {create: 1, status: ">=3"}}
//
// A *Scenario is data: it starts nothing, and only UnmarshalJSON and Resolve change it. All other methods may be
// called concurrently.
//
// The production platform's states and failures are not known completely, so any state name and any failure reason can
// be scripted; only what the emulator itself has to understand is a closed list.
package scenario

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/bytesize"
)

// Scenario is one script. The zero value is a platform on which nothing goes wrong: every request, the steps of
// [Default], no faults, the upgraded dump equal to the uploaded one.
type Scenario struct {
	// Name is what lists, journals and verdicts call it. [Parse] puts the file's base name where a script has none.
	Name string `json:"name,omitempty"`
	// Description is one sentence for people.
	Description string `json:"description,omitempty"`
	// When says which requests it is for; empty: every request.
	When When `json:"when,omitempty"`
	// Steps are the states after `process`, in order; nil: the steps of Default. All but the last say how long.
	Steps []Step `json:"steps,omitempty"`
	// Faults are looked at in order, and the first that applies is used; see Pick.
	Faults []Fault `json:"faults,omitempty"`
	// Upgraded is what the client gets back; zero: the very bytes it sent.
	Upgraded Upgraded `json:"upgraded,omitzero"`
	// Expect is what a good client does; nil: not judged.
	Expect *Expect `json:"expect,omitempty"`
}

// When maps create's parameters to globs that they must all match: `*` any text, `?` one character, `[a-z]`, `[^a-z]`,
// and `\` before a character that is meant itself. A parameter that was not given counts as empty.
type When map[string]string

// Step is one state of a request.
type Step struct {
	// State is what status says; any name.
	State string `json:"state"`
	// For is how long the state lasts; zero: for ever, which only the last step may and must say.
	For For `json:"for,omitzero"`
	// Set overrides keys of status from this step on: strings, integers, booleans, lists of strings or nil.
	Set map[string]any `json:"set,omitempty"`
}

// Upgraded says what the client gets back: zero for the uploaded bytes themselves.
type Upgraded struct {
	// Built asks for a small valid Odoo zip in place of the upload.
	Built bool
	// Size is the least number of bytes the built archive has; zero: as small as it comes.
	Size int64
	// Archive is the file handed out as the upgraded dump, over HTTPS and SFTP alike.
	Archive string
	// SQL is the file behind upgraded_sql_url; empty: what the archive holds.
	SQL string
	// Notes is the HTML file behind notes_url; empty: a page of the emulator's own.
	Notes string
	// Modules is the file behind modules_url; empty: an archive of the emulator's own.
	Modules string
}

// Default returns the script that requests without one follow: pending for one poll, processing for one poll, done.
func Default() *Scenario {
	return &Scenario{
		Name:        "default",
		Description: "Pending for one poll, processing for one poll, then done.",
		Steps:       slices.Clone(defaultSteps),
	}
}

var defaultSteps = []Step{
	{State: "pending", For: For{Polls: 1}},
	{State: "processing", For: For{Polls: 1}},
	{State: "done"},
}

// whenKeys are the parameters of create (row 3.1).
var whenKeys = []string{"contract", "email", "target", "aim", "filename", "timezone"}

// Matches reports whether the script is for a request created with params. A glob that is not well-formed, which
// only a Go value that was never validated can have, matches nothing.
func (s *Scenario) Matches(params map[string]string) bool {
	for key, glob := range s.When {
		if ok, err := match(glob, params[key]); !ok || err != nil {
			return false
		}
	}
	return true
}

// match is path.Match without its idea that `/` is special: zone names have one.
func match(glob, text string) (bool, error) {
	const stand = "\U0010fffd" // a private-use character that no parameter has
	return path.Match(strings.ReplaceAll(glob, "/", stand), strings.ReplaceAll(text, "/", stand))
}

// UnmarshalJSON reads the script language, checking it as [Parse] does.
func (s *Scenario) UnmarshalJSON(src []byte) error {
	parsed, err := Parse("", src)
	if err != nil {
		return err
	}
	*s = *parsed
	return nil
}

// files lists the named files as key → path.
func (u *Upgraded) files() map[string]*string {
	files := map[string]*string{"archive": &u.Archive, "sql": &u.SQL, "notes": &u.Notes, "modules": &u.Modules}
	maps.DeleteFunc(files, func(_ string, path *string) bool { return *path == "" })
	return files
}

// MarshalJSON writes the shortest form of the language: "same", "built", or an object.
func (u Upgraded) MarshalJSON() ([]byte, error) {
	switch u {
	case Upgraded{}:
		return json.Marshal("same")
	case Upgraded{Built: true}:
		return json.Marshal("built")
	}
	object := map[string]any{}
	if u.Built {
		object["built"] = bytesize.Format(u.Size)
	}
	for key, path := range u.files() {
		object[key] = *path
	}
	return json.Marshal(object)
}
