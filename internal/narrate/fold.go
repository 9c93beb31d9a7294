package narrate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/tty"
)

// How long it takes until it is said that something goes on as before, at first and at most.
const (
	firstAgain  = 5 * time.Second
	latestAgain = time.Minute
)

// maxRepeats is how many lines are remembered, so that the same ones after them can be counted.
const maxRepeats = 5000

// about is what a line is about.
type about struct {
	request int64
	on      string
}

// repeats are the latest lines, and how often each came again.
type repeats map[about]*repeated

type repeated struct {
	line  []tty.Part
	count int       // since it was shown
	at    time.Time // of the latest, by the emulator's clock
	shown time.Time
	every time.Duration // until the count is shown
}

func (r *repeated) is(line []tty.Part) bool { return slices.Equal(r.line, line) }

// repeat shows how often the line of its kind came again, and forgets it.
func (n *Narrator) repeat(key about) {
	if r := n.repeats[key]; r != nil {
		n.again(key, r)
		delete(n.repeats, key)
	}
}

func (n *Narrator) again(key about, r *repeated) {
	if r.count == 0 {
		return
	}
	line := r.line
	if r.count > 1 {
		line = append(slices.Clip(line), tty.Part{Colour: bold, Text: fmt.Sprintf(" ×%d", r.count)})
	}
	if !n.write(r.at, key.request, line, key.on, true) {
		n.missed.add(key.on, r.count-1)
	}
	r.count, r.shown, r.every = 0, time.Now(), min(2*r.every, latestAgain)
}

// flush shows what came again to a request, in its order.
func (n *Narrator) flush(request int64) {
	var keys []about
	for key := range n.repeats {
		if key.request == request {
			keys = append(keys, key)
		}
	}
	n.inOrder(keys, n.repeat)
}

// fold shows what has come again for long enough, or all of it, and how many lines were left out.
func (n *Narrator) fold(now time.Time, all bool) {
	n.inOrder(slices.Collect(maps.Keys(n.repeats)), func(key about) {
		r := n.repeats[key]
		if all || now.Sub(r.shown) >= r.every {
			n.again(key, r)
		}
		if len(n.repeats) > maxRepeats || now.Sub(r.shown) > 5*latestAgain {
			delete(n.repeats, key)
		}
	})
	if all || n.limit.Tokens() >= reserve {
		n.writeMissed()
	}
}

func (n *Narrator) inOrder(keys []about, do func(about)) {
	slices.SortFunc(keys, func(a, b about) int {
		return cmp.Or(n.repeats[a].at.Compare(n.repeats[b].at), cmp.Compare(a.request, b.request), cmp.Compare(a.on, b.on))
	})
	for _, key := range keys {
		do(key)
	}
}

// missed is how many events of each kind were not shown.
type missed map[string]int

func (m missed) add(on string, count int) {
	if count > 0 {
		m[on] += count
	}
}

// writeMissed writes what was not shown.
func (n *Narrator) writeMissed() {
	if len(n.missed) == 0 {
		return
	}
	kinds := slices.SortedFunc(maps.Keys(n.missed), func(a, b string) int {
		return cmp.Or(cmp.Compare(n.missed[b], n.missed[a]), cmp.Compare(a, b))
	})
	all, texts := 0, make([]string, len(kinds))
	for i, on := range kinds {
		all += n.missed[on]
		texts[i] = fmt.Sprintf("%s ×%d", on, n.missed[on])
	}
	clear(n.missed)
	n.counted = time.Now()
	fmt.Fprintln(n.w, n.paint.Line(tty.Width(n.w), tty.Part{Colour: dim,
		Text: fmt.Sprintf("         … %d more: %s", all, strings.Join(texts, ", "))}))
}
