package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func newScenarioCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "scenario",
		Short: "List and show the built-in scenarios, make and check your own",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return fmt.Errorf("say what to do: list, show, check or from; see '%s --help'", cmd.CommandPath())
		},
	}
	cmd.AddCommand(
		newScenarioFromCommand(),
		&cobra.Command{
			Use:   "list",
			Short: "List the built-in scenarios",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return failed(listScenarios(cmd.OutOrStdout())) },
		},
		&cobra.Command{
			Use:   "show NAME",
			Short: "Print a built-in scenario, to read or to begin your own with",
			Args:  arguments(1, 1, "NAME"),
			RunE: func(cmd *cobra.Command, args []string) error {
				src, err := readBuiltIn(args[0])
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(src)
				return failed(err)
			},
			ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
				if len(args) > 0 {
					return nil, cobra.ShellCompDirectiveNoFileComp
				}
				return scenario.Builtins(), cobra.ShellCompDirectiveNoFileComp
			},
		},
		&cobra.Command{
			Use:   "check FILE...",
			Short: "Report every mistake in scenario files, with file, line and column",
			Long:  "Report every mistake in scenario files, with file, line and column. The file - is standard input.",
			Args:  arguments(1, -1, "FILE..."),
			RunE: func(cmd *cobra.Command, args []string) error {
				return checkScenarios(args, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			},
		},
		&cobra.Command{
			Use:   "schema",
			Short: "Print the JSON Schema of scenario files, for editors",
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				_, err := cmd.OutOrStdout().Write(scenario.Schema())
				return failed(err)
			},
		},
	)
	return cmd
}

// newTable aligns columns that are separated by tabs.
func newTable(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

func listScenarios(w io.Writer) error {
	table := newTable(w)
	for _, name := range scenario.Builtins() {
		s, err := scenario.Builtin(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%s\n", s.Name, s.Description)
	}
	return table.Flush()
}

// checkScenarios prints the mistakes of each file to stderr, and which files are good to stdout.
func checkScenarios(files []string, stdin io.Reader, stdout, stderr io.Writer) error {
	code := 0
	for _, file := range files {
		var err error
		if file == "-" {
			err = checkStdin(stdin)
		} else {
			_, err = scenario.Load(file)
		}
		if cause, unread := errors.AsType[*fs.PathError](err); unread && cause.Path == file {
			code = exitUsage
			fmt.Fprintf(stderr, "%s: %v; wanted a scenario's file, or - for standard input\n", file, cause.Err)
			continue
		}
		if err != nil {
			code = max(code, exitFailed)
			fmt.Fprintln(stderr, err)
			continue
		}
		fmt.Fprintf(stdout, "%s: ok\n", file)
	}
	if code != 0 {
		return exitCode{code: code}
	}
	return nil
}

func checkStdin(stdin io.Reader) error {
	src, err := io.ReadAll(stdin)
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	s, err := scenario.Parse("stdin", src)
	if err != nil {
		return err
	}
	return s.Resolve(".")
}

// findScenario returns the built-in scenario of that name, else the one in that file: what --scenario takes. So a
// file that is called like a built-in scenario is ./NAME.
func findScenario(fileOrName string) (*scenario.Scenario, error) {
	builtIn, err := scenario.Builtin(fileOrName)
	if err == nil {
		return builtIn, nil
	}
	s, loadErr := scenario.Load(fileOrName)
	cause, unread := errors.AsType[*fs.PathError](loadErr)
	switch {
	case !unread || cause.Path != fileOrName: // of a file that it names, too
		return s, loadErr
	case errors.Is(loadErr, fs.ErrNotExist) && !strings.ContainsAny(fileOrName, "./"+string(os.PathSeparator)):
		return nil, unknownScenario(err) // it was meant as a name
	}
	return nil, fmt.Errorf("%s: %w; wanted a scenario's file, or a name that 'upgrademock scenario list' shows",
		fileOrName, cause.Err)
}

// readBuiltIn returns the file of a built-in scenario.
func readBuiltIn(name string) ([]byte, error) {
	if _, err := scenario.Builtin(name); err != nil {
		return nil, unknownScenario(err)
	}
	return fs.ReadFile(fixtures.Scenarios(), name+".yaml")
}

// unknownScenario says what to do about a name that no built-in scenario has.
func unknownScenario(err error) error {
	unknown, ok := errors.AsType[*scenario.UnknownError](err)
	switch {
	case !ok:
		return err
	case unknown.Nearest != "":
		return fmt.Errorf("unknown scenario %q, did you mean %q?", unknown.Name, unknown.Nearest)
	}
	return fmt.Errorf("unknown scenario %q; 'upgrademock scenario list' lists them", unknown.Name)
}
