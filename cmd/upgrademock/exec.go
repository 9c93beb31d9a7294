package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/isolate"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/mockserver"
)

// linger is how long the processes that a program has left running may go on: long enough for a restore that it did
// not wait for, and an end for a daemon.
const linger = 5 * time.Second

// testbedFlags are the flags of commands that run a program against an emulator: serve's, and the proxy's.
type testbedFlags struct {
	serve   serveFlags
	proxy   proxyFlags
	noHooks bool
	keep    bool
	isolate bool
}

// statusRefused is the exit status where the kernel refuses to isolate the program, as timeout(1) and docker(1) have
// it for what is wrong with themselves.
const statusRefused = 125

func (f *testbedFlags) add(flags *pflag.FlagSet) {
	f.serve.add(flags, anyPort, anyPort, anyPort)
	f.proxy.add(flags)
	flags.BoolVar(&f.noHooks, "no-hooks", false,
		"only set variables: no startup files for the programs that need them")
	flags.BoolVar(&f.isolate, "isolate", false,
		"give COMMAND a network of its own, with nothing in it but the emulator as https://upgrade.odoo.com (Linux)")
	flags.BoolVar(&f.keep, "keep", false, "leave requests and dumps behind, and say where")
}

// options is what the flags ask for. A mistake in them is a usage error.
func (f *testbedFlags) options(stderr io.Writer) (testbed.Options, error) {
	opts, err := f.serve.options(stderr)
	if err != nil {
		return testbed.Options{}, err
	}
	if !f.serve.verbose { // the terminal is the program's
		opts.Logger = slog.New(quiet{opts.Logger.Handler()})
	}
	if err := f.proxy.check(); err != nil {
		return testbed.Options{}, err
	}
	if f.isolate {
		if err := f.checkIsolated(); err != nil {
			return testbed.Options{}, err
		}
		opts.HTTPAddr, opts.HTTPSAddr = "", ""
	}
	if len(f.proxy.hosts) > 0 {
		opts.CAHosts = append(opts.CAHosts, f.proxy.hosts...)
		// With an authority for this run only: the kept one stays as it is.
	} else {
		keepAuthority(opts)
	}
	return testbed.Options{
		Server: opts, Hosts: f.proxy.hosts, AllowHosts: f.proxy.allow, Passthrough: f.proxy.passthrough,
		NoHooks: f.noHooks, Isolated: f.isolate,
	}, nil
}

// checkIsolated refuses what contradicts --isolate.
func (f *testbedFlags) checkIsolated() error {
	switch {
	case f.proxy.passthrough, len(f.proxy.allow) > 0:
		return errors.New("--isolate lets nothing out: it goes without --allow-host and --passthrough")
	case f.serve.http != anyPort, f.serve.https != anyPort:
		return errors.New("--isolate has the emulator listen where the platform does, on the ports 80 and 443 of the " +
			"program's own loopback: it goes without --http and --https")
	}
	return nil
}

// anyPort is the address of listeners whose port nobody has to know.
const anyPort = "127.0.0.1:0"

// quiet passes warnings and errors only.
type quiet struct{ slog.Handler }

func (h quiet) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func newExecCommand() *cobra.Command {
	var flags testbedFlags
	var given taskFlags
	var expect bool
	var into string
	cmd := &cobra.Command{
		Use:   "exec [flags] -- COMMAND [ARGUMENT]...",
		Short: "Run a program against a fresh emulator, and exit with its status",
		Long: `exec starts an emulator on free ports, runs COMMAND in an environment that leads it there, and exits with COMMAND's status.

A program that has https://upgrade.odoo.com written in it needs no change: HTTPS_PROXY brings it to the emulator, and
the usual variables make it trust the emulator's certificates. Calls to any other host are refused, so that an offline run stays
offline. A program that takes an address finds it in UPGRADE_URL, the upgrade script in UPGRADE_SERVER_NAME, and everything
else is in UPGRADEMOCK_ variables.

With --isolate (Linux), COMMAND has a network of its own: the emulator is https://upgrade.odoo.com there, on port 443, the system's
authorities have its own among them, and nothing else can be reached, neither by HTTPS nor by SSH. Programs that read no
variable run unchanged, also those that 'env -i' starts. PostgreSQL is reached over its Unix socket, not over TCP. Where the
kernel makes no namespaces for us the exit status is 125.

With --expect, COMMAND is judged by the scenario. Its task is compared with what the platform got where it is known: the dump
from --dump or UPGRADEMOCK_DUMP, create's parameters from --param or UPGRADEMOCK_CONTRACT, _EMAIL, _TARGET, _AIM and _FILENAME, the
file to write from --out or UPGRADEMOCK_OUT. COMMAND finds all of them in these variables. What is not known is not judged.
If the scenario says what COMMAND shows or hides, what it prints passes through exec, and is on no terminal for it.

With --clock skip the hours of a scenario take no time: when COMMAND asks for the state of a request that it was told already, and
nothing else is under way, the emulator's clock jumps to the next change. COMMAND's own pauses between its polls pass as ever, and
how long they were is said at the end. Each state is told once, so that a run is the same every time. What a scenario
expects of intervals and pauses is judged by real time.

--capsule leaves a small file with the scenario and its files, the options, COMMAND and its task, and the journal. It holds neither
dumps nor keys: 'upgrademock replay' has the same happen again, here or on another machine.

What COMMAND leaves running has 5 seconds to end by itself, and is ended then; lines on standard error name it.

The exit status is COMMAND's own, 128+n if signal n ended it, 127 if there is no such program, 126 if it cannot be executed,
and 125 if it cannot be isolated.`,
		Example: `  upgrademock exec -- ./upgrade.sh
  upgrademock exec --isolate -- java -jar upgrade.jar
  upgrademock exec --scenario server-error-for-a-while --expect -- python3 upgrade.py`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("no command to run\n\nUsage:\n  %s", cmd.UseLine())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			opts, err := flags.options(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			task, err := given.task()
			if err != nil {
				return err
			}
			if expect && !expects(opts.Server) {
				return errors.New("--expect: no --scenario says what to expect")
			}
			left, err := openReport("capsule", into)
			if err != nil {
				return err
			}
			defer left.Close()
			cleanUp, err := flags.keepIn(opts.Server, cmd.ErrOrStderr())
			if err != nil {
				return failed(err)
			}
			defer cleanUp()
			return withJournal(flags.serve.journal, opts.Server, func() error {
				return execute(opts, args, task, expect, left, cmd.ErrOrStderr())
			})
		},
	}
	cmd.Flags().SetInterspersed(false) // what follows COMMAND is COMMAND's
	flags.add(cmd.Flags())
	given.add(cmd.Flags())
	cmd.Flags().BoolVar(&expect, "expect", false,
		"exit with 1 if COMMAND did not do what the scenario expects, and say what")
	cmd.Flags().StringVar(&into, "capsule", "", "leave a capsule of the run in this `file`, for replay")
	return cmd
}

func expects(opts *mockserver.Options) bool {
	for _, s := range opts.Scenarios {
		if s.Expect != nil {
			return true
		}
	}
	return false
}

// keepIn gives the emulator a directory that stays if --keep is set. The returned function prints where it is.
func (f *testbedFlags) keepIn(opts *mockserver.Options, stderr io.Writer) (func(), error) {
	if !f.keep {
		return func() {}, nil
	}
	if opts.DataDir == "" {
		dir, err := os.MkdirTemp("", "upgrademock-kept-")
		if err != nil {
			return nil, fmt.Errorf("--keep: %w", err)
		}
		opts.DataDir = dir
	}
	return func() { say(stderr, "exec: kept requests and dumps in %s", opts.DataDir) }, nil
}

// say prints a line of ours to the program's user.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "upgrademock "+format+"\n", args...)
}

func execute(opts testbed.Options, args []string, task *task, expect bool, left *reportFile, stderr io.Writer) error {
	keepLean()
	signals, ignore := catchSignals()
	defer ignore()
	st, err := testbed.Start(opts)
	if err != nil {
		return notStarted("exec", err)
	}
	defer st.Close()
	scripts := opts.Server.Scenarios
	client := trial{"exec", args, task, (expect || left != nil) && judgesOutput(scripts)}
	run, err := client.onTerminal(st, signals, stderr)
	if err != nil {
		return err
	}
	remark(stderr, "exec", st.Remarks())
	if opts.Server.Skip {
		saySkipped(stderr, "exec", st.Server.Skipped())
	}
	status := run.Status
	if expect && !asExpected(st.Server, run, stderr) {
		status = exitFailed
	}
	if err := errors.Join(writeCapsule(left, st.Server, run, stderr), st.Close()); err != nil {
		return failed(err)
	}
	if status != 0 {
		return exitCode{code: status}
	}
	return nil
}

// notStarted is the exit status for a test bed that could not be started.
func notStarted(command string, err error) error {
	if refused, ok := errors.AsType[*isolate.RefusedError](err); ok {
		return exitCode{statusRefused, fmt.Errorf("%s: --isolate: cannot %s: %w; %s", command, refused.Step, refused.Err,
			refused.Advice)}
	}
	return failed(startError(err))
}

// catchSignals catches what is to be passed on to a program, until the returned function is called.
func catchSignals() (signals chan os.Signal, ignore func()) {
	signals = make(chan os.Signal, 16)
	for _, sig := range child.Signals {
		if !signal.Ignored(sig) { // as nohup has it
			signal.Notify(signals, sig)
		}
	}
	return signals, func() { signal.Stop(signals) }
}

// remark says what the program's user should know beyond what the program said.
func remark(stderr io.Writer, command string, remarks testbed.Remarks) {
	for _, host := range remarks.Refused {
		if remarks.Isolated {
			say(stderr, "%s: the program looked for %s: isolated, it finds the platform alone", command, host)
			continue
		}
		say(stderr,
			"%s: refused calls to %s: an offline run stays offline; allow them with --allow-host %[2]s, or all with "+
				"--passthrough", command, host)
	}
	if remarks.Silence != "" {
		say(stderr, "%s: %s", command, remarks.Silence)
	}
}

// saySkipped says what the clock has skipped, and what it could not.
func saySkipped(stderr io.Writer, command string, skips mockserver.Skips) {
	if skips.Jumps == 0 {
		say(stderr, "%s: the clock skipped nothing: no client asked again for a state that time changes", command)
		return
	}
	jumps := "1 jump"
	if skips.Jumps != 1 {
		jumps = fmt.Sprintf("%d jumps", skips.Jumps)
	}
	say(stderr, "%s: the clock skipped %v, in %s; between polls the client slept %v of its own, which no clock can skip",
		command, skips.Skipped, jumps, skips.Slept.Round(100*time.Millisecond))
}

// asExpected reports whether the program did what the scenarios expect, and says what it did not.
func asExpected(srv *mockserver.Server, run *mockserver.Run, stderr io.Writer) bool {
	list := unmet(srv, run)
	for _, v := range list {
		say(stderr, "exec: %s: %s: wanted %s; saw %s", v.Scenario, v.Expect, v.Wanted, v.Saw)
		if v.Hint != "" {
			fmt.Fprintf(stderr, "  %s\n", v.Hint)
		}
	}
	return len(list) == 0
}
