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

	"github.com/upgrademock/upgrademock/internal/drain"
	"github.com/upgrademock/upgrademock/internal/throttle"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
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
	if f.Delay > 0 {
		c.fired(0)
		if !s.pause(c.r.Context(), f.Delay) {
			panic(http.ErrAbortHandler)
		}
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
	at := int64(0)
	if c.strikesInBody() {
		at = c.fault.After
	}
	switch f := c.fault; {
	case f.Failure != nil:
		c.fired(at)
		s.discardBody(c)
		s.write(c, refused(scripted(f.Failure)))
	case f.HTTP != nil:
		c.fired(at)
		s.discardBody(c)
		for name, values := range f.HTTP.Header() {
			c.w.Header()[name] = values
		}
		c.w.WriteHeader(f.HTTP.StatusCode())
		io.WriteString(&c.w, f.HTTP.Body)
	case f.Reset && !(f.After > 0 && c.event.On == scenario.OnDownload):
		c.fired(at)
		s.drop(c, true)
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
		drain.Wait(s.ctx, conn)
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
		c.fired(0)
		slow := &slowReader{r: body, ctx: s.slowly(c)}
		slow.throttle.Limit(c, c.fault.Rate)
		body = slow
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
		c.fired(c.fault.After)
		s.drop(c, false)
	}
}

// slowReader reads no faster than its throttle lets it.
type slowReader struct {
	r        io.Reader
	ctx      context.Context
	throttle throttle.Throttle
}

func (r *slowReader) Read(p []byte) (int, error) {
	p, err := r.throttle.BeforeRead(r.ctx, p)
	if err != nil {
		return 0, err
	}
	n, err := r.r.Read(p)
	if slow := r.throttle.AfterRead(r.ctx, n); slow != nil {
		return n, slow
	}
	return n, err
}

// slowly is the context of what a fault makes slow in a call: done when the client goes or the server is closed. It ends with the call.
func (s *Server) slowly(c *call) context.Context {
	ctx, cancel := context.WithCancel(c.r.Context())
	stop := context.AfterFunc(s.ctx, cancel)
	c.free = func() {
		stop()
		cancel()
	}
	return ctx
}

// spoilAnswer arms what happens to an answer on its way out.
func (s *Server) spoilAnswer(c *call) {
	f := c.fault
	slow := f.Rate > 0 && c.event.On != scenario.OnUpload && c.event.On != scenario.OnUpgrade
	breaks := (f.Cut || f.Truncate || f.Reset && f.After > 0) && !c.w.bodiless
	if !slow && !breaks {
		return
	}
	c.w.spoiler = &spoiler{s: s, c: c, breaks: breaks, ctx: c.r.Context()}
	if slow {
		c.w.spoiler.ctx = s.slowly(c)
		c.w.spoiler.throttle.Limit(c, f.Rate)
	}
}

// spoiler breaks an answer off in the middle, or at the fault's After, or slows it down.
type spoiler struct {
	s        *Server
	c        *call
	breaks   bool  // else it only slows down
	at       int64 // the byte of the answer's body at which it breaks
	passed   int64 // bytes of the body that came to write
	ctx      context.Context
	throttle throttle.Throttle
}

// aim chooses where the answer with these headers breaks, and makes them true for one that is to end there in order.
func (b *spoiler) aim(header http.Header) {
	if !b.breaks {
		return
	}
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	known := err == nil
	switch f := b.c.fault; {
	case f.After > 0:
		b.at = f.After
	case known:
		b.at = length / 2
	default:
		b.at = 1
	}
	if b.c.fault.Truncate && known {
		header.Set("Content-Length", strconv.FormatInt(min(b.at, length), 10))
	}
}

// write sends what of p goes out. Where the connection breaks, it does not return.
func (b *spoiler) write(p []byte) (int, error) {
	now := p
	if b.breaks {
		now = p[:max(0, min(int64(len(p)), b.at-b.passed))]
	}
	b.passed += int64(len(p))
	if b.c.fault.Rate > 0 {
		b.c.fired(0)
	}
	for len(now) > 0 {
		piece, err := b.throttle.BeforeWrite(b.ctx, now)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		n, err := b.c.w.send(piece)
		if err != nil {
			return n, err
		}
		if len(piece) < len(now) { // the last piece goes when the journal has been told
			http.NewResponseController(&b.c.w).Flush()
		}
		now = now[n:]
	}
	switch {
	case !b.breaks:
	case b.c.fault.Truncate && b.passed > b.at:
		b.c.fired(b.at)
	case !b.c.fault.Truncate && b.passed >= b.at:
		b.c.fired(b.at)
		b.s.drop(b.c, b.c.fault.Reset)
	}
	return len(p), nil
}

// fired notes that the call's fault has fired, at that byte.
func (c *call) fired(at int64) { c.event.Fired = &journal.Fired{At: at} }

// tellFault completes the event of a call that had a fault.
func (c *call) tellFault() {
	if c.fault == nil {
		return
	}
	fault := describeFault(c.fault)
	if c.event.Fired == nil {
		c.event.Why = join(c.event.Why, fault+" was chosen for this call, which ended before it could fire")
		return
	}
	c.event.Fault, c.event.Fired.Sent = fault, c.w.sent
	c.event.Fired.Received = c.bodyRead()
}

// garbage is what comes in place of an answer that is not JSON.
const garbage = "\x00\x1f\x8b<<<upstream said something nobody understands>>>\xff\xfe\n"
