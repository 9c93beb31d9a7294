package mockserver

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/journal"
)

// controlHandler is the API below /_mock/.
func (s *Server) controlHandler() http.Handler { return s.keepPagesOut(control.Handler(steered{s})) }

// keepPagesOut refuses the calls of web pages that came here under a name of their own, which they had made to lead to loopback (DNS
// rebinding): to their browser we are then the page's own site. Browsers name the page's site in every call that changes something.
func (s *Server) keepPagesOut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != "" && !s.isOurs(r.Host) {
			http.Error(w, "403 a page of "+strconv.Quote(r.Host)+" may not steer the emulator; open it under its address or localhost", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs tells whether host, with or without a port, is an address, a name that no stranger can own, or one that we were told is ours.
func (s *Server) isOurs(host string) bool {
	host = strings.ToLower((&url.URL{Host: host}).Hostname())
	if net.ParseIP(host) != nil || !strings.Contains(host, ".") || strings.HasSuffix(host, ".localhost") {
		return true
	}
	advertised := s.GetAdvertise()
	return host == strings.ToLower(hostname(advertised.URL)) || host == strings.ToLower(advertised.SFTPHost) || slices.Contains(s.opts.CAHosts, host)
}

// steered is a Server as the control API sees it.
type steered struct{ *Server }

func (s steered) Requests() []any {
	requests := s.Server.Requests()
	list := make([]any, len(requests))
	for i := range requests {
		list[i] = requests[i]
	}
	return list
}

func (s steered) Request(id int64) (any, error) {
	r, err := s.Server.Request(id)
	return r, inControlWords(err)
}

func (s steered) SetState(id int64, state string, set map[string]any) (any, error) {
	r, err := s.Server.SetState(id, state, set)
	return r, inControlWords(err)
}

func (s steered) Release(id int64) (any, error) {
	r, err := s.Server.Release(id)
	return r, inControlWords(err)
}

func (s steered) Advance(d time.Duration) (time.Time, error) {
	now, err := s.Server.Advance(d)
	return now, inControlWords(err)
}

func inControlWords(err error) error {
	switch {
	case errors.Is(err, ErrNoRequest):
		return control.Refused(http.StatusNotFound, err)
	case errors.Is(err, ErrConflict), errors.Is(err, ErrRealClock):
		return control.Refused(http.StatusConflict, err)
	}
	return err
}

func (s steered) Next(ctx context.Context, f journal.Filter) ([]journal.Event, error) {
	return s.next(ctx, f)
}

func (s steered) Dropped() uint64              { return s.journal.Dropped() }
func (s steered) Advertise() control.Advertise { return control.Advertise(s.GetAdvertise()) }
func (s steered) Metrics() http.Handler        { return s.metrics.handler() }
func (s steered) Done() <-chan struct{}        { return s.ctx.Done() }

func (s steered) SetAdvertise(a control.Advertise) error { return s.Server.SetAdvertise(Advertise(a)) }
func (s steered) Reset(of control.Scope) error           { return s.Server.Reset(Scope(of)) }
func (s steered) Kinds() []string                        { return Kinds() }
