package api

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/upgrademock/upgrademock/internal/drain"
	"github.com/upgrademock/upgrademock/internal/throttle"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/scripts"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A fault of a scenario is triggered in one of three places: before the work is done (triggerFirst), in the
// body of a dump (Body, TriggerInBody), or in the answer to work that was done (spoiler, and garbage in Send).

// triggerFirst does what the fault does before the platform's work, and returns its answer in place of the
// work's, if it has one. It does not return if it breaks the connection off.
func (c *Call) triggerFirst() error {
	if c.fault.Delay > 0 {
		c.fired(0)
		if !c.api.pause(c.R.Context(), c.fault.Delay) {
			panic(http.ErrAbortHandler)
		}
	}
	if c.firesInBody() {
		return nil
	}
	c.spoilAnswer()
	return c.trigger(0)
}

// firesInBody reports whether the fault waits for a byte of the body that comes in.
func (c *Call) firesInBody() bool { return c.fault.After > 0 && c.endpoint.Dump }

// trigger returns what the fault answers in place of the platform, or breaks the connection off and does not
// return. It returns nil for faults of another kind.
func (c *Call) trigger(at int64) error {
	switch f := c.fault; {
	case f.Failure != nil:
		c.fired(at)
		return platform.Failures{{
			Reason: f.Failure.Reason, Message: f.Failure.Message, Fields: f.Failure.More, Why: "the scenario says so",
			Form: f.Failure.Form,
		}}
	case f.HTTP != nil:
		c.fired(at)
		return scripted(f.HTTP)
	case f.Reset && !(f.After > 0 && c.Event.On == scenario.OnDownload):
		c.fired(at)
		c.drop(true)
	}
	return nil
}

// drop breaks the connection off, with a TCP RST or in silence. It does not return.
func (c *Call) drop(reset bool) {
	control := http.NewResponseController(&c.W)
	if c.W.status != 0 {
		control.Flush() // what was sent before the break shall arrive
	}
	c.api.Conns.Add(1)
	defer c.api.Conns.Done()
	if conn, _, err := control.Hijack(); err == nil {
		if secure, ok := conn.(*tls.Conn); ok {
			conn = secure.NetConn() // TLS does not say goodbye either
		}
		c.log()
		c.api.hangUp(conn, reset)
	}
	panic(http.ErrAbortHandler)
}

// hangUpTimeout is how long a client may go on sending to a connection that has been closed for it.
const hangUpTimeout = 2 * time.Second

// hangUp closes a connection with a RST, or so that the client sees an orderly end of the stream. The kernel
// would turn that into a RST, too, if anything that was sent stayed unread.
func (a *API) hangUp(conn net.Conn, reset bool) {
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
		drain.Wait(a.Closing, conn)
		tcp.SetLinger(0)
		return
	}
	tcp.CloseWrite()
	tcp.SetReadDeadline(time.Now().Add(hangUpTimeout))
	defer context.AfterFunc(a.Closing, func() { tcp.SetReadDeadline(time.Unix(1, 0)) })()
	io.Copy(io.Discard, tcp)
}

// ErrFired is the error of reading a Body at the byte at which the fault fires. TriggerInBody must follow.
var ErrFired = errors.New("api: a scripted fault fires here")

// Body is the call's body, slowed down, and ending with ErrFired, as the scenario says.
func (c *Call) Body() io.Reader {
	var body io.Reader = c.R.Body
	if c.fault == nil {
		return body
	}
	if c.firesInBody() {
		body = &firingReader{r: body, left: c.fault.After}
	}
	if c.fault.Rate > 0 {
		c.fired(0)
		slow := &slowReader{r: body, ctx: c.slowly()}
		slow.throttle.Limit(c, c.fault.Rate)
		body = slow
	}
	return body
}

// TriggerInBody returns what the fault answers that fired in the body. It does not return if the connection is
// broken off.
func (c *Call) TriggerInBody() error {
	err := c.trigger(c.fault.After)
	if err == nil {
		c.fired(c.fault.After)
		c.drop(false)
	}
	return err
}

type firingReader struct {
	r    io.Reader
	left int64
}

func (r *firingReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, ErrFired
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	return n, err
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

// slowly is the context of what a fault makes slow in a call: done when the client goes or the server is
// closed. It ends with the call.
func (c *Call) slowly() context.Context {
	ctx, cancel := context.WithCancel(c.R.Context())
	stop := context.AfterFunc(c.api.Closing, cancel)
	c.cancel = func() {
		stop()
		cancel()
	}
	return ctx
}

// fired notes that the call's fault has fired, at that byte.
func (c *Call) fired(at int64) { c.Event.Fired = &journal.Fired{At: at} }

// logFault completes the event of a call that had a fault.
func (c *Call) logFault() {
	if c.fault == nil {
		return
	}
	fault := scripts.Describe(c.fault)
	if c.Event.Fired == nil {
		c.Event.Why = join(c.Event.Why, fault+" was chosen for this call, which ended before it could fire")
		return
	}
	c.Event.Fault, c.Event.Fired.Sent = fault, c.W.sent
	c.Event.Fired.Received = c.BodyRead()
}

// garbage is what comes in place of an answer that is not JSON.
const garbage = "\x00\x1f\x8b<<<upstream said something nobody understands>>>\xff\xfe\n"
