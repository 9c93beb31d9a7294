package mockserver

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
	"golang.org/x/time/rate"
)

// A fault of a scenario meets a call in one of three places: before the work is done (strikeFirst), in the body of a dump (struckBody,
// strikeInBody), or in the answer to work that was done (spoilAnswer, and garbage in send).

// strikeFirst does what a scripted fault does in place of the platform's work. It returns true when the call has been answered; it does not
// return when the connection was broken off.
func (s *Server) strikeFirst(c *call) bool {
	f := c.fault
	if f == nil {
		return false
	}
	if f.Delay > 0 && !s.pause(c.r.Context(), f.Delay) {
		panic(http.ErrAbortHandler)
	}
	if c.strikesInBody() {
		return false
	}
	s.spoilAnswer(c)
	return s.strike(c)
}

// strikesInBody tells whether the fault waits for a byte of the body that comes in.
func (c *call) strikesInBody() bool {
	return c.fault.After > 0 && (c.event.On == scenario.OnUpload || c.event.On == scenario.OnUpgrade)
}

// strike answers instead of the platform, or breaks the connection. It returns false for faults of another kind.
func (s *Server) strike(c *call) bool {
	switch f := c.fault; {
	case f.Failure != nil:
		s.discardBody(c)
		s.write(c, refused(scripted(f.Failure)))
	case f.HTTP != nil:
		s.discardBody(c)
		for name, values := range f.HTTP.Header() {
			c.w.Header()[name] = values
		}
		c.w.WriteHeader(f.HTTP.StatusCode())
		io.WriteString(&c.w, f.HTTP.Body)
	case f.Reset && !(f.After > 0 && c.event.On == scenario.OnDownload):
		s.drop(c, true)
	case f.Revoke:
		s.platform.RevokeAccess(c.event.Request)
		return false
	default:
		return false
	}
	return true
}

func scripted(f *scenario.Failure) platform.Failure {
	return platform.Failure{Reason: f.Reason, Message: f.Message, Fields: f.More, Why: "the scenario says so"}
}

// drop breaks the connection off, with a TCP RST or without a word. It does not return.
func (s *Server) drop(c *call, reset bool) {
	control := http.NewResponseController(&c.w)
	if c.w.status != 0 {
		control.Flush() // what was sent before the break shall arrive
	}
	s.conns.Add(1)
	defer s.conns.Done()
	if conn, _, err := control.Hijack(); err == nil {
		if secure, ok := conn.(*tls.Conn); ok {
			conn = secure.NetConn() // not even TLS says goodbye
		}
		s.tell(c)
		s.hangUp(conn, reset)
	}
	panic(http.ErrAbortHandler)
}

// hangUpTimeout is how long a client may go on sending to a connection that has been closed for it.
const hangUpTimeout = 2 * time.Second

// hangUp closes a connection with a RST, or so that the client sees an orderly end of the stream: the kernel would turn
// that into a RST, too, if anything that was sent stayed unread.
func (s *Server) hangUp(conn net.Conn, reset bool) {
	defer conn.Close()
	tcp, ok := conn.(interface {
		net.Conn
		CloseWrite() error
		SetLinger(int) error
	})
	if !ok {
		return
	}
	if reset {
		tcp.SetLinger(0)
		return
	}
	tcp.CloseWrite()
	tcp.SetReadDeadline(time.Now().Add(hangUpTimeout))
	defer context.AfterFunc(s.ctx, func() { tcp.SetReadDeadline(time.Unix(1, 0)) })()
	io.Copy(io.Discard, tcp)
}

// errStruck is what a body reads as where a fault strikes.
var errStruck = errors.New("mockserver: a scripted fault struck here")

// struckBody is the call's body, slowed down and ending where the scenario says so.
func (s *Server) struckBody(c *call) io.Reader {
	var body io.Reader = c.r.Body
	if c.fault == nil {
		return body
	}
	if c.strikesInBody() {
		body = &struckReader{r: body, left: c.fault.After}
	}
	if c.fault.Rate > 0 {
		body = &slowReader{r: body, pace: s.pace(c.r.Context(), c.fault.Rate)}
	}
	return body
}

type struckReader struct {
	r    io.Reader
	left int64
}

func (r *struckReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, errStruck
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
}

// strikeInBody does what the fault does that struck in the body. It does not return when the connection was broken off.
func (s *Server) strikeInBody(c *call) {
	if !s.strike(c) {
		s.drop(c, false)
	}
}

// spoilAnswer arms what happens to an answer on its way out.
func (s *Server) spoilAnswer(c *call) {
	f := c.fault
	if f.Cut || f.Truncate || f.Reset && f.After > 0 || f.Rate > 0 && c.event.On != scenario.OnUpload && c.event.On != scenario.OnUpgrade {
		c.w.ResponseWriter = &spoiledWriter{ResponseWriter: c.w.ResponseWriter, s: s, c: c, left: -1, pace: s.pace(c.r.Context(), f.Rate)}
	}
}

// spoiledWriter breaks an answer off in the middle, or at the fault's After, or slows it down.
type spoiledWriter struct {
	http.ResponseWriter
	s       *Server
	c       *call
	left    int64 // bytes until the break; -1 while the headers are not written
	endless bool  // there is no break, only a pace
	pace    func(int) bool
}

func (w *spoiledWriter) WriteHeader(status int) {
	f := w.c.fault
	length, err := strconv.ParseInt(w.Header().Get("Content-Length"), 10, 64)
	switch {
	case !f.Cut && !f.Truncate && !f.Reset:
		w.endless = true
	case f.After > 0:
		w.left = f.After
	case err == nil:
		w.left = length / 2
	default:
		w.left = 1
	}
	if f.Truncate && !w.endless && err == nil {
		w.Header().Set("Content-Length", strconv.FormatInt(min(w.left, length), 10))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *spoiledWriter) Write(p []byte) (int, error) {
	if w.left < 0 && !w.endless {
		w.WriteHeader(http.StatusOK)
	}
	now := p
	if !w.endless {
		now = p[:min(int64(len(p)), w.left)]
	}
	for len(now) > 0 {
		piece := now[:min(len(now), paceStep)]
		if !w.pace(len(piece)) {
			panic(http.ErrAbortHandler)
		}
		n, err := w.ResponseWriter.Write(piece)
		if !w.endless {
			w.left -= int64(n)
		}
		if err != nil {
			return n, err
		}
		if w.c.fault.Rate > 0 && len(piece) < len(now) { // the last piece goes when the journal has been told
			http.NewResponseController(w.ResponseWriter).Flush()
		}
		now = now[n:]
	}
	if w.left == 0 && !w.endless && !w.c.fault.Truncate {
		w.s.drop(w.c, w.c.fault.Reset)
	}
	return len(p), nil
}

// Unwrap is for http.ResponseController.
func (w *spoiledWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// garbage is what comes in place of an answer that is not JSON.
const garbage = "\x00\x1f\x8b<<<upstream said something nobody understands>>>\xff\xfe\n"

// paceStep is how many bytes go at once over a slow line.
const paceStep = 1 << 10

type slowReader struct {
	r    io.Reader
	pace func(int) bool
}

func (r *slowReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p[:min(len(p), paceStep)])
	if n > 0 && !r.pace(n) {
		return n, context.Canceled
	}
	return n, err
}

// pace returns a function that waits until so many bytes may go, and returns false when nobody waits for them any more.
func (s *Server) pace(ctx context.Context, bytesPerSecond int64) func(int) bool {
	if bytesPerSecond <= 0 {
		return func(int) bool { return true }
	}
	limiter := rate.NewLimiter(rate.Limit(bytesPerSecond), paceStep)
	limiter.AllowN(time.Now(), paceStep) // the first bytes wait, too
	return func(n int) bool {
		wait := limiter.ReserveN(time.Now(), n).Delay()
		return wait == 0 || s.pause(ctx, wait)
	}
}
