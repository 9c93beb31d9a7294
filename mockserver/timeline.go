package mockserver

import (
	"fmt"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/machine"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/scripts"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Timeline is control.Requests'.
func (s steered) Timeline(id int64) (control.Timeline, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return control.Timeline{}, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	c := r.Course()
	t := control.Timeline{
		Request: id, Scenario: c.Script.Name, Now: s.opts.Clock.Now(), ProcessedAt: c.ProcessedAt,
		Steps: steps(&c), Faults: []control.TimelineFault{},
	}
	if c.Forced != "" {
		t.Forced = &control.Forced{State: c.Forced, At: c.ForcedAt}
	}
	changes := s.observer.journal.Events(journal.Filter{Request: id, On: journal.OnState})
	whenBegun(t.Steps, changes)
	for i, fault := range c.Script.Faults {
		t.Faults = append(t.Faults, faultNow(&c, i, &fault))
	}
	for _, fault := range r.Injected() {
		t.Faults = append(t.Faults, control.TimelineFault{
			Index: platform.ByHand, On: fault.On, Is: "armed", Times: 1,
			Does: scripts.Describe(&platform.Fault{Fault: fault, Index: platform.ByHand}),
		})
	}
	return t, nil
}

// steps are the steps of a request's script, the present one with how far it is, those to come with when they begin if
// that is known.
func steps(c *platform.Course) []control.TimelineStep {
	list := make([]control.TimelineStep, len(c.Script.Steps))
	begun := c.ProcessedAt != nil && !c.Position.Since.IsZero()
	for i, step := range c.Script.Steps {
		t := control.TimelineStep{Index: i, State: step.State, For: step.For.String(), Set: step.Set, Is: "next"}
		t.Of = step.For.Polls
		switch {
		case begun && i < c.Position.Step:
			t.Is = "past"
		case begun && i == c.Position.Step && c.Forced != "":
			t.Is, t.Polls, t.Began = "left", c.Position.Polls, &c.Position.Since
		case begun && i == c.Position.Step:
			t.Is, t.Polls, t.Began, t.Due = "present", c.Position.Polls, &c.Position.Since, c.Due
		case i > 0 && list[i-1].Due != nil:
			began := *list[i-1].Due
			t.Began = &began
			if d := step.For.Duration; d > 0 {
				due := began.Add(d)
				t.Due = &due
			}
		}
		list[i] = t
	}
	return list
}

// whenBegun completes the steps that are past with the instants of the changes that the journal remembers.
func whenBegun(steps []control.TimelineStep, changes []journal.Event) {
	at := len(changes) - 1
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].Is == "next" {
			continue
		}
		for at >= 0 && changes[at].To != steps[i].State {
			at--
		}
		if at < 0 {
			return
		}
		if steps[i].Is == "past" {
			steps[i].Began = &changes[at].At
		}
		at--
	}
}

// faultNow says of a fault of a script what it has done, and whether it can still do something.
func faultNow(c *platform.Course, index int, fault *scenario.Fault) control.TimelineFault {
	t := control.TimelineFault{
		Index: index, On: fault.On, Times: fault.Times, Skip: fault.Skip, Every: fault.Every, Is: "armed",
		Does: scripts.Describe(&platform.Fault{Fault: fault, Index: index}),
	}
	_, t.Does, _ = strings.Cut(t.Does, ": ")
	if index < len(c.Faults) {
		t.Met, t.Used = c.Faults[index].Met, c.Faults[index].Used
	}
	if fault.Times > 0 && t.Used >= fault.Times {
		t.Is = "spent"
		return t
	}
	for earlier, other := range c.Script.Faults[:index] {
		if other.On == fault.On && machine.TakesAll(&other, c.Faults, earlier) {
			t.Is, t.By = "shadowed", &earlier
			return t
		}
	}
	return t
}

// Clock is control.Emulator's.
func (s steered) Clock() control.Clock {
	c := control.Clock{Now: s.opts.Clock.Now(), Virtual: !s.timed}
	s.platform.Evaluate()
	if due, ok := s.platform.Due(); ok {
		c.Next = &due
	}
	return c
}

// Until is control.Emulator's.
func (s steered) Until(to time.Time) error {
	if s.opts.manual() == nil {
		_, err := s.Server.Advance(1)
		return err
	}
	if d := to.Sub(s.opts.Clock.Now()); d > 0 {
		_, err := s.Server.Advance(d)
		return err
	}
	return fmt.Errorf("mockserver: the clock says %s, and only goes forward", s.opts.Clock.Now().Format(time.RFC3339))
}
