package replay

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// A Difference is the first place at which two journals tell something else.
type Difference struct {
	Where     string // such as "request 1, call 4"
	Then, Now string // "": nothing happened there
}

// String says the difference in three lines.
func (d *Difference) String() string {
	return fmt.Sprintf("a difference: %s\n  then  %s\n  now   %s", d.Where, cmp.Or(d.Then, "nothing more"),
		cmp.Or(d.Now, "nothing more"))
}

// Compare returns the first difference between what clients were told in two journals; nil if there is none. Times are
// not compared, and several polls in a row that got the same answer are like one, since their number is a matter of
// time. n is how many calls and transfers were compared.
func Compare(then, now []journal.Event) (d *Difference, n int) {
	a, b := stories(then), stories(now)
	for i := range max(len(a), len(b)) {
		var x, y story
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		for _, part := range []struct {
			name      string
			then, now []string
		}{{"call", x.calls, y.calls}, {"transfer", x.transfers, y.transfers}} {
			for j := range max(len(part.then), len(part.now)) {
				d := &Difference{Where: fmt.Sprintf("request %d, %s %d", i+1, part.name, j+1)}
				if j < len(part.then) {
					d.Then = part.then[j]
				}
				if j < len(part.now) {
					d.Now = part.now[j]
				}
				if d.Then != d.Now {
					return d, n
				}
				n++
			}
		}
	}
	return nil, n
}

// story is what the client of one request was told: by calls, and by SFTP and rsync, whose order among the calls is a
// matter of time.
type story struct{ calls, transfers []string }

// stories are those of all requests, in the order in which they were made. What no request has belongs to the next one.
func stories(events []journal.Event) []story {
	var list []story
	place := map[int64]int{}
	next := story{}
	for i := range events {
		e := &events[i]
		text, transfer := told(e)
		if text == "" {
			continue
		}
		into := &next
		if e.Request != 0 {
			if _, ok := place[e.Request]; !ok {
				place[e.Request] = len(list)
				list = append(list, next)
				next = story{}
			}
			into = &list[place[e.Request]]
		}
		lines := &into.calls
		if transfer {
			lines = &into.transfers
		}
		if n := len(*lines); n > 0 && (*lines)[n-1] == text {
			continue
		}
		*lines = append(*lines, text)
	}
	if next.calls != nil || next.transfers != nil {
		list = append(list, next)
	}
	return list
}

// faultNumber is where a fault stands: one that was triggered by hand stands in the scenario of a capsule.
var faultNumber = regexp.MustCompile(`^(faults\[\d+\]|by hand): `)

// told is what an event says to a client; "" for nothing.
func told(e *journal.Event) (text string, transfer bool) {
	transfer = strings.HasPrefix(e.On, "sftp.") || strings.HasPrefix(e.On, "rsync.")
	switch e.On {
	case journal.OnState, journal.OnData, "sftp.connect", "sftp.offered", "sftp.disconnect", "sftp.abort", "sftp.close",
		"sftp.open", "rsync.connect", "rsync.offered", "rsync.disconnect":
		return "", transfer // which clients choose, or time does
	case "sftp.denied", "rsync.denied":
		if !deniedOpen(e) {
			return "", transfer
		}
	}
	var words []string
	if !transfer && e.Status == 0 {
		words = append(words, "no answer")
	} else if !transfer {
		words = append(words, fmt.Sprint(e.Status))
	}
	if e.State != "" {
		words = append(words, e.State)
	}
	words = append(words, e.Failures...)
	if e.Rsync != nil && e.Rsync.Exit != 0 {
		words = append(words, fmt.Sprintf("exit %d", e.Rsync.Exit))
	}
	if e.RetryAfter > 0 {
		words = append(words, "retry after "+e.RetryAfter.String())
	}
	if e.Fault != "" {
		words = append(words, "(fault: "+faultNumber.ReplaceAllString(e.Fault, "")+")")
	}
	if len(words) == 0 {
		return e.On, transfer
	}
	return e.On + " → " + strings.Join(words, " "), transfer
}
