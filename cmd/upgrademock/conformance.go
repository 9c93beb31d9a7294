package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/conformance"
)

// conformanceFlags are the flags of a run.
type conformanceFlags struct {
	target  conformance.Target
	opts    conformance.Options
	level   string
	run     string
	skip    string
	list    bool
	json    bool
	yes     bool
	colour  string
	junit   string
	caFile  string
	dump    string
	record  string
	base    string
	resume  string
	save    string
	closers []func() error
}

func newConformanceCommand() *cobra.Command {
	var f conformanceFlags
	cmd := &cobra.Command{
		Use:   "conformance --url URL --contract REF",
		Short: "Judge a server (an emulator, or production) against the wire contract",
		Long: `conformance asks a server what the wire contract says and judges the answers, check by check.

Each check has the evidence for what it asks. --level says how far to go: documented (the page of
11.0), observed (and what later pages say and known clients rely on), assumed (and this project's
conventions, where nobody outside knows). What is only assumed is never asked of production.

A server that is not on this machine needs --production: then one request with the aim test serves
all checks, with a second between calls, a plan is shown and a question asked first. A real upgrade
takes hours: the run ends without its outcome and --resume-from comes back to it.

Exit status: 0 the server passes; 1 a check failed or could not be judged; 2 a wrong command line.`,
		Example: `  upgrademock conformance --url http://127.0.0.1:8480 --contract M123456-abcdef
  upgrademock conformance --url http://127.0.0.1:8480 --contract M123456-abcdef --run '^sftp/' --level assumed
  upgrademock conformance --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.do(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.target.URL, "url", "", "base `URL` of the server, under which /database/v1/ lies")
	flags.StringVar(&f.target.Contract, "contract", "", "`reference` of a contract that the server knows")
	flags.StringVar(&f.target.Email, "email", "", "`address` given to create (default john.doe@example.com; needed with --production)")
	flags.StringVar(&f.target.UnknownContract, "unknown-contract", "", "`reference` that the server does not know (default M123456-abcxyz)")
	flags.StringVar(&f.target.Region, "region", "", "the region that answers' URLs `name` (default eu1)")
	flags.StringVar(&f.target.PublicURL, "public-url", "", "base `URL` of the URLs in answers (default --url)")
	flags.StringVar(&f.target.SFTPAddr, "sftp-addr", "", "`host:port` to reach the SFTP server at (default what answers name)")
	flags.StringVar(&f.level, "level", string(conformance.LevelObserved), "how far to go, a `level`: documented, observed or assumed")
	flags.StringVar(&f.run, "run", "", "only the checks whose id matches this `regexp`")
	flags.StringVar(&f.skip, "skip", "", "not the checks whose id matches this `regexp`")
	flags.BoolVar(&f.list, "list", false, "list the checks and ask nothing")
	flags.BoolVar(&f.opts.FailFast, "fail-fast", false, "leave the rest out after the first failure")
	flags.DurationVar(&f.opts.Timeout, "timeout", 0, "how long the whole run may take (default 10m and twice --wait)")
	flags.DurationVar(&f.opts.CallTimeout, "call-timeout", 0, "how long one call may take (default 10s; 1m with --production)")
	flags.DurationVar(&f.opts.Wait, "wait", 0, "how long to wait for an upgrade to end (default 30s; not at all with --production)")
	flags.DurationVar(&f.opts.Pause, "pause", 0, "least time between two calls (default none; 1s with --production, and no less for another machine)")
	flags.IntVar(&f.opts.Parallel, "parallel", 0, "checks at a time (default 4; always 1 with --production)")
	flags.Uint64Var(&f.opts.Seed, "seed", 0, "`number` from which dumps and parameters are made")
	flags.BoolVar(&f.opts.Production, "production", false, "the server is a shared platform: ask it slowly, and with one request")
	flags.BoolVar(&f.yes, "yes", false, "with --production: don't ask before beginning")
	flags.StringVar(&f.dump, "dump", "", "a dump that the server can upgrade, as a `file` (default a small one that comes with the suite)")
	flags.StringVar(&f.resume, "resume-from", "", "judge the outcome of the request that an earlier run left in this `file`")
	flags.StringVar(&f.save, "save", "", "where to leave a request whose upgrade has not ended, a `file` (with --production default upgrademock-conformance.json)")
	flags.StringVar(&f.base, "baseline", "", "known deviations, a YAML `file`: known: [{id, reason, expires: 2026-12-31}]")
	flags.StringVar(&f.record, "record", "", "record every exchange to this `file`, keys disguised, for conformance replay")
	flags.StringVar(&f.caFile, "ca-file", "", "certificates to trust for https, a PEM `file`")
	flags.BoolVar(&f.opts.Insecure, "insecure", false, "don't check the server's certificate")
	f.addReport(cmd)
	cmd.AddCommand(newReplayCommand(), newDiffCommand())
	return cmd
}

// addReport adds the flags that say what becomes of a report.
func (f *conformanceFlags) addReport(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print the report (or the list) as JSON")
	cmd.Flags().StringVar(&f.junit, "junit", "", "also write the report to this `file`, in the XML form that CI systems read")
	cmd.Flags().StringVar(&f.colour, "color", "auto", "colours, `when`: auto, always or never")
}

// read turns the flags into options; every error is a wrong command line.
func (f *conformanceFlags) read() (err error) {
	if f.opts.Level, err = conformance.ParseLevel(f.level); err != nil {
		return err
	}
	if f.opts.Run, err = idPattern("run", f.run); err != nil {
		return err
	}
	if f.opts.Skip, err = idPattern("skip", f.skip); err != nil {
		return err
	}
	if f.base != "" {
		file, err := os.Open(f.base)
		if err != nil {
			return fmt.Errorf("--baseline %s: %w", f.base, reasonOf(err))
		}
		defer file.Close()
		if f.opts.Baseline, err = conformance.ReadBaseline(file); err != nil {
			return fmt.Errorf("--baseline %s: %w", f.base, err)
		}
	}
	if f.caFile != "" {
		pem, err := os.ReadFile(f.caFile)
		if err != nil {
			return fmt.Errorf("--ca-file %s: %w", f.caFile, reasonOf(err))
		}
		f.opts.RootCAs = x509.NewCertPool()
		if !f.opts.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("--ca-file %s: no certificate in it", f.caFile)
		}
	}
	if f.dump != "" {
		if f.opts.Dump, err = os.ReadFile(f.dump); err != nil {
			return fmt.Errorf("--dump %s: %w", f.dump, reasonOf(err))
		}
		if len(f.opts.Dump) == 0 {
			return fmt.Errorf("--dump %s: the file is empty", f.dump)
		}
	}
	if f.resume != "" {
		data, err := os.ReadFile(f.resume)
		if err != nil {
			return fmt.Errorf("--resume-from %s: %w", f.resume, reasonOf(err))
		}
		if err := json.Unmarshal(data, &f.opts.Resume); err != nil || f.opts.Resume == nil || f.opts.Resume.Key == "" {
			return fmt.Errorf("--resume-from %s: not a file that a run has left", f.resume)
		}
		if f.target.URL == "" {
			f.target.URL = f.opts.Resume.URL
		}
		if f.target.Contract == "" {
			f.target.Contract = f.opts.Resume.Param("contract")
		}
		if f.save == "" {
			f.save = f.resume
		}
	}
	for flag, file := range map[string]string{"junit": f.junit, "save": f.save, "record": f.record} {
		if err := checkOutput(flag, file); err != nil {
			return err
		}
	}
	switch f.colour {
	case "auto", "always", "never":
	default:
		return fmt.Errorf("--color %q: want auto, always or never", f.colour)
	}
	return nil
}

// idPattern reads the regular expression of a flag; nil if there is none.
func idPattern(flag, text string) (*regexp.Regexp, error) {
	if text == "" {
		return nil, nil
	}
	re, err := regexp.Compile(text)
	if cause, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, fmt.Errorf("--%s %q: this is no regular expression (%s); wanted one such as '^sftp/'", flag, text, cause.Code)
	}
	return re, err
}

// check looks at what a run needs beyond flags that can be read.
func (f *conformanceFlags) check() error {
	u, err := conformance.BaseURL(f.target.URL)
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	if f.target.PublicURL != "" {
		if _, err := conformance.BaseURL(f.target.PublicURL); err != nil {
			return fmt.Errorf("--public-url: %w", err)
		}
	}
	if f.target.SFTPAddr != "" {
		if _, port, err := net.SplitHostPort(f.target.SFTPAddr); err != nil || !isPort(port) {
			return fmt.Errorf("--sftp-addr %q: want HOST:PORT, as 127.0.0.1:2200", f.target.SFTPAddr)
		}
	}
	for name, d := range map[string]time.Duration{"timeout": f.opts.Timeout, "call-timeout": f.opts.CallTimeout, "pause": f.opts.Pause} {
		if d < 0 {
			return fmt.Errorf("--%s %v: want a time that is not negative, as 30s", name, d)
		}
	}
	if f.opts.Parallel < 0 {
		return fmt.Errorf("--parallel %d: want a number that is not negative", f.opts.Parallel)
	}
	if f.target.Contract == "" {
		return errors.New("--contract is needed: a reference that the server knows, such as M123456-abcdef")
	}
	if !f.opts.Production && !conformance.Loopback(u) {
		return fmt.Errorf("%s is not on this machine: if it is yours to ask, --production asks it as a shared platform must be asked: slowly, and with one request", u.Host)
	}
	if f.opts.Production && f.opts.Level == conformance.LevelAssumed {
		return errors.New("--level assumed is not for production: what is only assumed can't be held against it")
	}
	if err := f.selects(); err != nil {
		return err
	}
	if f.opts.Production && f.target.Email == "" {
		return errors.New("--production needs --email: the platform writes to it")
	}
	if f.opts.Production && f.save == "" {
		f.save = "upgrademock-conformance.json"
	}
	return nil
}

// isPort reports whether text is the number of a TCP port.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0
}

// selected are the checks that the flags leave, at a level.
func (f *conformanceFlags) selected(level conformance.Level) []conformance.Info {
	return slices.DeleteFunc(conformance.Checks(), func(c conformance.Info) bool {
		return !level.Covers(c.Evidence) || f.opts.Run != nil && !f.opts.Run.MatchString(c.ID) || f.opts.Skip != nil && f.opts.Skip.MatchString(c.ID) ||
			f.opts.Production && !c.Gentle
	})
}

// selects is the error of flags that leave no check to make.
func (f *conformanceFlags) selects() error {
	if len(f.selected(f.opts.Level)) > 0 {
		return nil
	}
	var flags []string
	for _, flag := range [][2]string{{"--run", f.run}, {"--skip", f.skip}} {
		if flag[1] != "" {
			flags = append(flags, fmt.Sprintf("%s %q", flag[0], flag[1]))
		}
	}
	if assumed := f.selected(conformance.LevelAssumed); len(assumed) > 0 && !f.opts.Production {
		return fmt.Errorf("%s: no check at --level %s is left; --level assumed has %d, as %s", strings.Join(flags, " "), f.opts.Level, len(assumed), assumed[0].ID)
	}
	return fmt.Errorf("%s: no check is left; conformance --list shows their ids", strings.Join(flags, " "))
}

// advice is what to do about a run that ended before its first check; "" where the error says it.
func (f *conformanceFlags) advice(err error) string {
	switch {
	case errors.Is(err, conformance.ErrContract):
		return "; give one that it knows with --contract"
	case errors.Is(err, conformance.ErrCertificate):
		return `; name the certificate of its authority with --ca-file FILE (the emulator's: "upgrademock ca path"), or check none with --insecure`
	case errors.Is(err, conformance.ErrNoServer):
		return "; is it running, and is --url right?"
	}
	return ""
}

func (f *conformanceFlags) do(cmd *cobra.Command) error {
	if err := f.read(); err != nil {
		return err
	}
	if f.list {
		if err := f.selects(); err != nil {
			return err
		}
		return failed(f.printList(cmd.OutOrStdout()))
	}
	if err := f.check(); err != nil {
		return err
	}
	if f.opts.Production && !f.yes {
		if err := f.askFirst(cmd); err != nil {
			return err
		}
	}
	if f.record != "" {
		file, err := os.OpenFile(f.record, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("--record: %w", err)
		}
		w := bufio.NewWriter(file)
		f.opts.Record = w
		f.closers = append(f.closers, w.Flush, file.Close)
	}
	var saved string
	if f.save != "" {
		f.opts.Save = func(s conformance.Saved) {
			data, err := json.MarshalIndent(s, "", "  ")
			if err == nil {
				err = os.WriteFile(f.save, data, 0o600)
			}
			saved = f.save
			if err != nil {
				saved = ""
				fmt.Fprintf(cmd.ErrOrStderr(), "upgrademock: the request to come back to could not be saved: %v\n", err)
			}
		}
	}
	rep, runErr := f.judge(cmd, func(ctx context.Context) (*conformance.Report, error) {
		return conformance.Run(ctx, f.target, &f.opts)
	})
	var err error
	for _, c := range f.closers {
		err = errors.Join(err, c())
	}
	if err != nil {
		return failed(fmt.Errorf("--record %s: %w", f.record, err))
	}
	if err := f.print(cmd, rep, runErr); err != nil {
		return err
	}
	if saved != "" && !f.json {
		fmt.Fprintf(cmd.OutOrStdout(), "The upgrade has not ended. To judge its outcome later:\n  upgrademock conformance --resume-from %s%s\nThe file holds the request's key.\n", saved, f.productionArgs())
	}
	return f.exit(rep, runErr)
}

func (f *conformanceFlags) productionArgs() string {
	if !f.opts.Production {
		return ""
	}
	return " --production --email " + f.target.Email
}

// judge runs with progress on a terminal.
func (f *conformanceFlags) judge(cmd *cobra.Command, run func(ctx context.Context) (*conformance.Report, error)) (*conformance.Report, error) {
	p := newProgress(cmd.ErrOrStderr(), f.json)
	f.opts.Observe = p.saw
	defer p.end()
	return run(cmd.Context())
}

// exit is the command's outcome for a report, and for the error of its run.
func (f *conformanceFlags) exit(rep *conformance.Report, err error) error {
	if err != nil {
		return failed(fmt.Errorf("%s%s", oneLine(err.Error()), f.advice(err)))
	}
	if !rep.OK() {
		return exitCode{code: exitFailed}
	}
	return nil
}

// askFirst shows what a run against production will do and asks for leave.
func (f *conformanceFlags) askFirst(cmd *cobra.Command) error {
	w := cmd.ErrOrStderr()
	var asked int
	for _, c := range conformance.Checks() {
		if c.Gentle {
			asked++
		}
	}
	fmt.Fprintf(w, "About to ask %s, a shared platform, with contract %s and the address %s:\n", f.target.URL, f.target.Contract, f.target.Email)
	if f.opts.Resume != nil {
		fmt.Fprintf(w, "  - look at request %s, made in an earlier run, and at what came of it\n", f.opts.Resume.ID)
	} else {
		fmt.Fprint(w, "  - some calls of create that must be refused, and make nothing\n")
		fmt.Fprint(w, "  - ONE request, with the aim test, for all other checks\n")
		fmt.Fprint(w, "  - one dump uploaded to it, SFTP access asked for, and the dump processed: people at the platform may look at it\n")
	}
	fmt.Fprintf(w, "  - up to %d checks, one call a second at most\n", asked)
	fmt.Fprint(w, "Go on? [y/N] ")
	line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return failed(errors.New("nothing was asked (--yes goes on without the question)"))
	}
	return nil
}

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
	cmd.Flags().StringVar(&f.level, "level", "", "how far to go, a `level`: documented, observed or assumed (default the recorded run's)")
	cmd.Flags().StringVar(&f.run, "run", "", "only the checks whose id matches this `regexp`")
	cmd.Flags().StringVar(&f.base, "baseline", "", "known deviations, a YAML `file`")
	f.addReport(cmd)
	return cmd
}

func newDiffCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "diff A B",
		Short: "Compare two reports (of --json) row by row of the contract",
		Long:  "diff compares two reports that --json printed, such as the mock's and production's, row by row of the wire contract.\n\nExit status: 0 no row is judged differently; 1 some are.",
		Args:  arguments(2, 2, "A B"),
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

// writeFile writes what f writes to a file.
func writeFile(name string, f func(io.Writer) error) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(f(file), file.Close())
}
