// Package verify holds what happened against what a scenario expects of a good client. It is the one judge of
// that: for Server.Verify, for exec and for certify.
//
// It is a function of the script, the journal, the requests and, where the client was run, what its runner
// knows about it; see Run.
package verify

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/likeness"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The verdicts.
const (
	Pass     = "pass"
	Fail     = "fail"
	Unjudged = "unjudged" // it takes a Run that knows more
)

// Result is the verdict on one expectation.
type Result struct {
	Scenario string `json:"scenario"`
	Expect   string `json:"expect"` // its place in the script, such as "calls.process"
	Verdict  string `json:"verdict"`
	Wanted   string `json:"wanted"`
	Saw      string `json:"saw,omitempty"`
	Hint     string `json:"hint,omitempty"`    // what a good client would have done
	Nearest  uint64 `json:"nearest,omitempty"` // the journal's number of the nearest thing that happened
}

// Evidence is what a client is judged by.
type Evidence struct {
	// Events are those of the script's requests, in order.
	Events []journal.Event
	// Creates are the calls of create and upgrade that were meant for the script: its own, and those that no
	// script is for.
	Creates []journal.Event
	// Strays are calls that name no request, or one with a wrong key.
	Strays []journal.Event
	// Requests are the script's, in the order of their ids.
	Requests []Request
	// Came returns when an event happened, by the clock by which durations are judged; nil: its At.
	Came func(*journal.Event) time.Time
	// Run is what is known of the client beside its calls; nil: nothing.
	Run *Run
}

// Request is a request as the platform has it.
type Request struct {
	ID        int64
	Key       string
	Processed bool
	Status    map[string]any
	// Original opens the dump that is processed, Upgraded what the client gets, and UpgradedSQL the same as SQL. They
	// are nil for a request of the script API.
	Original, Upgraded, UpgradedSQL func() (*Content, error)
	// Uploaded opens what rsync brought, such as origin.zip or the directory origin.dump, and Results what it can
	// fetch, where the upgraded dump is called DumpName. They are nil for a request of the database API.
	Uploaded, Results func() (fs.FS, func() error, error)
	DumpName          string
}

// Content is a file of the platform. Close it.
type Content struct {
	likeness.File
	Close func() error
}

// Judge judges every expectation of the script. The results are in the order of the script language.
func Judge(script *scenario.Scenario, evidence Evidence) []Result {
	expect := script.Expect
	if expect == nil {
		return nil
	}
	j := judge{script: script, Evidence: evidence, events: evidence.Events, byName: make(map[string][]int)}
	for i := range j.events {
		for _, name := range j.names(&j.events[i]) {
			j.byName[name] = append(j.byName[name], i)
		}
	}
	j.exit(expect.Exit)
	for _, name := range slices.Sorted(maps.Keys(expect.Calls)) {
		j.calls(name, expect.Calls[name])
	}
	if len(expect.Order) > 0 {
		j.order(expect.Order)
	}
	for _, name := range slices.Sorted(maps.Keys(expect.Interval)) {
		j.interval(name, expect.Interval[name])
	}
	if expect.RetryAfter != "" {
		j.retryAfter()
	}
	if expect.GivesUp != "" {
		j.givesUp(expect.GivesUp)
	}
	if expect.Resumed {
		j.resumed()
	}
	if expect.Params != "" {
		j.params()
	}
	if expect.Dump != "" {
		j.dump()
	}
	if expect.Requests != "" {
		j.requests()
	}
	j.within(expect.Within)
	j.out(expect.Out)
	if expect.Filestore != "" {
		j.filestore()
	}
	j.shows(expect.Shows)
	if expect.Hides != "" {
		j.hides()
	}
	return j.results
}

type judge struct {
	Evidence
	script  *scenario.Scenario
	events  []journal.Event
	byName  map[string][]int // indexes of the events that count as the name
	results []Result
}

// came is when an event happened, for durations.
func (j *judge) came(e *journal.Event) time.Time {
	if j.Came != nil {
		return j.Came(e)
	}
	return e.At
}

// names are the expectation's words for an event. In a scenario for both APIs, what is said of an event of the
// database API is said of its like, too.
func (j *judge) names(e *journal.Event) []string {
	list := names(e)
	if like := likes[e.On]; like != "" && j.script.When["api"] == "" {
		list = append(list, like)
	}
	return list
}

// likes are the events of the script API and what is the like of each over the database API.
var likes = map[string]string{
	scenario.OnScriptCreate:        scenario.OnCreate,
	scenario.OnScriptTransferStart: scenario.OnRequestSFTPAccess,
	scenario.OnScriptProcess:       scenario.OnProcess,
	scenario.OnScriptStatus:        scenario.OnStatus,
	scenario.OnRsyncLogin:          scenario.OnSFTPLogin,
	scenario.OnRsyncUpload:         scenario.OnUpload,
	scenario.OnRsyncDownload:       scenario.OnDownload,
}

// names are the expectation's words for an event of its API.
func names(e *journal.Event) []string {
	switch e.On {
	case "sftp.fault":
		if e.Op == "login" { // a login that would have succeeded
			return []string{scenario.OnSFTPLogin}
		}
	case "sftp.abort", "sftp.close":
		var list []string
		if len(e.Read) > 0 {
			list = append(list, scenario.OnSFTPRead)
		}
		if len(e.Written) > 0 {
			list = append(list, scenario.OnSFTPWrite)
		}
		if e.On == "sftp.close" {
			list = append(list, scenario.OnSFTPClose)
		}
		return list
	}
	return []string{e.On}
}

// overScript reports whether the client used the script API, or was to use it.
func (j *judge) overScript() bool {
	return j.script.When["api"] == scenario.APIScript ||
		slices.ContainsFunc(j.Requests, func(r Request) bool { return r.Results != nil }) ||
		slices.ContainsFunc(j.events, func(e journal.Event) bool { return strings.HasPrefix(e.On, "script.") })
}

// choose returns one of two texts by the API that the client used.
func (j *judge) choose(database, script string) string {
	if j.overScript() {
		return script
	}
	return database
}

// overHTTPS reports whether the dump went up over HTTPS, and no other way.
func (j *judge) overHTTPS() bool { return sentOver(j.events) == "https" }

// sentOver is the way on which a dump went up: "https", "sftp", or "" when none was sent. Who tried both ways went
// over SFTP.
func sentOver(events []journal.Event) (way string) {
	for i := range events {
		switch e := &events[i]; {
		case e.On == scenario.OnSFTPPut || len(e.Written) > 0:
			return "sftp"
		case e.On == scenario.OnUpload || e.On == scenario.OnUpgrade:
			way = "https"
		}
	}
	return way
}

// find returns the events that count as name. A dump can go either way: what is said of upload is met by
// sftp.put, and the other way round, by a client that uses the other way only.
func (j *judge) find(name string) []int {
	found := j.byName[name]
	switch {
	case len(found) > 0:
	case name == scenario.OnUpload:
		return j.byName[scenario.OnSFTPPut]
	case name == scenario.OnSFTPPut && (j.overHTTPS() || j.overScript()):
		return j.byName[scenario.OnUpload]
	}
	return found
}

func (j *judge) add(expect, wanted string, ok bool, saw, hint string, nearest int) {
	var e *journal.Event
	if nearest >= 0 && nearest < len(j.events) {
		e = &j.events[nearest]
	}
	j.decide(expect, wanted, ok, saw, hint, e)
}

// decide adds a result; nearest may be nil.
func (j *judge) decide(expect, wanted string, ok bool, saw, hint string, nearest *journal.Event) {
	r := Result{Scenario: j.script.Name, Expect: expect, Verdict: Pass, Wanted: wanted, Saw: saw}
	if !ok {
		r.Verdict, r.Hint = Fail, hint
		if nearest != nil {
			r.Nearest = nearest.Seq
		}
	}
	j.results = append(j.results, r)
}

func (j *judge) unjudged(expect, wanted string) {
	j.results = append(j.results, Result{Scenario: j.script.Name, Expect: expect, Verdict: Unjudged, Wanted: wanted})
}

// describe names an event for people.
func describe(e *journal.Event) string {
	text := e.On
	if e.Method != "" && !strings.HasPrefix(e.On, "script.") { // which are always called alike
		text += " (" + e.Method + ")"
	}
	if e.Rsync != nil {
		text += rsyncEnd(e.Rsync)
	}
	if len(e.Failures) > 0 {
		text += " answered " + strings.Join(e.Failures, ", ")
	} else if e.Status != 0 && e.Status != 200 {
		text += fmt.Sprintf(" answered %d", e.Status)
	}
	if e.Fault != "" {
		text += ", which met the fault " + e.Fault
	}
	return text + " at " + e.At.Format("15:04:05.000")
}

// rsyncEnd says how a session of rsync ended, if not well.
func rsyncEnd(r *journal.Rsync) string {
	switch r.Exit {
	case 0:
		return ""
	case journal.NoExit:
		return ", which broke off"
	}
	return fmt.Sprintf(", which ended with status %d", r.Exit)
}

func round(d time.Duration) time.Duration {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond)
	case d < time.Minute:
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}
