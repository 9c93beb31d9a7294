package sshhost

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/upgrademock/upgrademock/internal/drain"
)

// settleTime is how long nothing may move in a connection that the client has left, until it counts as broken. See
// conn.lost.
const settleTime = 100 * time.Millisecond

// lingerTime is how long the client has to notice that the connection has ended.
const lingerTime = time.Second

var (
	errHandshakeTimeout = errors.New("the client did not log in in time")
	errNoLogin          = errors.New("the client left without logging in")
	errIdle             = errors.New("idle for too long")
	errOrderly          = errors.New("the client left in order")
	errLeft             = errors.New("the client closed the connection without ending the session")
)

// cause is why the connection has ended or is to end, nil if it goes on.
func (c *conn) cause() error {
	if b := c.broken.Load(); b != nil {
		return b.cause
	}
	return nil
}

// lost is called when nothing more can be read, before the SSH library learns of it.
//
// For a session the library makes no difference between a lost connection and a channel that the client ended in
// order: its input ends. So lost waits until each session has either reached its end, which then was in order, or has
// nothing left to do. Only then is the connection marked as broken, and the library may go on. The end of a subsystem
// is that of its input; a command has ended when its output and exit status were sent.
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
	busy := c.sessions > 0 || c.unsent.Load()
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

// sessionBegins and sessionEnded count the sessions that the client has not ended, for lost.
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

// endWhen has the connection dropped when grant is done, because of its cause; nil never is.
func (c *conn) endWhen(grant context.Context) {
	if grant == nil {
		return
	}
	c.unwatch = context.AfterFunc(grant, func() {
		if c.cause() == nil {
			c.drop(context.Cause(grant))
		}
	})
}

// drop ends the connection from our side, at once and without a goodbye. Only the first cause counts. What was sent
// last may be lost: the kernel answers with a reset if something that came in was not read.
func (c *conn) drop(cause error) {
	c.broken.CompareAndSwap(nil, &breakage{cause})
	c.cancel()
	c.raw.Close()
	c.wake()
}

// finish ends the connection without any SSH goodbye, once the client has what was sent: with a TCP RST, or with a
// FIN. After a FIN, what still comes in is read over until the client has gone, too, since closing with something
// unread would be a reset. If certain is not nil, it is called as soon as nothing can prevent the end; a Disconnect
// from there does not cut it short.
func (c *conn) finish(cause error, reset bool, certain func()) {
	c.mu.Lock()
	held := !c.ended
	if held {
		c.running.Add(1)
		defer c.running.Done()
		c.lingering.Store(true)
	}
	c.mu.Unlock()
	first := c.broken.CompareAndSwap(nil, &breakage{cause})
	if certain != nil {
		certain()
	}
	defer c.drop(cause)
	if !first || !held {
		return // it has ended meanwhile
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
