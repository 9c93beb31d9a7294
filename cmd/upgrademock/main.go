// Command upgrademock emulates the Odoo Database Upgrade API, for testing programs that talk to it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/helptext"
	"github.com/upgrademock/upgrademock/internal/isolate"
	"github.com/upgrademock/upgrademock/internal/version"
)

// The exit codes: 0 is good, exitFailed is an operation that failed, or something judged that is bad; exitUsage is
// a wrong command line.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	isolate.Init()
	os.Exit(run())
}

func run() int {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals) // a second one ends the program at once
		cancel(interruption{s.(syscall.Signal)})
	}()
	err := newRootCommand().ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		if code.err != nil {
			fmt.Fprintf(os.Stderr, "upgrademock: %v\n", code.err)
		}
		return code.code
	}
	fmt.Fprintf(os.Stderr, "upgrademock: %v\n", err)
	return exitUsage
}

// interruption is the cause of the end of a command's context.
type interruption struct{ syscall.Signal }

func (i interruption) Error() string { return "interrupted (" + i.Signal.String() + ")" }

// ended is the exit status of a command that was interrupted, as a shell has it; nil if it was not.
func ended(ctx context.Context) error {
	if by, ok := errors.AsType[interruption](context.Cause(ctx)); ok {
		return exitCode{code: 128 + int(by.Signal)}
	}
	return nil
}

// exitCode ends the program with a code; err may be nil when everything has been said.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string { return fmt.Sprint(e.err) }
func (e exitCode) Unwrap() error { return e.err }

// failed is an operation that failed, as opposed to a command line that is wrong.
func failed(err error) error {
	if err == nil {
		return nil
	}
	return exitCode{exitFailed, err}
}

// forReleases, if not nil, makes a command that builds of releases need: see manual.go.
var forReleases func() *cobra.Command

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "upgrademock",
		Short: "A local emulator of the Odoo Database Upgrade API",
		Long: "upgrademock emulates the Odoo Database Upgrade API and its temporary SFTP server, for testing " +
			"programs that talk to them.\nIt is not affiliated with the platform it emulates.",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	helptext.Version(root, version.String())
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newServeCommand(), newScenarioCommand())
	root.AddCommand(newConformanceCommand(), newExecCommand(), newCertifyCommand(), newCACommand(), newReadyCommand(),
		newReportCommand(), newSampleDumpCommand(), newRecordCommand(), newReplayRunCommand())
	if forReleases != nil {
		root.AddCommand(forReleases())
	}
	for _, cmd := range root.Commands() {
		completeClock(cmd)
	}
	helptext.Refuse(root)
	helptext.Fit(root, flagGroups...)
	completeFlags(root)
	return root
}
