// Package narrate says in lines for people what happens in an emulator, while it happens.
//
// It reads the journal, at its own pace: an emulator never waits for a slow terminal, and what the journal has
// forgotten meanwhile is counted. What happens again and again to a request is one line with a number, and beyond some
// lines a second, events are counted instead of shown.
package narrate

import (
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/time/rate"

	"github.com/upgrademock/upgrademock/internal/tty"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// The bounds of what is shown. Faults, changes of state and calls of the control API are shown out of the reserve, too.
const (
	linesPerSecond = 20
	burst          = 60
	reserve        = 20
	pause          = 50 * time.Millisecond // between two looks at the journal, so that few calls make no look each
	many           = 100                   // events, after which there is no pause
)

// Server is what is asked of an emulator; a *[mockserver.Server] is one.
type Server interface {
	Follow(ctx context.Context, f journal.Filter, show func([]journal.Event)) error
	Events(journal.Filter) []journal.Event
	Next(id int64) (mockserver.Next, error)
}

// A Narrator writes the lines. Called may be called at any time; Start, and then Stop, once.
type Narrator struct {
	calls chan mockserver.ControlCall
	end   context.CancelFunc
	last  string // what Stop leaves to be written
	done  chan struct{}

	// What follows is the goroutine's own.
	srv      Server
	w        io.Writer
	paint    tty.Paint
	day      string // of the latest line
	seq      uint64 // of the latest event
	queue    []mockserver.ControlCall
	sessions sessions
	repeats  repeats
	limit    *rate.Limiter
	missed   missed
	counted  time.Time // when missed was written
}

// New returns a narrator for an emulator that has its Called as Options.OnControl. Lines are cut where w is a terminal
// that is narrower.
func New(w io.Writer, paint tty.Paint) *Narrator {
	return &Narrator{
		calls: make(chan mockserver.ControlCall, 100), done: make(chan struct{}), w: w, paint: paint,
		repeats: repeats{}, missed: missed{}, limit: rate.NewLimiter(linesPerSecond, burst),
	}
}

// Called is told of a call of the control API. It does not wait: calls beyond a hundred that are not shown yet are
// passed over.
func (n *Narrator) Called(c mockserver.ControlCall) {
	select {
	case n.calls <- c:
	default:
	}
}

// Start begins with what happens to srv from now on. now is what its clock says, and virtual whether that stands.
func (n *Narrator) Start(srv Server, now time.Time, virtual bool) {
	ctx, cancel := context.WithCancel(context.Background())
	n.srv, n.end, n.day = srv, cancel, now.UTC().Format(time.DateOnly)
	n.sessions = sessions{virtual: virtual, began: map[string]time.Time{}}
	events := make(chan []journal.Event)
	go func() {
		defer close(events)
		_ = srv.Follow(ctx, journal.Filter{}, func(list []journal.Event) {
			select {
			case events <- list:
			case <-ctx.Done():
			}
		})
	}()
	go n.run(ctx, events)
}

// Stop writes what is left, and last, and ends. If that takes longer than patience, as when nobody reads what is
// written, it returns all the same.
func (n *Narrator) Stop(last string, patience time.Duration) {
	n.last = last
	n.end()
	select {
	case <-n.done:
	case <-time.After(patience):
	}
}

func (n *Narrator) run(ctx context.Context, events <-chan []journal.Event) {
	defer close(n.done)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for ctx.Err() == nil {
		var list []journal.Event
		select {
		case list = <-events:
		case c := <-n.calls:
			n.queue = append(n.queue, c)
		case now := <-tick.C:
			n.showCalls(^uint64(0))
			n.fold(now, false)
			continue
		case <-ctx.Done():
			continue
		}
		if len(list) < many {
			select { // for what belongs together
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
		n.takeCalls()
		n.show(list)
	}
	for range events { // until it is closed
	}
	n.takeCalls()
	n.show(n.srv.Events(journal.Filter{After: n.seq}))
	n.showCalls(^uint64(0))
	n.fold(time.Now(), true)
	io.WriteString(n.w, n.last)
}

// takeCalls queues the calls that there are.
func (n *Narrator) takeCalls() {
	for {
		select {
		case c := <-n.calls:
			n.queue = append(n.queue, c)
		default:
			return
		}
	}
}

// show shows events, and the calls of the control API, each before the first event that came after it.
func (n *Narrator) show(list []journal.Event) {
	for i := range list {
		e := &list[i]
		n.showCalls(e.Seq)
		if gap := e.Seq - n.seq - 1; n.seq != 0 && e.Seq > n.seq && gap > 0 {
			n.missed.add("forgotten by the journal", int(gap))
		}
		n.seq = e.Seq
		n.showEvent(e)
	}
	n.showCalls(n.seq + 1)
}

// showCalls shows the queued calls after which come events before the given one. Those that the journal was cleared of
// never do: what is queued for a second is shown all the same.
func (n *Narrator) showCalls(before uint64) {
	for len(n.queue) > 0 && n.queue[0].After < before {
		n.fold(time.Now(), true) // to before the call, which may change anything
		c := n.queue[0]
		n.queue = n.queue[1:]
		n.write(c.At, 0, controlLine(&c), "control", true)
	}
}

func (n *Narrator) showEvent(e *journal.Event) {
	var next mockserver.Next
	if e.On == journal.OnState {
		n.flush(e.Request)
		if next, _ = n.srv.Next(e.Request); next.From != e.To { // it has gone on
			next = mockserver.Next{}
		}
	}
	line := n.sessions.line(e, &next)
	if line == nil {
		return
	}
	key := about{e.Request, e.On}
	if r := n.repeats[key]; r != nil && r.is(line) {
		r.count++
		r.at = e.At
		return
	}
	n.repeat(key)
	now := time.Now()
	state := e.On == journal.OnState
	if n.write(e.At, e.Request, line, e.On, state || e.Fault != "") && !state {
		n.repeats[key] = &repeated{line: line, at: e.At, shown: now, every: firstAgain}
	}
}

// write writes a line, and reports whether it did: there is a limit, beyond which only what is important is written,
// and another for that.
func (n *Narrator) write(at time.Time, request int64, line []tty.Part, on string, important bool) bool {
	if !important && n.limit.Tokens() < reserve || !n.limit.Allow() {
		n.missed.add(on, 1)
		return false
	}
	if time.Since(n.counted) > time.Second {
		n.writeMissed()
	}
	at = at.UTC()
	if day := at.Format(time.DateOnly); day != n.day {
		n.day = day
		fmt.Fprintln(n.w, n.paint.Line(tty.Width(n.w), tty.Part{Colour: dim, Text: day + " UTC"}))
	}
	id := "      "
	if request != 0 {
		id = fmt.Sprintf("#%-5d", request)
	}
	parts := append([]tty.Part{{Colour: dim, Text: at.Format(time.TimeOnly) + " "}, {Colour: cyan, Text: id + " "}},
		line...)
	fmt.Fprintln(n.w, n.paint.Line(tty.Width(n.w), parts...))
	return true
}
