package scenario

import (
	"errors"
	"maps"
	"time"
)

// ErrNotHeld is returned by [Scenario.Release] when the request is not in a step `for: released`.
var ErrNotHeld = errors.New("scenario: the request is not held in its state: only a step with `for: released` can be released")

// Position is how far a request has come in its script since `process`. It is a value, comparable with == as long
// as its instants are UTC without a monotonic reading, and JSON keeps it.
type Position struct {
	// Step is the index of the present step.
	Step int `json:"step"`
	// Since is the instant at which the step logically began.
	Since time.Time `json:"since"`
	// Polls counts the status calls that the present step has answered, where its `for` counts polls; else zero.
	Polls int `json:"polls,omitempty"`
	// Released says that the present step was released; the next evaluation leaves it.
	Released bool `json:"released,omitempty"`
}

// Change is one transition.
type Change struct {
	From, To string
	// At is the instant at which it logically happened, which may be long before anybody looked.
	At time.Time
	// Set is what the new step sets; shared with the script, not to be changed.
	Set map[string]any
}

// Begin returns the position after `process` was called at the given instant, and the change out of draft.
func (s *Scenario) Begin(at time.Time) (Position, Change) {
	at = instant(at)
	first := s.steps()[0]
	return Position{Since: at}, Change{From: "draft", To: first.State, At: at, Set: first.Set}
}

// At returns the position at now when nothing but time has passed since p, and the changes on the way, oldest
// first. A step begins when the one before it logically ended, so several may pass at once. A now before p changes
// nothing.
func (s *Scenario) At(p Position, now time.Time) (Position, []Change) {
	var changes []Change
	steps := s.steps()
	p.Step = s.clamp(p.Step)
	for p.Step < len(steps)-1 {
		end, ended := steps[p.Step].For.end(p, instant(now))
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
// `for: N polls` answers N of them; the next one finds, and is the instant of, the following state. So what status
// said last stays true until somebody asks again. A call that a fault answers instead is no poll: don't count it.
func (s *Scenario) Poll(p Position, now time.Time) (Position, []Change) {
	p, changes := s.At(p, now)
	steps := s.steps()
	if steps[p.Step].For.Polls == 0 {
		return p, changes
	}
	p.Polls++
	p, more := s.At(p, now)
	if len(more) > 0 && steps[p.Step].For.Polls > 0 {
		p.Polls = 1 // the call that ended the last step is the first that the new one answers
	}
	return p, append(changes, more...)
}

// Release lets a request out of a step `for: released` at now. It fails with [ErrNotHeld], leaving only time's
// changes, when the request is in no such step.
func (s *Scenario) Release(p Position, now time.Time) (Position, []Change, error) {
	p, changes := s.At(p, now)
	if !s.steps()[p.Step].For.Released {
		return p, changes, ErrNotHeld
	}
	p.Released = true
	p, more := s.At(p, now)
	return p, append(changes, more...), nil
}

// Due returns the instant at which the present step ends by itself; ok is false when only a poll or a release, or
// nothing at all, ends it.
func (s *Scenario) Due(p Position) (at time.Time, ok bool) {
	steps := s.steps()
	p.Step = s.clamp(p.Step)
	if p.Step == len(steps)-1 || steps[p.Step].For.Duration <= 0 {
		return time.Time{}, false
	}
	return p.Since.Add(steps[p.Step].For.Duration), true
}

// State returns the name of the state at p.
func (s *Scenario) State(p Position) string {
	return s.steps()[s.clamp(p.Step)].State
}

// Set returns what the steps up to and with the present one set, later ones winning. The map is the caller's.
func (s *Scenario) Set(p Position) map[string]any {
	set := map[string]any{}
	for _, step := range s.steps()[:s.clamp(p.Step)+1] {
		maps.Copy(set, step.Set)
	}
	return set
}

// Final reports whether p is in the last step, which nothing ends.
func (s *Scenario) Final(p Position) bool { return s.clamp(p.Step) == len(s.steps())-1 }

// clamp keeps a position of another, longer script within this one.
func (s *Scenario) clamp(step int) int {
	return min(max(step, 0), len(s.steps())-1)
}

// end returns when a step that stands at p ended, if it has by now.
func (f For) end(p Position, now time.Time) (time.Time, bool) {
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
