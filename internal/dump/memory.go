package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sync/semaphore"
)

// What all dumps that are open at the same time may take together: the windows of decoders, the tables of contents
// of archives, the files of temporary copies. Sniff has a share of its own, so that a download that is read slowly
// never delays an upload.
const (
	sqlMemory   = 256 << 20 // for all SQL together
	sniffMemory = 160 << 20 // for all Sniffs together
	disk        = 16 << 30  // of temporary files
	patience    = 30 * time.Second
)

// A pool is memory that streams share.
type pool struct {
	size int64
	free *semaphore.Weighted
}

func newPool(size int64) *pool { return &pool{size, semaphore.NewWeighted(size)} }

var (
	forSQL   = newPool(sqlMemory)
	forSniff = newPool(sniffMemory)
	forFiles = newPool(disk)
)

// A grant is what one stream holds of a pool. It is for one goroutine.
//
// While a dump is being opened, what is not free at once is not waited for: everything is given back, and the opening
// begins again with all that it turned out to need. So no stream waits for memory while it holds some that
// another waits for. A stream that is being read does wait, for what a later part of it asks.
type grant struct {
	ctx     context.Context
	pool    *pool
	held    int64
	used    int64
	opening bool
}

// needError says how much memory an opening needs that is not free.
type needError struct{ memory int64 }

func (e *needError) Error() string { return fmt.Sprintf("%d bytes of memory are needed", e.memory) }

// acquire waits for n bytes.
func (p *pool) acquire(ctx context.Context, n int64) (*grant, error) {
	g := &grant{ctx: ctx, pool: p, opening: true}
	if err := g.wait(n); err != nil {
		return nil, err
	}
	return g, nil
}

// baseMemory is what every dump that is open takes: buffers, and small windows.
const baseMemory = 1 << 20

// try calls use with a grant, which use releases. When use returns a needError, having released it, use is called
// again with as much as it needed.
func (p *pool) try(ctx context.Context, use func(*grant) error) error {
	for memory := int64(baseMemory); ; {
		g, err := p.acquire(ctx, memory)
		if err != nil {
			return err
		}
		_ = g.take(baseMemory) // it is there
		err = use(g)
		need, more := errors.AsType[*needError](err)
		if !more {
			return err
		}
		// Much more at once: a table of contents grows by many small steps, and is read anew after each that waits.
		memory = min(max(need.memory, 8*memory), p.size)
	}
}

// wait waits for n more bytes.
func (g *grant) wait(n int64) error {
	ctx, cancel := context.WithTimeout(g.ctx, patience)
	defer cancel()
	if err := g.pool.free.Acquire(ctx, n); err != nil {
		if g.ctx.Err() != nil {
			return g.ctx.Err()
		}
		return fmt.Errorf("%w: waited %v for %s that other dumps hold", ErrBusy, patience, Size(n))
	}
	g.held += n
	return nil
}

// take grants n more bytes.
func (g *grant) take(n int64) error {
	if n < 0 || n > g.pool.size-g.used {
		return fmt.Errorf("it asks for %s of memory, and a dump gets at most %s", Size(g.used+n), Size(g.pool.size))
	}
	more := g.used + n - g.held
	switch {
	case more <= 0:
	case g.pool.free.TryAcquire(more):
		g.held += more
	case g.opening:
		return &needError{g.used + n}
	default:
		if err := g.wait(more); err != nil {
			return err
		}
	}
	g.used += n
	return nil
}

// collected is how much memory is given back to a budget only when the garbage collector has been there: as long as it
// lies about, it is as good as held.
const collected = 16 << 20

// release gives everything back.
func (g *grant) release() {
	if g.used >= collected {
		runtime.GC()
	}
	g.pool.free.Release(g.held)
	g.held, g.used = 0, 0
}

// A lease is a part of a grant that is given back to it before the grant ends.
type lease struct {
	grant *grant
	n     int64
}

func (l *lease) take(n int64) error {
	err := l.grant.take(n)
	if err == nil {
		l.n += n
	}
	return err
}

func (l *lease) release() {
	if l.n >= collected {
		runtime.GC()
	}
	l.grant.used -= l.n
	l.n = 0
}

// A medium remembers whether reading has failed: that is no fault of what is read.
type medium struct {
	r   io.ReaderAt
	err error
}

func (m *medium) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = err
	}
	return n, err
}

// A meter lets only so many bytes be read, where even a short read counts as a page, and then fails.
type meter struct {
	r    io.ReaderAt
	left int64
}

var errMeter = errors.New("too much would have to be read")

func (m *meter) ReadAt(p []byte, off int64) (int, error) {
	if m.left <= 0 {
		return 0, errMeter
	}
	n, err := m.r.ReadAt(p, off)
	m.left -= int64(max(n, 4096))
	return n, err
}
