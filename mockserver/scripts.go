package mockserver

import (
	"strconv"
	"sync"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// scripts are the scenarios in use. A request keeps the one it was created with; a change here is for later ones.
type scripts struct {
	mu     sync.Mutex
	list   []*scenario.Scenario
	normal *scenario.Scenario
	counts map[countKey]scenario.Counts
}

// countKey is whose faults are counted while there is no request: those of a create by contract, of a login by user.
type countKey struct {
	script *scenario.Scenario
	who    string
}

func newScripts(list []*scenario.Scenario) *scripts {
	return &scripts{list: list, normal: scenario.Default(), counts: make(map[countKey]scenario.Counts)}
}

// forRequest is the script for a create's parameters.
func (s *scripts) forRequest(params platform.CreateParams) *scenario.Scenario {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) > 0 {
		m := params.Map()
		for _, script := range s.list {
			if script.Matches(m) {
				return script
			}
		}
	}
	return s.normal
}

func (s *scripts) all() []*scenario.Scenario {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*scenario.Scenario(nil), s.list...)
}

// add puts scripts before those that are there, so that what is posted later wins.
func (s *scripts) add(more ...*scenario.Scenario) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(append([]*scenario.Scenario(nil), more...), s.list...)
}

// remove takes out the scripts with that name, or all of them for "".
func (s *scripts) remove(name string) (removed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []*scenario.Scenario
	for _, script := range s.list {
		if name != "" && script.Name != name {
			kept = append(kept, script)
		}
	}
	removed = len(s.list) - len(kept)
	s.list = kept
	return removed
}

// reset forgets what was counted.
func (s *scripts) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.counts)
}

// pick chooses the fault for a call, and counts it. Calls that name a request count on that request, and only with its key.
func (s *scripts) pick(p *platform.Platform, on string, c *call) *scenario.Fault {
	if on == "create" || on == "upgrade" {
		params := createParams(c.params)
		return s.pickFor(s.forRequest(params), on, "contract "+params.Contract)
	}
	if c.event.Request == 0 {
		return nil
	}
	return p.Pick(c.event.Request, on)
}

func (s *scripts) pickFor(script *scenario.Scenario, on, who string) *scenario.Fault {
	if len(script.Faults) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := countKey{script, who}
	fault, _, counts := script.Pick(on, s.counts[key])
	s.counts[key] = counts
	return fault
}

// describeFault is how the journal names a fault.
func describeFault(f *scenario.Fault) string {
	text := f.On
	if action := f.Action(); action != "" {
		text += " " + action
	}
	if f.After > 0 {
		text += " after " + strconv.FormatInt(f.After, 10)
	}
	if f.Delay > 0 {
		text += " delay " + f.Delay.String()
	}
	if f.Rate > 0 {
		text += " rate " + strconv.FormatInt(f.Rate, 10) + " B/s"
	}
	return text
}
