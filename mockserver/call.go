package mockserver

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// call is one HTTP exchange on its way through the emulator.
type call struct {
	w      recorder
	r      *http.Request
	params params
	// request is what the call names, fails why there is none. Both are nil for a call that names none by its nature.
	request *platform.Request
	fails   platform.Failures
	fault   *platform.Fault
	event   journal.Event // what the journal will say …
	told    bool          // … and has said
	whole   described     // the answer of a status
	free    func()        // ends the context of a slow call; nil: there is none
}

// ended are the calls that have: polls come by the thousand, and a call is large.
var ended = sync.Pool{New: func() any { return new(call) }}

// answer is what a method answers: failures, or the keys beside them.
type answer struct {
	failures platform.Failures
	request  any  // nil: there is no such key
	sent     bool // a scripted fault has answered already
}

func refused(fails ...platform.Failure) answer { return answer{failures: fails} }

// allowed are the HTTP methods that all answer alike (row 1.5).
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
			http.Error(&c.w, "405 method not allowed", http.StatusMethodNotAllowed)
			return
		}
		r = s.patient(&c.w, r)
		c.r = r
		var err error
		if raw {
			c.params.readQuery(r)
		} else {
			err = c.params.read(r)
		}
		if err != nil {
			s.discardBody(c)
			s.write(c, refused(badParameters(err)))
			return
		}
		s.identify(c, platform.Ref{ID: c.params.get("request"), Key: c.params.get("key")})
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
	c := ended.Get().(*call)
	c.w.ResponseWriter, c.w.bodiless, c.r = w, r.Method == http.MethodHead, r
	c.event.On, c.event.At = on, s.now()
	c.event.Method, c.event.Agent = s.shorten(r.Method, maxShown), s.shorten(r.UserAgent(), maxShown)
	c.event.Path = shorten(sshkeys.Hide(s.keys.Path(r.URL.Path)), 2*maxShown)
	return c
}

// end gives the account to the journal, and ends the use of c. It runs when the handler panics, too: that is how a connection is broken off.
func (s *Server) end(c *call) {
	trouble := recover()
	if trouble != nil && trouble != http.ErrAbortHandler {
		s.log.Error("a call met a bug of the emulator", "on", c.event.On, "panic", trouble)
		c.event.Why = "a bug of the emulator: see its log"
		if c.w.status == 0 {
			s.write(c, refused(platform.ServerError("Something went wrong; try again later", nil)))
			trouble = nil
		}
	}
	s.tell(c)
	if c.free != nil {
		c.free()
	}
	if trouble != nil {
		panic(http.ErrAbortHandler)
	}
	*c = call{params: c.params.emptied()}
	ended.Put(c)
}

// tell puts the account into the journal, once; before the client can see that the call has ended, where that is possible.
func (s *Server) tell(c *call) {
	if c.told {
		return
	}
	c.told = true
	if s.timed {
		c.event.Duration = time.Since(c.event.At)
	}
	c.event.Status, c.event.Sent = c.w.status, c.w.sent
	if c.w.status >= http.StatusMultipleChoices {
		c.event.RetryAfter = retryAfter(c.w.Header().Get("Retry-After"), c.event.At)
	}
	c.tellFault()
	s.record(&c.event, c.params.redacted(s.shorten)...)
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

// identify finds the request of the call, if it has the right key, and chooses the fault that its script has for it.
func (s *Server) identify(c *call, ref platform.Ref) {
	switch on := c.event.On; {
	case on == scenario.OnCreate || on == scenario.OnUpgrade:
		params := createParams(&c.params)
		script := s.scripts.forRequest(params)
		c.event.Contract, c.event.Scenario = params.Contract, script.Name
		c.fault = s.scripts.pickFor(script, on, params.Contract)
	default:
		if c.request, c.fails = s.platform.Find(ref); c.request != nil {
			r := c.request
			c.event.Request, c.event.Contract, c.event.Scenario = r.ID(), r.Contract(), r.Scenario()
			c.event.KeyIn = headersWith(c.r, ref.Key)
			c.fault = r.Pick(on)
		} else if ref.ID == "" {
			c.event.Contract = c.params.get("contract")
		}
	}
}

// headersWith names the headers that have the key in them, where it does not belong.
func headersWith(r *http.Request, key string) (names string) {
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

// none is an empty list.
var none any = []string{}

// write encodes an answer: the only place where the envelope is made (row 1.6).
func (s *Server) write(c *call, a answer) {
	status := http.StatusOK
	buffer := answerBuffers.Get().(*[]byte)
	defer answerBuffers.Put(buffer)
	body := append((*buffer)[:0], `{"failures":`...)
	var err error
	if len(a.failures) > 0 {
		status = s.opts.FailureStatus
		body, err = appendJSON(body, a.failures)
		c.event.Why = join(c.event.Why, a.failures.Why())
		for _, f := range a.failures {
			c.event.Failures = append(c.event.Failures, f.Reason)
		}
	} else {
		body = append(body, "[]"...)
		if a.request != nil {
			body, err = appendJSON(append(body, `,"request":`...), a.request)
		}
	}
	if err != nil { // only a script's value could do that, and those were checked
		panic("mockserver: an answer that cannot be encoded: " + err.Error())
	}
	*buffer = append(body, "}\n"...)
	s.send(c, status, jsonType, *buffer)
}

// jsonType is the Content-Type of polls; net/http reads it only.
var jsonType = []string{"application/json"}

// shortAnswer is the size up to which net/http itself writes a Content-Length, and more cheaply.
const shortAnswer = 2 << 10

// send writes a whole answer, spoiled where the scenario says so.
func (s *Server) send(c *call, status int, contentType []string, body []byte) {
	header := c.w.Header()
	header["Content-Type"] = contentType
	if c.fault != nil && c.fault.Garbage {
		body = []byte(garbage)
		c.fired(0)
	}
	if len(body) > shortAnswer || c.fault != nil {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	c.w.WriteHeader(status)
	c.w.Write(body)
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}

// What the journal shows of a call is bounded: it remembers thousands of them.
const (
	maxShownParams = 50
	maxShown       = 200 // bytes of a name or value
)

func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// shorten cuts a text for the journal, which hides what is secret. One that is cut hides it before, so that no part is left at its end.
func (s *Server) shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return shorten(s.hide(text), n)
}

// hide returns a text without the keys of requests, and nothing of one that may be a private key.
func (s *Server) hide(text string) string { return sshkeys.Hide(s.keys.Hide(text)) }

// base is the base of the URLs in an answer to r, which must lead back here for whoever asked; in two parts.
func (s *Server) base(r *http.Request) (scheme, host string) {
	if base := s.advertise.Load().URL; base != "" {
		return base, ""
	}
	scheme, host = "http://", r.Host
	if r.TLS != nil || r.URL.Scheme == "https" { // a proxy's client may ask for https without TLS (RFC 9112 section 3.2.2)
		scheme = "https://"
	}
	if host == "" { // HTTP/1.0
		if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			host = addr.String()
		}
	}
	return scheme, host
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status   int
	sent     int64    // bytes of the body that went out
	bodiless bool     // it is the answer to a HEAD
	spoiler  *spoiler // what a fault does to the answer; nil: nothing
}

func (w *recorder) WriteHeader(status int) {
	if w.spoiler != nil && w.status == 0 {
		w.spoiler.aim(w.Header())
	}
	w.status = cmp.Or(w.status, status)
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.spoiler != nil {
		return w.spoiler.write(b)
	}
	return w.send(b)
}

// send is Write without a fault.
func (w *recorder) send(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	if !w.bodiless {
		w.sent += int64(n)
	}
	return n, err
}

// ReadFrom copies with a buffer that is there already.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	buffer := copyBuffers.Get().(*[256 << 10]byte)
	defer copyBuffers.Put(buffer)
	return io.CopyBuffer(struct{ io.Writer }{w}, r, buffer[:])
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// patientBody gives up on a body that does not progress, however long the whole may take.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	read    int64 // bytes
	ended   bool  // it was read to its end, or cannot be read any further
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

// bodyRead is how many bytes of the call's body came in.
func (c *call) bodyRead() int64 {
	if body, ok := c.r.Body.(*patientBody); ok {
		return body.read
	}
	return 0
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.control.SetReadDeadline(time.Now().Add(b.stall))
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
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
	body, patient := c.r.Body.(*patientBody)
	if !patient {
		io.Copy(io.Discard, c.r.Body)
		return
	}
	if body.ended {
		return
	}
	http.NewResponseController(&c.w).SetReadDeadline(time.Now().Add(lingerTimeout))
	n, _ := io.Copy(io.Discard, body.ReadCloser)
	body.read += n
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
