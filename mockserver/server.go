package mockserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/api/database"
	"github.com/upgrademock/upgrademock/mockserver/internal/api/script"
	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/redact"
	"github.com/upgrademock/upgrademock/mockserver/internal/scripts"
	"github.com/upgrademock/upgrademock/mockserver/internal/sshkeys"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
	"github.com/upgrademock/upgrademock/sftpserver"
)

// patience is how long an HTTP client is waited for.
type patience struct {
	header time.Duration // to send a request's headers
	idle   time.Duration // of a kept-alive connection
	stall  time.Duration // without a byte of a body, or before a piece of an answer is read
}

var usualPatience = patience{header: 10 * time.Second, idle: 2 * time.Minute, stall: time.Minute}

// Server is an emulator. [New] makes one. Its methods may be called concurrently.
type Server struct {
	opts     Options
	log      *slog.Logger
	home     *home
	trust    trust
	timed    bool // the clock is the real one, so durations mean something
	patience patience
	observer observer
	keys     redact.Keys // of the requests that there are
	scripts  *scripts.Set
	platform *platform.Platform
	database *database.API
	script   *script.API
	handler  http.Handler
	sftp     *sftpserver.Server
	shared   *sftpHost

	transfers     *transfer.Host
	scriptTargets []string // valid targets of the script API; nil: all that could be
	client        *client

	began time.Time // by real time
	run   string    // names this process's journal, whose numbers begin anew in the next

	ctx    context.Context // ends when Close begins: what waits gives up
	cancel context.CancelFunc

	mu        sync.Mutex
	started   bool
	closed    chan struct{} // closed when Close has done its work; nil before it began
	closeErr  error
	listeners map[string]net.Listener // by name: "http", "https", "sftp", "control"
	proxy     net.Addr                // of what Guard guards; nil: nothing
	servers   []*http.Server

	advertise atomic.Pointer[Advertise]
	calls     gate           // of ServeHTTP
	serving   sync.WaitGroup // listeners
	conns     sync.WaitGroup // HTTP connections of theirs
}

// Advertise is what answers say of how to reach the emulator. For an empty field, that is how the call reached it.
type Advertise struct {
	URL      string `json:"url,omitempty"`       // the base of the URLs
	SFTPHost string `json:"sftp_host,omitempty"` // hostname of request_sftp_access
	SFTPPort int    `json:"sftp_port,omitempty"` // sftp_port of request_sftp_access
	// TransferPort is the ssh_port of transfer/start, where Options.Transfer names one port for all transfers.
	TransferPort int `json:"transfer_port,omitempty"`
}

// New makes a server that listens nowhere yet. If opts is nil, the options are the default ones; one that is
// wrong is an *[OptionError]. The caller must call Close, also if the server is never started.
func New(opts *Options) (*Server, error) { return newServer(opts, usualPatience) }

func newServer(opts *Options, patience patience) (*Server, error) {
	full, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: full, log: full.Logger, timed: opts == nil || opts.Clock == nil,
		scripts:   scripts.New(full.Scenarios),
		listeners: make(map[string]net.Listener),
		patience:  patience,
		began:     time.Now(), run: rand.Text(),
	}
	hide := func(text string) string { return sshkeys.Hide(s.keys.Hide(text)) }
	s.observer = observer{
		journal: eventlog.New(full.JournalSize, full.JournalWriter, hide),
		metrics: newMetrics(func() []platform.Snapshot { return s.platform.All() }),
		log:     full.Logger,
	}
	if full.Skip {
		s.observer.skipper = s.newSkipper()
	}
	s.advertise.Store(&Advertise{URL: strings.TrimSuffix(full.PublicURL, "/"), SFTPHost: full.SFTPHostname})
	s.client = newClient(s)
	if opts != nil {
		s.scriptTargets = opts.Targets
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.home, err = openHome(full.DataDir); err == nil {
		if err = s.open(); err != nil {
			err = errors.Join(err, s.home.close())
		}
	}
	if err != nil {
		s.cancel()
		return nil, err
	}
	return s, nil
}

// open takes up what is in the data directory, and makes what works with it.
func (s *Server) open() error {
	p, err := platform.New(platform.Options{
		Dir: s.home.Dir, Keep: !s.home.temporary,
		Targets: s.opts.Targets, ScriptTargets: s.scriptTargets, Filestore: profiles[s.opts.Edition].filestore,
		Contracts: s.opts.Contracts,
		AccessTTL: s.opts.SFTPAccessTTL, MaxDump: s.opts.MaxDump, MaxRequests: s.opts.MaxRequests,
		OptionName: s.opts.OptionName,
		Now:        s.opts.Clock.Now, Virtual: s.opts.manual() != nil, Seed: s.opts.Seed,
		Script: s.scripts.ForRequest, Changed: s.observer.changed,
		AccessEnded:   func(id int64) { s.sftp.Disconnect(platform.SFTPUser(id)) },
		TransferEnded: func(id int64) { s.transfers.End(id) },
	})
	if err != nil {
		return err
	}
	s.platform = p
	// From here on the directory is ours alone: no other process has the platform open.
	s.trust, err = openTrust(&s.opts, s.home)
	if err == nil {
		err = s.platform.Begin()
	}
	if err == nil {
		takeUpClock(s.opts.manual(), p)
		err = s.scripts.KeepIn(p) // the faults that an earlier process had counted
	}
	if err == nil {
		s.transfers, err = s.newTransfers()
	}
	if err == nil {
		s.openAPIs()
		s.sftp, err = s.newSFTP()
	}
	if err != nil {
		return errors.Join(err, s.platform.Close())
	}
	if err := s.makeRequests(); err != nil {
		return errors.Join(err, s.platform.Close())
	}
	s.keys.Forget(func() []string { return keysOf(s.platform) })
	s.noteDirectory()
	s.handler = endingAfterDoubt(s.routes())
	return nil
}

// ServeHTTP answers calls of the emulated API and of the control API. It does not need Start, except that there is no
// SFTP server before. The bounds on connections are those of the server's own listeners.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.calls.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.calls.leave()
	s.handler.ServeHTTP(w, r)
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
	ending.Go(func() { s.transfers.Shutdown(ctx) })
	ending.Wait()
	return s.Close()
}

// Close stops the server at once, breaking off what is under way, and waits until nothing of it is left: no
// goroutine, and without Options.DataDir no file. It may be called more than once.
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
	s.mu.Unlock()
	quiet := s.calls.close()

	s.cancel()
	s.platform.Interrupt() // or calls and sessions would be waited for that copy a dump
	for _, srv := range servers {
		srv.Close()
	}
	err := s.sftp.Close()
	s.transfers.Close()
	s.serving.Wait()
	slow := time.AfterFunc(5*time.Second, func() { s.log.Warn("closing still waits for calls being handled") })
	<-quiet
	s.conns.Wait()
	slow.Stop()
	err = errors.Join(err, s.observer.journal.Close(), s.platform.Close(), s.home.close())
	if err != nil {
		s.closeErr = fmt.Errorf("mockserver: close: %w", err)
	}
	close(s.closed)
	return s.closeErr
}
