package api

import "sync"

// callPool keeps calls that have ended for the next ones: polls come by the thousand, and a Call is large. It saves a
// twentieth of a poll's CPU time, and together with the pool of answers of api/database a ninth, which would go into
// the garbage collector; see bench/README.md. The zero value is empty.
type callPool struct{ pool sync.Pool }

// get returns a call that is empty, but for what Own keeps.
func (p *callPool) get() *Call {
	if c, ok := p.pool.Get().(*Call); ok {
		return c
	}
	return new(Call)
}

// put ends the use of c.
func (p *callPool) put(c *Call) {
	own := c.Own
	if own != nil {
		own.Reset()
	}
	*c = Call{Own: own}
	p.pool.Put(c)
}
