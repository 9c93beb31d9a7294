package sftpserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upgrademock/upgrademock/internal/drain"
	"github.com/upgrademock/upgrademock/internal/throttle"
)

// readBuffer makes one system call of what the SSH library asks for in pieces of 4 KiB.
const readBuffer = 64 << 10

// settleTime is how long nothing may move in a connection that the client has left, until it counts as broken. See
// conn.lost.
const settleTime = 100 * time.Millisecond

// conn is one connection, from accepting it to its last byte: what the SSH library reads from and writes to, and who
// is logged in.
type conn struct {
	srv    *Server
	id     uint64
	remote string
	raw    net.Conn
	in     *bufio.Reader
	pace   throttle.Throttle
	ctx    context.Context // done once the connection is to end, so that nothing sleeps on
	cancel context.CancelFunc

	broken    atomic.Pointer[breakage] // set before the SSH library hears of the end; see lost
	loggedIn  atomic.Bool
	lingering atomic.Bool  // finish is at work
	lastWrite atomic.Int64 // nanoseconds since start, for the idle timeout
	progress  atomic.Int64 // counts what the SFTP sessions read and write, for lost
	start     time.Time

	greeted      []byte    // the version line that hello has sent, until the SSH library sends it
	handshakeEnd time.Time // when the client has to be logged in

	events sync.Mutex // held while Observe runs, which keeps the events in order; nothing else waits for it
	over   bool       // under events: the last event was told

	mu       sync.Mutex
	user     string
	key      string // fingerprint
	client   string
	share    Share
	sessions int            // SFTP sessions that have not seen the end of their input
	settled  *sync.Cond     // on mu: sessions is 0
	running  sync.WaitGroup // channel handlers
	auth     authState
	handles  uint64 // numbers the files opened
	channels int    // that are open
	ended    bool   // no channel may begin
}

// breakage is why and how a connection ended without order.
type breakage struct{ cause error }

func newConn(srv *Server, raw net.Conn, id uint64) *conn {
	c := &conn{srv: srv, id: id, raw: raw, remote: raw.RemoteAddr().String(), start: time.Now()}
	c.settled = sync.NewCond(&c.mu)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.in = bufio.NewReaderSize(readerFunc(c.receive), readBuffer)
	return c
}

// serve runs the connection to its end.
func (c *conn) serve() {
	defer c.cancel()
	defer c.raw.Close()
	c.emit(Event{Kind: EventConnect})
	fault := c.ask(OpConnect, Flags{})
	deadline := c.srv.opts.HandshakeTimeout
	if fault != nil {
		deadline += fault.Delay
	}
	c.handshakeEnd = time.Now().Add(deadline)
	c.raw.SetDeadline(c.handshakeEnd)
	if fault == nil || c.meet(fault, OpConnect) == nil {
		c.srv.ssh.HandleConn(c)
	}
	if !c.lingering.Load() {
		c.drop(errOrderly) // if nothing else was the cause
	}
	c.mu.Lock()
	c.ended = true // the library may start a handler for a channel even now
	c.mu.Unlock()
	c.running.Wait()
	c.farewell()
}

// farewell tells the last event.
func (c *conn) farewell() {
	reason := ""
	if b := c.broken.Load(); b != nil && b.cause != errOrderly {
		reason = b.cause.Error()
	}
	c.auth.tellUnfinished(c)
	last := Event{Kind: EventDisconnect, Reason: reason}
	c.auth.last(&last, c.loggedIn.Load())
	c.emit(last)
	c.events.Lock()
	c.over = true
	c.events.Unlock()
}

// emit tells an event, completed with what is known of the connection.
func (c *conn) emit(e Event) {
	c.events.Lock()
	defer c.events.Unlock()
	if c.over {
		return
	}
	e.Time, e.Session, e.Remote = c.srv.opts.Now(), c.id, c.remote
	c.mu.Lock()
	e.Client = c.client
	if e.User == "" {
		e.User = c.user
	}
	if e.Key == "" {
		e.Key = c.key
	}
	c.mu.Unlock()
	c.srv.opts.Observe(e)
}

func (c *conn) loggedInAs(user string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loggedIn.Load() && c.user == user
}

// Read is what the SSH library calls, from one goroutine.
func (c *conn) Read(p []byte) (int, error) {
	p, err := c.pace.BeforeRead(c.ctx, p)
	if err == nil && c.broken.Load() != nil {
		err = net.ErrClosed
	}
	if err == nil {
		var n int
		if n, err = c.in.Read(p); err == nil {
			return n, c.pace.AfterRead(c.ctx, n)
		}
	}
	c.lost(err)
	return 0, err
}

// receive reads from the network, for the buffer in front of it.
func (c *conn) receive(p []byte) (int, error) {
	for {
		if c.loggedIn.Load() {
			c.raw.SetReadDeadline(time.Now().Add(c.srv.opts.IdleTimeout))
		}
		n, err := c.raw.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			if !c.loggedIn.Load() {
				return 0, errHandshakeTimeout
			}
			// Something was sent meanwhile: not idle.
			if time.Since(c.start)-time.Duration(c.lastWrite.Load()) < c.srv.opts.IdleTimeout {
				continue
			}
			return 0, errIdle
		}
		return n, err
	}
}

// Write is what the SSH library calls, from one goroutine at a time.
func (c *conn) Write(p []byte) (int, error) {
	if c.greeted != nil && bytes.Equal(p, c.greeted) {
		c.greeted = nil
		return len(p), nil
	}
	done := 0
	for done < len(p) {
		piece, err := c.pace.BeforeWrite(c.ctx, p[done:])
		if err != nil {
			return done, err
		}
		if c.loggedIn.Load() {
			c.raw.SetWriteDeadline(time.Now().Add(c.srv.opts.IdleTimeout))
		}
		n, err := c.raw.Write(piece)
		done += n
		if err != nil {
			return done, err
		}
		c.lastWrite.Store(int64(time.Since(c.start)))
	}
	return done, nil
}

var (
	errHandshakeTimeout = errors.New("the client did not log in in time")
	errNoLogin          = errors.New("the client left without logging in")
	errIdle             = errors.New("idle for too long")
	errOrderly          = errors.New("the client left in order")
	errLeft             = errors.New("the client closed the connection without ending the session")
)

// lost is called when nothing more can be read, before the SSH library hears of it.
//
// The library tells an SFTP session of a lost connection in the same way as of a channel that the client ended in
// order: its input ends. To keep the two apart, the news is held back until each session has either met the end of its
// input, which then was an orderly one, or has nothing left to do; only then is the connection marked as broken and
// the library told.
func (c *conn) lost(err error) {
	if c.broken.Load() != nil {
		return
	}
	moved, quiet := c.progress.Load(), time.Now().Add(settleTime)
	c.mu.Lock()
	for c.sessions > 0 && c.ctx.Err() == nil {
		timer := time.AfterFunc(time.Until(quiet), c.wake)
		c.settled.Wait()
		timer.Stop()
		if now := c.progress.Load(); now != moved {
			moved, quiet = now, time.Now().Add(settleTime)
		} else if !time.Now().Before(quiet) {
			break
		}
	}
	busy := c.sessions > 0
	c.mu.Unlock()
	switch {
	case err == io.EOF && busy:
		err = errLeft
	case !busy && c.loggedIn.Load() && err != errIdle:
		err = errOrderly // all sessions had ended; some clients leave with a reset even so
	case err == io.EOF:
		err = errNoLogin
	}
	c.broken.CompareAndSwap(nil, &breakage{err})
}

// wake makes lost look again.
func (c *conn) wake() {
	c.mu.Lock()
	c.settled.Broadcast()
	c.mu.Unlock()
}

// sessionBegins and sessionEnded tell lost which sessions have not seen the end of their input.
func (c *conn) sessionBegins() {
	c.mu.Lock()
	c.sessions++
	c.mu.Unlock()
}

func (c *conn) sessionEnded() {
	c.mu.Lock()
	c.sessions--
	c.settled.Broadcast()
	c.mu.Unlock()
}

// drop ends the connection from our side, at once and without a word. Only the first cause counts. What was sent last
// may be lost: the kernel answers with a reset if there is something that nobody has read.
func (c *conn) drop(cause error) {
	c.broken.CompareAndSwap(nil, &breakage{cause})
	c.cancel()
	c.raw.Close()
	c.wake()
}

// lingerTime is how long the client has to notice that the connection has ended.
const lingerTime = time.Second

// finish ends the connection without any SSH goodbye, once the client has what was sent: with a TCP RST, or with a
// FIN. In the latter case what still comes in is read over until the client has gone, too, since closing with
// something unread would be a reset. told, if not nil, is called as soon as nothing can stop the end; a Disconnect
// from there does not cut it short.
func (c *conn) finish(cause error, reset bool, told func()) {
	c.mu.Lock()
	held := !c.ended
	if held {
		c.running.Add(1)
		defer c.running.Done()
		c.lingering.Store(true)
	}
	c.mu.Unlock()
	first := c.broken.CompareAndSwap(nil, &breakage{cause})
	if told != nil {
		told()
	}
	defer c.drop(cause)
	if !first || !held {
		return // it has ended by itself meanwhile
	}
	drain.Wait(c.ctx, c.raw)
	if reset {
		if tcp, ok := c.raw.(interface{ SetLinger(int) error }); ok {
			tcp.SetLinger(0)
		}
		return
	}
	if tcp, ok := c.raw.(interface{ CloseWrite() error }); ok {
		tcp.CloseWrite()
		defer time.AfterFunc(lingerTime, func() { c.raw.Close() }).Stop()
		io.Copy(io.Discard, c.raw)
	}
}

// Close is called by the SSH library when its connection has ended; the error it ended with was noted by lost.
func (c *conn) Close() error {
	if c.lingering.Load() {
		return nil // finish will
	}
	c.cancel()
	return c.raw.Close()
}

func (c *conn) LocalAddr() net.Addr  { return c.raw.LocalAddr() }
func (c *conn) RemoteAddr() net.Addr { return peer{c.raw.RemoteAddr(), c} }

// peer is the client's address, which also leads back to the conn where the SSH library gives only a wrapped one.
type peer struct {
	net.Addr
	conn *conn
}

// Deadlines are ours to set.
func (c *conn) SetDeadline(time.Time) error      { return nil }
func (c *conn) SetReadDeadline(time.Time) error  { return nil }
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// welcome ends the handshake: from now on the idle timeout counts.
func (c *conn) welcome() {
	c.loggedIn.Store(true)
	c.raw.SetDeadline(time.Now().Add(c.srv.opts.IdleTimeout))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
