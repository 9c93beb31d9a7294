package certify

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// What clients take, by which Expected reckons. A client that takes more or less changes no verdict.
const (
	running   = 100 * time.Millisecond // to be run, and to do what it does without a wait
	polling   = time.Second            // between two polls
	silence   = 30 * time.Second       // waiting for an answer that does not come
	lastPause = 30 * time.Second       // between two tries, at most
	killed    = 2 * time.Second        // to be ended from outside
	restoring = 5 * time.Second        // dumping and restoring a database
)

// Expected is how long a client is likely to run under the scenario: for its states, for what it is made to wait for,
// and for its pauses before it tries again. It is zero if a client that goes via cannot meet the scenario, and the same
// on every machine.
func Expected(s *scenario.Scenario, via Via) time.Duration {
	if via.cannotMeet(s) != "" {
		return 0
	}
	sum, forEver := running, time.Duration(0)
	patience, ends := silence, false
	if s.Expect != nil && s.Expect.GivesUp != "" {
		patience = watched(s.Expect)
	}
	for i := range s.Faults {
		switch f := &s.Faults[i]; {
		case f.Times > 0:
			sum += lostTo(f, silence)
		case f.Action() != "" && isFinal(f) && (s.Expect == nil || s.Expect.GivesUp == ""):
			ends = true
		default:
			forEver = max(forEver, lostTo(f, patience)) // it meets one of them
			ends = ends || f.Action() != ""
		}
	}
	sum += forEver
	if !ends {
		sum += ofSteps(s)
	}
	if s.Run.Interrupted != nil {
		sum += killed
	}
	if s.Run.Database {
		sum += restoring
	}
	if s.Expect != nil {
		return min(sum, cmp.Or(s.Expect.Within, Limit))
	}
	return min(sum, Limit)
}

// isFinal reports whether a client that meets the fault has no reason to try again.
func isFinal(f *scenario.Fault) bool {
	switch {
	case f.Failure != nil:
		return f.Failure.Reason != "SERVER:ERROR"
	case f.HTTP != nil:
		return f.HTTP.Status < 500 && f.HTTP.Status != http.StatusTooManyRequests
	}
	return f.HostKey != "" || f.KnownHosts != nil || f.Error != ""
}

// ofSteps is how long the states last, with the polls that a client makes to see them.
func ofSteps(s *scenario.Scenario) time.Duration {
	steps := s.Steps
	if len(steps) == 0 {
		steps = scenario.Default().Steps
	}
	var sum time.Duration
	for _, step := range steps {
		sum += min(step.For.Duration, Limit) + time.Duration(min(step.For.Polls, 300))*polling
	}
	if !scenario.KnownState(s.When["api"], steps[len(steps)-1].State) {
		sum += silence // there is nothing to wait for
	}
	return sum
}

// lostTo is what a fault costs: the wait for each answer, and the pauses, each twice the one before, until a client
// comes through or loses its patience.
func lostTo(f *scenario.Fault, patience time.Duration) time.Duration {
	each := min(f.Delay, silence)
	if f.Rate > 0 {
		seconds := float64(cmp.Or(f.After, noise)) / float64(f.Rate)
		each += time.Duration(min(seconds, silence.Seconds()) * float64(time.Second))
	}
	if f.Action() == "" && f.Delay < silence { // it is slow, and that is all
		return each * time.Duration(min(max(1, f.Times), 300))
	}
	if f.HTTP != nil {
		if after, err := strconv.Atoi(f.HTTP.Headers["Retry-After"]); err == nil && after > 0 {
			each += time.Duration(min(after, int(lastPause.Seconds()))) * time.Second
		}
	}
	var sum time.Duration
	pause := polling
	for n := 0; (f.Times == 0 || n < f.Times) && sum < patience; n++ {
		sum += each + pause
		pause = min(2*pause, lastPause)
	}
	if f.Times == 0 {
		return min(sum, patience)
	}
	return sum
}

// longestFirst returns the places of the scenarios in the order in which clients are run under them: those that take
// longest first, so that none of them is left alone at the end, and otherwise as they stand.
func longestFirst(scripts []*scenario.Scenario, via Via) []int {
	order := make([]int, len(scripts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(Expected(scripts[b], via), Expected(scripts[a], via))
	})
	return order
}
