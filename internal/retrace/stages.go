package retrace

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// ending is what ended a stage.
type ending int

const (
	unknown ending = iota // between two polls
	byTime
	byPoll
	byRelease
)

// stage is a state as it was seen: what becomes a step.
type stage struct {
	state       string
	set         map[string]any // what the answers say, of the keys that a step can set
	log         string
	polls       int       // that it answered
	first, last time.Time // of these polls
	began       time.Time // exactly, of a journal; zero: it is not known
	ended       time.Time
	how         ending
}

// change is a change of state in a journal, of which the next call tells the cause.
type change struct {
	from, to string
	at       time.Time
}

// initial reports whether a state is one before `process`.
func initial(state string) bool { return state == "" || state == "draft" || state == "new" }

// settle finds the cause of the changes that the journal had before this call.
func (r *request) settle(s *seen) {
	for _, ch := range r.changes {
		how := byTime
		if s != nil && !ch.at.Before(s.at) {
			switch s.on {
			case scenario.OnStatus, scenario.OnScriptStatus:
				if n := len(r.stages); n > 0 && r.stages[n-1].polls > 0 { // a step for polls answers one at least
					how = byPoll
				}
			case scenario.OnSkipTest:
				how = byRelease
			}
		}
		r.enter(ch, how)
	}
	r.changes = nil
}

// enter ends the present stage with a change of the journal, and begins the next one.
func (r *request) enter(ch change, how ending) {
	if n := len(r.stages); n > 0 {
		r.stages[n-1].ended, r.stages[n-1].how = ch.at, how
	} else if r.start.IsZero() {
		r.start = ch.at
	}
	r.begin(stage{state: cmp.Or(stateName(ch.to), "unknown"), began: ch.at})
}

func (r *request) begin(st stage) {
	if len(r.stages) >= maxStages {
		r.remark(fmt.Sprintf("it had more than %d states: the later ones are left out", maxStages))
		return
	}
	r.stages = append(r.stages, st)
}

// progress takes from a call how far the request is.
func (r *request) progress(s *seen) {
	switch s.on {
	case scenario.OnProcess, scenario.OnScriptProcess, scenario.OnUpgrade:
		if s.fault == nil || worked(s.fault) {
			r.begun = true
			if r.start.IsZero() {
				r.start = s.at
			}
		}
	case scenario.OnStatus, scenario.OnScriptStatus:
		r.poll(s)
	case scenario.OnSkipTest:
		if n := len(r.stages); n > 0 && s.http && s.fault == nil && !s.idle {
			r.stages[n-1].how = byRelease
		}
	}
	if s.log != "" {
		r.growLog(s)
	}
}

// growLog adds to the log of the present stage what was not seen of it before (rows S8.1 and S8.4).
func (r *request) growLog(s *seen) {
	text, end := s.log, s.logAt+int64(len(s.log))
	switch {
	case len(r.stages) == 0 || end <= r.logged:
		return
	case s.logAt > r.logged:
		r.remark("a part of the log is not in the recording")
	default:
		text = strings.ToValidUTF8(text[r.logged-s.logAt:], "")
	}
	r.logged = end
	st := &r.stages[len(r.stages)-1]
	if r.logLen += len(text); r.logLen > maxLog {
		r.remark("the log was longer than a scenario holds: the rest is left out")
		return
	}
	st.log += text
}

// worked reports whether the platform does its work all the same when a fault like this one triggers.
func worked(f *scenario.Fault) bool {
	switch f.Action() {
	case "", "cut", "truncate", "garbage":
		return true
	}
	return false
}

// poll counts a status call for the stage that it shows.
func (r *request) poll(s *seen) {
	if s.idle || s.fault != nil && !worked(s.fault) {
		return
	}
	n := len(r.stages)
	switch {
	case s.state == "" && n == 0, initial(s.state) && s.state != "" && n == 0:
		return
	case s.state == "": // the answer was spoiled: the platform counted it for a state that nobody saw
		r.stages[n-1].polls++
		return
	case n == 0 || r.stages[n-1].state != s.state:
		if n == 0 && r.start.IsZero() {
			r.remark("process was not seen: the time of the first state counts from the first poll")
			r.start = s.at
		}
		r.begin(stage{state: s.state, set: s.set})
	case r.stages[n-1].polls == 0:
		r.stages[n-1].set = s.set
	case s.set != nil && !reflect.DeepEqual(r.stages[n-1].set, s.set):
		r.begin(stage{state: s.state, set: s.set})
	}
	st := &r.stages[len(r.stages)-1]
	st.polls++
	if st.first.IsZero() {
		st.first = s.at
	}
	st.last = s.at
}

// step is a step with what is to be said of it.
type step struct {
	scenario.Step
	notes []string
}

// steps makes the steps. There are none if no state was seen after process.
func (r *request) steps(opts Options, known *scenario.Scenario) []step {
	var steps []step
	set := map[string]any{}
	from := r.start // when the present step begins, by the steps before it
	for i, st := range r.stages {
		s := step{Step: scenario.Step{State: st.state}}
		for _, key := range slices.Sorted(maps.Keys(st.set)) {
			if old, ok := set[key]; !ok && st.set[key] != nil || ok && !reflect.DeepEqual(old, st.set[key]) {
				s.put(key, st.set[key])
			}
			set[key] = st.set[key]
		}
		if i == 0 && r.compat {
			s.put("is_pg_version_compatible", false)
		}
		if r.logged > 0 {
			s.Log = &scenario.Log{Text: st.log}
		}
		if i < len(r.stages)-1 {
			next := r.stages[i+1]
			s.For, s.notes = last(st, next, from, opts.Polls)
			from = from.Add(s.For.Duration)
			if s.For.Duration == 0 {
				from = next.first
			}
		}
		if i == len(r.stages)-1 && len(opts.Set) > 0 {
			s.Set = maps.Clone(opts.Set)
			s.notes = append(s.notes, "`set` by the control API")
		}
		steps = append(steps, s)
	}
	r.fill(steps, known)
	return steps
}

func (s *step) put(key string, value any) {
	if s.Set == nil {
		s.Set = map[string]any{}
	}
	s.Set[key] = value
}

// fill takes from the scenario that drove the request what its journal does not have.
func (r *request) fill(steps []step, known *scenario.Scenario) {
	if known == nil || len(steps) > len(known.Steps) {
		return
	}
	for i, s := range steps {
		if known.Steps[i].State != s.State {
			return
		}
	}
	for i := range steps {
		from := known.Steps[i]
		if steps[i].Set == nil && len(from.Set) > 0 {
			steps[i].Set = maps.Clone(from.Set)
			steps[i].notes = append(steps[i].notes, "`set` is that of the scenario "+known.Name)
		}
		if steps[i].Log == nil && from.Log != nil {
			steps[i].Log = from.Log
			steps[i].notes = append(steps[i].notes, "`log` is that of the scenario "+known.Name)
		}
	}
}

// last says how long a stage lasted that began at from.
func last(st, next stage, from time.Time, polls bool) (scenario.For, []string) {
	asPolls := scenario.For{Polls: max(1, st.polls)}
	switch {
	case st.how == byRelease:
		return scenario.For{Released: true}, []string{"skip_test ended it"}
	case st.how == byPoll:
		return asPolls, nil
	case st.how == byTime && !polls && st.ended.After(st.last):
		if d := st.ended.Sub(st.began); d > 0 && !st.began.IsZero() {
			return scenario.For{Duration: tidy(d, st.last.Sub(from), next.first.Sub(from))}, nil
		}
		return asPolls, []string{"how long it lasted is not known"}
	case st.how == byTime && polls:
		return asPolls, []string{"it lasted " + st.ended.Sub(st.began).String()}
	}
	lo, hi := st.last.Sub(from), next.first.Sub(from)
	switch {
	case st.last.IsZero(), next.first.IsZero(), from.IsZero(), hi <= 0:
		return asPolls, []string{"how long it lasted is not known"}
	}
	lo = max(lo, 0)
	seen := fmt.Sprintf("%s; it lasted between %s and %s", count(st.polls, "poll"), rough(lo), rough(hi))
	if polls {
		return asPolls, []string{seen}
	}
	return scenario.For{Duration: roundest(lo, hi)}, []string{seen}
}

// tidy returns a duration that is about d and reads better, so that polls at lo and hi find the same states.
func tidy(d, lo, hi time.Duration) time.Duration {
	if d%(100*time.Millisecond) == 0 {
		return d
	}
	for _, unit := range units {
		if t := d.Round(unit); t > max(lo, 0) && (t-d).Abs() <= d/20 && (t < hi || hi <= 0) {
			return t
		}
	}
	return d
}

// rough is a duration as people say it.
func rough(d time.Duration) string {
	switch {
	case d >= time.Minute:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(100 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	return d.String()
}

// units are what a duration is rounded to.
var units = []time.Duration{
	24 * time.Hour, 12 * time.Hour, 6 * time.Hour, 3 * time.Hour, time.Hour, 30 * time.Minute, 15 * time.Minute,
	10 * time.Minute, 5 * time.Minute, time.Minute, 30 * time.Second, 15 * time.Second, 10 * time.Second,
	5 * time.Second, time.Second, 500 * time.Millisecond, 250 * time.Millisecond, 100 * time.Millisecond,
	50 * time.Millisecond, 10 * time.Millisecond, time.Millisecond, time.Microsecond,
}

// roundest returns the roundest duration between lo and hi, away from both, so that the polls find the same states
// again although they do not come at quite the same moments.
func roundest(lo, hi time.Duration) time.Duration {
	lo, hi = max(lo, 0), max(hi, 1)
	margin := max(0, (hi-lo)/8)
	for _, unit := range units {
		if d := (lo+margin)/unit*unit + unit; d <= hi-margin {
			return d
		}
	}
	return hi
}
