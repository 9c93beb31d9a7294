package sftpserver

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"
)

// ErrServerClosed is returned by [Server.Serve] after [Server.Close] or [Server.Shutdown].
var ErrServerClosed = errors.New("sftpserver: server closed")

// Defaults of [Options].
const (
	DefaultHandshakeTimeout = 2 * time.Minute // long enough to type the passphrase of a key
	DefaultIdleTimeout      = 30 * time.Minute
	DefaultMaxSessions      = 1024
)

// Options say what a [Server] is to be. They are not changed, and not to be changed, once [New] was called.
type Options struct {
	// Shares decides who may log in. Required.
	Shares Shares

	// HostKeys are the server's, at most one of each type. Empty means an ECDSA P-256 key made by New, the only type that
	// known clients pin.
	HostKeys []gossh.Signer

	// Logger is told of troubles of the server's own. Nil discards.
	Logger *slog.Logger

	// Observe is told of everything that happens, in order for each session and concurrently for several. It must be
	// quick and must not call the Server. Nil: nobody is told.
	Observe func(Event)

	// Fault is asked what shall go wrong. It is called concurrently. Nil, or a nil answer: nothing.
	Fault func(Op) *Fault

	// Now is the clock for events and listings; timeouts, delays and rates go by real time. Nil means time.Now.
	Now func() time.Time

	// HandshakeTimeout bounds the time from the connection to the login. Zero means DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration

	// IdleTimeout ends a connection on which nothing has moved for so long. Zero means DefaultIdleTimeout.
	IdleTimeout time.Duration

	// MaxSessions bounds the connections at one time; further ones are closed at once. Zero means DefaultMaxSessions.
	MaxSessions int

	// AllowSHA1 accepts RSA keys that sign with SHA-1 (the algorithm "ssh-rsa"), for clients such as libssh2 before 1.11,
	// paramiko before 2.9 and JSch before 0.2, and lets an RSA host key sign so. Off by default, because such signatures
	// are broken.
	AllowSHA1 bool
}

// Server is a temporary SFTP host. Its methods may be called concurrently.
type Server struct {
	opts Options
	ssh  *ssh.Server // only its settings and HandleConn are used: connections and listeners are kept here, see conn

	mu        sync.Mutex
	closed    bool
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	lastID    uint64
	changed   *sync.Cond // on mu: a connection is gone
	running   sync.WaitGroup
}

// New makes a server; it has nothing to be closed until it serves. It fails when there are no Shares, or two host keys
// of one type.
func New(opts *Options) (*Server, error) {
	if opts == nil || opts.Shares == nil {
		return nil, errors.New("sftpserver: Options.Shares is missing: it decides who may log in")
	}
	s := &Server{
		opts:      *opts,
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*conn]struct{}),
	}
	s.changed = sync.NewCond(&s.mu)
	o := &s.opts
	if len(o.HostKeys) == 0 {
		key, err := newHostKey()
		if err != nil {
			return nil, fmt.Errorf("sftpserver: making a host key: %w", err)
		}
		o.HostKeys = []gossh.Signer{key}
	}
	if !o.AllowSHA1 {
		keys, err := withoutSHA1(o.HostKeys)
		if err != nil {
			return nil, fmt.Errorf("sftpserver: Options.HostKeys: %w", err)
		}
		o.HostKeys = keys
	}
	types := make(map[string]bool)
	for _, key := range o.HostKeys {
		kind := key.PublicKey().Type()
		if types[kind] {
			return nil, fmt.Errorf("sftpserver: Options.HostKeys has two keys of type %s: a server shows one of each type", kind)
		}
		types[kind] = true
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Observe == nil {
		o.Observe = func(Event) {}
	}
	if o.Fault == nil {
		o.Fault = func(Op) *Fault { return nil }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = DefaultHandshakeTimeout
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = DefaultIdleTimeout
	}
	if o.MaxSessions <= 0 {
		o.MaxSessions = DefaultMaxSessions
	}
	s.ssh = s.sshServer()
	return s, nil
}

// withoutSHA1 returns the keys, of which no RSA key signs with SHA-1.
func withoutSHA1(keys []gossh.Signer) ([]gossh.Signer, error) {
	keys = slices.Clone(keys)
	for i, key := range keys {
		signer, ok := key.(gossh.AlgorithmSigner)
		if !ok || key.PublicKey().Type() != gossh.KeyAlgoRSA {
			continue
		}
		var err error
		keys[i], err = gossh.NewSignerWithAlgorithms(signer, []string{gossh.KeyAlgoRSASHA256, gossh.KeyAlgoRSASHA512})
		if err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func newHostKey() (gossh.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return gossh.NewSignerFromKey(key)
}

// Serve accepts connections on l until the server is closed, and then returns [ErrServerClosed]; any other error is
// the listener's. It closes l. Several listeners may be served at once.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrServerClosed
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
			if c := s.admit(raw); c != nil {
				go s.serve(c)
			}
			continue
		}
		s.mu.Lock()
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return ErrServerClosed
		}
		if !isTemporary(err) {
			return fmt.Errorf("sftpserver: accepting connections on %v: %w", l.Addr(), err)
		}
		// Out of file descriptors, most likely: those who are connected may go on, and leave.
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		s.opts.Logger.Warn("accepting a connection failed; trying again", "addr", l.Addr().String(), "error", err, "pause", pause)
		time.Sleep(pause)
	}
}

// ServeConn serves one connection and returns when all of it is over. It closes raw.
func (s *Server) ServeConn(raw net.Conn) {
	if c := s.admit(raw); c != nil {
		s.serve(c)
	}
}

// admit takes a connection in, or closes it and returns nil when the server is closed or full.
func (s *Server) admit(raw net.Conn) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		raw.Close()
		return nil
	case len(s.conns) >= s.opts.MaxSessions:
		s.opts.Logger.Warn("too many connections: refused one (Options.MaxSessions)", "remote", raw.RemoteAddr().String(), "max", s.opts.MaxSessions)
		raw.Close()
		return nil
	}
	s.lastID++
	c := newConn(s, raw, s.lastID)
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

// Disconnect closes all of user's connections at once: the access has ended. Files that are open are aborted.
func (s *Server) Disconnect(user string) {
	for _, c := range s.connections() {
		if c.loggedInAs(user) && c.broken.Load() == nil {
			c.drop(ErrRevoked)
		}
	}
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

// Shutdown stops accepting connections and waits until those there are have ended by themselves or ctx is done; then
// it closes the server. It returns ctx's error if it had to end any.
func (s *Server) Shutdown(ctx context.Context) error {
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
	return errors.Join(err, s.Close())
}

// Close stops listening, drops every connection, also half-open ones, and returns when all of it has ended. Calling it
// again does nothing.
func (s *Server) Close() error {
	s.stopListening()
	for _, c := range s.connections() {
		c.drop(ErrServerClosed)
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	for {
		select {
		case <-done:
			return nil
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

// isTemporary says that Accept may work again later.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}
