// Package certify judges a client of the upgrade platform. It runs the client once per scenario, each time on a test
// bed of its own, and compares what it did with what the scenario expects of a good client.
package certify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/shard"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The verdicts on a client under one scenario. Skip is not one of them: a scenario that is left out has no result.
const (
	Pass  = "pass"
	Fail  = "fail"
	Error = "error" // it could not be judged
)

// Limit is how long a client may run under a scenario that does not say `within`.
const Limit = 5 * time.Minute

// Options of Run. Args and Scenarios are required.
type Options struct {
	// Args is the client's command, in which placeholders are replaced; see Placeholders.
	Args []string
	// Scenarios are what it is run under, those that take long first; see Expected.
	Scenarios []*scenario.Scenario
	// Shard is the part of Of that Scenarios are, for the report; the zero Shard is all.
	Shard shard.Shard
	// Of names the scenarios of all shards, in their order; nil if there are none.
	Of []string
	// Via is the way on which the client sends its dump; "" is Both.
	Via Via
	// Dump is the file to send; "": one is made.
	Dump string
	// Parallel is how many clients run at once; 0: four for each processor, since they mostly wait.
	Parallel int
	// Testbed holds the options of every test bed. Run sets the scenarios, and all else that differs between runs.
	Testbed testbed.Options
	// Keep is a directory in which each run's files stay; "": they are removed.
	Keep string
	// Done, if not nil, is called when a scenario has been judged, one call at a time, in no order.
	Done func(Result)
	// Journal gets the events of all runs as lines of JSON, run after run in the order of Scenarios; if nil, they
	// are not written.
	Journal io.Writer
}

// Report is what came out. Its JSON is read by other programs: its keys do not change.
type Report struct {
	Client  []string  `json:"client"`
	Version string    `json:"version"`         // of upgrademock
	Shard   string    `json:"shard,omitempty"` // which part of the scenarios it is about, such as 2/5; "": all
	Of      []string  `json:"of,omitempty"`    // the scenarios of all shards, in their order; nil without Shard
	Results []Result  `json:"results"`         // in the order of Options.Scenarios
	Skipped []Skipped `json:"skipped"`
	Passed  int       `json:"passed"`
	Failed  int       `json:"failed"` // those with an error included
	Began   time.Time `json:"began,omitzero"`
	Host    string    `json:"host,omitempty"` // the name of the machine that it ran on
}

// Result is the verdict on the client under one scenario.
type Result struct {
	Scenario    string    `json:"scenario"`
	Description string    `json:"description,omitempty"` // the scenario's
	Verdict     string    `json:"verdict"`
	Exit        int       `json:"exit"`    // as a shell has it
	Seconds     float64   `json:"seconds"` // that the client ran
	Failed      []Failure `json:"failed"`
	Output      string    `json:"output,omitempty"` // the end of what a client printed that did not pass

	Journal []journal.Event `json:"-"`
	skip    string          // why it was left out; "": it was not
	remarks testbed.Remarks
	skips   mockserver.Skips
}

// Failure is an expectation that was not met.
type Failure struct {
	Expect string `json:"expect"`
	Wanted string `json:"wanted"`
	Saw    string `json:"saw"`
	Hint   string `json:"hint"` // what a good client would have done
	// Lines are the journal's about it; in a report they stand once if they are the same for several failures.
	Lines []string `json:"journal,omitempty"`
}

// Skipped is a scenario that was left out, because the client's way cannot meet it.
type Skipped struct {
	Scenario string `json:"scenario"`
	Reason   string `json:"reason"`
}

// Run judges the client. A client that cannot be run at all is a *child.StartError; every other error is one of
// the machine, such as a full disk. If ctx ends, the error is its cause, and the report has what was judged by then.
func Run(ctx context.Context, opts Options) (_ *Report, err error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	if opts.Via == "" {
		opts.Via = Both
	}
	if opts.Parallel <= 0 {
		opts.Parallel = 4 * runtime.GOMAXPROCS(0)
	}
	report := &Report{Client: slices.Clone(opts.Args), Version: version.String(), Shard: opts.Shard.String(), Of: opts.Of,
		Results: []Result{}, Skipped: []Skipped{}, Began: time.Now().UTC()}
	report.Host, _ = os.Hostname() // "" where there is none
	opts.Args = atHome(here, opts.Args)
	if _, err := exec.LookPath(opts.Args[0]); err != nil {
		if _, err := (&child.Command{Args: opts.Args}).Run(ctx); err != nil { // for its words
			return nil, err
		}
	}
	dir := opts.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "upgrademock-certify-"); err != nil {
			return nil, fmt.Errorf("certify: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	dbs, err := opts.prepare(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dbs.close()) }()

	results := make([]Result, len(opts.Scenarios))
	var running sync.WaitGroup
	var done sync.Mutex
	places := make(chan struct{}, opts.Parallel)
	for _, i := range longestFirst(opts.Scenarios, opts.Via) {
		script, result := opts.Scenarios[i], &results[i]
		*result = Result{Scenario: script.Name, Description: script.Description, Failed: []Failure{}}
		if result.skip = opts.Via.cannotMeet(script); script.Run.Database && result.skip == "" {
			result.skip = dbs.missing
		}
		if result.skip != "" {
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
			result.skip = interrupted
			continue
		}
		running.Go(func() {
			defer func() { <-places }()
			r := run{opts: &opts, script: script, dir: filepath.Join(dir, fmt.Sprintf("%02d-%s", i+1, script.Name)),
				here: here, result: result}
			if dbs.usedUnder(script) {
				r.server, r.name = dbs.server, fmt.Sprintf("db%02d", i+1)
			}
			r.finish(ctx)
			if opts.Done != nil && result.skip == "" {
				done.Lock()
				defer done.Unlock()
				opts.Done(*result)
			}
		})
	}
	running.Wait()
	for _, r := range results {
		report.add(r)
	}
	if opts.Journal != nil {
		err = writeJournal(opts.Journal, results)
	}
	return report, errors.Join(err, context.Cause(ctx))
}

// finish runs the client, and writes what came of it into the result.
func (r *run) finish(ctx context.Context) {
	err := r.run(ctx)
	switch {
	case ctx.Err() != nil: // it may have ended the client
		r.result.skip = interrupted
	case err != nil:
		r.result.Verdict = Error
		r.result.Failed = append(r.result.Failed, Failure{Expect: "a judgement",
			Wanted: "the client run and judged", Saw: err.Error(),
			Hint: "this says nothing about the client; see what it printed"})
	}
	if r.result.Verdict != Pass {
		r.result.Output = r.tail()
	}
}

// interrupted is why a scenario was left out that was not judged when Run had to end.
const interrupted = "the run was interrupted"

// prepare makes what the clients are given: a dump, and the database to upgrade where there is use for one.
func (opts *Options) prepare(ctx context.Context, dir string) (*databases, error) {
	made := filepath.Join(dir, dumpName)
	err := writeDump(made)
	if opts.Dump == "" {
		opts.Dump = made
	} else if err == nil {
		opts.Dump, err = filepath.Abs(opts.Dump)
	}
	if err != nil {
		return nil, fmt.Errorf("certify: dump: %w", err)
	}
	dbs, err := startDatabases(ctx, opts, made)
	if err != nil {
		return nil, fmt.Errorf("certify: PostgreSQL: %w", err)
	}
	return dbs, nil
}

// Remarks are what is to be said of the client in all runs. There is Silence if it never called the emulator where
// it should have.
func (rep *Report) Remarks() (all testbed.Remarks) {
	for i := range rep.Results {
		r := &rep.Results[i]
		all.Isolated = all.Isolated || r.remarks.Isolated
		for _, host := range r.remarks.Refused {
			if !slices.Contains(all.Refused, host) {
				all.Refused = append(all.Refused, host)
			}
		}
		if all.Silence == "" && r.silent() {
			all.Silence = r.remarks.Silence
		}
	}
	return all
}

// Skips is what the clocks of all runs have skipped, and could not.
func (rep *Report) Skips() (all mockserver.Skips) {
	for i := range rep.Results {
		skips := &rep.Results[i].skips
		all.Jumps, all.Skipped, all.Slept = all.Jumps+skips.Jumps, all.Skipped+skips.Skipped, all.Slept+skips.Slept
	}
	return all
}

// silent reports whether the client failed because it never called the emulator.
func (r *Result) silent() bool {
	return r.Verdict == Fail && r.remarks.Silence != "" && slices.ContainsFunc(r.Failed, func(f Failure) bool {
		return strings.HasPrefix(f.Expect, "calls.") || f.Expect == "order"
	})
}

// Interrupted reports whether a scenario was not judged because Run had to end.
func (rep *Report) Interrupted() bool {
	return slices.ContainsFunc(rep.Skipped, func(s Skipped) bool { return s.Reason == interrupted })
}

func (rep *Report) add(r Result) {
	if r.skip != "" {
		rep.Skipped = append(rep.Skipped, Skipped{r.Scenario, r.skip})
		return
	}
	rep.Results = append(rep.Results, r)
	if r.Verdict == Pass {
		rep.Passed++
	} else {
		rep.Failed++
	}
}

// atHome makes the arguments absolute that name files here, since each run has a directory of its own: the program,
// and what has a separator or a dot in it and is there.
func atHome(here string, args []string) []string {
	made := make([]string, len(args))
	for i, arg := range args {
		made[i] = arg
		separated := strings.ContainsRune(arg, filepath.Separator)
		if filepath.IsAbs(arg) || !separated && (i == 0 || !strings.Contains(arg, ".")) {
			continue
		}
		path := filepath.Join(here, arg)
		if info, err := os.Stat(path); i == 0 || err == nil && info.Mode().IsRegular() {
			made[i] = path
		}
	}
	return made
}
