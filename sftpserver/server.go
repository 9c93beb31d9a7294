package sftpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// ErrServerClosed is returned by [Server.Serve] after [Server.Close] or [Server.Shutdown].
var ErrServerClosed = errors.New("sftpserver: server closed")

// Defaults of [Options].
const (
	DefaultHandshakeTimeout = 2 * time.Minute // long enough to type the passphrase of a key
	DefaultIdleTimeout      = 30 * time.Minute
	DefaultMaxSessions      = 1024
)

// Options say what a [Server] is to be. They must not be changed once New was called.
type Options struct {
	// Shares decides who may log in. Required.
	Shares Shares

	// HostKeys are the server's, at most one of each type. Empty means an ECDSA P-256 key made by New, the only type that
	// known clients pin.
	HostKeys []gossh.Signer

	// Logger gets warnings about the server itself. If nil, they are discarded.
	Logger *slog.Logger

	// Observe is called with everything that happens, in order for each session and concurrently for several. It must be
	// quick and must not call the Server. If nil, events are discarded.
	Observe func(Event)

	// Fault returns what shall go wrong, or nil. It is called concurrently. If nil, nothing goes wrong.
	Fault func(Op) *Fault

	// Now is the clock for events and listings; timeouts, delays and rates go by real time. If nil, time.Now is used.
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
	host *sshhost.Server

	mu   sync.Mutex
	open map[uint64][]*handle // the files that are open, by the connection's number, in the order of opening
}

// New returns a server, which needs no Close before it serves. New fails if there are no Shares, or two host keys of
// one type.
func New(opts *Options) (*Server, error) {
	if opts == nil || opts.Shares == nil {
		return nil, errors.New("sftpserver: Options.Shares is missing: it decides who may log in")
	}
	s := &Server{opts: *opts, open: make(map[uint64][]*handle)}
	o := &s.opts
	keys, err := sshhost.PrepareHostKeys(o.HostKeys, o.AllowSHA1)
	if err != nil {
		return nil, fmt.Errorf("sftpserver: Options.HostKeys: %w", err)
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
	s.host = sshhost.New(sshhost.Options{
		Name:             "temporary SFTP server",
		Serves:           "the sftp subsystem",
		HostKeys:         func(sshhost.Peer) []gossh.Signer { return keys },
		Login:            s.login,
		Accepts:          func(r sshhost.Request) bool { return r == sftpSubsystem },
		Logger:           o.Logger,
		Observe:          s.observe,
		Fault:            s.connFault,
		HandshakeTimeout: o.HandshakeTimeout,
		IdleTimeout:      o.IdleTimeout,
		MaxConns:         o.MaxSessions,
		AllowSHA1:        o.AllowSHA1,
	})
	return s, nil
}

var sftpSubsystem = sshhost.Request{Kind: sshhost.Subsystem, Command: "sftp"}

// Serve accepts connections on l until the server is closed, and then returns [ErrServerClosed]; any other error is
// the listener's. It closes l. Several listeners may be served at once.
func (s *Server) Serve(l net.Listener) error {
	if err := s.host.Serve(l); err != nil {
		return fmt.Errorf("sftpserver: %w", err)
	}
	return ErrServerClosed
}

// ServeConn serves one connection and returns when all of it is over. It closes raw.
func (s *Server) ServeConn(raw net.Conn) { s.host.ServeConn(raw) }

// Disconnect closes all of user's connections at once: the access has ended. Files that are open are aborted.
func (s *Server) Disconnect(user string) { s.host.Disconnect(user, ErrRevoked) }

// Shutdown stops accepting connections and waits until all connections have ended by themselves or ctx is done. Then
// it closes the server. It returns ctx's error if it had to end any connection.
func (s *Server) Shutdown(ctx context.Context) error { return s.host.Shutdown(ctx, ErrServerClosed) }

// Close stops listening, drops every connection, also those that are not logged in, and returns when all of them have
// ended. Calling it again does nothing. The error is always nil.
func (s *Server) Close() error {
	s.host.Close(ErrServerClosed)
	return nil
}
