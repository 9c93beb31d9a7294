package mockserver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upgrademock/upgrademock/internal/localca"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/internal/api/database"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/internal/httpconn"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
	"github.com/upgrademock/upgrademock/mockserver/internal/scripts"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/sftpserver"
	gossh "golang.org/x/crypto/ssh"
)

// patience is how long an HTTP client is waited for.
type patience struct {
	header time.Duration // to send a request's headers
	idle   time.Duration // of a kept-alive connection
	stall  time.Duration // without a byte of a body, or for a piece of an answer to be read, however long the whole may take
}

var usualPatience = patience{header: 10 * time.Second, idle: 2 * time.Minute, stall: time.Minute}

// sweep is how often it is looked whose patience has ended.
func (p patience) sweep() time.Duration { return min(p.header/8, p.idle/8, p.stall/8, time.Second) }

// Server is an emulator. Make one with New.
type Server struct {
	opts     Options
	log      *slog.Logger
	dir      *datadir.Dir // where the platform's files are
	tempDir  bool         // dir goes with Close
	timed    bool         // the clock is the real one, so durations mean something
	platform *platform.Platform
	journal  *eventlog.Log
	keys     redact.Keys // of the requests that there are
	scripts  *scripts.Set
	api      *database.API
	metrics  *metrics
	handler  http.Handler
	ca       *localca.CA
	caFile   string
	hostKeys []gossh.Signer
	// otherHostKeys makes, once, what a scenario shows in place of the host keys.
	otherHostKeys func() ([]gossh.Signer, error)
	sftp          *sftpserver.Server
	patience      patience

	ctx    context.Context // ends when Close begins: whoever waits gives up
	cancel context.CancelFunc

	mu        sync.Mutex
	started   bool
	closed    chan struct{} // closed when Close has done its work; nil before it began
	closeErr  error
	listeners map[string]net.Listener // by name: "http", "https", "sftp", "control"
	servers   []*http.Server
	calls     int           // of ServeHTTP, being handled
	quiet     chan struct{} // closed when calls becomes 0 after Close began

	advertise atomic.Pointer[Advertise]
	serving   sync.WaitGroup // listeners
	conns     sync.WaitGroup // HTTP connections of theirs
}

// Advertise is what answers tell clients of how to reach the emulator. An empty field leaves the server's own idea.
type Advertise struct {
	URL      string `json:"url,omitempty"`       // the base of the URLs
	SFTPHost string `json:"sftp_host,omitempty"` // hostname of request_sftp_access
	SFTPPort int    `json:"sftp_port,omitempty"` // sftp_port of request_sftp_access
}

// New makes a server that listens nowhere yet. Close it, even if it was never started.
func New(opts *Options) (*Server, error) { return newServer(opts, usualPatience) }

func newServer(opts *Options, patience patience) (_ *Server, err error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: full, log: full.Logger, timed: opts == nil || opts.Clock == nil,
		scripts:   scripts.New(full.Scenarios),
		listeners: make(map[string]net.Listener),
		patience:  patience,
	}
	s.journal = eventlog.New(full.JournalSize, full.JournalWriter, func(text string) string { return sshkeys.Hide(s.keys.Hide(text)) })
	s.advertise.Store(&Advertise{URL: strings.TrimSuffix(full.PublicURL, "/"), SFTPHost: full.SFTPHostname})
	s.metrics = newMetrics(s)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			s.cancel()
			err = errors.Join(err, s.closeDir())
		}
	}()
	if err := s.openDir(); err != nil {
		return nil, err
	}
	s.platform, err = platform.New(platform.Options{
		Dir: s.dir, Keep: !s.tempDir,
		Targets: full.Targets, Filestore: profiles[full.Edition].filestore, Contracts: full.Contracts,
		AccessTTL: full.SFTPAccessTTL, MaxDump: full.MaxDump, MaxRequests: full.MaxRequests,
		Now: full.Clock.Now, Virtual: s.manual() != nil, Seed: full.Seed,
		Script: s.scripts.ForRequest, Changed: s.noteChange, AccessEnded: s.accessEnded,
	})
	if err != nil {
		return nil, err
	}
	// From here on the directory is ours alone: no other process has the platform open.
	err = s.openTrust()
	if err == nil {
		err = s.platform.Begin()
	}
	if err == nil {
		err = s.takeUp()
	}
	if err == nil {
		s.sftp, err = s.newSFTP()
	}
	if err != nil {
		return nil, errors.Join(err, s.platform.Close())
	}
	s.keys.Forget(s.everyKey)
	s.noteDirectory()
	s.api = s.newAPI()
	s.handler = endingAfterDoubt(s.routes())
	return s, nil
}

// openDir opens the data directory, or a temporary one.
func (s *Server) openDir() (err error) {
	if s.opts.DataDir != "" {
		if s.dir, err = datadir.Open(s.opts.DataDir); err != nil {
			return fmt.Errorf("mockserver: data directory: %w", err)
		}
		return nil
	}
	path, err := os.MkdirTemp("", "upgrademock-")
	if err == nil {
		s.tempDir = true
		s.dir, err = datadir.Temp(path)
	}
	if err != nil {
		return fmt.Errorf("mockserver: make a temporary directory: %w", err)
	}
	return nil
}

// closeDir ends the use of the directory, and removes a temporary one.
func (s *Server) closeDir() error {
	if s.dir == nil {
		return nil
	}
	err := s.dir.Close()
	if s.tempDir {
		err = errors.Join(err, os.RemoveAll(s.dir.Path()))
	}
	return err
}

// takeUp goes on where an earlier process ended: with its clock, and with the faults that it had counted.
func (s *Server) takeUp() error {
	if clock := s.manual(); clock != nil {
		if kept := s.platform.KeptClock(); !kept.IsZero() {
			clock.Advance(kept.Sub(clock.Now()))
		}
	}
	return s.scripts.KeepIn(s.platform)
}

// noteDirectory says what an operator should know of the data directory, in the log and in the journal.
func (s *Server) noteDirectory() {
	for _, note := range s.dir.Notes() {
		s.log.Warn("the data directory: "+note, "directory", s.dir.Path())
		s.record(&journal.Event{On: journal.OnData, At: s.now(), Why: note})
	}
	s.noteDamage(s.platform.Damaged())
}

// CheckDumps reads all dumps and compares them with their checksums; what New looks at is whether they are there, files, and not cut. The calls
// for a request whose dump differs are answered with SERVER:ERROR from then on; the log and the journal say why. The error is ctx's when
// that ends first.
func (s *Server) CheckDumps(ctx context.Context) error {
	before := s.platform.Damaged()
	if err := s.platform.CheckDumps(ctx); err != nil {
		return fmt.Errorf("mockserver: check the dumps: %w", err)
	}
	damaged := s.platform.Damaged()
	maps.DeleteFunc(damaged, func(id int64, _ error) bool { return before[id] != nil })
	s.noteDamage(damaged)
	return nil
}

func (s *Server) noteDamage(damaged map[int64]error) {
	for _, id := range slices.Sorted(maps.Keys(damaged)) {
		s.log.Warn("a request's dump is damaged: its calls are answered with SERVER:ERROR", "request", id, "err", damaged[id])
		event := journal.Event{On: journal.OnData, At: s.now(), Request: id, Why: damaged[id].Error()}
		if r, ok := s.platform.Get(id); ok {
			event.Contract, event.Scenario = r.Contract(), r.Scenario()
		}
		s.record(&event)
	}
}

// openTrust gets the CA and the SSH host key, from the data directory where there is one.
func (s *Server) openTrust() (err error) {
	caDir := s.opts.CADir
	if caDir == "" && !s.tempDir {
		caDir = s.dir.Path()
	}
	if caDir != "" {
		s.ca, err = localca.Open(caDir, s.opts.CAHosts...)
		s.caFile = filepath.Join(caDir, localca.CertFile)
	} else if s.ca, err = localca.New(s.opts.CAHosts...); err == nil {
		s.caFile = s.dir.File(localca.CertFile)
		err = safefile.Create(s.dir.Root(), localca.CertFile, s.ca.PEM(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("mockserver: %w", err)
	}
	if note := s.ca.Note(); note != "" {
		s.dir.Note("%s", note)
	}
	switch {
	case len(s.opts.SFTPHostKeys) > 0:
		s.hostKeys = s.opts.SFTPHostKeys
	case s.tempDir:
		s.hostKeys, err = alone(newHostKey())
	default:
		s.hostKeys, err = alone(keptHostKey(s.dir))
	}
	if err != nil {
		return fmt.Errorf("mockserver: SSH host key: %w", err)
	}
	_, err = readKnownHosts(s.dir)
	return err
}

// ListenError is a listener that cannot be.
type ListenError struct {
	Listener string // http, https, sftp or control
	Addr     string // as the options have it
	Err      error
}

func (e *ListenError) Error() string {
	name := strings.ToUpper(e.Listener)
	if e.Listener == "control" {
		name = "the control API"
	}
	return fmt.Sprintf("mockserver: listen for %s: %v; choose another address, or port 0 for a free one", name, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// Start begins to listen. When it returns nil, every listener accepts. An address that cannot be listened at is a *[ListenError].
func (s *Server) Start() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return errors.New("mockserver: the server was closed")
	}
	if s.started {
		return errors.New("mockserver: the server was started already")
	}
	defer func() {
		if err != nil {
			for name, l := range s.listeners {
				l.Close()
				delete(s.listeners, name)
			}
		}
	}()
	for _, want := range []struct{ name, addr, flag string }{
		{"http", s.opts.HTTPAddr, "HTTP"}, {"https", s.opts.HTTPSAddr, "HTTPS"},
		{"sftp", s.opts.SFTPAddr, "SFTP"}, {"control", s.opts.ControlAddr, "control API"},
	} {
		if want.addr == Off || want.addr == "" {
			continue
		}
		l, err := net.Listen("tcp", want.addr)
		if err != nil {
			return &ListenError{Listener: want.name, Addr: want.addr, Err: err}
		}
		s.listeners[want.name] = l
		s.warnIfExposed(want.flag, l.Addr())
	}
	if err := s.writeKnownHostsLocked(); err != nil {
		return err
	}
	s.started = true
	s.serveHTTPLocked("http", s.handler, false)
	s.serveHTTPLocked("https", s.handler, true)
	s.serveHTTPLocked("control", endingAfterDoubt(s.controlHandler()), false)
	if l := s.listeners["sftp"]; l != nil {
		s.serving.Go(func() { s.sftp.Serve(l) })
	}
	return nil
}

// warnIfExposed says it loudly when others than this machine's users can come in.
func (s *Server) warnIfExposed(name string, addr net.Addr) {
	if tcp, ok := addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		s.log.Warn("this listener can be reached from other machines; the emulator is made for testing, and asks nobody who they are: "+
			"whoever reaches it can make requests, and steer it through the control API", "listener", name, "addr", addr.String())
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
		ConnState:         s.countConn,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		Protocols:         new(http.Protocols),
	}
	// Deliberately: uploads over HTTP/2 are slower, and curl takes it whenever it is offered.
	srv.Protocols.SetHTTP1(true)
	if secure {
		srv.TLSConfig = s.ca.TLSConfig()
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
		Max: s.opts.MaxConnections, Stall: s.patience.stall, Sweep: s.patience.sweep(),
		Refused: func(remote net.Addr) {
			s.log.Warn("too many HTTP connections: refused one (Options.MaxConnections, --max-connections)", "listener", name, "remote", remote.String(), "max", s.opts.MaxConnections)
		},
	})
}

// Guard returns a TCP listener with what the server's own HTTP listeners have: a bound on the number of connections (Options.MaxConnections) and on the
// time that a client may take to read, and a warning in the log if other machines can reach it. It is for whoever leads connections to the server in
// another way, as a proxy does. The log calls the listener by name.
func (s *Server) Guard(name string, l net.Listener) net.Listener {
	s.warnIfExposed(name, l.Addr())
	return s.bounded(name, l)
}

// countConn counts the connections of our own listeners, and so the calls that come over them. One that a fault hijacks is counted there.
func (s *Server) countConn(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
	case http.StateClosed, http.StateHijacked:
		s.conns.Done()
	}
}

// ServeHTTP answers a call as the platform would, and the control API's calls. The bounds on connections are those of our own listeners; who serves
// with another server sets that one's.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.leave()
	s.handler.ServeHTTP(w, r)
}

// enter counts a call, unless the server is being closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return false
	}
	s.calls++
	return true
}

func (s *Server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
	if s.calls == 0 && s.quiet != nil {
		close(s.quiet)
		s.quiet = nil
	}
}

// Shutdown stops accepting, lets calls and transfers that are under way end until ctx does, and closes the server.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	servers := s.servers
	s.mu.Unlock()
	var ending sync.WaitGroup
	for _, srv := range servers {
		ending.Go(func() { srv.Shutdown(ctx) })
	}
	ending.Go(func() { s.sftp.Shutdown(ctx) })
	ending.Wait()
	return s.Close()
}

// Close stops the server at once, breaking off what is under way, and waits until nothing of it is left: no goroutine, and without
// a DataDir no file. It may be called more than once.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed != nil {
		closed := s.closed
		s.mu.Unlock()
		<-closed
		return s.closeErr
	}
	s.closed = make(chan struct{})
	servers := s.servers
	quiet := make(chan struct{})
	if s.calls == 0 {
		close(quiet)
	} else {
		s.quiet = quiet
	}
	s.mu.Unlock()

	s.cancel()
	s.platform.Interrupt() // or calls and sessions would be waited for that copy a dump
	for _, srv := range servers {
		srv.Close()
	}
	err := s.sftp.Close()
	s.serving.Wait()
	s.await(quiet)
	err = errors.Join(err, s.journal.Close(), s.platform.Close(), s.closeDir())
	if err != nil {
		s.closeErr = fmt.Errorf("mockserver: close: %w", err)
	}
	close(s.closed)
	return s.closeErr
}

// await waits for the last call, and says so when that takes long.
func (s *Server) await(quiet chan struct{}) {
	slow := time.AfterFunc(5*time.Second, func() { s.log.Warn("closing still waits for calls being handled") })
	defer slow.Stop()
	<-quiet
	s.conns.Wait()
}

// addr is where the named listener listens, "" if it does not.
func (s *Server) addr(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.listeners[name]; l != nil {
		return l.Addr().String()
	}
	return ""
}

// URL is the base URL over HTTP, such as http://127.0.0.1:8480; "" without an HTTP listener.
func (s *Server) URL() string { return withScheme("http", s.addr("http")) }

// HTTPSURL is the base URL over HTTPS; "" without an HTTPS listener.
func (s *Server) HTTPSURL() string { return withScheme("https", s.addr("https")) }

// SFTPAddr is the host:port of the SFTP server; "" without one.
func (s *Server) SFTPAddr() string { return s.addr("sftp") }

// AdminURL is the base URL of the control API: of its own listener where Options.ControlAddr names one, else of the HTTP listener, else of the HTTPS listener.
// It is "" when nothing serves it.
func (s *Server) AdminURL() string {
	base := withScheme("http", s.addr("control"))
	if base == "" {
		base = s.URL()
	}
	if base == "" {
		base = s.HTTPSURL()
	}
	if base == "" {
		return ""
	}
	return base + "/_mock"
}

func withScheme(scheme, addr string) string {
	if addr == "" {
		return ""
	}
	return scheme + "://" + addr
}

// CAFile is a PEM file with the CA that HTTPS clients must trust.
func (s *Server) CAFile() string { return s.caFile }

// Certificate is the certificate of the CA in CAFile.
func (s *Server) Certificate() *x509.Certificate { return s.ca.Certificate() }

// CertPool returns a pool that holds Certificate and nothing else.
func (s *Server) CertPool() *x509.CertPool { return s.ca.Pool() }

// CertificateFor returns a certificate of the CA to show as host, a DNS name or an IP address. It is for a program that leads
// connections to the server in another way than its listeners, as a proxy does.
func (s *Server) CertificateFor(host string) (*tls.Certificate, error) { return s.ca.Leaf(host) }

// KnownHostsFile is a known_hosts file for the SFTP server.
func (s *Server) KnownHostsFile() string { return s.dir.File(datadir.KnownHosts) }

// HostKeys are the public keys that the SFTP server shows, one of each type that it has.
func (s *Server) HostKeys() []gossh.PublicKey {
	keys := make([]gossh.PublicKey, len(s.hostKeys))
	for i, key := range s.hostKeys {
		keys[i] = key.PublicKey()
	}
	return keys
}

// record gives an event to the journal, the counters and the log.
func (s *Server) record(e *journal.Event, params ...eventlog.Param) {
	s.metrics.count(e)
	s.journal.Add(e, params...)
	s.logEvent(e)
}

// everyKey is the keys of all requests.
func (s *Server) everyKey() []string {
	var keys []string
	for _, r := range s.platform.All() {
		keys = append(keys, r.Key)
	}
	return keys
}

// now reads the server's clock.
func (s *Server) now() time.Time { return s.opts.Clock.Now() }

// manual is the server's clock if it can be advanced, else nil.
func (s *Server) manual() *ManualClock {
	clock, _ := s.opts.Clock.(*ManualClock)
	return clock
}
