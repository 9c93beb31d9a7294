package mockserver

import (
	"context"
	"errors"
	"net/http"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// controlHandler is the API below /_mock/.
func (s *Server) controlHandler() http.Handler {
	e := steered{s}
	return control.Handler(control.Config{
		Requests: e, Journal: e, Scenarios: s, Emulator: e, Environment: e,
		Metrics: s.observer.metrics.handler, Kinds: kinds(), Status: controlStatus, Done: s.ctx.Done(),
		OptionName: s.opts.OptionName,
		Hosts:      func() []string { return hosts(&s.opts, s.Advertise()) },
	})
}

// controlStatus is the HTTP status of the control API for an error of ours; 0 for others.
func controlStatus(err error) int {
	switch {
	case errors.Is(err, ErrNoRequest):
		return http.StatusNotFound
	case errors.Is(err, ErrConflict), errors.Is(err, ErrRealClock):
		return http.StatusConflict
	}
	return 0
}

// platformHost is the emulated platform's own, under which calls come through a proxy.
const platformHost = "upgrade.odoo.com"

// hosts are the names that are the server's own, for the control API; "" is none.
func hosts(opts *Options, a Advertise) []string {
	return append([]string{
		platformHost, api.Hostname(opts.PublicURL), opts.SFTPHostname, api.Hostname(a.URL), a.SFTPHost,
		opts.HTTPAddr, opts.HTTPSAddr, opts.ControlAddr,
	}, opts.CAHosts...)
}

// steered is a Server in the types of the control API.
type steered struct{ *Server }

func (s steered) Requests() []control.Request {
	requests := s.Server.Requests()
	list := make([]control.Request, len(requests))
	for i, r := range requests {
		list[i] = steeredRequest(r)
	}
	return list
}

// steeredRequest is a request as the control API shows it: tokens of the script API only shortened.
func steeredRequest(r Request) control.Request {
	c := control.Request{
		ID: r.ID, API: r.API, Key: r.Key, Contract: r.Contract, State: r.State, Scenario: r.Scenario, Status: r.Status,
		SharedSize: r.SharedSize, Contiguous: r.Contiguous, AccessExpires: r.AccessExpires,
	}
	if r.Upload != nil {
		c.Upload = r.Upload
	}
	if r.API == APIScript {
		c.Key, c.Token = "", redact.Short(r.Key)
	}
	return c
}

func (s steered) Request(id int64) (control.Request, error) {
	r, err := s.Server.Request(id)
	return steeredRequest(r), err
}

func (s steered) SetState(id int64, state string, set map[string]any) (control.Request, error) {
	r, err := s.Server.SetState(id, state, set)
	return steeredRequest(r), err
}

func (s steered) Release(id int64) (control.Request, error) {
	r, err := s.Server.Release(id)
	return steeredRequest(r), err
}

func (s steered) Verify(f journal.Filter) []control.Outcome {
	var list []control.Outcome
	for _, outcome := range s.Server.Verify(f) {
		list = append(list, control.Outcome(outcome))
	}
	return list
}

func (s steered) Next(ctx context.Context, f journal.Filter) ([]journal.Event, error) {
	return s.next(ctx, f)
}
func (s steered) Dropped() uint64                        { return s.observer.journal.Dropped() }
func (s steered) Health() (map[string]bool, error)       { return s.Server.Health(), s.platform.OnDisk() }
func (s steered) Reset(of control.Scope) error           { return s.Server.Reset(Scope(of)) }
func (s steered) Advertise() control.Advertise           { return control.Advertise(s.Server.Advertise()) }
func (s steered) SetAdvertise(a control.Advertise) error { return s.Server.SetAdvertise(Advertise(a)) }
