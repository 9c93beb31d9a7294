package mockserver

import (
	"errors"
	"fmt"
	"slices"

	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
	"github.com/upgrademock/upgrademock/sftpserver"
)

// Inject is control.Requests'.
func (s steered) Inject(id int64, fault *scenario.Fault) error {
	r, ok := s.platform.Get(id)
	if !ok {
		return fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	if on := fault.On; on == scenario.OnCreate || on == scenario.OnScriptCreate || on == scenario.OnUpgrade {
		return fmt.Errorf("mockserver: a fault on %s comes before there is a request: put it into a scenario", on)
	}
	r.Inject(fault)
	return nil
}

// FaultOf is control.Requests'.
func (s steered) FaultOf(id int64, index int) (*scenario.Fault, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	faults := r.Course().Script.Faults
	if index < 0 || index >= len(faults) {
		return nil, fmt.Errorf("mockserver: the scenario %s has %d faults, and none with the index %d", r.Scenario(),
			len(faults), index)
	}
	return &faults[index], nil
}

// Retrace is control.Requests'.
func (s steered) Retrace(id int64) ([]byte, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return nil, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	c := r.Course()
	drove := func(string) *scenario.Scenario { return c.Script }
	script, err := retrace.FromJournal(s.Server.Events(journal.Filter{Request: id}), id, drove,
		retrace.Options{ByHand: c.ByHand, Set: c.ForcedSet})
	if errors.Is(err, retrace.ErrNothing) {
		return nil, fmt.Errorf("%w: the journal remembers no call for request %d", platform.ErrNoContent, id)
	}
	if err != nil {
		return nil, fmt.Errorf("mockserver: make a scenario of what happened to request %d: %w", id, err)
	}
	return script.YAML, nil
}

// EndAccess is control.Requests'.
func (s steered) EndAccess(id int64) error {
	r, ok := s.platform.Get(id)
	if !ok {
		return fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	r.Revoke()
	s.transfers.Stop(id)
	return nil
}

// Sessions is control.Emulator's.
func (s steered) Sessions() []control.Session {
	list := []control.Session{}
	for _, c := range s.sftp.Sessions() {
		one := control.Session{
			Kind: control.SFTP, Session: c.Number, Since: c.Since, Remote: c.Remote, Client: c.Client, User: shortUser(c.User),
			Key: c.Key, Path: c.Path, Offset: c.Offset,
		}
		one.Request, _ = platform.UserID(c.User)
		if c.Path != "" {
			one.Moves = direction(c.Writes)
		}
		list = append(list, one)
	}
	for _, c := range s.transfers.Sessions() {
		list = append(list, control.Session{
			Kind: control.Rsync, Session: c.Number, Since: c.Since, Remote: c.Remote, Client: c.Client,
			User: shortUser(c.User), Key: c.Key, Request: c.Request, Moves: c.Kind, Offset: c.Offset,
		})
	}
	slices.SortStableFunc(list, func(a, b control.Session) int { return a.Since.Compare(b.Since) })
	return list
}

func direction(writes bool) string {
	if writes {
		return platform.Uploading
	}
	return platform.Downloading
}

// EndSession is control.Emulator's.
func (s steered) EndSession(kind string, number uint64) error {
	if kind == control.Rsync {
		return inControlWords(s.transfers.EndSession(number))
	}
	return inControlWords(s.sftp.EndSession(number))
}

// CutSession is control.Emulator's.
func (s steered) CutSession(kind string, number uint64, at int64) error {
	if kind == control.Rsync {
		return inControlWords(s.transfers.CutSession(number, at))
	}
	return inControlWords(s.sftp.CutSession(number, at))
}

// inControlWords makes an error about a session one that controlStatus knows.
func inControlWords(err error) error {
	switch {
	case errors.Is(err, sftpserver.ErrNoSession), errors.Is(err, transfer.ErrNoSession):
		return worded{err, errNoSession}
	case errors.Is(err, sftpserver.ErrTooLate), errors.Is(err, transfer.ErrTooLate):
		return worded{err, ErrConflict}
	}
	return err
}

var errNoSession = errors.New("mockserver: no such session")

// About is control.Emulator's.
func (s steered) About() control.About {
	health := s.Server.Health()
	a := control.About{
		Requests: s.platform.Count(), Sessions: len(s.Sessions()),
		Started: s.began, Run: s.run, Edition: s.opts.Edition, CAFile: s.CAFile(), KnownHosts: s.KnownHostsFile(),
	}
	add := func(name, address string) {
		if address != "" {
			a.Listeners = append(a.Listeners, control.Listener{Name: name, Address: address, OK: health[name]})
		}
	}
	add("http", s.URL())
	add("https", s.HTTPSURL())
	add("sftp", s.SFTPAddr())
	if addr := s.transfers.Addr(); addr != nil {
		add("transfer", addr.String())
	}
	return a
}
