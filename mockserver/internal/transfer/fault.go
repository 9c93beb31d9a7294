package transfer

import (
	"errors"

	"github.com/upgrademock/upgrademock/internal/sshhost"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// Why a session ends in which a fault has fired.
var (
	errFired   = errors.New("the scenario ends the session here")
	errRefused = errors.New("the scenario refuses this run of rsync")
)

// atOnce begins the session's fault: its rate is in force from now on, and the rest fires if it waits for no data.
func (s *session) atOnce() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fault
	if f == nil {
		return nil
	}
	if f.Rate > 0 {
		s.ssh.Limit(s, f.Rate)
		s.fired = new(journal.Fired)
	}
	if f.After > 0 || f.File != "" {
		return nil
	}
	return s.fireLocked()
}

// data counts n bytes of file data that are about to pass, and fires the session's fault before its byte. It returns
// how many of them may pass.
func (s *session) data(name string, _ int64, n int) (pass int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pass = n
	if f := s.fault; f != nil {
		switch {
		case f.File != "" && f.MatchesFile(name):
			pass = 0
		case f.File == "" && s.passed+int64(n) > f.After:
			pass = int(f.After - s.passed)
		}
	}
	if pass == n {
		s.passed += int64(n)
		return n, nil
	}
	s.passed += int64(pass)
	if err := s.fireLocked(); err != nil {
		return pass, err
	}
	s.passed += int64(n - pass)
	return n, nil
}

// fireLocked does what the fault says, save its rate. The error is why the session must end.
func (s *session) fireLocked() error {
	f := s.fault
	s.fault = nil
	s.fired = &journal.Fired{At: s.passed}
	s.fired.Received, s.fired.Sent = s.moved()
	s.ssh.Stall(f.Delay)
	switch {
	case f.Refuse:
		return errRefused
	case !f.Disconnect && !f.Reset:
		return nil
	}
	s.ending = &sshhost.Fault{Name: s.name, Ends: true, Reset: f.Reset, Delay: f.Delay}
	return errFired
}
