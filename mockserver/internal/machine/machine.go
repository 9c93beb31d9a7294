// Package machine computes how far a request has come in its script, and which fault its next call gets.
//
// All functions are pure: the state of a request is what [Begin], [At], [Poll] and [Release] make of a [Position] and
// an instant, and the fault for a call is what [Pick] makes of the [Counts]. The holder of a request keeps those two
// values and may write them to disk as JSON. No function changes its arguments, so all may be called concurrently.
package machine

import (
	"errors"
	"maps"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// ErrNotHeld is returned by [Release] when the request is not in a step `for: released`.
var ErrNotHeld = errors.New("the request is not held in its state: only a step with `for: released` can be released")

// Position is how far a request has come in its script since `process`. Positions are comparable with == as long
// as their instants are UTC without a monotonic reading, as those of this package are.
type Position struct {
	// Step is the index of the present step.
	Step int `json:"step"`
	// Since is the instant at which the step logically began.
	Since time.Time `json:"since"`
	// Polls counts the status calls that the present step has answered, where its `for` counts polls; else zero.
	Polls int `json:"polls,omitempty"`
	// Released is true once the present step was released; the next evaluation leaves it.
	Released bool `json:"released,omitempty"`
}

// Change is one transition.
type Change struct {
	From, To string
	// At is the instant at which it logically happened, which may be long before it is noticed.
	At time.Time
	// Set is what the new step sets. It is shared with the script and must not be changed.
	Set map[string]any
}

// Begin returns the position after `process` was called at the given instant, and the change out of the state from.
func Begin(s *scenario.Scenario, from string, at time.Time) (Position, Change) {
	at = instant(at)
	first := steps(s)[0]
	return Position{Since: at}, Change{From: from, To: first.State, At: at, Set: first.Set}
}

// At returns the position at now when nothing but time has passed since p, and the changes on the way, oldest
// first. A step begins when the one before it logically ended, so several may pass at once. A now before p changes
// nothing.
func At(s *scenario.Scenario, p Position, now time.Time) (Position, []Change) {
	var changes []Change
	steps := steps(s)
	p.Step = clamp(s, p.Step)
	for p.Step < len(steps)-1 {
		end, ended := end(steps[p.Step].For, p, instant(now))
		if !ended {
			break
		}
		from, to := steps[p.Step], steps[p.Step+1]
		p = Position{Step: p.Step + 1, Since: end}
		changes = append(changes, Change{From: from.State, To: to.State, At: end, Set: to.Set})
	}
	return p, changes
}

// Poll returns the position with which a status call at now is to be answered, and the changes on the way. A step
// `for: N polls` answers N of them; the next one finds the following state, which begins at its instant. So what
// status said last stays true until the next call. A call that a fault answers instead must not be counted.
func Poll(s *scenario.Scenario, p Position, now time.Time) (Position, []Change) {
	p, changes := At(s, p, now)
	steps := steps(s)
	if steps[p.Step].For.Polls == 0 {
		return p, changes
	}
	p.Polls++
	p, more := At(s, p, now)
	if len(more) > 0 && steps[p.Step].For.Polls > 0 {
		p.Polls = 1 // the call that ended the last step is the first that the new one answers
	}
	return p, append(changes, more...)
}

// Release lets a request out of a step `for: released` at now. If the request is in no such step, the error is
// [ErrNotHeld], and only the changes that time made are returned.
func Release(s *scenario.Scenario, p Position, now time.Time) (Position, []Change, error) {
	p, changes := At(s, p, now)
	if !steps(s)[p.Step].For.Released {
		return p, changes, ErrNotHeld
	}
	p.Released = true
	p, more := At(s, p, now)
	return p, append(changes, more...), nil
}

// Due returns the instant at which the present step ends by itself. ok is false if only a poll or a release ends it,
// or if it is the last step.
func Due(s *scenario.Scenario, p Position) (at time.Time, ok bool) {
	steps := steps(s)
	p.Step = clamp(s, p.Step)
	if p.Step == len(steps)-1 || steps[p.Step].For.Duration <= 0 {
		return time.Time{}, false
	}
	return p.Since.Add(steps[p.Step].For.Duration), true
}

// State returns the name of the state at p.
func State(s *scenario.Scenario, p Position) string {
	return steps(s)[clamp(s, p.Step)].State
}

// Set returns what the steps up to and with the present one set, later ones winning. The map is the caller's.
func Set(s *scenario.Scenario, p Position) map[string]any {
	set := map[string]any{}
	for _, step := range steps(s)[:clamp(s, p.Step)+1] {
		maps.Copy(set, step.Set)
	}
	return set
}

// Final reports whether p is in the last step, which nothing ends.
func Final(s *scenario.Scenario, p Position) bool { return clamp(s, p.Step) == len(steps(s))-1 }

var defaultSteps = scenario.Default().Steps

// steps never returns an empty list, so that a position always has a state.
func steps(s *scenario.Scenario) []scenario.Step {
	if len(s.Steps) == 0 {
		return defaultSteps
	}
	return s.Steps
}

// clamp keeps a position of another, longer script within this one.
func clamp(s *scenario.Scenario, step int) int {
	return min(max(step, 0), len(steps(s))-1)
}

// end returns when a step that stands at p ended, if it has by now.
func end(f scenario.For, p Position, now time.Time) (time.Time, bool) {
	switch {
	case f.Duration > 0:
		end := p.Since.Add(f.Duration)
		return end, !now.Before(end)
	case f.Polls > 0:
		return now, p.Polls > f.Polls
	default:
		return now, p.Released
	}
}

// instant makes times comparable and equal to what JSON gives back.
func instant(t time.Time) time.Time { return t.Round(0).UTC() }
