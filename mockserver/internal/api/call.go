package api

import (
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Endpoint is a method of an API, or a URL.
type Endpoint struct {
	On      string   // what scenarios and the journal call it
	Methods []string // the HTTP methods that it answers; nil: all
	Dump    bool     // the body is a dump

	// Read reads the parameters and finds out whose call it is. If nil, there are none.
	Read func(*Call) error
	// Handle does what the call asks for.
	Handle func(*Call) (any, error)
	// Write answers with what Handle returned, or with the error of Read, of Handle, or of a scripted fault. An
	// error that is an *Answer does not come to it.
	Write func(*Call, any, error)
}

// Call is one HTTP exchange on its way through the emulator.
type Call struct {
	R *http.Request
	W recorder
	// Request is the request that the call names, and Fails says why there is none. Both are nil for a call
	// that makes one.
	Request *platform.Request
	Fails   platform.Failures
	Params  []eventlog.Param // for the journal, which redacts them
	Event   journal.Event    // what the journal will say
	// Own is what the endpoint's API keeps with the call. Later calls get it again when it was reset, to use
	// its memory.
	Own interface{ Reset() }

	api      *API
	endpoint *Endpoint
	fault    *platform.Fault
	logged   bool   // Event was given to the journal
	polled   bool   // the state of the request is the answer
	cancel   func() // ends the context of a slow call; nil: there is none
}

// Serve answers the calls of an endpoint: the one way of every call.
func (a *API) Serve(e Endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := a.begin(&e, w, r)
		defer a.end(c)
		value, err := c.carryOut()
		c.Discard()
		c.answer(value, err)
	}
}

func (c *Call) carryOut() (any, error) {
	if allowed := c.endpoint.Methods; allowed != nil && !slices.Contains(allowed, c.R.Method) {
		c.Event.Why = "the HTTP method is none of " + strings.Join(allowed, ", ")
		refusal := Text(http.StatusMethodNotAllowed, "405 method not allowed")
		refusal.Header.Set("Allow", strings.Join(allowed, ", "))
		return nil, refusal
	}
	if c.endpoint.Read != nil {
		if err := c.endpoint.Read(c); err != nil {
			return nil, err
		}
	}
	if c.fault != nil {
		if err := c.triggerFirst(); err != nil {
			return nil, err
		}
	}
	return c.endpoint.Handle(c)
}

func (c *Call) answer(value any, err error) {
	if a, ok := err.(*Answer); ok {
		a.write(c)
		return
	}
	c.endpoint.Write(c, value, err)
}

// begin starts the journal's account of an exchange.
func (a *API) begin(e *Endpoint, w http.ResponseWriter, r *http.Request) *Call {
	c := a.calls.get()
	c.api, c.endpoint = a, e
	c.W.ResponseWriter, c.W.bodiless = w, r.Method == http.MethodHead
	c.R = a.patient(&c.W, r)
	c.Event.On, c.Event.At = e.On, a.Now()
	c.Event.Method, c.Event.Agent = a.Shorten(r.Method, maxShown), a.Shorten(r.UserAgent(), maxShown)
	c.Event.Path = a.shownPath(r.URL.Path)
	if a.Waits != nil {
		a.Waits.Begin()
	}
	return c
}

// end gives the account to the journal, and ends the use of c. It runs when the handler panics, too: that is
// how a connection is broken off.
func (a *API) end(c *Call) {
	panicked := recover()
	if panicked != nil && panicked != http.ErrAbortHandler {
		a.Logger.Error("a call met a bug of the emulator", "on", c.Event.On, "panic", panicked)
		c.Event.Why = "a bug of the emulator: see its log"
		if c.W.status == 0 {
			c.answer(nil, platform.Failures{platform.ServerError("Something went wrong; try again later", nil)})
			panicked = nil
		}
	}
	c.log()
	if c.cancel != nil {
		c.cancel()
	}
	if panicked != nil {
		panic(http.ErrAbortHandler)
	}
	a.calls.put(c)
}

// log gives the account to the journal, once; before the client can see that the call has ended, where that is
// possible.
func (c *Call) log() {
	if c.logged {
		return
	}
	c.logged = true
	if c.api.Timed {
		c.Event.Duration = time.Since(c.Event.At)
	}
	c.Event.Status, c.Event.Sent = c.W.status, c.W.sent
	if c.W.status >= http.StatusMultipleChoices {
		c.Event.RetryAfter = retryAfter(c.W.Header().Get("Retry-After"), c.Event.At)
	}
	c.logFault()
	c.api.Record(&c.Event, c.api.redacted(c.Params)...)
	if c.api.Waits != nil {
		f := c.fault
		c.api.Waits.End(c.Event.Request, c.polled && c.W.status == http.StatusOK &&
			(f == nil || !f.Garbage && !f.Cut && !f.Truncate && !f.Reset))
	}
}

// retryAfter is the pause that a header Retry-After asks for: seconds, or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}

// ForRequest finds the request of the call, if ref has the right key, and chooses the fault that its script has
// for the call.
func (c *Call) ForRequest(ref platform.Ref) {
	r, fails := c.api.Platform.Find(ref)
	c.found(r, fails, ref.Key)
}

// ForToken is ForRequest for a request of the script API, which its token alone names.
func (c *Call) ForToken(token string) {
	r, fails := c.api.Platform.FindToken(token)
	c.found(r, fails, token)
}

func (c *Call) found(r *platform.Request, fails platform.Failures, key string) {
	c.Request, c.Fails = r, fails
	if r != nil {
		c.Event.Request, c.Event.Contract, c.Event.Scenario = r.ID(), r.Contract(), r.Scenario()
		c.Event.KeyIn = headersWith(c.R, key)
		c.fault = r.Pick(c.Event.On)
		if w := c.api.Waits; w != nil && c.Event.On != scenario.OnStatus && c.Event.On != scenario.OnScriptStatus {
			w.Ask(r.ID(), c.Event.On, false)
			c.Event.At = c.api.Now()
		}
	}
}

// ForNew notes for whom a request is to be made, and chooses the fault that the script for it has for the call.
func (c *Call) ForNew(params platform.CreateParams) {
	script := c.api.Scripts.ForRequest(params)
	c.Event.Contract, c.Event.Scenario = params.Contract, script.Name
	c.fault = c.api.Scripts.PickFor(script, c.Event.On, params.Contract)
}

// Status describes the request of the call after counting one poll. The clock may jump before that.
func (c *Call) Status() (platform.Snapshot, platform.Failures) {
	if c.api.Waits != nil {
		c.api.Waits.Ask(c.Request.ID(), c.Event.On, true)
		c.Event.At = c.api.Now()
	}
	snapshot, fails := c.Request.Status()
	c.polled = fails == nil
	return snapshot, fails
}

// Note notes the request as it is after the call.
func (c *Call) Note(snapshot *platform.Snapshot) {
	c.Event.Request, c.Event.Contract = snapshot.ID, snapshot.Contract
	c.Event.Scenario, c.Event.State = snapshot.Scenario, snapshot.State
}

// Process begins the upgrade of the call's request, and notes it.
func (c *Call) Process() (platform.Snapshot, error) {
	if c.Fails != nil {
		return platform.Snapshot{}, c.Fails
	}
	if c.api.BeforeProcess != nil {
		c.api.BeforeProcess(c.Event.Request)
	}
	snapshot, fails := c.Request.Process()
	if fails != nil {
		return platform.Snapshot{}, fails
	}
	c.Note(&snapshot)
	c.Event.Size, c.Event.Checksum = snapshot.DumpSize, snapshot.DumpChecksum
	return snapshot, nil
}

// headersWith names the headers that have the key in them, where it does not belong.
func headersWith(r *http.Request, key string) string {
	names := ""
	key = strings.TrimRight(key, "=") // which may be escaped
	for name, values := range r.Header {
		for _, value := range values {
			if strings.Contains(value, key) {
				names = join(names, name)
				break
			}
		}
	}
	if user, password, ok := r.BasicAuth(); ok && strings.Contains(user+" "+password, key) {
		names = join(names, "Authorization")
	}
	return names
}

// LocalAddr is the address of ours to which the call came, "" if that is not known.
func LocalAddr(r *http.Request) string {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addr.String()
	}
	return ""
}
