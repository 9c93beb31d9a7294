// Command odoo-upgrade has a database upgraded by the Odoo upgrade platform: step by step, or all at once with "run".
//
// Exit codes: 0 all went well; 1 the platform or the way to it failed, or the database was not upgraded; 2 the
// command line is wrong, or names files that cannot be used; 3 by the script API, the platform has refused or cancelled
// it; 130 interrupted (SIGINT), 143 ended (SIGTERM). What was begun can be continued after each of them.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
	"github.com/upgrademock/upgrademock/internal/claim"
)

func main() { os.Exit(Main()) }

// Main runs the command with the process's arguments and returns its exit code.
func Main() int {
	tune(os.Getenv)
	ignoreSizeSignal()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		cancel(signalError{s.(syscall.Signal)})
		signal.Stop(signals) // a second one ends the process at once
	}()
	return execute(ctx, os.Args[1:], environment{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv,
	})
}

// tune sets the garbage collector, unless the user did. A transfer makes much garbage beside some megabytes that are
// live: half as many collections make it faster, still fewer do not. The limit is twice what is live in a download,
// which has the most.
func tune(getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(200)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(48 << 20)
	}
}

// signalError is the cause of an interrupted context.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "interrupted (" + e.Signal.String() + ")" }

// execute runs the command and returns its exit code. Tests call it in their own process.
func execute(ctx context.Context, args []string, env environment) int {
	a := newApp(env)
	root := a.rootCommand()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	a.close()
	if err == nil {
		return 0
	}
	a.reportError(err)
	var usage usageError
	var input *workflow.InputError
	var sig signalError
	var exit exitError
	switch {
	case errors.As(err, &usage), errors.As(err, &input), errors.Is(err, claim.ErrUnfit), !a.began:
		fmt.Fprintf(a.stderr, "See \"%s --help\".\n", cmp.Or(usage.command, a.running, root.Name()))
		return 2
	case errors.As(context.Cause(ctx), &sig):
		return 128 + int(sig.Signal)
	case errors.As(err, &exit):
		return exit.code
	}
	return 1
}
