package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/isolate"
	"github.com/upgrademock/upgrademock/internal/shard"
	"github.com/upgrademock/upgrademock/internal/spelling"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// certifyFlags are certify's own, beside those of the emulators.
type certifyFlags struct {
	testbedFlags
	packs    []string
	via      string
	dump     string
	parallel int
	json     bool
	junit    string
	shard    string
}

// notForCertify are serve's flags that make no sense for many emulators at once.
var notForCertify = []string{"http", "https", "sftp", "control", "data-dir"}

func newCertifyCommand() *cobra.Command {
	var flags certifyFlags
	cmd := &cobra.Command{
		Use:   "certify [flags] [FILE]... -- COMMAND [ARGUMENT]...",
		Short: "Judge a client: run it once per scenario of a pack",
		Long: `certify runs COMMAND once per scenario, each time against an emulator of its own and in an empty directory, and
judges what it did: by the scenario's expectations, by its exit status, by what it printed and by the file that it left.

COMMAND gets exec's environment. What to do is in variables, and in placeholders of its arguments:

` + placeholders() + `
Arguments that name a file here are made absolute. A scenario is left out when the client's way of sending its dump
cannot meet it: see --via. The exit status is 0 when nothing failed, 1 when something did, 2 for a wrong command line, 125
where --isolate is refused by the kernel.`,
		Example: `  upgrademock certify -- ./upgrade.sh
  upgrademock certify --pack full --via https --junit report.xml -- python3 upgrade.py {dump} {out}
  upgrademock certify --pack script-basic -- ./wrapper-of-the-upgrade-script.sh
  upgrademock certify --pack flaky-production.yaml -- ./upgrade.sh`,
		RunE: func(cmd *cobra.Command, args []string) error {
			command := args
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				flags.packs, command = append(flags.packs, args[:at]...), args[at:]
			}
			if len(command) == 0 {
				return fmt.Errorf("no command to judge\n\nUsage:\n  %s", cmd.UseLine())
			}
			for _, name := range notForCertify {
				if cmd.Flags().Changed(name) {
					return fmt.Errorf("--%s makes no sense for certify, which runs many emulators at once", name)
				}
			}
			opts, err := flags.read(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			opts.Args = command
			return flags.run(cmd, opts)
		},
	}
	flags.add(cmd.Flags())
	for _, name := range notForCertify {
		cmd.Flags().MarkHidden(name)
	}
	f := cmd.Flags()
	f.StringArrayVar(&flags.packs, "pack", nil,
		"basic or full, script-basic or script-full for what wraps the upgrade script, or a scenario's `name` or file, "+
			"repeatable (default basic)")
	f.StringVar(&flags.via, "via", string(certify.Both),
		"`protocol` that sends the dump: https, sftp, or both for a client that can use either")
	f.StringVar(&flags.dump, "dump", "",
		"the dump `file` to send, or over rsync the directory of a dump (default: a file of 3 MiB is made)")
	f.IntVar(&flags.parallel, "parallel", 0, "`number` of clients to run at once (default: four for each processor)")
	f.BoolVar(&flags.json, "json", false, "print the report as JSON")
	f.StringVar(&flags.junit, "junit", "",
		"also write the report to this `file`, in the XML form that CI systems read")
	f.StringVar(&flags.shard, "shard", "", shardUsage)
	f.Lookup("clock").Usage = "the `clock`: real, or skip, which jumps to the next change when the client asks for a " +
		"state that it knows"
	f.Lookup("scenario").Usage = "a `name` or file, as --pack has it"
	f.Lookup("journal").Usage = "append the journals of all runs to this `file`, as JSON lines"
	f.Lookup("keep").Usage = "leave each run's files behind, and say where"
	return cmd
}

func placeholders() string {
	var b strings.Builder
	for _, p := range certify.Placeholders {
		fmt.Fprintf(&b, "  %-14s %-24s %s\n", p.Word, p.Variable, p.Meaning)
	}
	return b.String()
}

// read turns the flags into options; every error is a wrong command line.
func (f *certifyFlags) read(stderr io.Writer) (opts certify.Options, err error) {
	packs := append(f.packs, f.serve.scenarios...)
	f.serve.scenarios = nil
	if len(packs) == 0 {
		packs = []string{"basic"}
	}
	for _, pack := range packs {
		scripts, err := unpack(pack)
		if err != nil {
			return opts, fmt.Errorf("--pack: %w", err)
		}
		if opts.Scenarios, err = join(opts.Scenarios, scripts); err != nil {
			return opts, fmt.Errorf("--pack: %w", err)
		}
	}
	if opts.Via, err = certify.ParseVia(f.via); err != nil {
		return opts, fmt.Errorf("--via: %w", err)
	}
	if f.shard != "" {
		if opts.Shard, err = shard.Parse(f.shard, os.Getenv); err != nil {
			return opts, fmt.Errorf("--shard: %w", err)
		}
		for _, script := range opts.Scenarios {
			opts.Of = append(opts.Of, script.Name)
		}
		opts.Scenarios = shard.Pick(opts.Shard, opts.Scenarios, func(s *scenario.Scenario) string { return s.Name },
			func(s *scenario.Scenario) time.Duration { return certify.Expected(s, opts.Via) })
	}
	if f.dump != "" {
		if size, ok := dumpAt(f.dump); !ok || size == 0 {
			return opts, fmt.Errorf("--dump %s: wanted a file with something in it, or a dump in directory format", f.dump)
		}
	}
	if f.parallel < 0 {
		return opts, fmt.Errorf("--parallel %d: wanted a number from 1 on", f.parallel)
	}
	opts.Dump, opts.Parallel = f.dump, f.parallel
	if opts.Testbed, err = f.options(stderr); err == nil && f.serve.clock == "virtual" {
		err = errors.New("--clock virtual makes no sense for certify, where nobody advances it; choose real or skip")
	}
	return opts, err
}

// join adds the scenarios to the list that are not in it. What is said of one would be taken for the other if two had
// the same name.
func join(list, more []*scenario.Scenario) ([]*scenario.Scenario, error) {
	for _, script := range more {
		at := slices.IndexFunc(list, func(s *scenario.Scenario) bool { return s.Name == script.Name })
		switch {
		case at < 0:
			list = append(list, script)
		case !reflect.DeepEqual(list[at], script):
			return nil, fmt.Errorf("two scenarios are called %q: change the `name` of one", script.Name)
		}
	}
	return list, nil
}

// packs are the names that unpack knows.
var packs = []string{"basic", "full", "script-basic", "script-full"}

// unpack are the scenarios of a pack, or the one with that name or in that file.
func unpack(pack string) ([]*scenario.Scenario, error) {
	switch pack {
	case "basic":
		return find(certify.Basic...)
	case "full":
		return judged(scenario.APIDatabase)
	case "script-basic":
		return find(certify.ScriptBasic...)
	case "script-full":
		return judged(scenario.APIScript)
	}
	if _, err := scenario.Builtin(pack); err != nil && !strings.ContainsAny(pack, "./"+string(os.PathSeparator)) {
		if _, err := os.Stat(pack); err != nil { // it was meant as a name
			known := append(scenario.Builtins(), packs...)
			if nearest := spelling.Nearest(pack, known...); nearest != "" {
				return nil, fmt.Errorf("unknown pack or scenario %q, did you mean %q?", pack, nearest)
			}
		}
	}
	return find(pack)
}

// find are the scenarios with those names or in those files.
func find(names ...string) ([]*scenario.Scenario, error) {
	scripts := make([]*scenario.Scenario, len(names))
	for i, name := range names {
		script, err := findScenario(name)
		if err != nil {
			return nil, err
		}
		if script.Expect == nil {
			return nil, fmt.Errorf("%s: the scenario has no `expect`, so there is nothing to judge", name)
		}
		scripts[i] = script
	}
	return scripts, nil
}

// judged are the built-in scenarios by which a client of that API can be judged.
func judged(api string) ([]*scenario.Scenario, error) {
	var scripts []*scenario.Scenario
	for _, name := range scenario.Builtins() {
		script, err := scenario.Builtin(name)
		if err != nil {
			return nil, err
		}
		if script.Expect != nil && cmp.Or(script.When["api"], scenario.APIDatabase) == api {
			scripts = append(scripts, script)
		}
	}
	return scripts, nil
}

func (f *certifyFlags) run(cmd *cobra.Command, opts certify.Options) (err error) {
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	if f.isolate { // once, in place of an error for each scenario
		space, err := isolate.Start()
		if err != nil {
			return notStarted("certify", err)
		}
		space.Close()
	}
	junit, err := openReport("junit", f.junit)
	if err != nil {
		return err
	}
	defer junit.Close()
	if f.keep {
		if opts.Keep, err = os.MkdirTemp("", "upgrademock-certify-kept-"); err != nil {
			return failed(fmt.Errorf("--keep: %w", err))
		}
		defer say(stderr, "certify: kept the runs' files in %s", opts.Keep)
	}
	if f.serve.journal != "" {
		file, err := openJournal(f.serve.journal)
		if err != nil {
			return err
		}
		defer file.Close()
		opts.Journal = file
	}
	say(stderr, "certify: %d scenarios …", len(opts.Scenarios))
	opts.Done = func(r certify.Result) { say(stderr, "certify: %-26s %s", r.Scenario, r.Verdict) }
	report, err := certify.Run(cmd.Context(), opts)
	if start := (*child.StartError)(nil); errors.As(err, &start) {
		return exitCode{start.Status, fmt.Errorf("certify: %w", err)}
	}
	if report == nil {
		return failed(err)
	}
	remark(stderr, "certify", report.Remarks())
	if skips := report.Skips(); opts.Testbed.Server.Skip {
		saySkipped(stderr, "certify", skips)
	}
	write := report.WriteTable
	if f.json {
		write = report.WriteJSON
	}
	// The one is written whatever becomes of the other.
	if err := errors.Join(write(stdout), junit.write(report.WriteJUnit)); err != nil {
		return failed(err)
	}
	if err := ended(cmd.Context()); err != nil {
		return err
	}
	if err != nil {
		return failed(err)
	}
	if report.Failed > 0 {
		return exitCode{code: exitFailed}
	}
	return nil
}
