package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/recording"
	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// fromFlags are the flags of `scenario from`.
type fromFlags struct {
	request, name, out string
	polls, list        bool
}

func newScenarioFromCommand() *cobra.Command {
	var f fromFlags
	cmd := &cobra.Command{
		Use:   "from FILE...",
		Short: "Make a scenario of what happened: of a recording, a HAR file, or a journal",
		Long: `from makes one commented scenario of what happened to a request, as FILE shows it: a recording of 'upgrademock record', a HAR file of a browser or proxy, a recording of the conformance suite, or a journal of the emulator. The files may be parts of one story. The file - is standard input.

States become steps, which last for the time that was seen, or with --polls for as many polls. Failures, pages of front-ends, answers that broke off or were no JSON, and connections that were lost become faults at the calls at which they were seen. What had to be guessed stands in comments.

If several requests are in it, --request chooses one; --list lists them.`,
		Example: `  upgrademock scenario from capture.har > tuesday.yaml
  upgrademock scenario from journal.jsonl --request 10534 --out tuesday.yaml`,
		Args: arguments(1, -1, "FILE..."),
		RunE: func(cmd *cobra.Command, args []string) error { return f.do(cmd, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.request, "request", "", "the `id` of the request, if there are several")
	flags.BoolVar(&f.list, "list", false, "list the requests, and make nothing")
	flags.BoolVar(&f.polls, "polls", false, "have the steps last for polls, not for the time")
	flags.StringVar(&f.name, "name", "", "the scenario's `name` (default one with the request's id)")
	flags.StringVar(&f.out, "out", "", "the `file` to write, which must not be there (default standard output)")
	return cmd
}

// builtInOf returns the built-in scenario of that name, or nil.
func builtInOf(name string) *scenario.Scenario {
	s, err := scenario.Builtin(name)
	if err != nil {
		return nil
	}
	return s
}

func (f *fromFlags) do(cmd *cobra.Command, args []string) error {
	if i := slices.Index(args, "-"); i >= 0 && slices.Contains(args[i+1:], "-") {
		return errors.New("-: standard input can be read only once")
	}
	only := f.request
	if f.list {
		only = "" // all of them
	}
	c := retrace.New(only, builtInOf)
	var names []string
	var nothing error
	for _, name := range args {
		shown, err := readRecording(name, cmd.InOrStdin(), c, cmd.ErrOrStderr())
		if err != nil && !errors.Is(err, retrace.ErrNothing) {
			return err
		}
		nothing = errors.Join(nothing, err)
		names = append(names, shown)
	}
	if f.list {
		return failed(f.print(cmd.OutOrStdout(), c))
	}
	made, err := c.Script(f.request, retrace.Options{Polls: f.polls, Name: f.name, From: strings.Join(names, ", ")})
	var choice *retrace.ChoiceError
	switch {
	case errors.Is(err, retrace.ErrNothing) && nothing != nil:
		return failed(nothing)
	case errors.As(err, &choice) && len(choice.Requests) == 0:
		return fmt.Errorf("%s: %w; --list lists them", strings.Join(names, ", "), err)
	case errors.As(err, &choice):
		return fmt.Errorf("%s: %w; say which one with --request ID", strings.Join(names, ", "), err)
	case err != nil:
		return failed(fmt.Errorf("%s: %w", strings.Join(names, ", "), err))
	case f.out == "":
		_, err = cmd.OutOrStdout().Write(made.YAML)
		return failed(err)
	}
	if err := writeNew(f.out, made.YAML); err != nil {
		return failed(fmt.Errorf("--out %s: %w", f.out, reasonOf(err)))
	}
	return nil
}

// readRecording gives what is in a file to the collector, and returns what the file is called in comments.
func readRecording(name string, stdin io.Reader, c *retrace.Collector, stderr io.Writer) (string, error) {
	in, shown := stdin, "standard input"
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("%s: %w; wanted a recording, or - for standard input", name, reasonOf(err))
		}
		defer file.Close()
		in, shown = file, filepath.Base(name)
	} else {
		name = shown
	}
	read, err := recording.Read(in, c)
	if err != nil {
		return shown, failed(fmt.Errorf("%s: %w", name, reasonOf(err)))
	}
	if read.Cut != "" {
		say(stderr, "scenario: %s: the %s breaks off in %s: what is whole is used", name, read.Form, read.Cut)
	}
	if read.Form != recording.Journal && read.Calls == 0 {
		hosts := ""
		if len(read.Hosts) > 0 {
			hosts = "; they are of " + strings.Join(read.Hosts, ", ")
		}
		if read.Entries == 0 {
			return shown, fmt.Errorf("%s: %w: it has no calls at all", name, retrace.ErrNothing)
		}
		return shown, fmt.Errorf("%s: %w: none of its calls, which are %d, is below /database/v1/ or /upgrade/request/%s",
			name, retrace.ErrNothing, read.Entries, hosts)
	}
	return shown, nil
}

// print lists the requests.
func (f *fromFlags) print(w io.Writer, c *retrace.Collector) error {
	table := newTable(w)
	list, more := c.Requests()
	fmt.Fprintln(table, "REQUEST\tAPI\tCONTRACT\tSTATE\tCALLS\tWRONG\tFIRST SEEN (UTC)")
	for _, r := range list {
		first := ""
		if !r.First.IsZero() {
			first = r.First.UTC().Format(time.DateTime)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", r.Request, r.API, cmp.Or(r.Contract, "-"),
			cmp.Or(r.State, "-"), r.Calls, r.Faults, cmp.Or(first, "-"))
	}
	if err := table.Flush(); err != nil || more == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "and %d more\n", more)
	return err
}
