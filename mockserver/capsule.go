package mockserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/upgrademock/upgrademock/internal/capsule"
	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// WriteCapsule writes a small file by which 'upgrademock replay' has the same happen again: the scenarios and the
// journal of what is in the scope, the options, and what is known of the client, which may be nil. There is no dump in
// it, and no key. It fails with ErrNoRequest for a request that there is not, and with the error of w, of ctx, or of
// reading a file that a scenario names.
func (s *Server) WriteCapsule(ctx context.Context, w io.Writer, of Scope, run *Run) error {
	c, err := s.capsule(ctx, of, run)
	if err == nil {
		err = c.Write(w)
	}
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return fmt.Errorf("mockserver: a file for the capsule: %w", path)
	}
	return err
}

// WriteCapsule is control.Emulator's.
func (s steered) WriteCapsule(ctx context.Context, w io.Writer, of control.Scope) error {
	return s.Server.WriteCapsule(ctx, w, Scope(of), nil)
}

func (s *Server) capsule(ctx context.Context, of Scope, run *Run) (*capsule.Capsule, error) {
	scripts, lost := s.scripts.All(), s.observer.journal.Dropped()
	events := s.Events(journal.Filter{})
	only := "" // the scenario that is judged; "": all
	var notes []string
	switch {
	case of.Request != 0:
		r, ok := s.platform.Get(of.Request)
		if !ok {
			return nil, fmt.Errorf("%w: %d", ErrNoRequest, of.Request)
		}
		if events, lost = eventsOf(events, r), 0; len(events) == 0 {
			return nil, fmt.Errorf("%w: the journal remembers no call for request %d", platform.ErrNoContent, of.Request)
		}
		only = r.Scenario()
		var err error
		if scripts, notes, err = s.scriptOf(r, events); err != nil {
			return nil, err
		}
	case of.Contract != "":
		events, lost = s.ofContract(events, of.Contract), 0
		if len(events) == 0 {
			return nil, fmt.Errorf("%w: the journal remembers no call for the contract %q", platform.ErrNoContent, of.Contract)
		}
		fallthrough
	default:
		notes = s.steeredByHand(of, scripts, events)
	}
	c, err := capsule.New(ctx, s.stage(), scripts, events, lost)
	if err != nil {
		return nil, err
	}
	c.Request = of.Request
	for _, note := range notes {
		c.LeaveOut(note)
	}
	if s.opts.Script != "" {
		c.LeaveOut("the upgrade script that GET /upgrade hands out")
	}
	for _, o := range s.Judge(journal.Filter{Request: of.Request, Contract: of.Contract}, run) {
		if o.Verdict == Fail && (only == "" || o.Scenario == only) {
			c.Failed = append(c.Failed, o.Scenario+": "+o.Expect)
		}
	}
	c.Client, err = run.client(ctx)
	return c, err
}

// stage is how the server was set up. The targets are those that were given: the editions have their own.
func (s *Server) stage() capsule.Stage {
	o := &s.opts
	stage := capsule.Stage{Clock: capsule.ClockReal, Seed: o.Seed, Edition: o.Edition, Targets: s.scriptTargets,
		Contracts: o.Contracts, Region: o.Region, FailureStatus: o.FailureStatus, MaxDump: o.MaxDump,
		SFTPAccessTTL: o.SFTPAccessTTL, TransferTimeout: o.TransferTimeout}
	switch {
	case o.Skip:
		stage.Clock = capsule.ClockSkip
	case o.manual() != nil:
		stage.Clock = capsule.ClockVirtual
	}
	return stage
}

// eventsOf are the events of a request, and before them those of creates for its contract that were refused.
func eventsOf(events []journal.Event, r *platform.Request) []journal.Event {
	var its, refused []journal.Event
	contract := r.Contract()
	for _, e := range events {
		switch {
		case e.Request == r.ID():
			its = append(its, e)
		case its != nil || e.Contract != contract:
		case e.Request == 0:
			refused = append(refused, e)
		default:
			refused = nil // which were another request's
		}
	}
	return append(refused, its...)
}

// ofContract are the events about a contract.
func (s *Server) ofContract(events []journal.Event, contract string) []journal.Event {
	its := map[int64]bool{}
	for _, r := range s.platform.All() {
		its[r.ID] = r.Contract == contract
	}
	return slices.DeleteFunc(events, func(e journal.Event) bool { return e.Contract != contract && !its[e.Request] })
}

// scriptOf is the scenario that drives a request; none if that is what every request without one follows. Where the
// request was steered by hand, it is one that is made of what happened.
func (s *Server) scriptOf(r *platform.Request, events []journal.Event) ([]*scenario.Scenario, []string, error) {
	course := r.Course()
	normal := contains(s.scripts.Normal(), course.Script)
	if !byHand(&course, events) {
		if normal {
			return nil, nil, nil
		}
		return []*scenario.Scenario{course.Script}, nil, nil
	}
	opts := retrace.Options{Name: course.Script.Name, ByHand: course.ByHand, Set: course.ForcedSet}
	if normal {
		opts.Name = ""
	}
	made, err := retrace.FromJournal(events, r.ID(), func(string) *scenario.Scenario { return course.Script }, opts)
	if err != nil {
		return nil, nil, fmt.Errorf("mockserver: make a scenario of what happened to request %d: %w", r.ID(), err)
	}
	made.Scenario.Expect = course.Script.Expect
	return []*scenario.Scenario{made.Scenario}, []string{"the scenario " + course.Script.Name + " as it was, since the " +
		"request was steered by hand: in its place is one that was made of what happened"}, nil
}

// contains reports whether a scenario is in the list, or one with the same content: that of a request may have been in
// a data directory meanwhile, and over the script API has steps where none were given.
func contains(list []*scenario.Scenario, script *scenario.Scenario) bool {
	return slices.ContainsFunc(list, func(s *scenario.Scenario) bool {
		own := *script
		if s.Steps == nil {
			own.Steps = nil
		}
		text, errOwn := json.Marshal(&own)
		other, err := json.Marshal(s)
		return s == script || errOwn == nil && err == nil && bytes.Equal(text, other)
	})
}

// byHand reports whether a request was put in a state, or was given a fault, from outside its scenario.
func byHand(c *platform.Course, events []journal.Event) bool {
	return c.Forced != "" || slices.ContainsFunc(events, func(e journal.Event) bool {
		return strings.HasPrefix(e.Fault, "by hand")
	})
}

// steeredByHand says of which requests it is not in the scenarios what happened to them.
func (s *Server) steeredByHand(of Scope, scripts []*scenario.Scenario, events []journal.Event) []string {
	scripts = append(slices.Clone(scripts), s.scripts.Normal()...)
	byRequest := map[int64][]journal.Event{}
	for _, e := range events {
		byRequest[e.Request] = append(byRequest[e.Request], e)
	}
	var notes []string
	for _, id := range slices.Sorted(maps.Keys(byRequest)) {
		r, ok := s.platform.Get(id)
		if !ok {
			continue
		}
		course := r.Course()
		switch {
		case byHand(&course, byRequest[id]):
			notes = append(notes, fmt.Sprintf("what was done to request %d by hand: a capsule of it has that", id))
		case !contains(scripts, course.Script):
			notes = append(notes, fmt.Sprintf("the scenario %s of request %d, which is not in use any more: a capsule of "+
				"that request has it", course.Script.Name, id))
		}
	}
	return notes
}

// client is what a capsule keeps of a run; nil if there was none.
func (r *Run) client(ctx context.Context) (*capsule.Client, error) {
	if r == nil || len(r.Command) == 0 {
		return nil, nil
	}
	c := &capsule.Client{Command: r.Command, Exit: r.Status, Params: r.Params}
	if r.Out != "" {
		c.Out = filepath.Base(r.Out)
	}
	if r.Dump == "" {
		return c, nil
	}
	dump, err := capsule.DescribeDump(ctx, r.Dump)
	if errors.Is(err, os.ErrNotExist) { // the client has removed it
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	if here, err := os.Getwd(); err == nil {
		if below, err := filepath.Rel(here, r.Dump); err == nil && filepath.IsLocal(below) {
			dump.Path = below // which says nothing of this machine
		}
	}
	c.Dump = dump
	return c, nil
}
