package sftpserver

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// pacer holds up the traffic of one connection. While nothing was ordered it costs one atomic load a call. The zero value holds up nothing.
type pacer struct {
	now atomic.Pointer[pace]

	mu    sync.Mutex
	rates map[any]int64 // by who ordered it; the slowest counts
}

// pace is what is in force; it is replaced, never changed.
type pace struct {
	until       time.Time     // nothing moves before
	perSecond   int64         // bytes each way, 0: no limit
	read, write *rate.Limiter // nil when perSecond is 0
}

// stall lets nothing move for d from now.
func (p *pacer) stall(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := p.currentLocked()
	if until := time.Now().Add(d); until.After(next.until) {
		next.until = until
	}
	p.now.Store(&next)
}

// limit sets the rate that who wants, in bytes a second; 0 takes it back.
func (p *pacer) limit(who any, perSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if perSecond <= 0 {
		if _, known := p.rates[who]; !known {
			return
		}
		delete(p.rates, who)
	} else {
		if p.rates == nil {
			p.rates = make(map[any]int64)
		}
		p.rates[who] = perSecond
	}
	slowest := int64(0)
	for _, r := range p.rates {
		if slowest == 0 || r < slowest {
			slowest = r
		}
	}
	next := p.currentLocked()
	if slowest != next.perSecond {
		next.perSecond, next.read, next.write = slowest, nil, nil
		if slowest > 0 {
			next.read = rate.NewLimiter(rate.Limit(slowest), next.piece())
			next.write = rate.NewLimiter(rate.Limit(slowest), next.piece())
		}
	}
	p.now.Store(&next)
}

func (p *pacer) currentLocked() pace {
	if now := p.now.Load(); now != nil {
		return *now
	}
	return pace{}
}

// piece is how much may move at once: a tenth of a second's worth, so that slow is not jerky.
func (p *pace) piece() int { return int(min(max(p.perSecond/10, 1), 64<<10)) }

// hold waits until the traffic may move again, or ctx is done.
func (p *pace) hold(ctx context.Context) error {
	wait := time.Until(p.until)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// beforeRead waits until something may be read, and returns as much of buf as may be filled at once.
func (p *pacer) beforeRead(ctx context.Context, buf []byte) ([]byte, error) {
	now := p.now.Load()
	if now == nil {
		return buf, nil
	}
	if err := now.hold(ctx); err != nil {
		return nil, err
	}
	if now.read != nil {
		buf = buf[:min(len(buf), now.piece())]
	}
	return buf, nil
}

// afterRead waits until the n bytes that were read could have arrived.
func (p *pacer) afterRead(ctx context.Context, n int) error {
	now := p.now.Load()
	if now == nil {
		return nil
	}
	if err := now.hold(ctx); err != nil || now.read == nil {
		return err
	}
	return spend(ctx, now.read, n)
}

// beforeWrite waits until something may be written, and returns as much of buf as may be written at once.
func (p *pacer) beforeWrite(ctx context.Context, buf []byte) ([]byte, error) {
	now := p.now.Load()
	if now == nil {
		return buf, nil
	}
	if err := now.hold(ctx); err != nil || now.write == nil {
		return buf, err
	}
	buf = buf[:min(len(buf), now.piece())]
	return buf, spend(ctx, now.write, len(buf))
}

// spend waits for n tokens, which may be more than the limiter gives at once.
func spend(ctx context.Context, limiter *rate.Limiter, n int) error {
	for n > 0 {
		part := min(n, limiter.Burst())
		if err := limiter.WaitN(ctx, part); err != nil {
			return err
		}
		n -= part
	}
	return nil
}
