package mockserver

import (
	"sync"
	"time"
)

// Clock is a clock that stands until it is advanced: hours of an upgrade pass in no time. The zero value stands at
// created_at of the documented sample. Its methods may be called concurrently.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

var sampleMoment = time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)

// Now is for Options.Now, or use Options.Clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nowLocked()
}

func (c *Clock) nowLocked() time.Time {
	if c.now.IsZero() {
		c.now = sampleMoment
	}
	return c.now
}

// Advance lets time pass, and returns what the clock says then. Time does not go back: a negative d counts as zero.
func (c *Clock) Advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.nowLocked().Add(max(0, d))
	return c.now
}
