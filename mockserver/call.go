package mockserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/journal"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// call is one HTTP exchange on its way through the emulator.
type call struct {
	w      *recorder
	r      *http.Request
	params params
	ref    platform.Ref
	fault  *scenario.Fault
	event  journal.Event // what the journal will say …
	told   bool          // … and has said
	began  time.Time
}

// answer is what a method answers: failures, or the keys beside them.
type answer struct {
	failures platform.Failures
	request  any  // nil: there is no such key
	sent     bool // a scripted fault has answered already
}

func refused(fails ...platform.Failure) answer { return answer{failures: fails} }

// allowed are the HTTP methods that all answer alike (WIRE 1.5).
const allowed = "GET, HEAD, POST, PUT"

func allows(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut:
		return true
	}
	return false
}

// method is the one way of every API call: read the parameters, let the scenario have its say, do the work, encode,
// write the journal.
func (s *Server) method(name string, raw bool, handle func(*Server, *call) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := s.begin(name, w, r)
		defer s.end(c)
		if !allows(r.Method) {
			c.event.Why = "the HTTP method is none of " + allowed
			c.w.Header().Set("Allow", allowed)
			http.Error(c.w, "405 method not allowed", http.StatusMethodNotAllowed)
			return
		}
		r = s.patient(c.w, r)
		c.r = r
		var err error
		if raw {
			c.params = queryParams(r)
		} else {
			c.params, err = readParams(r)
		}
		if err != nil {
			s.discardBody(c)
			s.write(c, refused(badParameters(err)))
			return
		}
		c.ref = platform.Ref{ID: c.params["request"], Key: c.params["key"]}
		s.identify(c)
		c.fault = s.scripts.pick(s.platform, name, c)
		if s.strikeFirst(c) {
			return
		}
		if a := handle(s, c); !a.sent {
			s.write(c, a)
		}
	}
}

// begin starts the journal's account of an exchange.
func (s *Server) begin(on string, w http.ResponseWriter, r *http.Request) *call {
	return &call{
		w: &recorder{ResponseWriter: w}, r: r, began: time.Now(),
		event: journal.Event{On: on, At: s.now(), Method: shorten(r.Method, maxShown), Path: shorten(r.URL.Path, 2*maxShown), Agent: shorten(r.UserAgent(), maxShown)},
	}
}

// end gives the account to the journal. It runs when the handler panics, too: that is how a connection is broken off.
func (s *Server) end(c *call) {
	trouble := recover()
	if trouble != nil && trouble != http.ErrAbortHandler {
		s.log.Error("a call met a bug of the emulator", "on", c.event.On, "panic", trouble)
		c.event.Why = "a bug of the emulator: see its log"
		if c.w.status == 0 {
			s.write(c, refused(platform.Trouble("Something went wrong; try again later", nil)))
			trouble = nil
		}
	}
	s.tell(c)
	if trouble != nil {
		panic(http.ErrAbortHandler)
	}
}

// tell puts the account into the journal, once; before the client can see that the call has ended, where that is possible.
func (s *Server) tell(c *call) {
	if c.told {
		return
	}
	c.told = true
	if s.timed {
		c.event.Duration = time.Since(c.began)
	}
	c.event.Status, c.event.Sent = c.w.status, c.w.sent
	c.event.Params = redact(c.params)
	if c.fault != nil {
		c.event.Fault = describeFault(c.fault)
	}
	s.record(c.event)
	if s.log.Enabled(c.r.Context(), slog.LevelDebug) { // asked first: making the arguments costs more than saying nothing
		s.log.Debug("call", "on", c.event.On, "method", c.event.Method, "request", c.event.Request, "status", c.event.Status,
			"failures", c.event.Failures, "why", c.event.Why, "sent", c.event.Sent, "took", time.Since(c.began))
	}
}

// identify notes whose call it is, if it has the right key.
func (s *Server) identify(c *call) {
	if c.ref.ID == "" {
		c.event.Contract = c.params["contract"]
		return
	}
	if id, contract, script := s.platform.Identify(c.ref); id != 0 {
		c.event.Request, c.event.Contract, c.event.Scenario = id, contract, script
	}
}

func badParameters(err error) platform.Failure {
	reason := "PARAMETERS:INVALID"
	if errors.Is(err, errParametersTooLarge) {
		reason = "PARAMETERS:TOO_LARGE"
	}
	message := err.Error()
	return platform.Failure{Reason: reason, Message: strings.ToUpper(message[:1]) + message[1:], Why: message}
}

// answerBuffers have room for a status, or for the longest answer so far.
var answerBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 2<<10)
	return &b
}}

// none is an empty list of failures.
var none = []string{}

// write encodes an answer: the only place where the envelope is made (WIRE 1.6).
func (s *Server) write(c *call, a answer) {
	status := http.StatusOK
	envelope := object{{"failures", none}}
	if len(a.failures) > 0 {
		status = s.opts.FailureStatus
		envelope = object{{"failures", a.failures}}
		c.event.Why = join(c.event.Why, a.failures.Why())
		for _, f := range a.failures {
			c.event.Failures = append(c.event.Failures, f.Reason)
		}
	} else if a.request != nil {
		envelope = append(envelope, field{"request", a.request})
	}
	buffer := answerBuffers.Get().(*[]byte)
	defer answerBuffers.Put(buffer)
	body, err := appendJSON((*buffer)[:0], envelope)
	if err != nil { // only a script's value could do that, and those were checked
		panic("mockserver: an answer that cannot be encoded: " + err.Error())
	}
	*buffer = append(body, '\n')
	s.send(c, status, "application/json", *buffer)
}

// send writes a whole answer, spoiled where the scenario says so.
func (s *Server) send(c *call, status int, contentType string, body []byte) {
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("Cache-Control", "no-store")
	if c.fault != nil && c.fault.Garbage {
		body = []byte(garbage)
	}
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	c.w.Write(body)
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// redact makes of parameters what the journal shows of them, in place: it gets the map, since the call needs it no more. The key is
// shortened, so that a journal handed around opens nothing.
func redact(p params) params {
	if len(p) == 0 {
		return nil
	}
	if n := len(p) - maxShownParams; n > 0 {
		for _, name := range slices.Sorted(maps.Keys(p))[maxShownParams:] {
			delete(p, name)
		}
		p["…"] = fmt.Sprintf("%d more parameters", n)
	}
	if key, ok := p["key"]; ok {
		p["key"] = shortKey(key)
	}
	var long []string
	for name, value := range p {
		p[name] = shorten(value, maxShown)
		if len(name) > maxShown {
			long = append(long, name)
		}
	}
	for _, name := range long {
		p[shorten(name, maxShown)] = p[name]
		delete(p, name)
	}
	return p
}

// What the journal shows of a call is bounded: it remembers thousands of them.
const (
	maxShownParams = 50
	maxShown       = 200 // bytes of a name or value
)

func shortKey(key string) string { return shorten(key, 4) }

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// base is the base of the URLs in an answer to r, which must lead back here for whoever asked.
func (s *Server) base(r *http.Request) string {
	s.mu.Lock()
	base := s.advertise.URL
	s.mu.Unlock()
	if base != "" {
		return base
	}
	scheme, host := "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if host == "" { // HTTP/1.0
		if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			host = addr.String()
		}
	}
	return scheme + "://" + host
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	sent   int64
}

func (w *recorder) WriteHeader(status int) {
	w.status = cmp.Or(w.status, status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	n, err := w.ResponseWriter.Write(b)
	w.sent += int64(n)
	return n, err
}

// ReadFrom lets the kernel copy a file to the connection.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	w.status = cmp.Or(w.status, http.StatusOK)
	n, err := io.Copy(w.ResponseWriter, r)
	w.sent += n
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// patientBody gives up on a body that does not progress, however long the whole may take.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	until   time.Time
	ended   bool // it was read to its end, or cannot be read any further
}

// patient returns r with such a body. It is a copy: net/http looks at the body of its own to tell who waits for "100 Continue".
func (s *Server) patient(w http.ResponseWriter, r *http.Request) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	r = r.WithContext(r.Context())
	r.Body = &patientBody{ReadCloser: r.Body, control: http.NewResponseController(w), stall: s.patience.stall}
	return r
}

func (b *patientBody) Read(p []byte) (int, error) {
	// The deadline is set anew only when a good part of it has passed: it costs a system call.
	if now := time.Now(); b.until.Sub(now) < b.stall*3/4 {
		b.until = now.Add(b.stall)
		b.control.SetReadDeadline(b.until)
	}
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err != nil
	return n, err
}

// lingerTimeout is how long the rest of a refused body is read for, so that the client gets to read the answer:
// many look at it only when they have sent everything, and closing before would reset the connection under them.
const lingerTimeout = 30 * time.Second

// discardBody reads the rest of a body nobody wants. A client that waits for "100 Continue" sends none.
func (s *Server) discardBody(c *call) {
	if strings.EqualFold(c.r.Header.Get("Expect"), "100-continue") {
		return
	}
	body := c.r.Body
	if patient, ok := body.(*patientBody); ok {
		if patient.ended {
			return
		}
		body = patient.ReadCloser
	}
	http.NewResponseController(c.w).SetReadDeadline(time.Now().Add(lingerTimeout))
	io.Copy(io.Discard, body)
}

// pause waits, unless the client goes or the server is closed.
func (s *Server) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
	return false
}
