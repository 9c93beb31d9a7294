package conformance

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Baseline lists deviations that are known: checks that fail today, why, and until when that is
// accepted. A check that it lists is skipped with the reason when it fails; once the date has passed it fails
// again. When such a check passes, its message says so: its entry is no longer needed.
type Baseline struct {
	Known []Deviation `yaml:"known"` // in any order
}

// Deviation is one known failure.
type Deviation struct {
	ID      string `yaml:"id"`      // of the check
	Reason  string `yaml:"reason"`  // why it is accepted
	Expires string `yaml:"expires"` // the last day on which it is (UTC), as in 2026-12-31
}

// expired reports whether the last day has passed; a date that can't be read has.
func (d Deviation) expired(now time.Time) bool {
	day, err := time.Parse(time.DateOnly, d.Expires)
	return err != nil || !now.Before(day.AddDate(0, 0, 1))
}

// ReadBaseline reads a baseline from YAML or JSON, of the form
//
//	known: [{id: create/echo, reason: the old front-end, expires: 2026-12-31}]
//
// Every entry needs all three, and the id of a check.
func ReadBaseline(r io.Reader) (*Baseline, error) {
	var b Baseline
	if err := yaml.NewDecoder(r, yaml.Strict()).Decode(&b); err != nil && err != io.EOF {
		const wanted = "wanted known: [{id: create/target-invalid, reason: why, expires: 2026-12-31}]"
		if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
			at := e.GetToken().Position
			return nil, fmt.Errorf("conformance: baseline: line %d, column %d: %s; %s",
				at.Line, at.Column, e.GetMessage(), wanted)
		}
		return nil, fmt.Errorf("conformance: baseline: %w; %s", err, wanted)
	}
	ids := map[string]bool{}
	for _, c := range allChecks() {
		ids[c.id] = true
	}
	for i, d := range b.Known {
		if !ids[d.ID] {
			return nil, fmt.Errorf("conformance: baseline: entry %d: no check %q", i+1, d.ID)
		}
		if strings.TrimSpace(d.Reason) == "" {
			return nil, fmt.Errorf("conformance: baseline: %s has no reason", d.ID)
		}
		if _, err := time.Parse(time.DateOnly, d.Expires); err != nil {
			return nil, fmt.Errorf("conformance: baseline: %s: expires %q is no date like 2026-12-31", d.ID, d.Expires)
		}
	}
	return &b, nil
}

// apply turns known failures into skips, and reports entries that don't hold any more.
func (b *Baseline) apply(rep *Report, now time.Time) {
	if b == nil {
		return
	}
	for i := range rep.Results {
		res := &rep.Results[i]
		for _, d := range b.Known {
			if d.ID != res.ID {
				continue
			}
			switch {
			case res.Verdict == Pass:
				res.Message = fmt.Sprintf("passes, though the baseline knows it as failing (%s): take the entry out",
					d.Reason)
			case res.Verdict == Fail && d.expired(now):
				res.Message += fmt.Sprintf(" [the baseline's entry (%s) expired on %s]", d.Reason, d.Expires)
			case res.Verdict == Fail:
				res.Verdict = Skip
				res.Message = fmt.Sprintf("known until %s (%s): %s", d.Expires, d.Reason, res.Message)
			}
		}
	}
}
