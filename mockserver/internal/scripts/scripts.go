// Package scripts holds the scenarios in use, and counts the faults of calls that no request has yet.
package scripts

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Set is the scenarios in use. A request keeps the one it was created with; a change here is for later ones.
// The methods may be called concurrently.
type Set struct {
	mu     sync.Mutex
	first  []*scenario.Scenario // as the server was made
	list   []*scenario.Scenario
	normal map[string]*scenario.Scenario // by API, for what no other is for; never changed
	counts map[countKey]machine.Counts
	kept   *platform.Platform // where the counts are kept; nil: nowhere
}

// countKey is whose faults are counted where there is no request yet. Its JSON is the name under which the
// counts are kept.
type countKey struct {
	Script string // its fingerprint
	Who    string // a contract
}

// fingerprint is the same for scripts with the same content, in all processes.
func fingerprint(script *scenario.Scenario) string {
	text, err := json.Marshal(script)
	if err != nil {
		panic("scripts: a scenario that is valid and cannot be written: " + err.Error())
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// New makes a set of scenarios, which are looked at in order.
func New(list []*scenario.Scenario) *Set {
	return &Set{first: list, list: list, normal: map[string]*scenario.Scenario{
		platform.APIDatabase: scenario.Default(), platform.APIScript: scenario.DefaultScript(),
	}, counts: make(map[countKey]machine.Counts)}
}

// ForRequest is the script for a create's parameters.
func (s *Set) ForRequest(params platform.CreateParams) *scenario.Scenario {
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
	return s.normal[cmp.Or(params.API, platform.APIDatabase)]
}

// All are the scripts in use.
func (s *Set) All() []*scenario.Scenario {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// Normal are the scripts for what none in use matches, one for each API.
func (s *Set) Normal() []*scenario.Scenario {
	return []*scenario.Scenario{s.normal[platform.APIDatabase], s.normal[platform.APIScript]}
}

// Add puts a script before those that are there, so that what comes later wins, and in place of one of the same name.
func (s *Set) Add(script *scenario.Scenario) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(s.list),
		func(old *scenario.Scenario) bool { return old.Name == script.Name })
	s.list = append([]*scenario.Scenario{script}, kept...)
	begun := fingerprint(script) // its faults are counted from the beginning, also if it was there before
	s.forgetLocked(func(k countKey) bool { return k.Script == begun })
}

// KeepIn takes up the counts that an earlier process kept in p, and keeps them there from now on.
func (s *Set) KeepIn(p *platform.Platform) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = p
	return p.EachKept(func(name string, value []byte) error {
		var key countKey
		var counts machine.Counts
		if err := errors.Join(json.Unmarshal([]byte(name), &key), json.Unmarshal(value, &counts)); err != nil {
			return fmt.Errorf("scripts: the counts of faults: %w", err)
		}
		s.counts[key] = counts
		return nil
	})
}

// keepLocked keeps counts; nil forgets them. What cannot be kept is no reason to answer otherwise than the
// script says.
func (s *Set) keepLocked(key countKey, counts machine.Counts) {
	name, err := json.Marshal(key)
	var value []byte
	if err == nil && counts != nil {
		value, err = json.Marshal(counts)
	}
	if err == nil && s.kept != nil {
		_ = s.kept.Keep(string(name), value)
	}
}

func (s *Set) forgetLocked(which func(countKey) bool) {
	for key := range s.counts {
		if which(key) {
			delete(s.counts, key)
			s.keepLocked(key, nil)
		}
	}
}

// Remove takes out the script with that name, or all of them for "".
func (s *Set) Remove(name string) (removed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := slices.DeleteFunc(slices.Clone(s.list),
		func(old *scenario.Scenario) bool { return name == "" || old.Name == name })
	removed = len(s.list) - len(kept)
	s.list = kept
	return removed
}

// Reset puts the scripts back that the server was made with, and forgets what was counted.
func (s *Set) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = s.first
	s.forgetLocked(func(countKey) bool { return true })
}

// Forget forgets what was counted for a contract.
func (s *Set) Forget(contract string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forgetLocked(func(k countKey) bool { return k.Who == contract })
}

// PickFor chooses the fault for a call that no request has, and counts it.
func (s *Set) PickFor(script *scenario.Scenario, on, who string) *platform.Fault {
	if len(script.Faults) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := countKey{fingerprint(script), strings.Clone(who)}
	before := s.counts[key]
	fault, index, counts := machine.Pick(script, on, before)
	if !slices.Equal(before, counts) {
		s.counts[key] = counts
		s.keepLocked(key, counts)
	}
	if fault == nil {
		return nil
	}
	return &platform.Fault{Fault: fault, Index: index}
}

// Describe is how the journal names a fault: its place in the scenario, "by hand" for one that was asked for over the
// control API, and what it does.
func Describe(f *platform.Fault) string {
	text := "faults[" + strconv.Itoa(f.Index) + "]: " + f.On
	if f.Index == platform.ByHand {
		text = "by hand: " + f.On
	}
	if action := f.Action(); action != "" {
		text += " " + action
	}
	if f.After > 0 {
		text += " after " + strconv.FormatInt(f.After, 10)
	}
	if f.File != "" {
		text += " at the file " + f.File
	}
	if f.Delay > 0 {
		text += " delay " + f.Delay.String()
	}
	if f.Rate > 0 {
		text += " rate " + strconv.FormatInt(f.Rate, 10) + " B/s"
	}
	return text
}
