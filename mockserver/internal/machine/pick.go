package machine

import "github.com/upgrademock/upgrademock/mockserver/scenario"

// Count is what one fault has seen.
type Count struct {
	// Met is how many calls there were at the fault's place.
	Met int `json:"met,omitempty"`
	// Used is how many of them it was used on.
	Used int `json:"used,omitempty"`
}

// Counts has one Count for each fault of a script, in its order; nil means that nothing has happened. It belongs to
// one request (on create to one contract, on failed logins to one user), so that parallel clients never use up each
// other's faults.
type Counts []Count

// Pick returns the fault for the next call on a place, its index in Faults, and the counts with that call counted;
// or nil and -1 if no fault applies. c is not changed.
//
// Skip and Every count the calls on the place, Times counts how often the fault was used. So the second of two faults
// that each apply `times: 2` takes the third and fourth call, and `skip: 3` means the fourth call, whatever
// happened to the three before.
//
// A call is one HTTP request; for SFTP one login, one open, one close, and for sftp.read and sftp.write one file
// opened for it, picked before its first byte.
func Pick(s *scenario.Scenario, on string, c Counts) (*scenario.Fault, int, Counts) {
	picked := -1
	copied := false
	for i := range s.Faults {
		fault := &s.Faults[i]
		if fault.On != on {
			continue
		}
		if !copied {
			c, copied = grown(s, c), true
		}
		c[i].Met++
		if picked < 0 && applies(fault, c[i]) {
			c[i].Used++
			picked = i
		}
	}
	if picked < 0 {
		return nil, -1, c
	}
	return &s.Faults[picked], picked, c
}

// grown returns a copy of c with a place for every fault.
func grown(s *scenario.Scenario, c Counts) Counts {
	grown := make(Counts, max(len(s.Faults), len(c)))
	copy(grown, c)
	return grown
}

func applies(f *scenario.Fault, c Count) bool {
	nth := c.Met - f.Skip
	return nth > 0 && (f.Times == 0 || c.Used < f.Times) && (f.Every == 0 || nth%f.Every == 0)
}

// TakesAll reports whether the fault, which is the one with that index, applies to every call on its place from now on,
// so that no later fault there does.
func TakesAll(f *scenario.Fault, c Counts, index int) bool {
	met := 0
	if index < len(c) {
		met = c[index].Met
	}
	return f.Times == 0 && f.Every <= 1 && met >= f.Skip
}
