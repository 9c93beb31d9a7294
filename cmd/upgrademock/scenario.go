package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

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
			return fmt.Errorf("say what to do: list, show, new, from or check; see '%s --help'", cmd.CommandPath())
		},
	}
	cmd.AddCommand(
		newScenarioFromCommand(),
		newScenarioListCommand(),
		newScenarioNewCommand(),
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
		newScenarioCheckCommand(),
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
