package mockserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/api"
	"github.com/upgrademock/upgrademock/mockserver/internal/control"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// controlHandler is the API below /_mock/.
func (s *Server) controlHandler() http.Handler { return s.keepPagesOut(control.Handler(steered{s})) }

// keepPagesOut refuses the calls of web pages that came here under a name of their own, which they had made to lead to loopback (DNS
// rebinding): to their browser we are then the page's own site. It says so in no header of a call that only reads, so the name itself decides.
func (s *Server) keepPagesOut(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.isOurs(r.Host) {
			control.Refuse(w, http.StatusForbidden, fmt.Errorf("the control API does not answer as %q, which may be a web page's name for this machine: "+
				"call it by an IP address, as localhost, or by a name without a dot; or make the name the emulator's own with Options.PublicURL or Options.CAHosts "+
				"(--public-url, --host), or with PUT %s/advertise", r.Host, control.Base))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isOurs tells whether host, with or without a port, is an address, a name that no stranger can own, or one that we were told is ours.
// A browser always names one.
func (s *Server) isOurs(host string) bool {
	name := hostName(host)
	if _, err := netip.ParseAddr(name); err == nil || name == "" {
		return true
	}
	switch last := name[strings.LastIndexByte(name, '.')+1:]; {
	case last == name, last == "localhost", last == "internal": // no dot; RFC 6761; reserved for private networks
		return true
	case strings.Trim(last, "0123456789") == "": // an address, written otherwise
		return true
	}
	advertised := s.Advertise()
	own := append([]string{platformHost, api.Hostname(s.opts.PublicURL), s.opts.SFTPHostname, api.Hostname(advertised.URL), advertised.SFTPHost}, s.opts.CAHosts...)
	for _, addr := range []string{s.opts.HTTPAddr, s.opts.HTTPSAddr, s.opts.ControlAddr} {
		own = append(own, hostName(addr))
	}
	return slices.ContainsFunc(own, func(o string) bool { return o != "" && hostName(o) == name })
}

// platformHost is the emulated platform's own, under which calls come through a proxy.
const platformHost = "upgrade.odoo.com"

// hostName is the name or address in a Host header, as it is compared: without the port, brackets, and the dot that may end a name.
func hostName(host string) string {
	if _, err := netip.ParseAddr(host); err == nil {
		return host // an IPv6 address whose brackets were forgotten
	}
	return strings.ToLower(strings.TrimSuffix((&url.URL{Host: host}).Hostname(), "."))
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

func (s steered) OnDisk() error                { return s.platform.OnDisk() }
func (s steered) Dropped() uint64              { return s.journal.Dropped() }
func (s steered) Advertise() control.Advertise { return control.Advertise(s.Server.Advertise()) }
func (s steered) Metrics() http.Handler        { return s.metrics.handler() }
func (s steered) Done() <-chan struct{}        { return s.ctx.Done() }

func (s steered) SetAdvertise(a control.Advertise) error  { return s.Server.SetAdvertise(Advertise(a)) }
func (s steered) Reset(of control.Scope) error            { return s.Server.Reset(Scope(of)) }
func (s steered) Verify(f journal.Filter) []verify.Result { return s.judge(f, nil) }

func (s steered) Kinds() []string { return kinds() }
