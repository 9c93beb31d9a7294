package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// WaitOptions are the options of [Client.Wait]. A nil *WaitOptions is the same as a zero WaitOptions.
type WaitOptions struct {
	// Interval is the shortest time from the end of one status call to the next. If zero, it is 1 s.
	Interval time.Duration

	// MaxInterval is the longest time between two status calls. It is approached while the state stays the same: the
	// time to the next call is a tenth of the time that the state has lasted. If zero, it is 60 s.
	MaxInterval time.Duration

	// MaxOutage is how long all calls may fail with ErrTransient. If zero, it is 30 min.
	MaxOutage time.Duration

	// Until reports whether to stop waiting. If nil, Wait stops at a state that is State.Terminal.
	Until func(*Request) bool

	// OnStatus, if not nil, is called with each answer. It should be quick.
	OnStatus func(*Request)

	// OnRetry, if not nil, is called after each call that failed with ErrTransient, with the pause before the next
	// one. It should be quick.
	OnRetry func(err error, pause time.Duration)

	// OnPause, if not nil, is called after each answer that does not end the waiting, with the pause before the next
	// call. It should be quick.
	OnPause func(pause time.Duration)
}

// Wait polls the status until the request is in a terminal state, and returns the request. If no upgraded database
// will come, it returns the request and an error that wraps ErrRejected. Calls that fail with ErrTransient are
// repeated; Wait returns any other error, and the context's cause if ctx ends. Unknown states are not terminal.
func (c *Client) Wait(ctx context.Context, ref Ref, opts *WaitOptions) (*Request, error) {
	var o WaitOptions
	if opts != nil {
		o = *opts
	}
	p := polling{o.Interval, o.MaxInterval, o.MaxOutage, o.OnRetry, o.OnPause}
	var state State
	return poll(ctx, c, p, time.Minute, func() (*Request, error) { return c.Status(ctx, ref) },
		func(r *Request) (changed, done bool, err error) {
			if changed = r.State != state; changed {
				c.log.InfoContext(ctx, "state", "request", r)
				state = r.State
			}
			if o.OnStatus != nil {
				o.OnStatus(r)
			}
			switch {
			case o.Until != nil:
				return changed, o.Until(r), nil
			case r.State.Terminal():
				return changed, true, r.Rejection()
			}
			return changed, false, nil
		})
}

// polling says how patiently a status is asked for; see WaitOptions.
type polling struct {
	interval, maxInterval, maxOutage time.Duration

	onRetry func(error, time.Duration)
	onPause func(time.Duration)
}

// poll asks for the status until answered says that it is done, and returns the last answer. answered also reports
// whether the state is another one than before; that it is the same makes the pauses longer, up to p.maxInterval, or
// longest if that is zero. Calls that fail with ErrTransient are repeated.
func poll[T any](ctx context.Context, c *Client, p polling, longest time.Duration, status func() (*T, error),
	answered func(*T) (changed, done bool, err error)) (*T, error) {
	interval := orDefault(p.interval, time.Second)
	longest = orDefault(p.maxInterval, longest)
	retry := backoff{RetryOptions: RetryOptions{Min: interval, Max: max(interval, 30*time.Second),
		Limit: orDefault(p.maxOutage, 30*time.Minute), OnRetry: p.onRetry}}
	var since time.Time
	for {
		if err := sleep(ctx, c.untilNextStatus(interval)); err != nil {
			return nil, err
		}
		r, err := status()
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, ErrTransient):
			if err := retry.pause(ctx, err); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return nil, err
		}
		retry.progress()
		came := time.Now()
		changed, done, err := answered(r)
		switch {
		case done:
			return r, err
		case err != nil:
			return nil, err
		case changed:
			since = came
		}
		pause := max(interval, min(time.Since(since)/10, longest))
		if p.onPause != nil {
			p.onPause(pause)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// orDefault returns d, or if that says nothing the other one.
func orDefault(d, other time.Duration) time.Duration {
	if d <= 0 {
		return other
	}
	return d
}

// Rejection returns nil, or, if the state means that no upgraded database will come, an error that wraps ErrRejected
// and has the platform's message.
func (r *Request) Rejection() error {
	if !r.State.Rejected() {
		return nil
	}
	why := "it gave no reason"
	if r.CustomerMessage != "" {
		why = Redact(r.CustomerMessage, r.Key)
	}
	return fmt.Errorf("client: request %d is %s: %w: %s", r.ID, r.State, ErrRejected, why)
}

// noteStatus notes that a status call has ended.
func (c *Client) noteStatus() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastStatus = time.Now()
}

// untilNextStatus returns how long to wait so that the next status call is at least interval after the latest one.
func (c *Client) untilNextStatus(interval time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastStatus.IsZero() {
		return 0
	}
	return interval - time.Since(c.lastStatus)
}
