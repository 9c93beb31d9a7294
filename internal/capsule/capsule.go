// Package capsule keeps what is needed to have a run of a client happen again: the scenarios, the options of the
// emulator, the client's command, and the journal, which says what happened. There is no dump in a capsule, and no key.
//
// Play makes the calls of a capsule's journal again, without the client. Compare says whether two journals tell the
// same, and Shrink looks for the smallest scenario under which a client still fails.
package capsule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// format changes when capsules can't be read any more as they were before.
const format = 1

// MaxEvents is how many events a capsule holds; of a longer journal, the first ones.
const MaxEvents = 10_000

// maxFile bounds the file of a capsule.
const maxFile = 64 << 20

// A Capsule is one run of a client.
type Capsule struct {
	Format  int       `json:"upgrademock_capsule"`
	Version string    `json:"version"` // of the emulator
	Made    time.Time `json:"made"`

	// The stage.
	Scenarios     []*scenario.Scenario `json:"scenarios"`
	Clock         string               `json:"clock"` // real, virtual or skip
	Seed          uint64               `json:"seed,omitempty"`
	Edition       string               `json:"edition,omitempty"`
	Targets       []string             `json:"targets,omitempty"`
	Contracts     []string             `json:"contracts,omitempty"`
	Region        string               `json:"region,omitempty"`
	FailureStatus int                  `json:"failure_status,omitempty"`

	// What happened on it.
	Command []string        `json:"command,omitempty"`
	Exit    int             `json:"exit"`
	Failed  []string        `json:"failed,omitempty"` // the expectations that were not met, as scenario: expect
	Journal []journal.Event `json:"journal"`
	More    int             `json:"more,omitempty"` // events that are not in it
}

// New makes a capsule of a server after a run. opts are those that it was made with.
func New(version string, opts *mockserver.Options, events []journal.Event) *Capsule {
	c := &Capsule{Format: format, Version: version, Made: time.Now().UTC(), Scenarios: opts.Scenarios, Clock: "real",
		Seed: opts.Seed, Edition: opts.Edition, Targets: opts.Targets, Contracts: opts.Contracts, Region: opts.Region,
		FailureStatus: opts.FailureStatus, Journal: events}
	if _, manual := opts.Clock.(*mockserver.ManualClock); manual {
		c.Clock = "virtual"
	}
	if opts.Skip {
		c.Clock = "skip"
	}
	if more := len(events) - MaxEvents; more > 0 {
		c.Journal, c.More = events[:MaxEvents], more
	}
	return c
}

// Set sets the stage: the options of a server on which the same is to happen.
func (c *Capsule) Set(opts *mockserver.Options) {
	opts.Scenarios, opts.Seed, opts.Edition, opts.Targets = c.Scenarios, c.Seed, c.Edition, c.Targets
	opts.Contracts, opts.Region, opts.FailureStatus = c.Contracts, c.Region, c.FailureStatus
	opts.Clock, opts.Skip = nil, c.Clock == "skip"
	if c.Clock == "virtual" || opts.Skip {
		opts.Clock = new(mockserver.ManualClock)
	}
}

// Write writes the capsule.
func (c *Capsule) Write(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(c)
}

// ErrFormat is the error of Read for what is no capsule, or one of another version.
var ErrFormat = errors.New("wanted a capsule that 'upgrademock exec --capsule' has written")

// Read reads a capsule. The files that its scenarios name must be there.
func Read(r io.Reader) (*Capsule, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("it has more than %d MiB: %w", maxFile>>20, ErrFormat)
	}
	var head struct {
		Format  int    `json:"upgrademock_capsule"`
		Version string `json:"version"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("at byte %d: %w: %w", syntax.Offset, err, ErrFormat)
		}
		return nil, fmt.Errorf("%w: %w", err, ErrFormat)
	}
	switch head.Format {
	case format:
	case 0:
		return nil, ErrFormat
	default:
		return nil, fmt.Errorf("it has format %d, of upgrademock %s, and format %d is read here: %w", head.Format,
			head.Version, format, ErrFormat)
	}
	c := &Capsule{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("it is damaged: %w", err)
	}
	for _, s := range c.Scenarios {
		if s == nil {
			return nil, fmt.Errorf("it is damaged: a scenario is null: %w", ErrFormat)
		}
		if err := s.Resolve("."); err != nil {
			return nil, err
		}
	}
	return c, nil
}
