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
// Without `when: {api: …}` a script is for the requests of both APIs: a fault on a place of the one API never meets a
// call of the other.
//
// A *Scenario is data: it starts nothing, and only UnmarshalJSON, Resolve and MapFiles change it. All other methods may
// be called concurrently.
//
// The production platform's states and failures are not known completely, so any state name and any failure reason can
// be scripted; only what the emulator itself has to understand is a closed list.
package scenario

import (
	"cmp"
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/bytesize"
)

// Scenario is one script. The zero value is a platform on which nothing goes wrong: every request of both APIs, the
// steps of [Default] or [DefaultScript], no faults, the upgraded dump equal to the uploaded one.
type Scenario struct {
	// Name is what lists, journals and verdicts call it. [Parse] puts the file's base name where a script has none.
	Name string `json:"name,omitempty"`
	// Description is one sentence for people.
	Description string `json:"description,omitempty"`
	// When says which requests it is for; empty: every request.
	When When `json:"when,omitempty"`
	// Steps are the states after `process`, in order; nil: those of Default, or of DefaultScript for a request of the
	// script API. All but the last say how long.
	Steps []Step `json:"steps,omitempty"`
	// Faults are looked at in order, and the first that applies is used; see Pick.
	Faults []Fault `json:"faults,omitempty"`
	// Upgraded is what the client gets back; zero: the very bytes it sent.
	Upgraded Upgraded `json:"upgraded,omitzero"`
	// Run is how a client is run that is judged; zero: once, with an empty standard input.
	Run Run `json:"run,omitzero"`
	// Expect is what a good client does; nil: not judged.
	Expect *Expect `json:"expect,omitempty"`
}

// When maps create's parameters to globs that they must all match: `*` any text, `?` one character, `[a-z]`, `[^a-z]`,
// and `\` before a character that is meant itself. A parameter that was not given counts as empty. The key "api" is
// no parameter: its value is APIDatabase or APIScript, and without it the script is for both.
type When map[string]string

// Step is one state of a request.
type Step struct {
	// State is what status says; any name.
	State string `json:"state"`
	// For is how long the state lasts; zero: for ever, which only the last step may and must say.
	For For `json:"for,omitzero"`
	// Set overrides keys of status from this step on: strings, integers, booleans, lists of strings or nil.
	Set map[string]any `json:"set,omitempty"`
	// Log is what the log of the script API has more from this step on; nil: nothing more. If no step has one, the
	// log is the emulator's own, which grows with the steps.
	Log *Log `json:"log,omitempty"`
}

// Log is a part of a log: Text as it stands, or the content of File if that is not empty.
type Log struct {
	Text string // may be empty, for nothing more
	File string // a path
}

// Upgraded says what the client gets back: zero for the uploaded bytes themselves. SQL, Notes and Modules are for the
// database API only; DumpName, Filestore, Report, Log and Missing for the script API only.
type Upgraded struct {
	// Built asks for a small valid Odoo zip in place of the upload. Where a directory was uploaded over the script
	// API, it asks for a small filestore beside the dump, which remains the upload.
	Built bool
	// Size is the least number of bytes the built archive has; zero: as small as it comes.
	Size int64
	// Archive is the file handed out as the upgraded dump, over HTTPS, SFTP and rsync alike. Over rsync alone it can
	// be a directory, a dump in PostgreSQL's directory format.
	Archive string
	// SQL is the file behind upgraded_sql_url; empty: what the archive holds.
	SQL string
	// Notes is the HTML file behind notes_url; empty: a page of the emulator's own.
	Notes string
	// Modules is the file behind modules_url; empty: an archive of the emulator's own.
	Modules string
	// DumpName is what transfer/start answers as dump_name, and under which the upgraded dump is; nil: as the API has
	// it (rows S10.3, S10.4). With a pointer to "", the answer has null and there is no dump.
	DumpName *string
	// Filestore is the directory behind filestore/; empty: what the platform has.
	Filestore string
	// Report is the file behind upgrade-report.html; empty: a page of the emulator's own.
	Report string
	// Log is the file behind upgrade.log; empty: the log that was there while the upgrade ran.
	Log string
	// Missing says which of the result's files are not there.
	Missing Missing
}

// Missing names the files of a result that are not there, although a client asks for them. It is written as null for
// the key of the file, such as `upgraded: {report: null}`.
type Missing struct {
	Archive   bool // the upgraded dump, over rsync; over the database API it always is there
	Filestore bool // filestore/
	Report    bool // upgrade-report.html
	Log       bool // upgrade.log
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

// DefaultScript returns the script that requests of the script API without one follow: pending for one poll, progress
// for one poll, done.
func DefaultScript() *Scenario {
	return &Scenario{
		Name:        "default-script",
		Description: "Pending for one poll, progress for one poll, then done.",
		Steps: []Step{
			{State: "pending", For: For{Polls: 1}},
			{State: "progress", For: For{Polls: 1}},
			{State: "done"},
		},
	}
}

// keyAPI is the key of When that is no parameter.
const keyAPI = "api"

// createParams are the parameters of each API's create that a script can look at (rows 3.1 and S2.1 to S2.7).
var createParams = map[string][]string{
	APIDatabase: {"contract", "email", "target", "aim", "filename", "timezone"},
	APIScript:   {"contract", "target", "aim", "actuator", "api_version"},
}

// whenKeys returns the keys of `when` in a script for that API; all of them for "".
func whenKeys(api string) []string {
	keys := []string{keyAPI}
	for _, of := range apis {
		if api == "" || api == of {
			keys = append(keys, createParams[of]...)
		}
	}
	slices.Sort(keys[1:])
	return slices.Compact(keys)
}

// api returns the API that the script is for, "" for both.
func (s *Scenario) api() string { return s.When[keyAPI] }

// Matches reports whether the script is for a request created with params, in which "api" says over which API it was;
// without it, over the database API. A glob that is not well-formed, which only a Go value that was never validated
// can have, matches nothing.
func (s *Scenario) Matches(params map[string]string) bool {
	for key, glob := range s.When {
		text := params[key]
		if key == keyAPI {
			text = cmp.Or(text, APIDatabase)
		}
		if ok, err := match(glob, text); !ok || err != nil {
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

// Files returns the paths of all files that the script names, in no particular order.
func (s *Scenario) Files() []string {
	var paths []string
	for _, path := range s.Upgraded.files() {
		paths = append(paths, *path)
	}
	for _, step := range s.Steps {
		if step.Log != nil && step.Log.File != "" {
			paths = append(paths, step.Log.File)
		}
	}
	return paths
}

// MapFiles replaces the path of each file that the script names by what rename returns for it.
func (s *Scenario) MapFiles(rename func(path string) string) {
	files := s.Upgraded.files()
	for _, key := range slices.Sorted(maps.Keys(files)) {
		*files[key] = rename(*files[key])
	}
	s.Steps = slices.Clone(s.Steps) // others may have the same ones
	for i := range s.Steps {
		if log := s.Steps[i].Log; log != nil && log.File != "" {
			s.Steps[i].Log = &Log{File: rename(log.File)}
		}
	}
}

// files lists the named files as key → path.
func (u *Upgraded) files() map[string]*string {
	files := map[string]*string{
		"archive": &u.Archive, "sql": &u.SQL, "notes": &u.Notes, "modules": &u.Modules,
		"filestore": &u.Filestore, "report": &u.Report, "log": &u.Log,
	}
	maps.DeleteFunc(files, func(_ string, path *string) bool { return *path == "" })
	return files
}

// missing lists what can be missing as key → whether it is.
func (u *Upgraded) missing() map[string]*bool {
	m := &u.Missing
	return map[string]*bool{"archive": &m.Archive, "filestore": &m.Filestore, "report": &m.Report, "log": &m.Log}
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
	for key, missing := range u.missing() {
		if *missing {
			object[key] = nil
		}
	}
	if u.DumpName != nil {
		name, err := textOrNull(*u.DumpName)
		if err != nil {
			return nil, err
		}
		object["dump_name"] = json.RawMessage(name)
	}
	return json.Marshal(object)
}

// MarshalJSON writes the text, or `{"file": …}`.
func (l Log) MarshalJSON() ([]byte, error) {
	if l.File != "" {
		return json.Marshal(map[string]string{"file": l.File})
	}
	return json.Marshal(l.Text)
}
