package replay

import (
	"encoding/json"
	"slices"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Shrink returns the smallest scenario that it finds under which fails is still true, beginning with s, for which it
// is. It tries at most so many scenarios, each smaller than the one before: with a fault or a step less, with fewer
// calls that go wrong, with nothing set. fails may return an error, which ends the search.
func Shrink(s *scenario.Scenario, most int, fails func(*scenario.Scenario) (bool, error)) (smallest *scenario.Scenario,
	tries int, err error) {
	for progress := true; progress; {
		progress = false
		for _, smaller := range candidates(s) {
			if tries == most {
				return s, tries, nil
			}
			if smaller.Validate() != nil || same(smaller, s) {
				continue
			}
			tries++
			still, err := fails(smaller)
			if err != nil {
				return s, tries, err
			}
			if still {
				s, progress = smaller, true
				break
			}
		}
	}
	return s, tries, nil
}

// candidates are scenarios that are a little smaller, the much smaller ones first.
func candidates(s *scenario.Scenario) []*scenario.Scenario {
	var list []*scenario.Scenario
	try := func(change func(*scenario.Scenario)) {
		c := *s
		c.Steps, c.Faults = slices.Clone(s.Steps), slices.Clone(s.Faults)
		change(&c)
		list = append(list, &c)
	}
	if len(s.Faults) > 1 {
		try(func(c *scenario.Scenario) { c.Faults = nil })
	}
	if s.Steps != nil {
		try(func(c *scenario.Scenario) { c.Steps = nil })
	}
	for i := range s.Faults {
		try(func(c *scenario.Scenario) { c.Faults = slices.Delete(c.Faults, i, i+1) })
	}
	for i := range len(s.Steps) - 1 {
		try(func(c *scenario.Scenario) { c.Steps = slices.Delete(c.Steps, i, i+1) })
	}
	if s.Upgraded != (scenario.Upgraded{}) {
		try(func(c *scenario.Scenario) { c.Upgraded = scenario.Upgraded{} })
	}
	if len(s.When) > 1 || len(s.When) == 1 && s.When["api"] == "" {
		try(func(c *scenario.Scenario) {
			if c.When = nil; s.When["api"] != "" {
				c.When = scenario.When{"api": s.When["api"]}
			}
		})
	}
	for i, step := range s.Steps {
		if step.Set != nil || step.Log != nil {
			try(func(c *scenario.Scenario) { c.Steps[i].Set, c.Steps[i].Log = nil, nil })
		}
		if step.For.Polls > 1 || step.For.Duration > 0 {
			try(func(c *scenario.Scenario) { c.Steps[i].For = scenario.For{Polls: 1} })
		}
	}
	for i, f := range s.Faults {
		if f.Times != 1 {
			try(func(c *scenario.Scenario) { c.Faults[i].Times, c.Faults[i].Every = 1, 0 })
		}
		if f.Times > 2 {
			try(func(c *scenario.Scenario) { c.Faults[i].Times = f.Times / 2 })
			try(func(c *scenario.Scenario) { c.Faults[i].Times-- })
		}
		if f.Skip > 0 {
			try(func(c *scenario.Scenario) { c.Faults[i].Skip = 0 })
		}
		if f.Action() != "" && (f.Delay > 0 || f.Rate > 0) {
			try(func(c *scenario.Scenario) { c.Faults[i].Delay, c.Faults[i].Rate = 0, 0 })
		}
	}
	return list
}

// same reports whether two scenarios say the same.
func same(a, b *scenario.Scenario) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(x) == string(y)
}
