package mockserver

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// scripts are the scenarios in use. A request keeps the one it was created with; a change here is for later ones.
type scripts struct {
	mu     sync.Mutex
	first  []*scenario.Scenario // as the server was made
	list   []*scenario.Scenario
	normal *scenario.Scenario
	counts map[countKey]scenario.Counts
}

// countKey is whose faults are counted where there is no request yet.
type countKey struct {
	script *scenario.Scenario
	who    string // a contract
}

func newScripts(list []*scenario.Scenario) *scripts {
	return &scripts{first: list, list: list, normal: scenario.Default(), counts: make(map[countKey]scenario.Counts)}
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

// all are the scripts in use, and last the one for what none of them matches.
func (s *scripts) all() []*scenario.Scenario {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append(slices.Clone(s.list), s.normal)
}

// add puts a script before those that are there, so that what comes later wins, and in place of one of the same name.
func (s *scripts) add(script *scenario.Scenario) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(s.list), func(old *scenario.Scenario) bool { return old.Name == script.Name })
	s.list = append([]*scenario.Scenario{script}, kept...)
}

// remove takes out the script with that name, or all of them for "".
func (s *scripts) remove(name string) (removed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(s.list), func(old *scenario.Scenario) bool { return name == "" || old.Name == name })
	removed = len(s.list) - len(kept)
	s.list = kept
	return removed
}

// reset puts the scripts back that the server was made with, and forgets what was counted.
func (s *scripts) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = s.first
	clear(s.counts)
}

// forget forgets what was counted for a contract.
func (s *scripts) forget(contract string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.counts, func(k countKey, _ scenario.Counts) bool { return k.who == contract })
}

// pickFor chooses the fault for a call that no request has, and counts it.
func (s *scripts) pickFor(script *scenario.Scenario, on, who string) *platform.Fault {
	if len(script.Faults) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := countKey{script, strings.Clone(who)}
	fault, index, counts := script.Pick(on, s.counts[key])
	s.counts[key] = counts
	if fault == nil {
		return nil
	}
	return &platform.Fault{Fault: fault, Index: index}
}

// describeFault is how the journal names a fault: its place in the scenario, and what it does.
func describeFault(f *platform.Fault) string {
	text := "faults[" + strconv.Itoa(f.Index) + "]: " + f.On
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
