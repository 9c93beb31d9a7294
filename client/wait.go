package client

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// WaitOptions say how to poll. Nil means all zero values.
type WaitOptions struct {
	// Interval is the shortest time from the end of one status call to the next, whatever happens. Zero means 1 s.
	Interval time.Duration

	// MaxInterval bounds the growth: the longer a state lasts, the rarer the polls, at a tenth of the time it has lasted so
	// far. Zero means 60 s.
	MaxInterval time.Duration

	// MaxOutage is how long the platform may give nothing but transient errors. Zero means 30 min.
	MaxOutage time.Duration

	// Until ends the waiting. Nil means State.Terminal.
	Until func(*Request) bool

	// OnStatus hears of each answer, OnTrouble of each failure and the pause after it. They must be quick. Nil means nobody.
	OnStatus  func(*Request)
	OnTrouble func(err error, pause time.Duration)
}

// Wait polls the status until the request is in a terminal state, and returns its picture. When the state means that no
// upgraded database will come, the error wraps ErrRejected and holds the platform's message, and the picture is returned
// too. Failures that are ErrTransient are lived through; any other ends the waiting, as does the context. States nobody has
// heard of are waited out.
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
	trouble := backoff{RetryOptions: RetryOptions{
		Min: o.Interval, Max: max(o.Interval, 30*time.Second), Limit: o.MaxOutage, OnTrouble: o.OnTrouble}}
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
			if err := trouble.pause(ctx, err); err != nil {
				return nil, err
			}
			continue
		}
		trouble.progress()
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

// Rejection returns an error that wraps ErrRejected and tells the platform's reason, when the state says that no upgraded
// database will come; otherwise nil.
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

func (c *Client) statusAsked() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastStatus = time.Now()
}

// untilNextStatus returns how long the floor between two status calls still lasts.
func (c *Client) untilNextStatus(floor time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lastStatus.IsZero() {
		return 0
	}
	return floor - time.Since(c.lastStatus)
}
