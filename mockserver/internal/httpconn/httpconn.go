// Package httpconn bounds the HTTP connections of the emulator: how many there are, and how long each is waited for.
//
// net/http sets a handful of deadlines for each call, and each of them is a timer of the runtime: together they
// cost about as much as a short answer. Hardly one ever passes. Here a deadline that lies ahead is only
// written down, and a sweep looks now and then which have passed; so they expire late by up to a sweep.
package httpconn

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Listener. Max, Stall and Sweep are required.
type Options struct {
	Max     int            // connections at one time; further ones are closed at once
	Stall   time.Duration  // how long the peer may take to read 64 KiB, or less when no more is sent
	Sweep   time.Duration  // between looking for deadlines that have passed
	Refused func(net.Addr) // called for each connection beyond Max; may be nil
}

// Listen makes l, a listener for TCP, bound the connections it accepts. They go on being watched when it is
// closed, until they are closed themselves.
func Listen(l net.Listener, opts Options) net.Listener {
	if opts.Refused == nil {
		opts.Refused = func(net.Addr) {}
	}
	return &listener{Listener: l, opts: opts, began: time.Now(), conns: make(map[*conn]struct{})}
}

type listener struct {
	net.Listener
	opts  Options
	began time.Time
	now   atomic.Int64 // the time of the latest sweep, since began

	mu       sync.Mutex
	conns    map[*conn]struct{}
	sweeping bool // a sweep is to come
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.admit(raw); c != nil {
			return c, nil
		}
		l.opts.Refused(raw.RemoteAddr())
		raw.Close()
	}
}

func (l *listener) admit(raw net.Conn) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) >= l.opts.Max {
		return nil
	}
	c := &conn{TCPConn: raw.(*net.TCPConn), l: l}
	c.read = deadline{l: l, expire: c.TCPConn.SetReadDeadline}
	c.write = deadline{l: l, expire: c.TCPConn.SetWriteDeadline, stall: l.opts.Stall}
	l.conns[c] = struct{}{}
	if !l.sweeping {
		l.sweeping = true
		l.now.Store(int64(time.Since(l.began)))
		time.AfterFunc(l.opts.Sweep, l.sweep)
	}
	return c
}

// sweep looks at every connection, and comes again while there is one.
func (l *listener) sweep() {
	now := time.Since(l.began)
	l.now.Store(int64(now))
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		c.read.look(now)
		c.write.look(now)
	}
	if l.sweeping = len(l.conns) > 0; l.sweeping {
		time.AfterFunc(l.opts.Sweep, l.sweep)
	}
}

const piece = 64 << 10

// conn is a connection whose deadlines the sweep watches.
type conn struct {
	*net.TCPConn
	l           *listener
	read, write deadline
}

func (c *conn) Close() error {
	c.l.mu.Lock()
	delete(c.l.conns, c)
	c.l.mu.Unlock()
	return c.TCPConn.Close()
}

func (c *conn) Read(b []byte) (int, error) {
	if !c.read.begin() {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := c.TCPConn.Read(b)
	c.read.end()
	return n, err
}

// Write sends b piece by piece, and waits for the peer anew at each.
func (c *conn) Write(b []byte) (sent int, err error) {
	for {
		if !c.write.begin() {
			return sent, os.ErrDeadlineExceeded
		}
		n, err := c.TCPConn.Write(b[sent:min(len(b), sent+piece)])
		c.write.end()
		if sent += n; err != nil || sent == len(b) {
			return sent, err
		}
	}
}

// ReadFrom copies by way of Write.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

func (c *conn) SetReadDeadline(t time.Time) error  { return c.read.set(t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.write.set(t) }

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// deadline is that of one direction of a connection.
type deadline struct {
	l      *listener
	expire func(time.Time) error // sets the connection's own
	stall  time.Duration         // how long what is under way may take in any case; 0: as long as it likes

	mu      sync.Mutex
	at      time.Duration // since the listener began; 0: none
	passed  bool
	busy    bool          // something is under way that the deadline is to end …
	since   time.Duration // … and was begun then
	expired bool          // the connection's own has passed
}

// begin reports whether there is time left. If so, end must follow.
func (d *deadline) begin() bool {
	d.mu.Lock()
	left := !d.passed
	d.busy, d.since = left, time.Duration(d.l.now.Load())
	d.mu.Unlock()
	return left
}

func (d *deadline) end() {
	d.mu.Lock()
	d.busy = false
	d.mu.Unlock()
}

// set writes down a deadline that lies ahead. One that has passed is to end what is under way, and does so at once.
func (d *deadline) set(t time.Time) (err error) {
	at := time.Duration(0)
	if !t.IsZero() {
		at = t.Sub(d.l.began)
	}
	d.mu.Lock()
	d.at, d.passed = at, false
	switch {
	case at != 0 && int64(at) <= d.l.now.Load():
		err = d.passLocked()
	case d.expired:
		d.expired = false
		err = d.expire(time.Time{})
	}
	d.mu.Unlock()
	return err
}

// look ends what is under way if the deadline has passed.
func (d *deadline) look(now time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.at != 0 && d.at <= now || d.stall != 0 && d.busy && now-d.since > d.stall {
		d.passLocked()
	}
}

func (d *deadline) passLocked() error {
	d.at, d.passed = 0, true
	if !d.busy {
		return nil
	}
	d.expired = true
	return d.expire(longAgo)
}
