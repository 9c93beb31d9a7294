package retrace

import (
	"slices"
	"time"
)

// The bounds of what is kept until it is put in its order.
const (
	maxQueue      = 4096
	maxQueueBytes = 16 << 20 // of texts
)

// order is what must be known of the times of exchanges.
type order struct {
	last    time.Time // of the one that came last
	taken   time.Time // of the one that was taken last
	bytes   int       // of the texts of those that wait
	untimed bool      // some have none
	late    bool      // some came behind others that were taken already
	twice   bool      // some stand there twice, such as in two files of which one has the other's calls, too
}

// again reports whether a call that waits is the same as one before it.
func (c *Collector) again(i int) bool {
	s := &c.queue[i]
	for i--; i >= 0 && s.at.Nanosecond() != 0 && c.queue[i].at.Equal(s.at); i-- {
		if b := &c.queue[i]; b.on == s.on && b.took == s.took && b.request == s.request && b.token == s.token &&
			b.state == s.state {
			return true
		}
	}
	return false
}

// size is about how many bytes are kept of a call.
func (s *seen) size() int {
	n := len(s.log) + len(s.note)
	for _, value := range s.set {
		text, _ := value.(string)
		n += 50 + len(text)
	}
	if s.fault != nil && s.fault.HTTP != nil {
		n += len(s.fault.HTTP.Body)
	}
	if s.fault != nil && s.fault.Failure != nil {
		n += len(s.fault.Failure.Message) + 100*len(s.fault.Failure.More)
	}
	for name, value := range s.params {
		n += 50 + len(name) + len(value)
	}
	return n
}

// flush takes all exchanges that wait.
func (c *Collector) flush() { c.take(len(c.queue)) }

// take takes the first exchanges that wait, by their times.
func (c *Collector) take(n int) {
	slices.SortStableFunc(c.queue, func(a, b seen) int { return a.order.Compare(b.order) })
	for i, s := range c.queue[:n] {
		c.order.bytes -= s.size()
		if c.again(i) {
			c.order.twice = true
			continue
		}
		c.order.late = c.order.late || s.order.Before(c.order.taken)
		c.order.taken = s.order
		if s.token != "" {
			if s.made != "" && len(c.tokens) < maxNames {
				c.tokens[s.token] = s.made
			} else if s.request = c.tokens[s.token]; s.request == "" {
				s.request = "token-" + s.token[:min(4, len(s.token))]
			}
		}
		r, nth := c.add(s)
		if r == nil {
			continue
		}
		r.transfers(&s, nth)
		if c.order.late {
			r.remark("some calls stand far from where they belong by their times: they are taken as they stand there")
		}
		if c.order.twice {
			r.remark("some calls stand there twice, to a fraction of a second: they are taken once")
		}
		if c.order.untimed {
			r.remark("some calls have no times: they are taken in the order in which they stand there")
		}
	}
	rest := copy(c.queue, c.queue[n:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
}
