package scenario

import (
	"fmt"
	"maps"
	"slices"
)

func (c *checker) expect(e *Expect) {
	c.word("expect.exit", e.Exit, ExitSuccess, ExitFailure, ExitHonest)
	c.word("expect.out", e.Out, OutUpgraded, OutAbsent)
	c.word("expect.filestore", e.Filestore, FilestoreMerged)
	c.word("expect.retry_after", e.RetryAfter, RetryAfterKept)
	c.word("expect.params", e.Params, ParamsAsTold)
	c.word("expect.dump", e.Dump, DumpIntact)
	c.word("expect.requests", e.Requests, RequestsKnown)
	c.word("expect.hides", e.Hides, HidesKey)
	for _, event := range slices.Sorted(maps.Keys(e.Calls)) {
		c.event("expect.calls."+event, event)
		c.at("expect.calls."+event, e.Calls[event].check())
	}
	for _, event := range slices.Sorted(maps.Keys(e.Interval)) {
		c.event("expect.interval."+event, event)
		c.at("expect.interval."+event, e.Interval[event].check())
	}
	if e.Order != nil && len(e.Order) < 2 {
		c.at("expect.order", wrong("an order wants at least two events"))
	}
	for i, event := range e.Order {
		c.event(fmt.Sprintf("expect.order[%d]", i), event)
	}
	if e.GivesUp != "" {
		c.event("expect.gives_up", e.GivesUp)
	}
	if e.Within < 0 {
		c.at("expect.within", wrong("a duration is longer than zero here, found `%s`", e.Within))
	}
	if e.Shows != nil && len(e.Shows) == 0 {
		c.at("expect.shows", wrong("wanted at least one text"))
	}
	for i, text := range e.Shows {
		path := "expect.shows"
		if len(e.Shows) > 1 {
			path = fmt.Sprintf("expect.shows[%d]", i)
		}
		c.shown(path, text)
	}
}

func (c *checker) shown(path string, text Text) {
	switch {
	case text == (Text{}):
		c.at(path, wrong("wanted a status key or a literal, found neither"))
	case text.Key != "" && text.Literal != "":
		c.at(path, wrong("either a status key or a literal, not both"))
	case text.Key != "" && !slices.Contains(shown(c.api), text.Key):
		problem := unknown("status key", text.Key, shown(c.api)).(problem)
		problem.message += " (a literal begins with `text:`)"
		c.at(path, problem)
	}
}

func (c *checker) event(path, event string) {
	switch valid := eventNames(c.api); {
	case slices.Contains(valid, event):
	case slices.Contains(eventNames(""), event):
		c.at(path, c.misplaced("event", event, valid))
	default:
		c.at(path, unknown("event", event, valid))
	}
}
