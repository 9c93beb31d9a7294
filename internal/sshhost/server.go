package sshhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Options say what a [Server] is to be. HostKeys, Login and Accepts are required.
type Options struct {
	// Name and Serves stand in refusals: "this is a <Name>, it serves only <Serves>".
	Name, Serves string

	// HostKeys returns the keys that a connection is shown, as [PrepareHostKeys] returns them.
	HostKeys func(Peer) []gossh.Signer

	// Login returns what user gets, who logs in with key, or an error, which refuses. The client never
	// sees the error, the events do. Login is also called for keys that are only offered, and again when the login is
	// complete, so it must have no side effects. It is called concurrently.
	Login func(p Peer, user string, key gossh.PublicKey) (Grant, error)

	// Accepts reports whether a session may run this subsystem or command. If not, a subsystem is refused, and a command
	// ends at once with a line on stderr, which clients print, and exit status 1.
	Accepts func(Request) bool

	// Logger gets warnings about the server itself. If nil, they are discarded.
	Logger *slog.Logger

	// Observe is called with everything that happens, in order for each connection and concurrently for several. It must
	// be quick and must not call the Server. If nil, events are discarded.
	Observe func(Peer, Event)

	// Fault returns what shall go wrong, or nil. It is called concurrently. If nil, nothing goes wrong.
	Fault func(Moment, Peer) *Fault

	// HandshakeTimeout bounds the time from the connection to the login. Zero means 2 minutes.
	HandshakeTimeout time.Duration

	// IdleTimeout ends a connection on which nothing has moved for so long. Zero means 30 minutes.
	IdleTimeout time.Duration

	// MaxConns bounds the connections at one time; further ones are closed at once. Zero means 1024.
	MaxConns int

	// AllowSHA1 accepts RSA keys that sign with SHA-1 (the algorithm "ssh-rsa").
	AllowSHA1 bool
}

// Server is an SSH server. Its methods may be called concurrently.
type Server struct {
	opts Options

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	lastID    uint64
	changed   *sync.Cond // on mu: a connection is gone
	running   sync.WaitGroup
}

// New returns a server. It has nothing to be closed until it serves.
func New(opts Options) *Server {
	s := &Server{
		opts:      opts,
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
	}
	s.changed = sync.NewCond(&s.mu)
	o := &s.opts
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Peer, Event) {}
	}
	if o.Fault == nil {
		o.Fault = func(Moment, Peer) *Fault { return nil }
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = 2 * time.Minute
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 30 * time.Minute
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 1024
	}
	return s
}

// Serve accepts connections on l and closes it in the end. It returns nil after [Server.Close] or [Server.Shutdown],
// and the listener's error otherwise: net.ErrClosed if the caller has closed l, which leaves the connections alone.
// Several listeners may be served at once.
func (s *Server) Serve(l net.Listener) error { return s.ServeUntil(context.Background(), l) }

// ServeUntil is Serve on a listener that the caller closes when ctx is done. Clients that have not logged in by then
// are disconnected because of its cause; how long the others may stay, their grants say.
func (s *Server) ServeUntil(ctx context.Context, l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.listeners[l] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
		s.running.Done()
	}()

	for pause := time.Duration(0); ; {
		raw, err := l.Accept()
		if err == nil {
			pause = 0
			if c := s.admit(ctx, raw); c != nil {
				go s.serve(c)
			}
			continue
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return nil
		}
		if !isTemporary(err) {
			return fmt.Errorf("accepting connections on %v: %w", l.Addr(), err)
		}
		// Most likely there are no file descriptors left. The clients that are connected may go on, and leave.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.opts.Logger.Warn("accepting a connection failed; trying again",
			"addr", l.Addr().String(), "error", err, "pause", pause)
		time.Sleep(pause)
	}
}

// isTemporary reports whether Accept may work again later.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// ServeConn serves one connection and returns when all of it is over. It closes raw.
func (s *Server) ServeConn(raw net.Conn) {
	if c := s.admit(context.Background(), raw); c != nil {
		s.serve(c)
	}
}

// admit takes a connection in, or closes it and returns nil when the server is closed or full.
func (s *Server) admit(listening context.Context, raw net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		raw.Close()
		return nil
	case len(s.conns) >= s.opts.MaxConns:
		s.opts.Logger.Warn("too many connections: refused one",
			"remote", raw.RemoteAddr().String(), "max", s.opts.MaxConns)
		raw.Close()
		return nil
	}
	s.lastID++
	c := newConn(s, listening, raw, s.lastID)
	s.conns[c] = struct{}{}
	s.running.Add(1)
	return c
}

func (s *Server) serve(c *conn) {
	defer s.running.Done()
	c.serve()
	s.mu.Lock()
	delete(s.conns, c)
	s.changed.Broadcast()
	s.mu.Unlock()
}

func (s *Server) connections() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// Disconnect drops all connections of user at once, because of cause.
func (s *Server) Disconnect(user string, cause error) {
	for _, c := range s.connections() {
		if c.loggedInAs(user) && c.cause() == nil {
			c.drop(cause)
		}
	}
}

// Shutdown stops accepting connections and waits until all connections have ended by themselves or ctx is done. Then
// it closes the server because of cause. It returns ctx's error if it had to end any connection.
func (s *Server) Shutdown(ctx context.Context, cause error) error {
	s.stopListening()
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		s.changed.Broadcast()
		s.mu.Unlock()
	})
	defer stop()
	s.mu.Lock()
	for len(s.conns) > 0 && ctx.Err() == nil {
		s.changed.Wait()
	}
	var err error
	if len(s.conns) > 0 {
		err = ctx.Err()
	}
	s.mu.Unlock()
	s.Close(cause)
	return err
}

// Close stops listening, drops every connection because of cause, also those that are not logged in, and returns when
// all of them have ended. Calling it again does nothing.
func (s *Server) Close(cause error) {
	s.stopListening()
	for _, c := range s.connections() {
		c.drop(cause)
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return
		case <-time.After(5 * time.Second):
			s.opts.Logger.Warn("closing waits for connections", "connections", len(s.connections()))
		}
	}
}

func (s *Server) stopListening() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
	}
}
