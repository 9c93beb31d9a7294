package certify

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// spot is how many of the journal's lines are shown before and after the nearest one.
const spot = 3

// around are the journal's lines around the event with the number nearest, which is marked, or for 0 the last ones.
func around(nearest uint64, journal []journal.Event) []string {
	from, to, at := max(0, len(journal)-2*spot), len(journal), -1
	for i, e := range journal {
		if nearest != 0 && e.Seq == nearest {
			at, from, to = i, max(0, i-spot), min(len(journal), i+spot+1)
		}
	}
	var lines []string
	for i := from; i < to; i++ {
		mark := "  "
		if i == at {
			mark = "> "
		}
		lines = append(lines, mark+line(journal[i]))
	}
	return lines
}

// line is an event for people.
func line(e journal.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-20s", e.At.Format("15:04:05.000"), e.On)
	put := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	if e.Method != "" {
		put("%s", e.Method)
	}
	if e.Status != 0 {
		put("answered %d", e.Status)
	}
	if len(e.Failures) > 0 {
		put("%s", strings.Join(e.Failures, ", "))
	}
	if e.State != "" {
		put("%s", e.State)
	}
	if e.Received > 0 {
		put("received %d bytes", e.Received)
	}
	if e.On == "download" || e.Rsync != nil && e.Sent > 0 {
		put("sent %d bytes", e.Sent)
	}
	if r := e.Rsync; r != nil {
		put("files: %d, of which %d were there already", r.Count, r.Skipped)
		if r.Exit > 0 {
			put("exit status %d", r.Exit)
		}
	}
	if e.From != "" || e.To != "" {
		put("%s → %s", e.From, e.To)
	}
	if e.User != "" {
		put("%s", e.User)
	}
	for _, r := range e.Written {
		put("wrote %d–%d", r.From, r.To)
	}
	for _, r := range e.Read {
		put("read %d–%d", r.From, r.To)
	}
	if e.Fault != "" {
		put("[fault: %s]", e.Fault)
	}
	if e.Why != "" {
		put("(%s)", e.Why)
	}
	return b.String()
}

func writeJournal(w io.Writer, results []Result) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, r := range results {
		for _, e := range r.Journal {
			e.Scenario = r.Scenario
			if err := enc.Encode(e); err != nil {
				return fmt.Errorf("certify: journal: %w", err)
			}
		}
	}
	return nil
}
