package verify

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func (j *judge) calls(name string, bound scenario.Bound) {
	found := j.find(name)
	n := len(found)
	saw := fmt.Sprintf("%d %s", n, name)
	nearest, hint := -1, ""
	if n > 0 {
		nearest = found[n-1]
	}
	switch {
	case bound.Holds(n):
	case n == 0:
		hint = fmt.Sprintf("a good client %s here", does(name))
		nearest = len(j.events) - 1
		if nearest >= 0 {
			saw += "; the last thing that happened was " + describe(&j.events[nearest])
		}
	case bound.Op == scenario.Op(">=") || bound.Op == scenario.Op(">") || n < bound.N:
		hint = fmt.Sprintf("a good client does not give up after %s %s", times(n), name)
		saw += "; the last was " + describe(&j.events[nearest])
	default:
		hint = "a good client " + doesNot(name, bound.Holds(0))
		saw += "; the last was " + describe(&j.events[nearest])
	}
	j.add("calls."+name, name+" "+bound.String()+" times", bound.Holds(n), saw, hint, nearest)
}

// does is what a client does, for which an event is the word.
func does(name string) string {
	switch name {
	case scenario.OnRsyncLogin:
		return "connects to the port that script.transfer_start answers"
	case scenario.OnRsyncUpload:
		return "sends its dump by rsync"
	case scenario.OnRsyncDownload:
		return "fetches the result by rsync"
	}
	return "calls " + name
}

// doesNot is what a client does not do, or does not do again, and what it does instead.
func doesNot(name string, never bool) string {
	switch {
	case never && name == scenario.OnRsyncDownload:
		return "fetches a result where script.status says done, and not here"
	case never:
		return "does not get as far as " + name + " here"
	case name == scenario.OnScriptCreate:
		return "keeps the token, which the upgrade script leaves in TMPDIR, goes on with the request that it has, and " +
			"does not call script.create again"
	}
	return "does not call " + name + " again"
}

func times(n int) string {
	if n == 1 {
		return "one"
	}
	return fmt.Sprint(n)
}

// order looks for each event behind the one before. What changes nothing may have happened earlier, too; of
// everything else the first must be there.
func (j *judge) order(want []string) {
	wanted := strings.Join(want, " → ")
	last, lastName := -1, ""
	seen := make(map[string]int)
	for _, name := range want {
		if name == scenario.OnRequestSFTPAccess && j.overHTTPS() {
			continue // the dump went the other way
		}
		found := j.find(name)
		if harmless(name) {
			found = slices.DeleteFunc(slices.Clone(found), func(i int) bool { return i <= last })
		} else {
			found = found[min(seen[name], len(found)):]
			seen[name]++
		}
		if len(found) == 0 {
			saw := "no " + name
			if last >= 0 {
				saw += " after " + describe(&j.events[last])
			}
			j.add("order", wanted, false, saw, fmt.Sprintf("a good client goes on with %s", name), last)
			return
		}
		first := found[0]
		if first < last {
			gap := j.came(&j.events[last]).Sub(j.came(&j.events[first]))
			j.add("order", wanted, false,
				fmt.Sprintf("%s %s before %s", name, round(gap), lastName),
				fmt.Sprintf("a good client waits for the end of %s before it calls %s", lastName, name), first)
			return
		}
		last, lastName = first, name
	}
	j.add("order", wanted, true, wanted, "", -1)
}

// enoughForAverage is how many calls there must be before their average says anything: retrying at once, once,
// is no haste.
const enoughForAverage = 6

func (j *judge) interval(name string, want scenario.Interval) {
	wanted := fmt.Sprintf("%s between two calls of %s", want, name)
	var seen []time.Duration
	for _, pair := range j.successive(name) {
		before, e := &j.events[pair[0]], &j.events[pair[1]]
		gap := j.began(e).Sub(j.came(before))
		if !want.Average && !want.Holds(gap) {
			j.add("interval."+name, wanted, false, fmt.Sprintf("%s after %s", describe(e), round(gap)),
				"a good client leaves that time between its calls", pair[1])
			return
		}
		seen = append(seen, gap)
	}
	saw := "no two calls"
	if len(seen) > 0 {
		saw = fmt.Sprintf("%s to %s", round(slices.Min(seen)), round(slices.Max(seen)))
	}
	if want.Average && len(seen) >= enoughForAverage-1 {
		var sum time.Duration
		for _, gap := range seen {
			sum += gap
		}
		average := sum / time.Duration(len(seen))
		saw = fmt.Sprintf("%s on average over %d calls", round(average), len(seen)+1)
		if !want.Holds(average) {
			found := j.byName[name]
			j.add("interval."+name, wanted, false, saw, "a good client leaves some time between its calls",
				found[len(found)-1])
			return
		}
	}
	j.add("interval."+name, wanted, true, saw, "", -1)
}

// successive returns the pairs of events of that name, as indexes, between which the client only waited: it
// called nothing else for the request, and did not know that there was nothing to wait for. Several attempts in
// one SSH connection are one.
func (j *judge) successive(name string) (pairs [][2]int) {
	last := make(map[int64]int)
	for i := range j.events {
		e := &j.events[i]
		if !slices.Contains(j.names(e), name) {
			// Who asks for another access at once has not waited, either, nor has who looks at the log between two polls.
			if called(e) && name != scenario.OnSFTPLogin && (!polls(e.On) || !polls(name)) {
				delete(last, e.Request)
			}
			continue
		}
		before, have := last[e.Request]
		if have && name == scenario.OnSFTPLogin && j.events[before].Session == e.Session {
			continue
		}
		if have && !waitsNot(&j.events[before]) {
			pairs = append(pairs, [2]int{before, i})
		}
		last[e.Request] = i
	}
	return pairs
}

// began is when the client began with what the event is about: a login takes a connection, and time to agree on keys.
func (j *judge) began(e *journal.Event) time.Time {
	for i := range j.events {
		c := &j.events[i]
		connects := c.On == "sftp.connect" || c.On == "rsync.connect"
		if connects && e.Session != 0 && c.Session == e.Session && c.Request == e.Request {
			return j.came(c)
		}
	}
	return j.came(e)
}

// called reports whether the event is a call of its own, and no part of what happens in a session.
func called(e *journal.Event) bool {
	switch e.On {
	case scenario.OnSFTPPut, scenario.OnSFTPGet, scenario.OnRsyncUpload, scenario.OnRsyncDownload:
		return true
	case "state", "page":
		return false
	}
	return !strings.HasPrefix(e.On, "sftp.") && !strings.HasPrefix(e.On, "rsync.")
}

// polls reports whether an event is one of those that the upgrade script polls with, in turn.
func polls(on string) bool {
	return on == scenario.OnScriptStatus || on == scenario.OnScriptLogs || on == scenario.OnStatus
}

// waitsNot reports whether the answer said that the platform is not at work: who asks again then is not polling.
func waitsNot(e *journal.Event) bool {
	switch e.State {
	case "draft", "done", "delivered", "invalid", "new", "failed", "cancelled":
		return true
	}
	return false
}

// growth is how many times longer the last pause of a client is that loses its patience.
const growth = 4

// givesUp looks at a client that tried until it was ended: its attempts must have come further and further apart.
func (j *judge) givesUp(name string) {
	const hint = "a good client gives up what does not succeed, and makes its pauses longer until then"
	wanted := name + " is not tried for ever"
	switch {
	case j.Run == nil:
		j.unjudged("gives_up", wanted)
		return
	case !j.Run.TimedOut:
		j.add("gives_up", wanted, true, fmt.Sprintf("it ended after %s", round(j.Run.Took)), "", -1)
		return
	}
	attempts := j.attempts(name)
	for len(attempts) == 0 && before[name] != "" {
		name = before[name]
		attempts = j.attempts(name)
	}
	if len(attempts) < 3 {
		j.add("gives_up", wanted, false, fmt.Sprintf("it was still running after %s, and was ended",
			round(j.Run.Took)), hint, len(j.events)-1)
		return
	}
	pause := func(i int) time.Duration {
		return j.came(&j.events[attempts[i]]).Sub(j.came(&j.events[attempts[i-1]]))
	}
	latest := len(attempts) - 1
	early, late := pause(min(2, latest)), pause(latest) // the first may be none: trying again at once, once, is no haste
	saw := fmt.Sprintf("after %s it had tried %d times, and was ended; its pauses went from %s to %s",
		round(j.Run.Took), len(attempts), round(early), round(late))
	j.add("gives_up", wanted, late >= time.Second && late >= growth*early, saw, hint, attempts[latest])
}

// before are the events without which there can be no others: who gets no further tries these.
var before = map[string]string{
	scenario.OnUpload:        scenario.OnSFTPLogin,
	scenario.OnRsyncUpload:   scenario.OnRsyncLogin,
	scenario.OnRsyncDownload: scenario.OnRsyncLogin,
	scenario.OnRsyncLogin:    scenario.OnScriptTransferStart,
}

// attempts are the events of that name, as indexes. Several logins in one SSH connection are one.
func (j *judge) attempts(name string) (found []int) {
	for _, i := range j.byName[name] {
		if n := len(found); name != scenario.OnSFTPLogin || n == 0 ||
			j.events[found[n-1]].Session != j.events[i].Session {
			found = append(found, i)
		}
	}
	return found
}

// retryTolerance is what the way of two calls may differ.
const retryTolerance = 100 * time.Millisecond

// retryAfter looks at how long a client waited that was asked to. One wait that was long enough will do.
func (j *judge) retryAfter() {
	const wanted = "the time of Retry-After passes before the next call"
	saw, hasty := "no answer asked for a pause", -1
	for i := range j.events {
		e := &j.events[i]
		if e.RetryAfter == 0 {
			continue
		}
		for next := i + 1; next < len(j.events); next++ {
			again := &j.events[next]
			if again.On != e.On || again.Request != e.Request {
				continue
			}
			gap := j.came(again).Sub(j.came(e))
			if gap >= e.RetryAfter-retryTolerance {
				j.add("retry_after", wanted, true, fmt.Sprintf("%s asked for %s, and the next came after %s", e.On,
					e.RetryAfter, round(gap)), "", -1)
				return
			}
			saw, hasty = fmt.Sprintf("%s asked for %s, and the next came after %s", describe(e), e.RetryAfter,
				round(gap)), next
			break
		}
	}
	j.add("retry_after", wanted, hasty < 0, saw, "a good client reads the header Retry-After, and asks again "+
		"when that time has passed", hasty)
}

// harmless reports whether an event changes nothing on the platform, so that a client may cause it at any time.
func harmless(event string) bool {
	switch event {
	case scenario.OnStatus, scenario.OnDownload, scenario.OnSFTPLogin, scenario.OnSFTPOpen, scenario.OnSFTPRead,
		scenario.OnSFTPGet, scenario.OnScriptStatus, scenario.OnScriptLogs, scenario.OnRsyncLogin, scenario.OnRsyncDownload:
		return true
	}
	return false
}
