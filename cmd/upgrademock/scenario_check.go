package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

func newScenarioCheckCommand() *cobra.Command {
	var strict bool
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Report every mistake in scenario files, with file, line and column",
		Long: `check reports every mistake in scenario files, with file, line and column. The file - is standard input.

It warns of what is allowed and hardly meant: a last state that no client knows, a fault that never triggers since those before it take every call, and a 'when' that fits no create that is answered. With --strict, a warning is a mistake.`,
		Example: `  upgrademock scenario check --strict tests/scenarios/*.yaml`,
		Args:    arguments(1, -1, "FILE..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			return checkScenarios(args, strict, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&strict, "strict", false, "exit with 1 if there is a warning")
	return cmd
}

// checkScenarios prints the mistakes of each file, and its warnings, to stderr, and which files are good to stdout.
func checkScenarios(files []string, strict bool, stdin io.Reader, stdout, stderr io.Writer) error {
	code := 0
	for _, file := range files {
		warnings, err := checkScenario(file, stdin)
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
		for _, w := range warnings {
			fmt.Fprintf(stderr, "%v (a warning)\n", w)
		}
		if strict && len(warnings) > 0 {
			code = max(code, exitFailed)
			continue
		}
		fmt.Fprintf(stdout, "%s: ok\n", file)
	}
	if code != 0 {
		return exitCode{code: code}
	}
	return nil
}

// maxScenario is how many bytes of a file are read.
const maxScenario = 1 << 20

// checkScenario returns the warnings of a file. The error has its mistakes.
func checkScenario(file string, stdin io.Reader) ([]scenario.Mistake, error) {
	if file == "-" {
		src, err := io.ReadAll(io.LimitReader(stdin, maxScenario))
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		s, err := scenario.Parse("stdin", src)
		if err == nil {
			err = s.Resolve(".")
		}
		return scenario.Warnings("stdin", src), err
	}
	if _, err := scenario.Load(file); err != nil {
		return nil, err
	}
	src, err := safefile.ReadNamed(file, maxScenario)
	if err != nil {
		return nil, err
	}
	return scenario.Warnings(file, src), nil
}
