// Package verify holds what happened against what a scenario expects of a good client.
//
// It is a pure function of the script and the journal. What only the one who ran the client can know (its exit status, its output, the
// file it left) is not judged here.
package verify

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The verdicts.
const (
	Pass     = "pass"
	Fail     = "fail"
	Unjudged = "unjudged" // only who ran the client can know
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

// Judge judges every expectation of the script by the events, which are in order and all belong to it. The results
// are in the order of the script language.
func Judge(script *scenario.Scenario, events []journal.Event) []Result {
	expect := script.Expect
	if expect == nil {
		return nil
	}
	j := judge{script: script, events: events, byName: make(map[string][]int)}
	for i := range events {
		for _, name := range names(&events[i]) {
			j.byName[name] = append(j.byName[name], i)
		}
	}
	j.unjudged("exit", expect.Exit)
	for _, name := range slices.Sorted(maps.Keys(expect.Calls)) {
		j.calls(name, expect.Calls[name])
	}
	if len(expect.Order) > 0 {
		j.order(expect.Order)
	}
	for _, name := range slices.Sorted(maps.Keys(expect.Interval)) {
		j.interval(name, expect.Interval[name])
	}
	if expect.Resumed {
		j.resumed()
	}
	if expect.Within > 0 {
		j.unjudged("within", expect.Within.String())
	}
	j.unjudged("out", expect.Out)
	j.unjudged("shows", expect.Shows.String())
	j.unjudged("hides", expect.Hides)
	return j.results
}

type judge struct {
	script  *scenario.Scenario
	events  []journal.Event
	byName  map[string][]int // indexes of the events that count as the name
	results []Result
}

// names are the expectation's words for an event.
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

// find returns the events that count as name. A dump can go either way: what is said of upload is met by sftp.put, and the other way
// round, by a client that uses the other way only.
func (j *judge) find(name string) []int {
	found := j.byName[name]
	if len(found) > 0 {
		return found
	}
	switch name {
	case scenario.OnUpload:
		return j.byName[scenario.OnSFTPPut]
	case scenario.OnSFTPPut:
		if len(j.byName[scenario.OnSFTPLogin]) == 0 {
			return j.byName[scenario.OnUpload]
		}
	}
	return nil
}

func (j *judge) add(expect, wanted string, ok bool, saw, hint string, nearest int) {
	r := Result{Scenario: j.script.Name, Expect: expect, Verdict: Pass, Wanted: wanted, Saw: saw}
	if !ok {
		r.Verdict, r.Hint = Fail, hint
		if nearest >= 0 && nearest < len(j.events) {
			r.Nearest = j.events[nearest].Seq
		}
	}
	j.results = append(j.results, r)
}

func (j *judge) unjudged(expect, wanted string) {
	if wanted != "" {
		j.results = append(j.results, Result{Scenario: j.script.Name, Expect: expect, Verdict: Unjudged, Wanted: wanted})
	}
}

func (j *judge) calls(name string, bound scenario.Bound) {
	found := j.find(name)
	n := len(found)
	saw := fmt.Sprintf("%d %s", n, name)
	nearest, hint := -1, ""
	if n > 0 {
		nearest = found[n-1]
	}
	switch {
	case bound.Holds(n):
	case n == 0:
		hint = fmt.Sprintf("a good client calls %s here", name)
		nearest = len(j.events) - 1
		if nearest >= 0 {
			saw += "; the last thing that happened was " + describe(&j.events[nearest])
		}
	case bound.Op == scenario.Op(">=") || bound.Op == scenario.Op(">") || n < bound.N:
		hint = fmt.Sprintf("a good client does not give up after %s %s", times(n), name)
		saw += "; the last was " + describe(&j.events[nearest])
	default:
		hint = fmt.Sprintf("a good client does not call %s again", name)
		saw += "; the last was " + describe(&j.events[nearest])
	}
	j.add("calls."+name, name+" "+bound.String()+" times", bound.Holds(n), saw, hint, nearest)
}

func times(n int) string {
	if n == 1 {
		return "one"
	}
	return fmt.Sprint(n)
}

func (j *judge) order(want []string) {
	wanted := strings.Join(want, " → ")
	last, lastName := -1, ""
	for _, name := range want {
		if name == scenario.OnRequestSFTPAccess && len(j.byName[name]) == 0 && len(j.byName[scenario.OnUpload]) > 0 {
			continue // the dump went the other way
		}
		found := j.find(name)
		if len(found) == 0 {
			saw := "no " + name
			if last >= 0 {
				saw += " after " + describe(&j.events[last])
			}
			j.add("order", wanted, false, saw, fmt.Sprintf("a good client goes on with %s", name), last)
			return
		}
		first := found[0]
		if first < last {
			gap := j.events[last].At.Sub(j.events[first].At)
			j.add("order", wanted, false,
				fmt.Sprintf("%s %s before %s", name, round(gap), lastName),
				fmt.Sprintf("a good client waits for the end of %s before it calls %s", lastName, name), first)
			return
		}
		last, lastName = first, name
	}
	j.add("order", wanted, true, wanted, "", -1)
}

func (j *judge) interval(name string, want scenario.Interval) {
	type previous struct {
		at   time.Time
		have bool
	}
	last := make(map[int64]previous)
	wanted := fmt.Sprintf("%s between two calls of %s", want, name)
	var seen []time.Duration
	for _, i := range j.byName[name] {
		e := &j.events[i]
		if before := last[e.Request]; before.have {
			gap := e.At.Sub(before.at)
			if !want.Holds(gap) {
				j.add("interval."+name, wanted, false, fmt.Sprintf("%s after %s", describe(e), round(gap)),
					"a good client leaves that time between its calls", i)
				return
			}
			seen = append(seen, gap)
		}
		last[e.Request] = previous{e.At, true}
	}
	saw := "no two calls"
	if len(seen) > 0 {
		saw = fmt.Sprintf("%s to %s", round(slices.Min(seen)), round(slices.Max(seen)))
	}
	j.add("interval."+name, wanted, true, saw, "", -1)
}

// resumed looks for a transfer that broke, and how the next one on the same file began.
func (j *judge) resumed() {
	const wanted = "the broken transfer is continued, not begun again"
	broken := slices.IndexFunc(j.events, func(e journal.Event) bool {
		return e.On == "sftp.abort" && (len(e.Written) > 0 || len(e.Read) > 0)
	})
	if broken < 0 {
		j.resumedDownload(wanted)
		return
	}
	e := &j.events[broken]
	part := func(e *journal.Event) []journal.Range {
		if len(j.events[broken].Written) > 0 {
			return e.Written
		}
		return e.Read
	}
	// What was there without a hole, counting from where that transfer began.
	kept := part(e)[0].To
	for i := broken + 1; i < len(j.events); i++ {
		next := &j.events[i]
		if next.Request != e.Request || (next.On != "sftp.close" && next.On != "sftp.abort") || len(part(next)) == 0 {
			continue
		}
		from := part(next)[0].From
		switch {
		case from > kept && len(e.Written) > 0:
			j.add("resumed", wanted, false, fmt.Sprintf("%d bytes were there, and the next transfer began at offset %d: a hole of %d bytes", kept, from, from-kept),
				"a good client asks for the size of the file and continues there", i)
		case from == 0 && kept > 0:
			j.add("resumed", wanted, false, fmt.Sprintf("%d bytes were there, and the next transfer began at offset 0: everything was sent again", kept),
				"a good client asks for the size of the file and continues there (put -a, get -a)", i)
		default:
			j.add("resumed", wanted, true, fmt.Sprintf("%d bytes were there, and the next transfer began at offset %d", kept, from), "", -1)
		}
		return
	}
	j.add("resumed", wanted, false, fmt.Sprintf("the transfer broke after %d bytes, and no other followed", kept),
		"a good client connects again and continues", broken)
}

func (j *judge) resumedDownload(wanted string) {
	for _, i := range j.byName[scenario.OnDownload] {
		if j.events[i].Status == 206 {
			j.add("resumed", wanted, true, describe(&j.events[i])+" asked for the rest only", "", -1)
			return
		}
	}
	j.add("resumed", wanted, false, "no transfer was continued", "a good client continues a broken transfer where it broke: by size over SFTP, with Range over HTTP", len(j.events)-1)
}

// describe names an event for people.
func describe(e *journal.Event) string {
	text := e.On
	if e.Method != "" {
		text += " (" + e.Method + ")"
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

func round(d time.Duration) time.Duration {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond)
	case d < time.Minute:
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Second)
}
