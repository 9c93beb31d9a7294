package transfer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/scripts"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The ports of transfers (row S3.4), and how many of them are tried before any free one will do.
const (
	firstPort = 32768
	lastPort  = 60999
	portTries = 64
)

// Why a transfer has ended, or cannot begin.
var (
	ErrClosed   = errors.New("transfer: the server was closed")
	ErrTooMany  = errors.New("transfer: there are too many transfers at one time; stop some, or wait until they time out")
	ErrStopped  = errors.New("transfer: the transfer was stopped")
	ErrReplaced = errors.New("transfer: another start took the place of this one")
	ErrState    = errors.New("transfer: the request has left the state in which the transfer was allowed")
	ErrTimeout  = errors.New("transfer: nothing has moved for too long")
)

// Transfer is what transfer/start answers.
type Transfer struct {
	Port       int
	KnownHosts *string // nil where a scenario wants null
}

// Host serves the transfers of all requests. Its methods may be called concurrently.
type Host struct {
	opts Options
	host string // where transfers listen
	port int    // that all share; 0: each has its own
	ssh  *sshhost.Server

	mu        sync.Mutex
	changed   *sync.Cond // on mu: a request is not written to any more
	closed    bool
	shared    net.Listener // nil before Listen, and where each transfer has a port of its own
	transfers map[int64]*transfer
	ports     map[int]*transfer   // of the transfers that have their own
	started   uint64              // numbers the transfers
	writing   map[int64]bool      // requests that a session writes to
	watched   map[uint64]*watch   // the connections that there are
	sessions  map[uint64]*session // that run, by the connection's number
	serving   sync.WaitGroup      // listeners
}

// New returns a host that has no port open. The caller must call Close. The error is about Options.Addr.
func New(opts Options) (*Host, error) {
	opts.Timeout = cmp.Or(opts.Timeout, DefaultTimeout)
	opts.Max = cmp.Or(opts.Max, DefaultMax)
	if opts.Names == nil {
		opts.Names = func() []string { return nil }
	}
	if opts.Uploaded == nil {
		opts.Uploaded = func(int64) {}
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Listen == nil {
		opts.Listen = net.Listen
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	host, port, err := splitAddr(opts.Addr)
	if err != nil {
		return nil, fmt.Errorf("transfer: %w", err)
	}
	keys, err := sshhost.PrepareHostKeys(opts.HostKeys, false)
	if err != nil {
		return nil, fmt.Errorf("transfer: %w", err)
	}
	opts.HostKeys = keys
	h := &Host{
		opts: opts, host: host, port: port,
		transfers: make(map[int64]*transfer), ports: make(map[int]*transfer),
		writing: make(map[int64]bool), watched: make(map[uint64]*watch), sessions: make(map[uint64]*session),
	}
	h.changed = sync.NewCond(&h.mu)
	h.ssh = sshhost.New(sshhost.Options{
		Name: "temporary server for one transfer", Serves: "rsync",
		HostKeys: func(sshhost.Peer) []gossh.Signer { return keys },
		Login:    h.login,
		Accepts:  func(r sshhost.Request) bool { return r.Kind == sshhost.Exec },
		Observe:  h.observe, Fault: h.fault, Logger: opts.Logger,
		HandshakeTimeout: opts.HandshakeTimeout, MaxConns: opts.MaxConns,
		// Transfers have their own limit, which counts what rsync says alone, and ends more than the connection.
		IdleTimeout: 2 * opts.Timeout,
	})
	return h, nil
}

// Listen opens the port that all transfers share. It does nothing where each has its own.
func (h *Host) Listen() error {
	if h.port == 0 {
		return nil
	}
	l, err := h.opts.Listen("tcp", net.JoinHostPort(h.host, strconv.Itoa(h.port)))
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.shared != nil {
		l.Close()
		return errors.New("transfer: Listen was called twice, or after Close")
	}
	h.shared = l
	h.serving.Go(func() { h.ssh.Serve(l) })
	return nil
}

// Addr returns the address of the port that all transfers share, nil if there is none.
func (h *Host) Addr() net.Addr {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.shared == nil {
		return nil
	}
	return h.shared.Addr()
}

// Start begins a transfer of the kind, [platform.Uploading] or [platform.Downloading], and ends another one of the same
// request. Whether the request may have one now is for the caller to ask before; logins ask again.
//
// The client is told to trust the port under the given names, too, beside those of [Options.Names]: the host that it
// was assigned. Start returns ErrClosed or ErrTooMany, or why no port can be opened.
func (h *Host) Start(r *platform.Request, kind string, names ...string) (Transfer, error) {
	fault := r.Pick(scenario.OnRsyncLogin)
	t := &transfer{host: h, request: r, kind: kind, key: r.SSHKey(), fault: fault}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	h.mu.Lock()
	err := h.beginLocked(t)
	h.mu.Unlock()
	if err != nil {
		t.cancel(err)
		return Transfer{}, err
	}
	answer := Transfer{Port: h.outside(t.port)}
	text := h.knownHosts(answer.Port, names)
	answer.KnownHosts = &text
	if fault != nil && fault.KnownHosts != nil {
		answer.KnownHosts = fault.KnownHosts
		if *fault.KnownHosts == "" {
			answer.KnownHosts = nil
		}
	}
	if fault != nil && (fault.Unreachable || fault.KnownHosts != nil) {
		h.recordStart(t)
	}
	return answer, nil
}

// beginLocked opens t's port, and puts t in the place of another transfer.
func (h *Host) beginLocked(t *transfer) error {
	id := t.request.ID()
	before := h.transfers[id]
	switch {
	case h.closed:
		return ErrClosed
	case before == nil && len(h.transfers) >= h.opts.Max:
		return ErrTooMany
	case h.port != 0 && h.shared == nil:
		return errors.New("transfer: the port of all transfers is not open; call Listen before Start")
	}
	var err error
	switch {
	case t.fault != nil && t.fault.Unreachable:
		t.port, err = h.unusedPortLocked()
	case h.port != 0:
		t.port = h.port
	default:
		t.listener, t.port, err = h.listenLocked()
	}
	if err != nil {
		return err
	}
	if before != nil {
		before.endLocked(ErrReplaced)
	}
	h.started++
	t.number, t.quiet = h.started, h.opts.Now()
	h.transfers[id] = t
	if t.port != h.port {
		h.ports[t.port] = t
	}
	t.timer = time.AfterFunc(h.opts.Timeout, t.expire)
	if l := t.listener; l != nil {
		h.serving.Go(func() { h.ssh.ServeUntil(t.ctx, l) })
	}
	return nil
}

// listenLocked opens a free port, one of those of row S3.4 if it can.
func (h *Host) listenLocked() (net.Listener, int, error) {
	var last error
	for try := range portTries + 1 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		if try == portTries {
			port = 0
		}
		if h.ports[port] != nil {
			continue
		}
		l, err := h.opts.Listen("tcp", net.JoinHostPort(h.host, strconv.Itoa(port)))
		if err == nil {
			return l, l.Addr().(*net.TCPAddr).Port, nil
		}
		last = err
	}
	return nil, 0, fmt.Errorf("transfer: no port of %s can be opened: %w", h.host, last)
}

// unusedPortLocked returns a port at which nothing listens. It is no transfer's as long as this one lasts; nothing
// keeps another program from opening it.
func (h *Host) unusedPortLocked() (int, error) {
	l, port, err := h.listenLocked()
	if err == nil {
		l.Close()
	}
	return port, err
}

// Stop ends the transfer of the request with that id, if there is one.
func (h *Host) Stop(id int64) { h.end(id, ErrStopped) }

// End is Stop for a request that has left the state in which its transfer was allowed, or was forgotten. It does not
// wait, and does not call the platform.
func (h *Host) End(id int64) { h.end(id, ErrState) }

func (h *Host) end(id int64, cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.transfers[id]; t != nil {
		t.endLocked(cause)
	}
}

// Evaluate ends the transfers whose time has passed by the emulator's clock. It is to be called when that was advanced.
func (h *Host) Evaluate() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.transfers {
		t.expireLocked()
	}
}

// Moves reports whether a session of rsync runs, and whether a port is open for one.
func (h *Host) Moves() (running, open bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.sessions) > 0, len(h.transfers) > 0
}

// outside is the port by which clients reach a port.
func (h *Host) outside(port int) int {
	if port != h.port || h.opts.Outside == nil {
		return port
	}
	return cmp.Or(h.opts.Outside(), port)
}

// Shutdown stops accepting connections, waits until all sessions have ended by themselves or ctx is done, and closes
// the host.
func (h *Host) Shutdown(ctx context.Context) {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.ssh.Shutdown(ctx, ErrClosed)
	h.Close()
}

// Close ends all transfers and returns when nothing of them is left. Calling it again does nothing.
func (h *Host) Close() {
	h.mu.Lock()
	h.closed = true
	for _, t := range h.transfers {
		t.endLocked(ErrClosed)
	}
	h.mu.Unlock()
	h.ssh.Close(ErrClosed)
	h.serving.Wait()
}

// mayWrite waits until no session writes to the request with that id, and reserves it for one, until wrote is called.
// It fails when ctx is done before.
func (h *Host) mayWrite(ctx context.Context, id int64) error {
	stop := context.AfterFunc(ctx, func() {
		h.mu.Lock()
		h.changed.Broadcast()
		h.mu.Unlock()
	})
	defer stop()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.writing[id] {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h.changed.Wait()
	}
	h.writing[id] = true
	return nil
}

func (h *Host) wrote(id int64) {
	h.mu.Lock()
	delete(h.writing, id)
	h.changed.Broadcast()
	h.mu.Unlock()
}

// name is how the journal names a transfer's fault.
func name(f *platform.Fault) string {
	if f == nil {
		return ""
	}
	return scripts.Describe(f)
}
