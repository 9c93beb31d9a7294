// Package retrace makes a scenario of what happened to a request: of the calls that a journal, a recording or the log
// of a proxy shows.
//
// A [Collector] is given what was seen, in the order of its time: events of the emulator's journal by
// [Collector.Event], HTTP exchanges with any server by [Collector.Exchange]. It keeps little of each, so that it can be
// given gigabytes, and [Collector.Script] writes the scenario of one request as a commented file. What a status answer
// says becomes steps; what went wrong becomes faults, counted so that they trigger at the same calls again. What was
// not seen and had to be guessed stands as a comment beside it.
//
// All of it is a function of what it is given: no file, no network, no clock.
package retrace

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The bounds of what is kept.
const (
	maxRequests = 2000    // requests whose calls are kept; of more, their number
	maxNames    = 100_000 // requests of which it is known that they were seen
	maxHits     = 100     // of one request, faults
	maxStages   = 100     // of one request, stages
	maxNotes    = 20      // of one request, remarks
	maxText     = 8 << 10 // bytes of the body of an answer in a fault
	maxLog      = 32 << 10
)

// A Script is a scenario that was made of what was seen.
type Script struct {
	Scenario *scenario.Scenario
	YAML     []byte // the same, as a file with comments
}

// Options say how a scenario is written. The zero value is valid.
type Options struct {
	// Polls has all steps last for the polls that they were seen in, not for the time.
	Polls bool
	// Name is the scenario's name; empty: one that names the request.
	Name string
	// ByHand are the faults that were asked for by the control API, in the order in which they triggered, and Set is what
	// it has set with the request's last state. A journal has no texts.
	ByHand []*scenario.Fault
	Set    map[string]any
	// From says in a comment of what the scenario was made, such as the name of a file; empty: nothing is said.
	From string
}

// A Summary is a request of which something was seen.
type Summary struct {
	Request  string // its id, or what else Script takes for it
	API      string
	Contract string
	State    string // the last one that was seen; empty: none
	Calls    int
	Faults   int // calls that went wrong
	First    time.Time
	Last     time.Time
}

// ErrNothing is the error of Script if no call of the platform was seen.
var ErrNothing = errors.New("no call of the upgrade platform in it")

// A ChoiceError is the error of Script if there are several requests, or not the one that was asked for.
type ChoiceError struct {
	Asked    string // "": none was asked for
	Requests []Summary
	More     int // requests beyond those
}

// Error names the first requests.
func (e *ChoiceError) Error() string {
	const most = 20
	var b strings.Builder
	switch {
	case e.Asked != "" && len(e.Requests) == 0:
		return fmt.Sprintf("there is no request %s in it, but %s", e.Asked, count(e.More, "other"))
	case e.Asked != "":
		fmt.Fprintf(&b, "there is no request %s in it; there is", e.Asked)
	default:
		fmt.Fprintf(&b, "there are %d requests in it, and a scenario is made of one; choose among", len(e.Requests)+e.More)
	}
	for i, r := range e.Requests[:min(most, len(e.Requests))] {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, " %s (%s)", r.Request, r.words())
	}
	if more := len(e.Requests) - most + e.More; more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

func (s *Summary) words() string {
	words := []string{}
	if s.Contract != "" {
		words = append(words, "contract "+s.Contract)
	}
	if s.State != "" {
		words = append(words, s.State)
	}
	words = append(words, count(s.Calls, "call"))
	if s.Faults > 0 {
		words = append(words, count(s.Faults, "fault"))
	}
	return strings.Join(words, ", ")
}

// FromJournal makes the scenario of a request of the journal. known returns the scenario that drove it, by its name,
// or nil: a journal has no texts, so that they are taken from there. It may be nil.
func FromJournal(events []journal.Event, request int64, known func(name string) *scenario.Scenario,
	opts Options) (*Script, error) {
	asked := fmt.Sprint(request)
	c := New(asked, known)
	c.hand = slices.Clone(opts.ByHand)
	for i := range events {
		c.Event(&events[i])
	}
	return c.Script(asked, opts)
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
