package mockserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/upgrademock/upgrademock/mockserver/internal/httpconn"
)

// ListenError is an address at which a Server cannot listen.
type ListenError struct {
	Listener string // http, https, sftp, control or transfer
	Addr     string // as the options have it
	Err      error  // of Options.Listen
}

// Error says which listener it is about, and what to do.
func (e *ListenError) Error() string {
	name := strings.ToUpper(e.Listener)
	switch e.Listener {
	case "control":
		name = "the control API"
	case "transfer":
		name = "transfers"
	}
	return fmt.Sprintf("mockserver: listen for %s: %v; choose another address, or port 0 for a free one", name, e.Err)
}

// Unwrap returns Err.
func (e *ListenError) Unwrap() error { return e.Err }

// Start begins to listen. When it returns nil, every listener accepts. It returns a *[ListenError] for an
// address at which it cannot listen, and an error if the server was started or closed before.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return errors.New("mockserver: the server was closed")
	}
	if s.started {
		return errors.New("mockserver: the server was started already")
	}
	if err := s.listenLocked(); err != nil {
		for name, l := range s.listeners {
			l.Close()
			delete(s.listeners, name)
		}
		return err
	}
	s.started = true
	s.serveHTTPLocked("http", s.handler, false)
	s.serveHTTPLocked("https", s.handler, true)
	if s.controlsApart() {
		s.serveHTTPLocked("control", endingAfterDoubt(s.controlHandler()), false)
	}
	if l := s.listeners["sftp"]; l != nil {
		s.serving.Go(func() { s.sftp.Serve(l) })
	}
	return nil
}

func (s *Server) listenLocked() error {
	for _, want := range []struct{ name, addr, flag string }{
		{"http", s.opts.HTTPAddr, "HTTP"}, {"https", s.opts.HTTPSAddr, "HTTPS"},
		{"sftp", s.opts.SFTPAddr, "SFTP"}, {"control", s.opts.ControlAddr, "control API"},
	} {
		if want.addr == Off || want.addr == "" {
			continue
		}
		l, err := s.opts.Listen("tcp", want.addr)
		if err != nil {
			return &ListenError{Listener: want.name, Addr: want.addr, Err: err}
		}
		s.listeners[want.name] = l
		warnIfExposed(s.log, want.flag, l.Addr())
	}
	if l := s.listeners["sftp"]; l != nil {
		if err := writeKnownHosts(s.home.Dir, l.Addr().String(), s.Advertise(), s.trust.hostKeys); err != nil {
			return err
		}
	}
	return s.listenForTransfersLocked()
}

// warnIfExposed warns of a listener that can be reached from other machines.
func warnIfExposed(log *slog.Logger, name string, addr net.Addr) {
	if tcp, ok := addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		log.Warn("this listener can be reached from other machines; the emulator is made for testing, and asks "+
			"nobody who they are: "+
			"whoever reaches it can make requests, and steer it through the "+
			"control API", "listener", name, "addr", addr.String())
	}
}

func (s *Server) serveHTTPLocked(name string, handler http.Handler, secure bool) {
	l := s.listeners[name]
	if l == nil {
		return
	}
	srv := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: s.patience.header,
		IdleTimeout:       s.patience.idle,
		ConnState:         countConns(&s.conns),
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	// Deliberately: uploads over HTTP/2 are slower, and curl takes it whenever it is offered.
	srv.Protocols.SetHTTP1(true)
	if secure {
		srv.TLSConfig = s.trust.ca.TLSConfig()
		srv.TLSConfig.NextProtos = []string{"http/1.1", "http/1.0"} // the latter is all that curl --http1.0 offers
	}
	s.servers = append(s.servers, srv)
	l = s.bounded(name, l)
	s.serving.Go(func() {
		if secure {
			srv.ServeTLS(l, "", "")
		} else {
			srv.Serve(l)
		}
	})
}

// bounded is a listener for HTTP with bounds on its connections: their number, and the patience with each.
func (s *Server) bounded(name string, l net.Listener) net.Listener {
	return httpconn.Listen(l, httpconn.Options{
		Max: s.opts.MaxConnections, Stall: s.patience.stall,
		Refused: func(remote net.Addr) {
			s.log.Warn("too many HTTP connections: refused one ("+s.opts.OptionName("MaxConnections")+")",
				"listener", name, "remote", remote.String(), "max", s.opts.MaxConnections)
		},
	})
}

// Guard returns l with what the server's own HTTP listeners have: a bound on the number of connections
// (Options.MaxConnections) and on the time that a client may take to read, and a warning in the log if other
// machines can reach it. It is for a program that leads connections to the server in another way, as a proxy
// does. The log calls the listener by name, and GET /_mock/env names its port as the proxy's.
func (s *Server) Guard(name string, l net.Listener) net.Listener {
	warnIfExposed(s.log, name, l.Addr())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proxy = l.Addr()
	return s.bounded(name, l)
}

// countConns counts the connections of our own listeners, and so the calls that come over them. One that a
// fault takes over is counted there.
func countConns(conns *sync.WaitGroup) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			conns.Done()
		}
	}
}

// gate counts the calls that are being handled, and lets none in after close. The zero value is open.
type gate struct {
	mu     sync.Mutex
	inside int
	quiet  chan struct{} // closed when there is none inside; nil before close
}

// enter reports whether a call may come in. If so, leave must follow.
func (g *gate) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.quiet != nil {
		return false
	}
	g.inside++
	return true
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.quiet != nil {
		close(g.quiet)
	}
}

// close returns a channel that is closed when the last call has left. It must be called once.
func (g *gate) close() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.quiet = make(chan struct{})
	if g.inside == 0 {
		close(g.quiet)
	}
	return g.quiet
}
