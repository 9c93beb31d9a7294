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
}

// Wait polls the status until the request is in a terminal state, and returns the request. If no upgraded database
// will come, it returns the request and an error that wraps ErrRejected. Calls that fail with ErrTransient are
// repeated; Wait returns any other error, and the context's cause if ctx ends. Unknown states are not terminal.
func (c *Client) Wait(ctx context.Context, ref Ref, opts *WaitOptions) (*Request, error) {
	var o WaitOptions
	if opts != nil {
		o = *opts
	}
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.MaxInterval <= 0 {
		o.MaxInterval = time.Minute
	}
	if o.MaxOutage <= 0 {
		o.MaxOutage = 30 * time.Minute
	}
	retry := backoff{RetryOptions: RetryOptions{
		Min: o.Interval, Max: max(o.Interval, 30*time.Second), Limit: o.MaxOutage, OnRetry: o.OnRetry}}
	var state State
	var since time.Time
	for {
		if err := sleep(ctx, c.untilNextStatus(o.Interval)); err != nil {
			return nil, err
		}
		r, err := c.Status(ctx, ref)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			if !errors.Is(err, ErrTransient) {
				return nil, err
			}
			if err := retry.pause(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		retry.progress()
		if r.State != state {
			c.log.InfoContext(ctx, "state", "request", r)
			state, since = r.State, time.Now()
		}
		if o.OnStatus != nil {
			o.OnStatus(r)
		}
		switch {
		case o.Until != nil:
			if o.Until(r) {
				return r, nil
			}
		case r.State.Terminal():
			return r, r.Rejection()
		}
		lasted := time.Since(since)
		if err := sleep(ctx, max(o.Interval, min(lasted/10, o.MaxInterval))); err != nil {
			return nil, err
		}
	}
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
