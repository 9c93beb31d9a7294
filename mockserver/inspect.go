package mockserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/api/database"
	"github.com/upgrademock/upgrademock/mockserver/internal/api/script"
	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
	"github.com/upgrademock/upgrademock/sftpserver"
)

// Scope is what Reset forgets: all about a request, all about a contract, or everything, for the zero value.
type Scope struct {
	Request  int64  // 0 is every request
	Contract string // "" is every contract
}

// The values of Request.API.
const (
	APIDatabase = platform.APIDatabase // /database/v1
	APIScript   = platform.APIScript   // /upgrade/request, which the upgrade script uses
)

// Request is a request as the emulator has it: its ID, Key and Contract as create answered or was given them.
type Request struct {
	ID       int64  `json:"id"`
	API      string `json:"api"` // over which it was made: APIDatabase or APIScript
	Key      string `json:"key"` // or token, in full: whoever has it can fetch the database
	Contract string `json:"contract"`
	State    string `json:"state"`    // now
	Scenario string `json:"scenario"` // the name of the scenario that drives it
	// Status is what the method status would answer, without counting a poll. Its URLs begin with Advertise's
	// URL where there is one, else with the server's URL, or HTTPSURL where it has only that.
	Status map[string]any `json:"status"`
	// SharedSize is what a listing over SFTP shows, Contiguous how much of it has arrived without a hole.
	SharedSize int64 `json:"shared_size"`
	Contiguous int64 `json:"contiguous"`
	// AccessExpires is the end of the SFTP access; nil: there is none.
	AccessExpires *time.Time `json:"access_expires"`
	// Upload is what came over rsync; nil: nothing did.
	Upload *Upload `json:"upload,omitempty"`
}

// ErrNoRequest is returned for an id that no request has.
var ErrNoRequest = errors.New("no such request")

// ErrRealClock is returned by Advance if Options.Clock is no ManualClock.
var ErrRealClock = errors.New("mockserver: the clock is the system's, which runs by itself")

// ErrConflict is returned by SetState and Release for a change that makes no sense for the request as it is.
var ErrConflict = platform.ErrConflict

// Events returns the events of the journal that pass, oldest first, as far as they are remembered
// (Options.JournalSize).
func (s *Server) Events(f journal.Filter) []journal.Event {
	s.platform.Evaluate() // a change of state is journalled when it is looked for
	return s.observer.journal.Events(f)
}

// ClearJournal forgets the events that pass.
func (s *Server) ClearJournal(f journal.Filter) { s.observer.journal.Clear(f) }

// Requests returns all requests, in the order of their ids.
func (s *Server) Requests() []Request {
	all := s.platform.All()
	requests := make([]Request, len(all))
	for i, snapshot := range all {
		requests[i] = s.request(snapshot)
	}
	return requests
}

// Request returns the request with that id, or ErrNoRequest.
func (s *Server) Request(id int64) (Request, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return Request{}, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	request := s.request(r.Snapshot())
	if request.Upload != nil {
		var err error
		if request.Upload.Files, err = filesOf(r); err != nil {
			return request, fmt.Errorf("mockserver: the files of request %d: %w", id, err)
		}
	}
	return request, nil
}

func (s *Server) request(r platform.Snapshot) Request {
	return Request{
		ID: r.ID, API: r.API, Key: r.Key, Contract: r.Contract, State: r.State, Scenario: r.Scenario,
		Status: s.statusOf(r), Upload: uploadOf(&r),
		SharedSize: r.SharedSize, Contiguous: r.ContiguousBytes, AccessExpires: r.AccessExpires,
	}
}

// statusOf is what the method status of its API would answer of a request.
func (s *Server) statusOf(r platform.Snapshot) map[string]any {
	base := cmp.Or(s.advertise.Load().URL, s.URL(), s.HTTPSURL())
	if r.API == platform.APIScript {
		return script.StatusOf(&r, s.assignedBy(base)).Map()
	}
	return s.database.Status(r, base)
}

// SetState puts a request in a state, outside its script, and sets keys of its status; a nil set leaves those
// set before. It fails with ErrNoRequest, or with ErrConflict where the state makes no sense: back to draft, or
// something to download when there is nothing.
func (s *Server) SetState(id int64, state string, set map[string]any) (Request, error) {
	return s.changed(id, func(r *platform.Request) (platform.Snapshot, error) {
		if err := checkSet(r.API(), set); err != nil {
			return platform.Snapshot{}, err
		}
		return r.Force(state, set)
	})
}

// checkSet reports what is wrong with the keys of a status, as the check of a scenario's step does.
func checkSet(api string, set map[string]any) error {
	const step = "steps[0].set."
	err := (&scenario.Scenario{
		When: map[string]string{"api": api}, Steps: []scenario.Step{{State: "any", Set: set}},
	}).Validate()
	if wrong, ok := errors.AsType[*scenario.Error](err); ok {
		for i, m := range wrong.Mistakes {
			wrong.Mistakes[i].Path = "set: " + strings.TrimPrefix(m.Path, step)
		}
	}
	return err
}

// Release lets a request go on that a step `for: released` holds. It fails with ErrNoRequest, or with
// ErrConflict where no step does.
func (s *Server) Release(id int64) (Request, error) {
	return s.changed(id, (*platform.Request).Release)
}

func (s *Server) changed(id int64, change func(*platform.Request) (platform.Snapshot, error)) (Request, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return Request{}, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	snapshot, err := change(r)
	if errors.Is(err, fs.ErrNotExist) {
		return Request{}, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	if err != nil {
		return Request{}, err
	}
	return s.request(snapshot), nil
}

// Scenarios returns the scenarios in use, in the order in which they are looked at.
func (s *Server) Scenarios() []*scenario.Scenario { return s.scripts.All() }

// AddScenario puts a scenario before those in use, in place of one of the same name. It drives requests created
// from now on.
func (s *Server) AddScenario(script *scenario.Scenario) error {
	script, err := usable(script)
	if err != nil {
		return err
	}
	s.scripts.Add(script)
	return nil
}

// RemoveScenario takes the scenario with that name out of use, or all of them for ""; it returns how many there
// were. Requests that it drives go on.
func (s *Server) RemoveScenario(name string) int { return s.scripts.Remove(name) }

// Await returns the first event that passes, and waits for it if it has not happened yet. It returns ctx's error when
// that ends first, and any other only when the server is closed.
func (s *Server) Await(ctx context.Context, f journal.Filter) (journal.Event, error) {
	for {
		events, err := s.next(ctx, f)
		switch {
		case len(events) > 0:
			return events[0], nil
		case err != nil:
			return journal.Event{}, err
		}
	}
}

// AwaitState waits until the request is in the state. It does not count as a poll.
func (s *Server) AwaitState(ctx context.Context, id int64, state string) (Request, error) {
	for after := uint64(0); ; {
		r, err := s.Request(id)
		if err != nil || r.State == state {
			return r, err
		}
		e, err := s.Await(ctx, journal.Filter{Request: id, On: journal.OnState, After: after})
		if err != nil {
			return r, fmt.Errorf("mockserver: request %d is in state %s: %w", id, r.State, err)
		}
		after = e.Seq
	}
}

// next returns events that pass, or neither events nor an error when a request may have changed its state by
// itself meanwhile: whoever waits must look at the clock then.
func (s *Server) next(ctx context.Context, f journal.Filter) ([]journal.Event, error) {
	s.platform.Evaluate()
	until := ctx
	if due, ok := s.platform.Due(); ok && s.timed {
		var cancel context.CancelFunc
		until, cancel = context.WithDeadline(ctx, due)
		defer cancel()
	}
	events, err := s.observer.journal.Next(until, f)
	if err != nil && ctx.Err() == nil && !errors.Is(err, eventlog.ErrClosed) {
		err = nil
	}
	return events, err
}

// Advance lets time pass on the ManualClock of the options, evaluates what that changes, and returns what the
// clock says then. It fails with ErrRealClock if there is none.
func (s *Server) Advance(d time.Duration) (time.Time, error) {
	clock := s.opts.manual()
	if clock == nil {
		return time.Time{}, fmt.Errorf("%w; start with a virtual one (%s)", ErrRealClock, s.opts.OptionName("Clock"))
	}
	if d <= 0 {
		return time.Time{}, fmt.Errorf("mockserver: time cannot be advanced by %v: it only goes forward", d)
	}
	now := clock.Advance(d)
	s.transfers.Evaluate()
	if err := s.platform.KeepClock(); err != nil {
		return now, fmt.Errorf("mockserver: keep the clock: %w", err)
	}
	s.platform.Evaluate()
	return now, nil
}

// Reset forgets requests, dumps, journal and counted faults of the scope; with the zero scope it also puts back
// the scenarios that the server was made with. Ids go on ascending.
func (s *Server) Reset(of Scope) error {
	err := s.platform.Reset(func(id int64, contract string) bool {
		return (of.Request == 0 || of.Request == id) && (of.Contract == "" || of.Contract == contract)
	})
	switch {
	case of.Request == 0 && of.Contract == "":
		s.scripts.Reset()
	case of.Request == 0:
		s.scripts.Forget(of.Contract)
	}
	s.observer.journal.Clear(journal.Filter{Request: of.Request, Contract: of.Contract})
	s.keys.Forget(func() []string { return keysOf(s.platform) })
	return err
}

// kinds returns what an event's On can be, in an order for people.
func kinds() []string {
	list := append(
		slices.Concat(database.Methods(), script.Kinds(), transfer.Kinds()),
		scenario.OnDownload,
		journal.OnPage,
		journal.OnUnknown,
		journal.OnState,
		journal.OnData,
		scenario.OnSFTPPut,
		scenario.OnSFTPGet,
	)
	for _, kind := range sftpserver.EventKinds() {
		list = append(list, sftpPrefix+string(kind))
	}
	return list
}

// sftpPrefix begins the names of the events that sftpserver reports.
const sftpPrefix = "sftp."

// SetAdvertise changes what answers say of how to reach the emulator, as when a container's ports were
// mapped.
func (s *Server) SetAdvertise(a Advertise) error {
	if a.URL != "" {
		if err := checkBase(a.URL); err != nil {
			return fmt.Errorf("mockserver: public URL %w", err)
		}
	}
	for _, port := range []int{a.SFTPPort, a.TransferPort} {
		if port < 0 || port > 65535 {
			return fmt.Errorf("mockserver: %d is no port", port)
		}
	}
	if _, port, _ := net.SplitHostPort(s.opts.Transfer); a.TransferPort != 0 && port == "0" {
		return fmt.Errorf("mockserver: each transfer has a port of its own, for which no other can be advertised; name "+
			"one for all with %s", s.opts.OptionName("Transfer"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advertise.Store(&a)
	if l := s.listeners["sftp"]; l != nil {
		return writeKnownHosts(s.home.Dir, l.Addr().String(), a, s.trust.hostKeys)
	}
	return nil
}

// Advertise returns what SetAdvertise, or else the options, have set.
func (s *Server) Advertise() Advertise { return *s.advertise.Load() }

// Health reports, for each listener that is not switched off, whether it accepts connections. With Options.DataDir
// it also reports, as "data", whether what is acknowledged now will be found by the next process.
func (s *Server) Health() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	health := make(map[string]bool)
	if s.opts.DataDir != "" {
		health["data"] = s.platform.OnDisk() == nil
	}
	addrs := map[string]string{"http": s.opts.HTTPAddr, "https": s.opts.HTTPSAddr, "sftp": s.opts.SFTPAddr}
	for name, addr := range addrs {
		if addr != Off {
			health[name] = s.started && s.closed == nil && s.listeners[name] != nil
		}
	}
	if _, port, _ := net.SplitHostPort(s.opts.Transfer); port != "0" { // which all transfers share
		health["transfer"] = s.started && s.closed == nil && s.transfers.Addr() != nil
	}
	return health
}
