package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/capsule"
	"github.com/upgrademock/upgrademock/internal/recording"
	"github.com/upgrademock/upgrademock/internal/replay"
	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// replayFlags are the flags of `replay`.
type replayFlags struct {
	given   taskFlags
	isolate bool
	shrink  bool
	tries   int
}

func newReplayRunCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay [flags] FILE [-- COMMAND [ARGUMENT]...]",
		Short: "Have the same happen again as in a capsule",
		Long: `replay sets the stage of a capsule, which 'upgrademock exec --capsule FILE' or the live page has left, runs COMMAND on it, and compares what COMMAND was told with what the client was told then: each call's answer, and each transfer's. Times are not compared, nor how often a client asked while the answer stayed the same. Behind that it compares the exit status and the expectations that were not met. It says "the same", or the first difference.

COMMAND gets the task that the client had: the parameters of create, its dump if it is here, else a made-up one of its size, and a file to write in a directory that is removed at the end. --dump, --param and --out, or their variables, come before that.

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
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.shrink && len(args) == 1 {
				return errors.New("--shrink runs the client again and again: wanted its command behind --")
			}
			return f.do(cmd, args[0], args[1:])
		},
	}
	f.given.add(cmd.Flags())
	cmd.Flags().BoolVar(&f.isolate, "isolate", false, "give COMMAND a network of its own, as exec does (Linux)")
	cmd.Flags().BoolVar(&f.shrink, "shrink", false,
		"look for the smallest scenario under which COMMAND fails as it did then")
	cmd.Flags().IntVar(&f.tries, "tries", 100, "with --shrink: the greatest `number` of runs")
	return cmd
}

// writeCapsule leaves a capsule of a run, and says how to go on. A nil file is none.
func writeCapsule(into *reportFile, srv *mockserver.Server, run *mockserver.Run, stderr io.Writer) error {
	if into == nil {
		return nil
	}
	var b bytes.Buffer // it is small, and into may be a pipe
	c := &capsule.Capsule{}
	err := into.write(func(w io.Writer) error {
		err := srv.WriteCapsule(context.Background(), &b, mockserver.Scope{}, run)
		if err == nil {
			c, err = capsule.Read(bytes.NewReader(b.Bytes()))
		}
		if err == nil {
			_, err = w.Write(b.Bytes())
		}
		return err
	})
	if err != nil {
		return err
	}
	say(stderr, "exec: the run is in %s: 'upgrademock replay %[1]s' has the same happen again", into.Name())
	sayLeftOut(stderr, "exec", c)
	return nil
}

func sayLeftOut(stderr io.Writer, command string, c *capsule.Capsule) {
	for _, what := range c.LeftOut {
		say(stderr, "%s: not in the capsule: %s", command, what)
	}
}

func readCapsule(name string) (*capsule.Capsule, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; wanted a capsule", name, reasonOf(err))
	}
	defer file.Close()
	c, err := capsule.Read(file)
	if err == nil {
		return c, nil
	}
	if _, seekErr := file.Seek(0, io.SeekStart); errors.Is(err, capsule.ErrFormat) && seekErr == nil {
		if form, unknown := recording.Form(file); unknown == nil {
			err = fmt.Errorf("it is a %s: 'upgrademock scenario from %s' makes a scenario of it; %w", form, name,
				capsule.ErrFormat)
		}
	}
	return nil, failed(fmt.Errorf("%s: %w", name, reasonOf(err)))
}

func (f *replayFlags) do(cmd *cobra.Command, name string, args []string) error {
	task, err := f.given.task()
	if err != nil {
		return err
	}
	c, err := readCapsule(name)
	if err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	sayLeftOut(stderr, "replay", c)
	if len(c.Journal) == 0 {
		say(stderr, "replay: there is no call in %s: the client never reached the emulator", name)
	}
	dir, err := os.MkdirTemp("", "upgrademock-replay-")
	if err != nil {
		return failed(err)
	}
	defer os.RemoveAll(dir)
	if err := c.Unpack(dir); err != nil {
		return failed(fmt.Errorf("%s: %w", name, err))
	}
	r := replaying{c: c, dir: dir, isolate: f.isolate, stdout: cmd.OutOrStdout(), stderr: stderr}
	if len(args) == 0 {
		now, err := replay.Play(cmd.Context(), c, dir)
		if err != nil {
			return failed(err)
		}
		return r.report(now, nil)
	}
	if err := task.fill(cmd.Context(), c.Client, dir, stderr); err != nil {
		return failed(err)
	}
	r.client = trial{"replay", args, task, true}
	if f.shrink {
		return r.shrink(cmd.Context(), f.tries)
	}
	r.client.prints = judgesOutput(c.Scenarios)
	return r.again()
}

// replaying has a capsule happen again.
type replaying struct {
	c              *capsule.Capsule
	dir            string // for temporary files
	isolate        bool
	client         trial
	stdout, stderr io.Writer
}

// stage starts a test bed as the capsule has it, with those scenarios.
func (r *replaying) stage(scripts []*scenario.Scenario) (*testbed.Testbed, error) {
	opts := replay.Options(r.c)
	opts.Scenarios = scripts
	keepAuthority(opts)
	bed, err := testbed.Start(testbed.Options{Server: opts, Isolated: r.isolate})
	if err != nil {
		return nil, notStarted("replay", err)
	}
	return bed, nil
}

// again runs the client on our terminal, and compares.
func (r *replaying) again() error {
	signals, ignore := catchSignals()
	defer ignore()
	bed, err := r.stage(r.c.Scenarios)
	if err != nil {
		return err
	}
	defer bed.Close()
	run, err := r.client.onTerminal(bed, signals, r.stderr)
	if err != nil {
		return err
	}
	remark(r.stderr, "replay", bed.Remarks())
	return r.report(bed.Server.Events(journal.Filter{}), &outcome{run.Status, unmet(bed.Server, run)})
}

// outcome is what came of a client.
type outcome struct {
	status int
	unmet  []mockserver.Outcome
}

// report says whether the same happened, or what is different. A nil client was not run.
func (r *replaying) report(now []journal.Event, client *outcome) error {
	differs := false
	difference, n := replay.Compare(r.c.Journal, now)
	if difference != nil {
		differs = true
		fmt.Fprintf(r.stdout, "%v\n", difference)
		if n > 0 {
			fmt.Fprintf(r.stdout, "  %s before it the same\n", answers(n))
		}
	}
	if client != nil {
		for _, d := range r.differences(client) {
			differs = true
			fmt.Fprintf(r.stdout, "%v\n", &d)
		}
	}
	if differs {
		return exitCode{code: exitFailed}
	}
	text := "the same: " + answers(n)
	if client != nil && r.c.Client != nil {
		text += fmt.Sprintf(", exit status %d", client.status)
		if len(r.c.Failed) > 0 {
			text += ", not met: " + strings.Join(r.c.Failed, ", ")
		}
	}
	_, err := fmt.Fprintln(r.stdout, text)
	return failed(err)
}

func answers(n int) string {
	if n == 1 {
		return "1 answer or transfer"
	}
	return fmt.Sprintf("%d answers and transfers", n)
}

// differences are those between the client's end then and now.
func (r *replaying) differences(now *outcome) (list []replay.Difference) {
	if then := r.c.Client; then != nil && then.Exit != now.status {
		list = append(list, replay.Difference{Where: "the exit status", Then: fmt.Sprint(then.Exit),
			Now: fmt.Sprint(now.status)})
	}
	var failing []string
	for _, o := range now.unmet {
		name := o.Scenario + ": " + o.Expect
		// Of a client that nobody ran only what its calls show was judged.
		if r.c.Client != nil || slices.Contains(r.c.Failed, name) {
			failing = append(failing, name)
		}
	}
	if !slices.Equal(failing, r.c.Failed) {
		list = append(list, replay.Difference{Where: "the expectations that were not met",
			Then: cmp.Or(strings.Join(r.c.Failed, ", "), "none"), Now: cmp.Or(strings.Join(failing, ", "), "none")})
	}
	return list
}

// shrink looks for the smallest scenario, and prints it.
func (r *replaying) shrink(ctx context.Context, tries int) error {
	if len(r.c.Failed) == 0 {
		return failed(errors.New("the client met each expectation then, as far as it was judged: there is nothing " +
			"to look for"))
	}
	name, expect, _ := strings.Cut(r.c.Failed[0], ": ")
	at := slices.IndexFunc(r.c.Scenarios, func(s *scenario.Scenario) bool { return s.Name == name })
	if at < 0 {
		return failed(fmt.Errorf("the capsule has no scenario %q", name))
	}
	if out := r.client.task.out; out != "" {
		if _, err := os.Lstat(out); err == nil {
			return fmt.Errorf("--out %s: it is there already, and would be removed before each run: name another file", out)
		}
	}
	first := r.c.Scenarios[at]
	program := filepath.Base(r.client.args[0])
	runs := 0
	fails := func(s *scenario.Scenario) (bool, error) {
		runs++
		scripts := slices.Clone(r.c.Scenarios)
		scripts[at] = s
		still, err := r.fails(ctx, scripts, r.c.Failed[0])
		if still && runs > 1 {
			say(r.stderr, "replay: run %d fails with %s", runs, sizeOf(s))
		}
		return still, err
	}
	say(r.stderr, "replay: looking for the smallest scenario under which %s fails %s; it has %s", program, expect,
		sizeOf(first))
	switch still, err := fails(first); {
	case err != nil:
		return err
	case !still:
		return failed(fmt.Errorf("under the scenario of the capsule, %s does not fail %s any more", program, expect))
	}
	smallest, _, err := replay.Shrink(first, tries-1, fails)
	if err != nil {
		return err
	}
	say(r.stderr, "replay: %d runs; the smallest scenario has %s", runs, sizeOf(smallest))
	text, err := retrace.Format(smallest, fmt.Sprintf("The smallest scenario that was found under which %s fails %s.",
		program, expect))
	if err == nil {
		_, err = r.stdout.Write(text)
	}
	return failed(err)
}

// sizeOf says how large a scenario is.
func sizeOf(s *scenario.Scenario) string {
	count := func(n int, noun string) string {
		if n == 1 {
			return "1 " + noun
		}
		return fmt.Sprintf("%d %ss", n, noun)
	}
	return count(len(s.Steps), "step") + " and " + count(len(s.Faults), "fault")
}

// fails runs the client once, in silence, and reports whether it fails the expectation.
func (r *replaying) fails(ctx context.Context, scripts []*scenario.Scenario, expectation string) (bool, error) {
	bed, err := r.stage(scripts)
	if err != nil {
		return false, err
	}
	defer bed.Close()
	client := r.client
	if task := client.task; task.out != "" {
		if err := os.RemoveAll(task.out); err != nil { // what the run before has left is not this one's
			return false, failed(err)
		}
	}
	run, err := client.inSilence(ctx, bed, scripts)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(unmet(bed.Server, run), func(o mockserver.Outcome) bool {
		return o.Scenario+": "+o.Expect == expectation
	}), nil
}
