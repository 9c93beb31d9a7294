// Package httpconn bounds the HTTP connections of the emulator: how many there are, and how long a client may take to
// read.
package httpconn

import (
	"io"
	"net"
	"sync"
	"time"
)

// Options of a Listener. Max and Stall are required.
type Options struct {
	Max     int            // connections at one time; further ones are closed at once
	Stall   time.Duration  // how long the peer may take to read 64 KiB, or less when no more is sent
	Refused func(net.Addr) // called for each connection beyond Max; may be nil
}

// Listen makes l, a listener for TCP, bound the connections it accepts. They stay bounded when it is closed, until they
// are closed themselves.
func Listen(l net.Listener, opts Options) net.Listener {
	if opts.Refused == nil {
		opts.Refused = func(net.Addr) {}
	}
	return &listener{Listener: l, opts: opts, slots: make(chan struct{}, opts.Max)}
}

type listener struct {
	net.Listener
	opts  Options
	slots chan struct{} // one element for each connection
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &conn{TCPConn: raw.(*net.TCPConn), l: l}, nil
		default:
			l.opts.Refused(raw.RemoteAddr())
			raw.Close()
		}
	}
}

const piece = 64 << 10

// conn is a connection whose writes end when the peer reads too slowly.
type conn struct {
	*net.TCPConn
	l      *listener
	closed sync.Once

	mu    sync.Mutex
	until time.Time // the deadline for writing that was set; zero: none
}

func (c *conn) Close() error {
	c.closed.Do(func() { <-c.l.slots })
	return c.TCPConn.Close()
}

// Write sends b piece by piece, and waits for the peer anew at each.
func (c *conn) Write(b []byte) (sent int, err error) {
	for {
		if err := c.allowPiece(); err != nil {
			return sent, err
		}
		n, err := c.TCPConn.Write(b[sent:min(len(b), sent+piece)])
		if sent += n; err != nil || sent == len(b) {
			return sent, err
		}
	}
}

func (c *conn) allowPiece() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := time.Now().Add(c.l.opts.Stall)
	if !c.until.IsZero() && c.until.Before(deadline) {
		deadline = c.until
	}
	return c.TCPConn.SetWriteDeadline(deadline)
}

// ReadFrom copies by way of Write.
func (c *conn) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{c}, r) }

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = t
	return c.TCPConn.SetWriteDeadline(t)
}

func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}
