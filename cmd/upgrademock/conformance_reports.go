package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/conformance"
)

// newReplayCommand returns the command conformance replay.
func newReplayCommand() *cobra.Command {
	var f conformanceFlags
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Judge a recording of a run again, offline",
		Args:  arguments(1, 1, "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			level := f.level
			if err := f.read(); err != nil {
				return err
			}
			if level == "" {
				f.opts.Level = conformance.LevelAssumed // of all that a recording may have
			}
			if err := f.selects(); err != nil {
				return err
			}
			if level == "" {
				f.opts.Level = "" // the recording's own
			}
			report, err := openReport("junit", f.junit)
			if err != nil {
				return err
			}
			defer report.Close()
			f.report = report
			file, err := os.Open(args[0])
			if err != nil {
				return fmt.Errorf("%s: %w; wanted a recording that --record has written", args[0], reasonOf(err))
			}
			defer file.Close()
			rep, runErr := f.judge(cmd, func(ctx context.Context) (*conformance.Report, error) {
				return conformance.Replay(ctx, file, &f.opts)
			})
			if rep == nil {
				return failed(fmt.Errorf("%s: %w", args[0], runErr))
			}
			if err := f.print(cmd, rep, runErr); err != nil {
				return err
			}
			return f.exit(rep, runErr)
		},
	}
	cmd.Flags().StringVar(&f.level, "level", "",
		"how far to go, a `level`: documented, observed or assumed (default the recorded run's)")
	cmd.Flags().StringVar(&f.run, "run", "", "only the checks whose id matches this `regexp`")
	cmd.Flags().StringVar(&f.base, "baseline", "", "known deviations, a YAML `file`")
	f.addReport(cmd)
	return cmd
}

// newDiffCommand returns the command conformance diff.
func newDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two reports (of --json) row by row of the contract",
		Long: "diff compares two reports that --json printed, such as the mock's and production's, row by row of " +
			"the wire contract.\n\nExit status: 0 no row is judged differently; 1 some are.",
		Args: arguments(2, 2, "A B"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var reports [2]*conformance.Report
			for i, name := range args {
				file, err := os.Open(name)
				if err != nil {
					return fmt.Errorf("%s: %w; wanted a report that --json has printed", name, reasonOf(err))
				}
				defer file.Close()
				if reports[i], err = conformance.ReadReport(file); err != nil {
					return failed(fmt.Errorf("%s: not a report of --json: %w", name, err))
				}
			}
			diffs := conformance.Diff(reports[0], reports[1])
			printDiff(cmd.OutOrStdout(), reports[0], reports[1], diffs)
			if len(diffs) > 0 {
				return exitCode{code: exitFailed}
			}
			return nil
		},
	}
}
