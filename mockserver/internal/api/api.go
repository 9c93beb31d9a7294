// Package api is what all emulated APIs share: the one way of a call, the faults of scenarios, the URLs in
// answers, and the pages for people. The emulated APIs are packages below it; each adds its parameters, its
// answers and its methods.
//
// A call is an Endpoint's. Serve notes it, lets the endpoint read its parameters, lets the request's scenario
// choose a fault, has the endpoint carry it out, writes the answer, and gives the journal one event.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
	"github.com/upgrademock/upgrademock/mockserver/internal/scripts"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// Config is what the APIs need of the server. All fields but Waits, BeforeProcess and OnUpload are required.
type Config struct {
	Platform *platform.Platform
	Scripts  *scripts.Set
	Keys     *redact.Keys // of the requests that there are
	Logger   *slog.Logger
	Record   func(*journal.Event, ...eventlog.Param) // gives an event to the journal

	Now   func() time.Time // the clock
	Timed bool             // the clock is the real one, so that durations mean something
	Stall time.Duration    // how long a client may pause in sending a body

	Closing context.Context // done when the server closes
	Conns   *sync.WaitGroup // the server's connections, to which those are added that a fault takes over

	Region    string        // the part of the URLs that names the data centre
	MaxDump   int64         // bytes that a dump may have
	PublicURL func() string // the base of the URLs in answers; "" is that of the call

	Waits Waits // if not nil, follows the calls

	BeforeProcess func(id int64) // if not nil, is called before a process is carried out
	OnUpload      func(id int64) // if not nil, is called when a dump is complete, before the client is answered
}

// Waits follows the calls of clients, to find out when they wait; see package skip.
type Waits interface {
	Begin()
	Ask(id int64, on string, status bool)
	End(id int64, told bool)
}

// API is what all emulated APIs share. Its methods may be called concurrently.
type API struct {
	Config
	calls callPool
}

// New makes an API.
func New(config Config) *API {
	return &API{Config: config}
}

// Uploaded says that a dump is complete.
func (a *API) Uploaded(id int64) {
	if a.OnUpload != nil {
		a.OnUpload(id)
	}
}

// Base is the base of the URLs in an answer to r, which must lead back here for the client that sent it; in two
// parts.
func (a *API) Base(r *http.Request) (scheme, host string) {
	if base := a.PublicURL(); base != "" {
		return base, ""
	}
	scheme, host = "http://", r.Host
	if r.TLS != nil || r.URL.Scheme == "https" { // without TLS: through a proxy (RFC 9112 section 3.2.2)
		scheme = "https://"
	}
	if host == "" { // HTTP/1.0
		host = LocalAddr(r)
	}
	return scheme, host
}

// Hostname is the host of a base URL, without port; "" if there is none.
func Hostname(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
