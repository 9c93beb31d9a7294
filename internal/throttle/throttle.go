// Package throttle slows a connection down, or holds it up, to the byte: what a scripted delay or rate does to HTTP
// and to SSH alike.
package throttle

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Throttle limits the traffic of one connection, each direction by itself. The zero value limits nothing, and then
// each call costs one atomic load. Stall and Limit may be called at any time; the methods that wait, by one reader and
// one writer at a time.
type Throttle struct {
	now atomic.Pointer[limits]

	mu    sync.Mutex
	rates map[any]int64 // by who asked for it; the lowest is in force
}

// limits are those in force. They are replaced, never changed.
type limits struct {
	until       time.Time     // nothing moves before
	perSecond   int64         // bytes each way; 0 means no limit
	read, write *rate.Limiter // nil if perSecond is 0
}

// Stall lets nothing move for d from now.
func (t *Throttle) Stall(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.currentLocked()
	if until := time.Now().Add(d); until.After(next.until) {
		next.until = until
	}
	t.now.Store(&next)
}

// Limit sets the rate that who asks for, in bytes a second each way. A rate of 0 takes it back. Of several rates the
// lowest is in force.
func (t *Throttle) Limit(who any, perSecond int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if perSecond <= 0 {
		if _, known := t.rates[who]; !known {
			return
		}
		delete(t.rates, who)
	} else {
		if t.rates == nil {
			t.rates = make(map[any]int64)
		}
		t.rates[who] = perSecond
	}
	lowest := int64(0)
	for _, r := range t.rates {
		if lowest == 0 || r < lowest {
			lowest = r
		}
	}
	next := t.currentLocked()
	if lowest != next.perSecond {
		next.perSecond, next.read, next.write = lowest, nil, nil
		if lowest > 0 {
			next.read, next.write = newLimiter(lowest), newLimiter(lowest)
		}
	}
	t.now.Store(&next)
}

func (t *Throttle) currentLocked() limits {
	if now := t.now.Load(); now != nil {
		return *now
	}
	return limits{}
}

// burst is a tenth of a second's worth: what a reader or writer that was held up by the machine may catch up on.
func burst(perSecond int64) int { return int(min(max(perSecond/10, 1), 1<<30)) }

// newLimiter is a limiter whose first bytes wait, too.
func newLimiter(perSecond int64) *rate.Limiter {
	limiter := rate.NewLimiter(rate.Limit(perSecond), burst(perSecond))
	limiter.AllowN(time.Now(), limiter.Burst())
	return limiter
}

// piece is how much may move at once, so that slow is not jerky.
func (l *limits) piece() int { return min(burst(l.perSecond), 64<<10) }

// hold waits until the traffic may move again, or ctx is done.
func (l *limits) hold(ctx context.Context) error {
	wait := time.Until(l.until)
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

// BeforeRead waits until something may be read, and returns as much of buf as may be filled at once. It fails when ctx
// is done.
func (t *Throttle) BeforeRead(ctx context.Context, buf []byte) ([]byte, error) {
	now := t.now.Load()
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

// AfterRead waits until the n bytes that were read could have arrived. It fails when ctx is done.
func (t *Throttle) AfterRead(ctx context.Context, n int) error {
	now := t.now.Load()
	if now == nil {
		return nil
	}
	if err := now.hold(ctx); err != nil || now.read == nil {
		return err
	}
	return spend(ctx, now.read, n)
}

// BeforeWrite waits until something may be written, and returns as much of buf as may be written at once. It fails
// when ctx is done.
func (t *Throttle) BeforeWrite(ctx context.Context, buf []byte) ([]byte, error) {
	now := t.now.Load()
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
