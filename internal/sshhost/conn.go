package sshhost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upgrademock/upgrademock/internal/throttle"
)

// readBuffer holds what peekKex looks at: a client's version line and its list of algorithms.
const readBuffer = 64 << 10

// conn is one connection, from accepting it to its last byte: the stream that the SSH library reads and writes, and
// who is logged in.
type conn struct {
	host     *Server
	id       uint64
	remote   string
	raw      net.Conn
	in       *bufio.Reader
	throttle throttle.Throttle
	ctx      context.Context // done once the connection is to end
	cancel   context.CancelFunc
	login    login

	broken    atomic.Pointer[breakage] // set before the SSH library learns of the end; see lost
	loggedIn  atomic.Bool
	lingering atomic.Bool  // finish is at work
	unsent    atomic.Bool  // output of a command could not be sent
	lastWrite atomic.Int64 // nanoseconds since start, for the idle timeout
	progress  atomic.Int64 // counts what the sessions read and write, for lost
	received  atomic.Int64 // bytes
	sent      atomic.Int64 // likewise
	start     time.Time

	listening    context.Context
	unwatch      func() bool // ends the wait for the end of listening, and after the login of the grant
	greeted      []byte      // the version line that peekKex has sent, until the SSH library sends it
	handshakeEnd time.Time   // when the client has to be logged in

	events sync.Mutex // held while Observe runs, which keeps the events in order; protects nothing else
	over   bool       // under events: the last event was reported

	mu       sync.Mutex
	user     string
	key      string // fingerprint
	holder   any    // of the grant
	client   string
	sessions int            // that the client has not ended; see lost
	settled  *sync.Cond     // on mu: sessions is 0
	running  sync.WaitGroup // channel handlers
	channels int            // that are open
	ended    bool           // no channel may begin
}

// breakage is why a connection has ended.
type breakage struct{ cause error }

func newConn(host *Server, listening context.Context, raw net.Conn, id uint64) *conn {
	c := &conn{host: host, listening: listening, id: id, raw: raw, remote: raw.RemoteAddr().String(), start: time.Now()}
	c.login.conn = c
	c.settled = sync.NewCond(&c.mu)
	c.unwatch = func() bool { return true }
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.in = bufio.NewReaderSize(receiver{c}, readBuffer)
	return c
}

// serve runs the connection to its end.
func (c *conn) serve() {
	defer c.cancel()
	defer c.raw.Close()
	c.endWhen(c.listening)
	c.emit(Event{Kind: EventConnect})
	fault := c.host.opts.Fault(OnConnect, c.peer())
	deadline := c.host.opts.HandshakeTimeout
	if fault != nil {
		deadline += fault.Delay
	}
	c.handshakeEnd = time.Now().Add(deadline)
	c.raw.SetDeadline(c.handshakeEnd)
	if fault == nil || c.apply(fault, OnConnect) == nil {
		c.sshServer().HandleConn(c)
	}
	if !c.lingering.Load() {
		c.drop(errOrderly) // if nothing else was the cause
	}
	c.mu.Lock()
	c.ended = true // the library may start a handler for a channel even now
	c.mu.Unlock()
	c.running.Wait()
	c.reportEnd()
	c.unwatch()
}

// peer is what is known of the client now.
func (c *conn) peer() Peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Peer{Conn: c.id, Local: c.raw.LocalAddr(), Remote: c.remote, Client: c.client, User: c.user, Key: c.key,
		Holder: c.holder}
}

func (c *conn) loggedInAs(user string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loggedIn.Load() && c.user == user
}

// welcome ends the handshake: from now on the idle timeout counts.
func (c *conn) welcome() {
	c.loggedIn.Store(true)
	c.raw.SetDeadline(time.Now().Add(c.host.opts.IdleTimeout))
}

// Read is called by the SSH library, from one goroutine.
func (c *conn) Read(p []byte) (int, error) {
	p, err := c.throttle.BeforeRead(c.ctx, p)
	if err == nil && c.broken.Load() != nil {
		err = net.ErrClosed
	}
	if err == nil {
		var n int
		if n, err = c.in.Read(p); err == nil {
			return n, c.throttle.AfterRead(c.ctx, n)
		}
	}
	c.lost(err)
	return 0, err
}

// receiver reads from the network, for the buffer before it.
type receiver struct{ *conn }

func (c receiver) Read(p []byte) (int, error) {
	for {
		if c.loggedIn.Load() {
			c.raw.SetReadDeadline(time.Now().Add(c.host.opts.IdleTimeout))
		}
		n, err := c.raw.Read(p)
		c.received.Add(int64(n))
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			if !c.loggedIn.Load() {
				return 0, errHandshakeTimeout
			}
			// If something was sent meanwhile, the connection was not idle.
			if time.Since(c.start)-time.Duration(c.lastWrite.Load()) < c.host.opts.IdleTimeout {
				continue
			}
			return 0, errIdle
		}
		return n, err
	}
}

// Write is called by the SSH library, from one goroutine at a time.
func (c *conn) Write(p []byte) (int, error) {
	if c.greeted != nil && bytes.Equal(p, c.greeted) {
		c.greeted = nil
		return len(p), nil
	}
	done := 0
	for done < len(p) {
		piece, err := c.throttle.BeforeWrite(c.ctx, p[done:])
		if err != nil {
			return done, err
		}
		if c.loggedIn.Load() {
			c.raw.SetWriteDeadline(time.Now().Add(c.host.opts.IdleTimeout))
		}
		n, err := c.raw.Write(piece)
		c.sent.Add(int64(n))
		done += n
		if err != nil {
			return done, err
		}
		c.lastWrite.Store(int64(time.Since(c.start)))
	}
	return done, nil
}

// Close is called by the SSH library when its connection has ended. The error it ended with was noted by lost.
func (c *conn) Close() error {
	if c.lingering.Load() {
		return nil // finish closes it
	}
	c.cancel()
	return c.raw.Close()
}

func (c *conn) LocalAddr() net.Addr  { return c.raw.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// The SSH library's deadlines are ignored: the connection has its own.
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
