package mockserver

import (
	"sync"
	"time"
)

// Clock says what time it is; see Options.Clock. Now must be safe for concurrent use.
type Clock interface{ Now() time.Time }

// ManualClock is a Clock that stands still until it is advanced, so that the hours of an upgrade pass at once.
// The zero value stands at created_at of the documented sample. Its methods may be called concurrently.
type ManualClock struct {
	mu  sync.Mutex
	now time.Time
}

var sampleMoment = time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)

// Now returns what the clock says.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *ManualClock) nowLocked() time.Time {
	if c.now.IsZero() {
		c.now = sampleMoment
	}
	return c.now
}

// Advance lets time pass, and returns what the clock says then. A negative d counts as zero.
//
// Server.Advance does the same, and journals at once what changes by that.
func (c *ManualClock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.nowLocked().Add(max(0, d))
	return c.now
}

// realClock is the Clock of a Server that was given none.
type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }
