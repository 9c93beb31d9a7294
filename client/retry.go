package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// RetryOptions say how patient to be. Nil means all zero values.
type RetryOptions struct {
	Min time.Duration // the first pause, and the floor of all. Zero means 1 s.
	Max time.Duration // the longest pause. Zero means 30 s. A Retry-After may be longer.

	// Limit is how long trouble may last without a break: the first failure starts it, any progress ends it. Zero means 10 min.
	Limit time.Duration

	// Uncertain repeats calls whose outcome is ErrUncertain as well. Right where a repetition does no harm.
	Uncertain bool

	// OnTrouble hears of each failure that will be retried, and the pause before. It must be quick. Nil means nobody.
	OnTrouble func(err error, pause time.Duration)
}

func (o *RetryOptions) withDefaults() RetryOptions {
	var r RetryOptions
	if o != nil {
		r = *o
	}
	if r.Min <= 0 {
		r.Min = time.Second
	}
	if r.Max <= 0 {
		r.Max = 30 * time.Second
	}
	r.Max = max(r.Max, r.Min)
	if r.Limit <= 0 {
		r.Limit = 10 * time.Minute
	}
	return r
}

// Retry calls try until it succeeds, fails with anything but ErrTransient, or the trouble has lasted for opts.Limit; the
// last error is returned. The pauses grow twofold and are never shorter than what the platform asked for with Retry-After.
// An error that is also ErrUncertain is retried only when opts say so: what a repetition would cost, the caller must know.
func Retry(ctx context.Context, opts *RetryOptions, try func(context.Context) error) error {
	b := backoff{RetryOptions: opts.withDefaults()}
	for {
		err := try(ctx)
		if err == nil || !errors.Is(err, ErrTransient) || (errors.Is(err, ErrUncertain) && !b.Uncertain) {
			return err
		}
		if perr := b.pause(ctx, err); perr != nil {
			return perr
		}
	}
}

// backoff counts the trouble. It belongs to one goroutine.
type backoff struct {
	RetryOptions
	since time.Time // of the first failure in a row; zero in good times
	next  time.Duration
}

// progress ends the trouble.
func (b *backoff) progress() { b.since, b.next = time.Time{}, 0 }

// pause sleeps after a failure. It returns an error that wraps err when patience has come to its end,
// and the context's cause when that ended first.
func (b *backoff) pause(ctx context.Context, err error) error {
	now := time.Now()
	if b.since.IsZero() {
		b.since, b.next = now, b.Min
	}
	// Up to a fifth more, so that many clients that failed together do not come back together.
	d := b.next + rand.N(b.next/5+1)
	b.next = min(2*b.next, b.Max)
	var e *Error
	if errors.As(err, &e) {
		d = max(d, e.RetryAfter)
	}
	if lasted := now.Sub(b.since); lasted+d > b.Limit {
		return fmt.Errorf("given up, the trouble has lasted %s and the next try would be in %s: %w",
			lasted.Round(time.Second), d.Round(time.Second), err)
	}
	if b.OnTrouble != nil {
		b.OnTrouble(err, d)
	}
	return sleep(ctx, d)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
