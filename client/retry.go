package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// RetryOptions say how long to retry. A nil *RetryOptions is the same as a zero RetryOptions.
type RetryOptions struct {
	// Min is the first pause; later ones are not shorter. If zero, it is 1 s.
	Min time.Duration

	// Max is the longest pause, unless a Retry-After asks for a longer one. If zero, it is 30 s.
	Max time.Duration

	// Limit is how long failures may go on without any progress in between. If zero, it is 10 min.
	Limit time.Duration

	// Uncertain says to retry calls that fail with ErrUncertain, too: for calls that do no harm when repeated.
	Uncertain bool

	// OnRetry, if not nil, is called before each pause with the failure and the length of the pause. It should be
	// quick.
	OnRetry func(err error, pause time.Duration)
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

// Retry calls try until it succeeds, fails with an error that is not ErrTransient, or has failed for opts.Limit. It
// returns the last error, or the context's cause if ctx ends first. Each pause is twice as long as the one before, and
// not shorter than what the platform asked for with Retry-After. An error that is also ErrUncertain is retried only if
// opts.Uncertain is set, since the call may have been carried out.
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

// backoff chooses the pauses of retries. It must be used by one goroutine only.
type backoff struct {
	RetryOptions
	since time.Time     // the first failure since the last progress; zero if there is none
	next  time.Duration // the next pause
}

// progress starts anew: the next pause is the first one.
func (b *backoff) progress() { b.since, b.next = time.Time{}, 0 }

// pause sleeps after a failure. It returns an error that wraps err if there have been failures for too long, and the
// context's cause if ctx ends first.
func (b *backoff) pause(ctx context.Context, err error) error {
	now := time.Now()
	if b.since.IsZero() {
		b.since, b.next = now, b.Min
	}
	// Up to a fifth more, so that many clients that failed at the same time do not retry at the same time.
	d := b.next + rand.N(b.next/5+1)
	b.next = min(2*b.next, b.Max)
	if e, ok := errors.AsType[*Error](err); ok {
		d = max(d, e.RetryAfter)
	}
	if lasted := now.Sub(b.since); lasted+d > b.Limit {
		return fmt.Errorf("given up, the problem has lasted %s and the next try would be in %s: %w",
			lasted.Round(time.Second), d.Round(time.Second), err)
	}
	if b.OnRetry != nil {
		b.OnRetry(err, d)
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
