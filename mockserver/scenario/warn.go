package scenario

import (
	"fmt"
	"slices"
	"strings"
)

// Warnings reads a script as [Parse] does, and returns what is allowed and hardly meant: a last state that no client
// takes for an end, a fault that never triggers since those before it take every call, and a `when` that fits no create
// that is answered. There are none of a script that has mistakes.
func Warnings(name string, src []byte) []Mistake {
	s, d := parse(name, src)
	if len(d.mistakes) > 0 {
		return nil
	}
	var c checker
	c.ends(s)
	c.shadows(s)
	c.fits(s)
	d.add(c.mistakes)
	asError(d.mistakes) // sorts them
	return d.mistakes
}

// clientStates are the states that clients know, as ends or on the way, by API (rows 6.2, 6.5 and S7.2).
var clientStates = map[string][]string{
	APIDatabase: {"draft", "pending", "processing", "testing", "done", "invalid", "delivered"},
	APIScript:   {"new", "pending", "progress", "done", "failed", "cancelled"},
}

// KnownState reports whether clients of that API know a state of that name; of both APIs for "".
func KnownState(api, state string) bool {
	for _, of := range apis {
		if (api == "" || api == of) && slices.Contains(clientStates[of], state) {
			return true
		}
	}
	return false
}

// ends warns of a script that ends where no client does. One that expects the client to fail is meant so.
func (c *checker) ends(s *Scenario) {
	if len(s.Steps) == 0 || s.Expect != nil && (s.Expect.Exit == "failure" || s.Expect.GivesUp != "") {
		return
	}
	i := len(s.Steps) - 1
	if state := s.Steps[i].State; !KnownState(s.api(), state) {
		c.at(fmt.Sprintf("steps[%d].state", i), wrong("no step leads out of %s, and no client knows this state, so that it "+
			"waits for ever: wanted a step behind it, or `expect: {exit: failure}`", quote(state)))
	}
}

// maxCalls bounds the calls that are tried to find a fault that never triggers.
const maxCalls = 10_000

// shadows warns of faults that never trigger.
func (c *checker) shadows(s *Scenario) {
	for on := range placesOf(s) {
		used := make([]int, len(s.Faults))
		for call := 1; call <= maxCalls; call++ {
			for i := range s.Faults {
				f := &s.Faults[i]
				nth := call - f.Skip
				if f.On == on && nth > 0 && (f.Times == 0 || used[i] < f.Times) && (f.Every == 0 || nth%f.Every == 0) {
					used[i]++
					break
				}
			}
		}
		for i, f := range s.Faults {
			if f.On != on || used[i] > 0 || f.Skip >= maxCalls || f.Every >= maxCalls {
				continue
			}
			before := slices.IndexFunc(s.Faults[:i], func(b Fault) bool { return b.On == on && b.Times == 0 })
			if before >= 0 {
				c.at(fmt.Sprintf("faults[%d]", i), wrong("it never triggers: `faults[%d]` takes every call of %s that it "+
					"could; wanted `times` there, or this fault before it", before, quote(on)))
			}
		}
	}
}

// placesOf are the places of a script's faults.
func placesOf(s *Scenario) map[string]bool {
	places := map[string]bool{}
	for _, f := range s.Faults {
		places[f.On] = true
	}
	return places
}

// knownTargets are the targets that create takes in any edition (rows 3.2 to 3.4), and those of the script API.
var knownTargets = map[string][]string{
	APIDatabase: {"6.0", "6.1", "7.0", "8.0", "9.0", "10.0", "11.0", "12.0", "13.0"},
	APIScript:   {"13.0", "14.0", "15.0", "16.0", "17.0", "18.0", "19.0", "20.0", "21.0", "22.0"},
}

// fits warns of a `when` that fits no create but one that is refused. A script that answers create itself is meant so.
func (c *checker) fits(s *Scenario) {
	if slices.ContainsFunc(s.Faults, func(f Fault) bool {
		return (f.On == OnCreate || f.On == OnScriptCreate || f.On == OnUpgrade) && (f.Failure != nil || f.HTTP != nil)
	}) {
		return
	}
	var targets []string
	for _, api := range apis {
		if s.api() == "" || s.api() == api {
			targets = append(targets, knownTargets[api]...)
		}
	}
	targets = slices.Compact(targets) // the last one and the first are the same
	c.fitsOne(s, "aim", []string{"test", "production"}, "")
	c.fitsOne(s, "target", targets, ", unless the emulator is told to take it")
	for key, must := range map[string]func(string) bool{
		"email":    func(text string) bool { return strings.Contains(text, "@") },
		"filename": func(text string) bool { return text != "" && !strings.ContainsAny(text, `/\`) },
		"contract": func(text string) bool { return text != "" },
	} {
		glob, given := s.When[key]
		if given && !strings.ContainsAny(glob, `*?[\`) && !must(glob) {
			c.at("when."+key, wrong("create refuses %s, so that this script is for no request", quote(glob)))
		}
	}
}

// fitsOne warns of a glob that none of the values matches.
func (c *checker) fitsOne(s *Scenario, key string, values []string, unless string) {
	glob, given := s.When[key]
	fits := func(value string) bool {
		ok, err := match(glob, value)
		return ok && err == nil
	}
	if given && !slices.ContainsFunc(values, fits) {
		c.at("when."+key, wrong("create refuses %s%s, so that this script is for no request: it takes %s",
			quote(glob), unless, oneOf(values)))
	}
}
