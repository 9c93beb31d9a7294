package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/capsule"
	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/internal/version"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// replayFlags are the flags of `replay`.
type replayFlags struct {
	given  taskFlags
	shrink bool
	tries  int
}

func newReplayRunCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay [flags] FILE [-- COMMAND [ARGUMENT]...]",
		Short: "Have the same happen again as in a capsule of exec",
		Long: `replay sets the stage of a capsule, which 'upgrademock exec --capsule FILE' has left, runs COMMAND on it, and compares what COMMAND was told with what the client was told then: each call's answer, and each transfer's. Times are not compared, nor how often a client asked while the answer stayed the same. It says "the same", or the first difference.

Without COMMAND, the calls of the capsule are made again by replay itself, with dumps that are made up, and without waiting.

With --shrink, COMMAND is run under smaller and smaller scenarios, as long as it fails the same expectation as then, and the smallest one is printed. What COMMAND prints is not shown.

The exit status is 0 if the same happened, and 1 if not.`,
		Example: `  upgrademock exec --capsule friday.capsule --scenario sftp-cut --expect -- ./upgrade.sh
  upgrademock replay friday.capsule
  upgrademock replay friday.capsule -- ./upgrade.sh
  upgrademock replay --shrink friday.capsule -- ./upgrade.sh > smallest.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); len(args) == 0 || at != 1 && !(at < 0 && len(args) == 1) {
				return fmt.Errorf("wanted one capsule, and what is to be run behind --\n\nUsage:\n  %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.do(cmd, args[0], args[1:]) },
	}
	f.given.add(cmd.Flags())
	cmd.Flags().BoolVar(&f.shrink, "shrink", false,
		"look for the smallest scenario under which COMMAND fails as it did then")
	cmd.Flags().IntVar(&f.tries, "tries", 100, "with --shrink: the greatest `number` of runs")
	return cmd
}

// newCapsule is the capsule of a run.
func newCapsule(srv *mockserver.Server, opts *mockserver.Options, args []string, run *mockserver.Run) *capsule.Capsule {
	c := capsule.New(version.String(), opts, srv.Events(journal.Filter{}))
	c.Command, c.Exit, c.Failed = args, run.Status, unmet(srv, run)
	return c
}

// unmet are the expectations that a client did not meet.
func unmet(srv *mockserver.Server, run *mockserver.Run) []string {
	var failed []string
	for _, o := range srv.Judge(journal.Filter{}, run) {
		if o.Verdict == mockserver.Fail {
			failed = append(failed, o.Scenario+": "+o.Expect)
		}
	}
	return failed
}

func readCapsule(name string) (*capsule.Capsule, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; wanted a capsule", name, reasonOf(err))
	}
	defer file.Close()
	c, err := capsule.Read(file)
	if err != nil {
		return nil, failed(fmt.Errorf("%s: %w", name, err))
	}
	return c, nil
}

func (f *replayFlags) do(cmd *cobra.Command, name string, args []string) error {
	c, err := readCapsule(name)
	if err != nil {
		return err
	}
	task, err := f.given.task()
	if err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	if c.More > 0 {
		say(stderr, "replay: %s has the first %d events of the run, and not the %d behind them", name, len(c.Journal),
			c.More)
	}
	if f.shrink {
		return f.doShrink(cmd, c, task, args)
	}
	var now []journal.Event
	if len(args) == 0 {
		now, err = played(cmd.Context(), c)
	} else {
		now, err = f.run(c, task, args, stderr)
	}
	if err != nil {
		return err
	}
	difference, n := capsule.Compare(c.Journal, now)
	if difference != nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%v\n", difference)
		return exitCode{code: exitFailed}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "the same: %d answers and transfers\n", n)
	return failed(err)
}

// played makes the capsule's calls again.
func played(ctx context.Context, c *capsule.Capsule) ([]journal.Event, error) {
	dir, err := os.MkdirTemp("", "upgrademock-replay-")
	if err != nil {
		return nil, failed(err)
	}
	defer os.RemoveAll(dir)
	events, err := c.Play(ctx, dir)
	return events, failed(err)
}

// run runs the client on the capsule's stage, on our terminal.
func (f *replayFlags) run(c *capsule.Capsule, task *task, args []string, stderr io.Writer) ([]journal.Event, error) {
	signals, ignore := catchSignals()
	defer ignore()
	bed, err := stage(c)
	if err != nil {
		return nil, failed(startError(err))
	}
	defer bed.Close()
	result, err := runProgram("replay", child.Command{Args: args, Env: child.Environ(bed.Env, task.environ(), nil),
		Mark: bed.Mark, Signals: signals}, stderr)
	if err != nil {
		return nil, err
	}
	if result.Status != c.Exit {
		say(stderr, "replay: %s ended with %d, and with %d then", args[0], result.Status, c.Exit)
	}
	return bed.Server.Events(journal.Filter{}), nil
}

// stage starts a test bed as the capsule has it.
func stage(c *capsule.Capsule) (*testbed.Testbed, error) {
	opts := mockserver.Options{HTTPAddr: "127.0.0.1:0", HTTPSAddr: "127.0.0.1:0", SFTPAddr: "127.0.0.1:0",
		Logger: slog.New(slog.DiscardHandler)}
	c.Set(&opts)
	keepAuthority(&opts)
	return testbed.Start(testbed.Options{Server: &opts})
}

// doShrink looks for the smallest scenario, and prints it.
func (f *replayFlags) doShrink(cmd *cobra.Command, c *capsule.Capsule, task *task, args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("--shrink runs the client again and again: wanted its command behind --")
	case len(c.Failed) == 0:
		return failed(errors.New("the client met each expectation then (those that 'exec' could judge): there is nothing " +
			"to look for"))
	}
	name, expect, _ := strings.Cut(c.Failed[0], ": ")
	at := slices.IndexFunc(c.Scenarios, func(s *scenario.Scenario) bool { return s.Name == name })
	if at < 0 {
		return failed(fmt.Errorf("the capsule has no scenario %q", name))
	}
	stderr := cmd.ErrOrStderr()
	fails := func(s *scenario.Scenario) (bool, error) {
		tried := *c
		tried.Scenarios = slices.Clone(c.Scenarios)
		tried.Scenarios[at] = s
		list, err := f.fails(cmd.Context(), &tried, task, args)
		return slices.Contains(list, c.Failed[0]), err
	}
	say(stderr, "replay: looking for the smallest scenario under which %s fails %s", args[0], expect)
	switch still, err := fails(c.Scenarios[at]); {
	case err != nil:
		return err
	case !still:
		return failed(fmt.Errorf("under the scenario of the capsule, %s does not fail %s any more", args[0], expect))
	}
	smallest, tries, err := capsule.Shrink(c.Scenarios[at], f.tries, fails)
	if err != nil {
		return err
	}
	say(stderr, "replay: %d runs; from %d steps and %d faults to %d and %d", tries+1, len(c.Scenarios[at].Steps),
		len(c.Scenarios[at].Faults), len(smallest.Steps), len(smallest.Faults))
	text, err := retrace.Format(smallest, fmt.Sprintf("The smallest scenario that was found under which %s fails %s.",
		args[0], expect))
	if err == nil {
		_, err = cmd.OutOrStdout().Write(text)
	}
	return failed(err)
}

// patience is how long a client may run under a scenario that does not say `within`.
const patience = 5 * time.Minute

// fails runs the client once, in silence, and returns the expectations that it does not meet.
func (f *replayFlags) fails(ctx context.Context, c *capsule.Capsule, task *task, args []string) ([]string, error) {
	bed, err := stage(c)
	if err != nil {
		return nil, failed(startError(err))
	}
	defer bed.Close()
	limit := patience
	for _, s := range c.Scenarios {
		if s.Expect != nil && s.Expect.Within > 0 {
			limit = s.Expect.Within
		}
	}
	run, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	program := child.Command{Args: args, Env: child.Environ(bed.Env, task.environ(), nil), Mark: bed.Mark}
	result, err := program.Run(run)
	if start := (*child.StartError)(nil); errors.As(err, &start) {
		return nil, exitCode{start.Status, fmt.Errorf("replay: %w", err)}
	}
	if ctx.Err() != nil {
		return nil, failed(context.Cause(ctx))
	}
	judged := task.run(result)
	judged.TimedOut = run.Err() != nil
	return unmet(bed.Server, &judged), nil
}
