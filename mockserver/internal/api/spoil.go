package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/upgrademock/upgrademock/internal/throttle"
)

// spoilAnswer arms what the fault does to the answer on its way out.
func (c *Call) spoilAnswer() {
	f := c.fault
	slow := f.Rate > 0 && !c.endpoint.Dump
	breaks := (f.Cut || f.Truncate || f.Reset && f.After > 0) && !c.W.bodiless
	if !slow && !breaks {
		return
	}
	c.W.spoiler = &spoiler{c: c, breaks: breaks, ctx: c.R.Context()}
	if slow {
		c.W.spoiler.ctx = c.slowly()
		c.W.spoiler.throttle.Limit(c, f.Rate)
	}
}

// spoiler breaks an answer off in the middle, or at the fault's After, or slows it down.
type spoiler struct {
	c        *Call
	breaks   bool  // else it only slows down
	at       int64 // the byte of the answer's body at which it breaks
	passed   int64 // bytes of the body that came to write
	ctx      context.Context
	throttle throttle.Throttle
}

// aim chooses where the answer with these headers breaks, and makes them true for one that is to end there in order.
func (b *spoiler) aim(header http.Header) {
	if !b.breaks {
		return
	}
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	known := err == nil
	switch f := b.c.fault; {
	case f.After > 0:
		b.at = f.After
	case known:
		b.at = length / 2
	default:
		b.at = 1
	}
	if b.c.fault.Truncate && known {
		header.Set("Content-Length", strconv.FormatInt(min(b.at, length), 10))
	}
}

// write sends what of p goes out. It does not return if the connection breaks.
func (b *spoiler) write(p []byte) (int, error) {
	now := p
	if b.breaks {
		now = p[:max(0, min(int64(len(p)), b.at-b.passed))]
	}
	b.passed += int64(len(p))
	if b.c.fault.Rate > 0 {
		b.c.fired(0)
	}
	for len(now) > 0 {
		piece, err := b.throttle.BeforeWrite(b.ctx, now)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		n, err := b.c.W.send(piece)
		if err != nil {
			return n, err
		}
		if len(piece) < len(now) { // the last piece goes when the journal has the event
			http.NewResponseController(&b.c.W).Flush()
		}
		now = now[n:]
	}
	switch {
	case !b.breaks:
	case b.c.fault.Truncate && b.passed > b.at:
		b.c.fired(b.at)
	case !b.c.fault.Truncate && b.passed >= b.at:
		b.c.fired(b.at)
		b.c.drop(b.c.fault.Reset)
	}
	return len(p), nil
}
