package mockserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// controlHandler is the API below /_mock/.
func (s *Server) controlHandler() http.Handler {
	e := steered{s}
	return control.Handler(control.Config{
		Requests: e, Journal: e, Scenarios: s, Emulator: e, Environment: e,
		Metrics: s.observer.metrics, Kinds: kinds(), Status: controlStatus, Done: s.ctx.Done(),
		OptionName: s.opts.OptionName, Called: s.called(),
		Hosts: func() []string { return hosts(&s.opts, s.Advertise()) },
	})
}

// controlStatus is the HTTP status of the control API for an error of ours; 0 for others.
func controlStatus(err error) int {
	switch {
	case errors.Is(err, ErrNoRequest), errors.Is(err, errNoSession), errors.Is(err, platform.ErrNoContent):
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

func (s steered) List(of control.Selection) ([]control.Request, int) {
	selection := platform.Selection{
		Contract: of.Contract, State: of.State, Newest: of.Newest, After: of.After, Limit: of.Limit,
	}
	if of.Found != nil {
		selection.Found = func(r *platform.Snapshot) bool {
			brief := s.shown(r, control.ViewBrief)
			return of.Found(&brief)
		}
	}
	page, total := s.platform.List(selection)
	list := make([]control.Request, len(page))
	for i := range page {
		list[i] = s.shown(&page[i], of.View)
	}
	return list, total
}

// shown is a request as the control API shows it. Keys in its status, which is mostly URLs, are as its own.
func (s steered) shown(r *platform.Snapshot, view control.View) control.Request {
	c := control.Request{
		ID: r.ID, API: r.API, Contract: r.Contract, State: r.State, Scenario: r.Scenario, CreatedAt: r.CreatedAt,
		SharedSize: r.SharedSize, Contiguous: r.ContiguousBytes, AccessExpires: r.AccessExpires, FaultsUsed: r.FaultsUsed,
		DumpSize: r.DumpSize,
	}
	if view == control.ViewBrief {
		return c
	}
	c.Status = s.statusOf(*r)
	if upload := uploadOf(r); upload != nil {
		c.Upload = upload
	}
	script := r.API == APIScript
	switch {
	case script && view == control.ViewFull:
		c.Token = r.Key
	case script:
		c.Token = redact.Short(r.Key)
	case view == control.ViewHidden:
		c.Key = redact.Short(r.Key)
		c.Status, _ = s.hidden(c.Status).(map[string]any)
	default:
		c.Key = r.Key
	}
	return c
}

// hidden returns a status with every key in it shortened.
func (s steered) hidden(value any) any {
	switch v := value.(type) {
	case string:
		return s.keys.Hide(v)
	case map[string]any:
		copied := make(map[string]any, len(v))
		for key, value := range v {
			copied[key] = s.hidden(value)
		}
		return copied
	}
	return value
}

func (s steered) Request(id int64, view control.View) (control.Request, error) {
	r, ok := s.platform.Get(id)
	if !ok {
		return control.Request{}, fmt.Errorf("%w: %d", ErrNoRequest, id)
	}
	snapshot := r.Snapshot()
	c := s.shown(&snapshot, view)
	if upload, ok := c.Upload.(*Upload); ok {
		var err error
		if upload.Files, err = filesOf(r); err != nil {
			return c, fmt.Errorf("mockserver: the files of request %d: %w", id, err)
		}
	}
	return c, nil
}

func (s steered) SetState(id int64, state string, set map[string]any) (control.Request, error) {
	return s.after(s.Server.SetState(id, state, set))
}

func (s steered) Release(id int64) (control.Request, error) { return s.after(s.Server.Release(id)) }

// after is a request that was changed.
func (s steered) after(r Request, err error) (control.Request, error) {
	if err != nil {
		return control.Request{}, err
	}
	return s.Request(r.ID, control.ViewUsual)
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
func (s steered) Evaluate() { s.platform.Evaluate() }
func (s steered) Part(f journal.Filter, latest bool) ([]journal.Event, uint64) {
	return s.observer.journal.Part(f, latest)
}
func (s steered) First() uint64                          { return s.observer.journal.First() }
func (s steered) Last() uint64                           { return s.observer.journal.Last() }
func (s steered) Dropped() uint64                        { return s.observer.journal.Dropped() }
func (s steered) Health() (map[string]bool, error)       { return s.Server.Health(), s.platform.OnDisk() }
func (s steered) Reset(of control.Scope) error           { return s.Server.Reset(Scope(of)) }
func (s steered) Advertise() control.Advertise           { return control.Advertise(s.Server.Advertise()) }
func (s steered) SetAdvertise(a control.Advertise) error { return s.Server.SetAdvertise(Advertise(a)) }
