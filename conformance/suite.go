package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
	"github.com/upgrademock/upgrademock/internal/version"
)

// suite is one run.
type suite struct {
	target    Target
	opts      Options
	base      string // the URL without a trailing slash
	local     bool   // the server is on this machine
	public    string // the base of URLs in answers
	http      *raw.Client
	checks    []*check
	limiter   *rate.Limiter     // nil: no pause between calls
	rec       *recorder         // nil: nothing is recorded
	recording map[string][]step // not nil: replayed, and never live
	recorded  map[string]bool   // the checks that a recording has
	hangs     atomic.Int32      // calls that had no answer in time
	failed    atomic.Bool
	slots     chan struct{} // one for each check that may be at work; nil: they come one by one

	run     context.Context // the whole run's; lifecycles outlive the check that began them
	learned learned         // by the preflight, then read only
	silent  bool            // no call of the preflight was answered at all

	later laterMethods
	wipes wipeContract

	observing sync.Mutex // held while the options' Observe runs

	mu         sync.Mutex
	keys       []seenKey
	created    []Created
	lifecycles map[string]*lifecycle
	upgrades   map[string]*upgrade
}

// seenKey is a request's key or token as create gave it.
type seenKey struct {
	api     API
	id, key string
}

// stop ends a check with a verdict, by panic.
type stop struct {
	verdict Verdict
	message string
	by      string // with verdict blocked: the check that judges the reason
	took    time.Duration
}

const blocked Verdict = "blocked" // becomes Skip, Fail or Error when all verdicts are known

func newSuite(target Target, opts Options) (*suite, error) {
	u, err := BaseURL(target.URL)
	if err != nil {
		return nil, fmt.Errorf("conformance: %w", err)
	}
	if target.PublicURL != "" {
		if _, err := BaseURL(target.PublicURL); err != nil {
			return nil, fmt.Errorf("conformance: the public URL: %w", err)
		}
	}
	if target.Contract == "" {
		return nil, errors.New("conformance: a contract reference is needed that the server knows")
	}
	if err := opts.fill(u, &target); err != nil {
		return nil, err
	}
	s := &suite{target: target, opts: opts, base: strings.TrimRight(target.URL, "/"),
		lifecycles: map[string]*lifecycle{}, upgrades: map[string]*upgrade{}}
	s.local = Loopback(u)
	s.public = strings.TrimRight(cmp.Or(target.PublicURL, s.base), "/")
	s.http = raw.NewClient(opts.tlsConfig(), s.callTime)
	if opts.Pause > 0 {
		s.limiter = rate.NewLimiter(rate.Every(opts.Pause), 1)
	}
	for _, c := range allChecks() {
		if opts.Level.Covers(c.evidence) && opts.API.Covers(c.api()) && (opts.Run == nil || opts.Run.MatchString(c.id)) &&
			(opts.Skip == nil || !opts.Skip.MatchString(c.id)) {
			s.checks = append(s.checks, c)
		}
	}
	if opts.Record != nil {
		h := heading{Version: recordingVersion, Target: target, API: opts.API, Level: opts.Level, Seed: opts.Seed,
			Wait: opts.Wait.String(), Shared: opts.Production}
		for _, c := range s.checks {
			h.Checks = append(h.Checks, c.id)
		}
		s.rec = newRecorder(opts.Record, h)
	}
	return s, nil
}

// newReplay is a run against a recording.
func newReplay(h heading, opts Options, recorded map[string][]step) (*suite, error) {
	wait, err := time.ParseDuration(h.Wait)
	if err != nil {
		return nil, fmt.Errorf("conformance: the recording's heading is broken: %w", err)
	}
	opts.Production, opts.Wait = h.Shared, wait
	level := opts.Level
	if h.Shared && level == LevelAssumed {
		return nil, fmt.Errorf("%w: a recording of it is not judged by what is only assumed", ErrProduction)
	}
	s, err := newSuite(h.Target, opts)
	if err != nil {
		return nil, err
	}
	s.limiter, s.recording, s.recorded = nil, recorded, map[string]bool{}
	for _, id := range h.Checks {
		s.recorded[id] = true
	}
	return s, nil
}

// callTime is how long a call may take: less once the server has shown that it hangs.
func (s *suite) callTime() time.Duration {
	switch hangs := s.hangs.Load(); {
	case hangs >= 12:
		return max(s.opts.CallTimeout/20, 50*time.Millisecond)
	case hangs >= 4:
		return max(s.opts.CallTimeout/4, 50*time.Millisecond)
	}
	return s.opts.CallTimeout
}

// judge runs the checks. The error is why none was made.
func (s *suite) judge(ctx context.Context) (*Report, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	s.run = ctx
	defer s.http.Close()
	rep := &Report{Target: s.target.URL, Level: s.opts.Level, Version: version.String(), Results: []Result{},
		Began: time.Now().UTC()}
	rep.Host, _ = os.Hostname() // "" where there is none
	if len(s.checks) == 0 {
		rep.count()
		return rep, nil
	}
	left, res, err := s.preflights(ctx)
	if err != nil {
		rep.Results = append(rep.Results, res)
		s.observe(res)
		rep.count()
		return rep, err
	}
	rep.LeftOut = left
	stops := s.runAll(ctx)
	for i, c := range s.checks {
		rep.Results = append(rep.Results, s.result(c, stops, stops[i]))
	}
	s.opts.Baseline.apply(rep, time.Now())
	s.mu.Lock()
	rep.Created = slices.Clone(s.created)
	s.mu.Unlock()
	rep.count()
	if s.rec != nil && s.rec.err != nil {
		rep.Results = append(rep.Results,
			runError("suite/record", "the recording could not be written: "+s.rec.err.Error()))
		rep.count()
	}
	return rep, nil
}

// runAll runs the selected checks and returns their outcomes, in the order of s.checks.
func (s *suite) runAll(ctx context.Context) []stop {
	stops := make([]stop, len(s.checks))
	run := func(i int) {
		stops[i] = s.timed(ctx, s.checks[i])
		if stops[i].verdict == Fail {
			s.failed.Store(true)
		}
		if stops[i].verdict != blocked {
			s.observe(s.result(s.checks[i], nil, stops[i]))
		}
	}
	order := make([]int, len(s.checks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.checks[a].phase(), s.checks[b].phase()) })
	if s.opts.Production || s.opts.FailFast || s.recording != nil {
		for _, i := range order {
			run(i)
		}
	} else {
		// The upgrades begin first: what waits for them holds no slot while it waits.
		s.slots = make(chan struct{}, s.opts.Parallel)
		var checks sync.WaitGroup
		for _, waiting := range []bool{true, false} {
			for _, i := range order {
				if c := s.checks[i]; !c.last && (c.needs&needsWait != 0) == waiting {
					checks.Go(func() { run(i) })
				}
			}
		}
		checks.Wait()
		for _, i := range order {
			if s.checks[i].last {
				run(i)
			}
		}
	}
	for i := range stops {
		if stops[i].verdict == blocked {
			s.observe(s.result(s.checks[i], stops, stops[i]))
		}
	}
	for _, j := range s.lifecycles {
		j.wait()
	}
	for _, u := range s.upgrades {
		u.wait()
	}
	return stops
}

// observe hands a verdict to the options' Observe.
func (s *suite) observe(res Result) {
	if s.opts.Observe != nil {
		s.observing.Lock()
		defer s.observing.Unlock()
		s.opts.Observe(res)
	}
}

// timed runs one check with a checker of its own, when its turn has come.
func (s *suite) timed(ctx context.Context, chk *check) stop {
	c := s.newChecker(ctx, chk.id)
	c.slots = s.slots
	c.acquire()
	defer c.release()
	began := time.Now()
	st := s.runOne(ctx, c, chk)
	st.took = time.Since(began)
	return st
}

// runOne runs one check.
func (s *suite) runOne(ctx context.Context, c *checker, chk *check) stop {
	switch {
	case s.opts.FailFast && s.failed.Load():
		return stop{verdict: Skip, message: "not asked: another check has failed, and the run ends with the first " +
			"failure"}
	case s.opts.Production && !chk.gentle:
		return stop{verdict: Skip, message: "not asked of production: it would make more requests, or trouble a " +
			"shared platform"}
	case s.opts.Resume != nil && chk.needs&needsWait == 0:
		return stop{verdict: Skip, message: "judged in the run that is resumed"}
	case s.recording != nil && !s.recorded[chk.id]:
		return stop{verdict: Skip, message: "the recorded run did not ask it"}
	case ctx.Err() != nil:
		return stop{verdict: Error, message: "not asked: the run was stopped, or its time was over"}
	}
	limit := 6 * s.opts.CallTimeout
	if chk.needs&needsWait != 0 {
		limit += s.opts.Wait + 6*s.opts.CallTimeout
	}
	var cancel context.CancelFunc
	c.ctx, cancel = context.WithTimeout(ctx, limit)
	defer cancel()
	defer c.close()
	st := c.guard(func() {
		chk.run(c)
		if c.ctx.Err() != nil {
			c.errorf("the check did not end within %v", limit)
		}
	})
	if st.verdict != Pass && ctx.Err() != nil { // what went wrong is that it was stopped
		return stop{verdict: Error, message: "not judged: the run was stopped, or its time was over"}
	}
	return st
}

// result turns an outcome into the report's form. all is nil while not all outcomes are known.
func (s *suite) result(c *check, all []stop, st stop) Result {
	res := Result{ID: c.id, Verdict: st.verdict, Rows: c.rows, Evidence: c.evidence, Message: s.redact(st.message),
		Seconds: float64(st.took.Milliseconds()) / 1000}
	if st.verdict == blocked {
		res.Verdict, res.Message = s.unblocked(c, all, st)
	}
	return res
}

// unblocked is the verdict on a check that was blocked by another. If that one fails, the blocked check is skipped. If
// it passes, or was not made, the blocked check fails: a documented way did not work here.
func (s *suite) unblocked(c *check, all []stop, st stop) (Verdict, string) {
	message := s.redact(st.message)
	i := slices.IndexFunc(s.checks, func(other *check) bool { return other.id == st.by })
	own := Pass // the owner's outcome
	if i >= 0 && all != nil && st.by != c.id {
		own = all[i].verdict
	}
	switch own {
	case Fail:
		return Skip, "could not be judged: " + message + " (see " + st.by + ")"
	case blocked: // by what stands before it
		if up := s.result(s.checks[i], all, all[i]); up.Verdict != Fail {
			return up.Verdict, up.Message
		}
		return Skip, "could not be judged: " + message + " (see " + st.by + ")"
	case Skip, Error:
		return own, "could not be judged: " + message
	}
	return Fail, fmt.Sprintf("%s, where %s asks: %s", message, st.by, checkSays(st.by))
}

// redact shortens every key of a request.
func (s *suite) redact(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if len(k.key) > 4 && strings.Contains(text, k.key[:4]) {
			text = strings.ReplaceAll(text, k.key, k.key[:4]+"…")
			text = strings.ReplaceAll(text, url.QueryEscape(k.key), k.key[:4]+"…")
		}
	}
	return text
}

// remember takes note of a request that the server made.
func (s *suite) remember(api API, id, key, statusURL string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keys {
		if k == (seenKey{api, id, key}) {
			return
		}
	}
	s.keys = append(s.keys, seenKey{api, id, key})
	s.created = append(s.created, Created{API: api, ID: id, StatusURL: statusURL})
}

func (s *suite) keyStrings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, k := range s.keys {
		keys = append(keys, k.key)
	}
	return keys
}

// newChecker returns a checker for the check or lifecycle of that name. Its random choices depend on the name and the
// seed.
func (s *suite) newChecker(ctx context.Context, name string) *checker {
	h := fnv.New64a()
	h.Write([]byte(name))
	c := &checker{suite: s, ctx: ctx, rng: rand.New(rand.NewPCG(s.opts.Seed, h.Sum64())),
		transcript: &transcript{name: name, live: s.recording == nil, keep: s.rec != nil}}
	if s.recording != nil {
		c.transcript.steps = s.recording[name]
	}
	return c
}
