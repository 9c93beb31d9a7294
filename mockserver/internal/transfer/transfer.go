package transfer

import (
	"context"
	"net"
	"sync/atomic"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
)

// transfer is one that was started.
type transfer struct {
	host     *Host
	request  *platform.Request
	kind     string
	key      string // that logs in, in SSH wire form and base64
	number   uint64 // transfers are numbered in the order in which they were started
	port     int
	listener net.Listener    // nil: the port is shared, or never opens
	fault    *platform.Fault // of its logins; nil: none
	ctx      context.Context // done when it is over, because of its cause
	cancel   context.CancelCauseFunc
	timer    *time.Timer

	// Guarded by the host's mutex.
	sessions int       // that run
	quiet    time.Time // by the emulator's clock: since when none does
	otherKey bool      // a connection to the shared port was shown the other host keys

	touched atomic.Int64 // real time at which a session last read or wrote, in nanoseconds since 1970
}

// touch notes that something has moved.
func (t *transfer) touch() { t.touched.Store(time.Now().UnixNano()) }

// begin and done count the sessions that run. begin fails if the transfer is over.
func (t *transfer) begin() error {
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	if err := context.Cause(t.ctx); err != nil {
		return err
	}
	t.sessions++
	t.touch()
	return nil
}

func (t *transfer) done() {
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	t.sessions--
	t.quiet = t.host.opts.Now()
}

// expire ends the transfer if nothing has moved for too long, and looks again when that may be so otherwise.
func (t *transfer) expire() {
	t.host.mu.Lock()
	defer t.host.mu.Unlock()
	t.expireLocked()
}

func (t *transfer) expireLocked() {
	if t.ctx.Err() != nil {
		return
	}
	idle := t.host.opts.Now().Sub(t.quiet)
	if t.sessions > 0 {
		idle = time.Since(time.Unix(0, t.touched.Load()))
	}
	if left := t.host.opts.Timeout - max(idle, 0); left > 0 {
		t.timer.Reset(left)
	} else {
		t.endLocked(ErrTimeout)
	}
}

// endLocked ends the transfer because of cause: its port is closed at once, its connections soon.
func (t *transfer) endLocked(cause error) {
	h, id := t.host, t.request.ID()
	if h.transfers[id] == t {
		delete(h.transfers, id)
	}
	if h.ports[t.port] == t {
		delete(h.ports, t.port)
	}
	if t.listener != nil {
		t.listener.Close()
	}
	t.timer.Stop()
	t.cancel(cause)
}
