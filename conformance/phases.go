package conformance

import (
	"context"
	"sync"
)

// phases are the steps of a lifecycle: each is made once, for the first check that needs it.
type phases struct {
	checker *checker // of the lifecycle

	turn  sync.Mutex // held while a phase runs; who waits for it has no slot, since its holder may wait for one
	ended map[string]stop
	done  context.CancelFunc
}

// lifecyclePrefix stands before the name of a lifecycle in recordings.
const lifecyclePrefix = "journey/"

// begin prepares the phases of the lifecycle of that name, none of which has run.
func (p *phases) begin(s *suite, name string) {
	ctx, cancel := context.WithTimeout(s.run, s.opts.Wait+20*s.opts.CallTimeout)
	p.checker, p.ended, p.done = s.newChecker(ctx, lifecyclePrefix+name), map[string]stop{}, cancel
}

// wait waits for the phase that runs, and ends the lifecycle and what it has open.
func (p *phases) wait() {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.checker.close()
	p.done()
}

// once runs f as the phase of that name, for the first check that needs it. If f ends with a verdict, all checks that
// need the phase end with it.
func (p *phases) once(c *checker, name string, f func()) {
	c.release()
	p.turn.Lock()
	st, ran := p.ended[name]
	if !ran {
		st = p.checker.guard(f)
		p.ended[name] = st
	}
	p.turn.Unlock()
	c.acquire()
	if st.verdict != Pass {
		panic(st)
	}
}

// alone runs f while no phase runs, nor another check's f.
func (p *phases) alone(c *checker, f func()) {
	c.release()
	p.turn.Lock()
	c.acquire()
	defer p.turn.Unlock()
	f()
}
