package retrace

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// fault is a fault with what is to be said of it.
type fault struct {
	scenario.Fault
	notes []string
}

// faults makes the faults, place by place. The calls at which one triggers are disjoint, so that their order says
// nothing.
func (r *request) faults() []fault {
	var faults []fault
	for _, on := range r.onPlaces() {
		p := r.places[on]
		for _, h := range p.hits {
			f := fault{Fault: h.fault}
			f.On, f.Skip, f.Times = on, h.at, h.n
			if h.note != "" {
				f.notes = append(f.notes, h.note)
			}
			f.notes = append(f.notes, calls(h, p.calls))
			if h.at+h.n == p.calls && lasting(&f.Fault) {
				f.Times = 0
				f.notes = append(f.notes, "it was so until the end, and is taken to stay so: `times: "+
					strconv.Itoa(h.n)+"` would end it")
			}
			if r.hasWorked(on, h, &f.Fault) {
				f.Cut, f.Reset, f.HTTP, f.Failure = f.Reset, false, nil, nil
				f.Garbage = !f.Cut
				f.notes = append(f.notes, "the upgrade began all the same, so the call had its effect")
			}
			faults = append(faults, f)
		}
		if p.lost > 0 {
			r.remark(fmt.Sprintf("of %s on %s, %d are left out: a scenario would be too long",
				count(p.lost+len(p.hits), "fault"), on, p.lost))
		}
	}
	return faults
}

// hasWorked reports whether the last process of a request went wrong and began the upgrade all the same.
func (r *request) hasWorked(on string, h hit, f *scenario.Fault) bool {
	process := on == scenario.OnProcess || on == scenario.OnScriptProcess
	return process && !r.begun && len(r.stages) > 0 && h.at+h.n == r.places[on].calls && !worked(f)
}

// calls says which calls a fault was seen at.
func calls(h hit, of int) string {
	if h.n == 1 {
		return fmt.Sprintf("seen at call %d of %d", h.at+1, of)
	}
	return fmt.Sprintf("seen at calls %d to %d of %d", h.at+1, h.at+h.n, of)
}

// lasting reports whether a fault that was there at the end is likely to stay: a refusal is, and trouble passes.
func lasting(f *scenario.Fault) bool {
	switch {
	case f.Failure != nil:
		return f.Failure.Reason != "SERVER:ERROR"
	case f.HTTP != nil:
		return f.HTTP.Status < 500
	}
	return f.Error != "" || f.HostKey != "" || f.Unreachable || f.KnownHosts != nil
}

// described is how a journal names a fault: its number, place, action, and when it triggers.
var described = regexp.MustCompile(`^(?:faults\[(\d+)\]|by hand): ([a-z_.]+)` +
	`(?: (failure|http|reset|cut|truncate|garbage|refuse|disconnect|error|revoke|hostkey|known_hosts|unreachable))?` +
	`(?: after (\d+))?(?: at the file (.+?))?(?: delay ([0-9a-zµ.]+))?(?: rate (\d+) B/s)?$`)

// byHand is the number of a fault that no scenario has.
const byHand = -1

// undescribe makes a fault of what a journal calls it. index is its number in the scenario that drove the request, or
// byHand.
func undescribe(text string) (f scenario.Fault, index int, ok bool) {
	m := described.FindStringSubmatch(text)
	if m == nil {
		return f, 0, false
	}
	var err error
	if index = byHand; m[1] != "" {
		if index, err = strconv.Atoi(m[1]); err != nil {
			return f, 0, false
		}
	}
	f.On, f.File = m[2], m[5]
	for _, number := range []struct {
		text string
		into *int64
	}{{m[4], &f.After}, {m[7], &f.Rate}} {
		if number.text != "" {
			if *number.into, err = strconv.ParseInt(number.text, 10, 64); err != nil {
				return f, 0, false
			}
		}
	}
	if m[6] != "" {
		if f.Delay, err = time.ParseDuration(m[6]); err != nil {
			return f, 0, false
		}
	}
	return f, index, act(&f, m[3])
}

// act sets the action of that name, with words where the journal has none.
func act(f *scenario.Fault, action string) bool {
	script := strings.HasPrefix(f.On, "script.")
	switch action {
	case "":
		return f.Delay > 0 || f.Rate > 0
	case "failure":
		f.Failure = &scenario.Failure{Message: unsaid}
		if !script {
			f.Failure.Reason = "SERVER:ERROR"
		}
	case "http":
		f.HTTP = &scenario.HTTP{}
	case "reset":
		f.Reset = true
	case "cut":
		f.Cut = true
	case "truncate":
		f.Truncate = true
	case "garbage":
		f.Garbage = true
	case "refuse":
		f.Refuse = true
	case "disconnect":
		f.Disconnect = true
	case "error":
		f.Error = unsaid
	case "revoke":
		f.Revoke = true
	case "hostkey":
		f.HostKey = "changed"
	case "known_hosts":
		f.KnownHosts = new(string)
	case "unreachable":
		f.Unreachable = true
	}
	return true
}

// unsaid stands for a text that the journal does not have.
const unsaid = "(the journal does not have this text)"

// detail completes a fault of a journal from the scenario that drove the request, or from the faults that were asked
// for by hand. It reports whether these have it.
func (c *Collector) detail(f *scenario.Fault, index int, known *scenario.Scenario) bool {
	is := func(from *scenario.Fault) bool {
		return from.On == f.On && from.Action() == f.Action() && from.After == f.After
	}
	var from *scenario.Fault
	if index == byHand {
		at := slices.IndexFunc(c.hand, is)
		if at < 0 {
			return false
		}
		from = c.hand[at]
		c.hand = slices.Delete(c.hand, at, at+1)
	} else if known != nil && index < len(known.Faults) && is(&known.Faults[index]) {
		from = &known.Faults[index]
	} else {
		return false
	}
	f.Failure, f.HTTP, f.Error, f.KnownHosts = from.Failure, from.HTTP, from.Error, from.KnownHosts
	return true
}
