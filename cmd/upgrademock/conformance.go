package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/conformance"
	"github.com/upgrademock/upgrademock/internal/shard"
	"github.com/upgrademock/upgrademock/internal/version"
)

// conformanceFlags are the flags of a run.
type conformanceFlags struct {
	target  conformance.Target
	opts    conformance.Options
	api     string
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
	shard   string
	part    shard.Shard
	of      []string // the ids of the checks of all shards
	nothing bool     // the shard has no check
	report  *reportFile
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

The platform has two APIs, and each has checks of its own: those of the script API begin with
script/. A server is judged by what it has; --api says which one it must have. The checks of wipe
archive all requests of a contract that they make up, or of the one given if no other is known.

A server that is not on this machine needs --production: then one request with the aim test serves
all checks of an API, with a second between calls, a plan is shown and a question asked first. A real
upgrade takes hours: the run ends without its outcome and --resume-from comes back to it.

Exit status: 0 the server passes; 1 a check failed or could not be judged; 2 a wrong command line.`,
		Example: `  upgrademock conformance --url http://127.0.0.1:8480 --contract M123456-abcdef
  upgrademock conformance --url http://127.0.0.1:8480 --contract M123456-abcdef --run '^sftp/' --level assumed
  upgrademock conformance --url https://127.0.0.1:8443 --ca-file "$(upgrademock ca path)" \
    --contract M123456-abcdef --api script
  upgrademock conformance --list`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.do(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.target.URL, "url", "", "base `URL` of the server, under which /database/v1/ and /upgrade/ lie")
	flags.StringVar(&f.target.Contract, "contract", "", "`reference` of a contract that the server knows")
	flags.StringVar(&f.target.Email, "email", "",
		"`email` given to create (default john.doe@example.com; needed with --production for the database API)")
	flags.StringVar(&f.target.UnknownContract, "unknown-contract", "",
		"`reference` that the server does not know (default M123456-abcxyz)")
	flags.StringVar(&f.target.Region, "region", "", "the region that answers' URLs `name` (default eu1)")
	flags.StringVar(&f.target.PublicURL, "public-url", "", "base `URL` of the URLs in answers (default --url)")
	flags.StringVar(&f.target.SFTPAddr, "sftp-addr", "",
		"`address` to reach the SFTP server at (default what answers name)")
	flags.StringVar(&f.api, "api", "",
		"judge this `API`: database, script or all (default what the server has)")
	flags.StringVar(&f.level, "level", string(conformance.LevelObserved),
		"how far to go, a `level`: documented, observed or assumed")
	flags.StringVar(&f.run, "run", "", "only the checks whose id matches this `regexp`")
	flags.StringVar(&f.skip, "skip", "", "not the checks whose id matches this `regexp`")
	flags.StringVar(&f.shard, "shard", "", shardUsage)
	flags.BoolVar(&f.list, "list", false, "list the checks and ask nothing")
	flags.BoolVar(&f.opts.FailFast, "fail-fast", false, "leave the rest out after the first failure")
	flags.DurationVar(&f.opts.Timeout, "timeout", 0,
		"how long the whole run may take (default 10m and twice --wait)")
	flags.DurationVar(&f.opts.CallTimeout, "call-timeout", 0,
		"how long one call may take (default 10s; 1m with --production)")
	flags.DurationVar(&f.opts.Wait, "wait", 0,
		"how long to wait for an upgrade to end (default 30s; not at all with --production)")
	flags.DurationVar(&f.opts.Pause, "pause", 0,
		"least time between two calls (default none; 1s with --production, and no less for another machine)")
	flags.IntVar(&f.opts.Parallel, "parallel", 0, "`number` of checks at a time (default 4; always 1 with --production)")
	flags.Uint64Var(&f.opts.Seed, "seed", 0, "`number` from which dumps and parameters are made")
	flags.BoolVar(&f.opts.Production, "production", false,
		"the server is a shared platform: ask it slowly, and with one request")
	flags.BoolVar(&f.yes, "yes", false, "with --production: don't ask before beginning")
	flags.StringVar(&f.dump, "dump", "",
		"a dump that the server can upgrade, as a `file` (default a small one that comes with the suite)")
	flags.StringVar(&f.resume, "resume-from", "",
		"judge the outcome of the request that an earlier run left in this `file`")
	flags.StringVar(&f.save, "save", "",
		"where to leave a request whose upgrade has not ended, a `file` (with --production default "+
			"upgrademock-conformance.json)")
	flags.StringVar(&f.base, "baseline", "",
		"known deviations, a YAML `file`: known: [{id, reason, expires: 2026-12-31}]")
	flags.StringVar(&f.record, "record", "",
		"record every exchange to this `file`, keys disguised, for conformance replay")
	flags.StringVar(&f.caFile, "ca-file", "", "certificates to trust for https, a PEM `file`")
	flags.BoolVar(&f.opts.Insecure, "insecure", false, "don't check the server's certificate")
	f.addReport(cmd)
	cmd.AddCommand(newReplayCommand(), newDiffCommand())
	return cmd
}

// addReport adds the flags that say what becomes of a report.
func (f *conformanceFlags) addReport(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print the report (or the list) as JSON")
	cmd.Flags().StringVar(&f.junit, "junit", "",
		"also write the report to this `file`, in the XML form that CI systems read")
	cmd.Flags().StringVar(&f.colour, "color", "auto", "colours, `when`: auto, always or never")
}

// advice is what to do about a run that ended before its first check; "" where the error says it.
func (f *conformanceFlags) advice(err error) string {
	switch {
	case errors.Is(err, conformance.ErrContract):
		return "; give one that it knows with --contract"
	case errors.Is(err, conformance.ErrCertificate):
		return "; name the certificate of its authority with --ca-file FILE " +
			`(the emulator's: "upgrademock ca path"), or check none with --insecure`
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
	var err error
	if f.report, err = openReport("junit", f.junit); err != nil {
		return err
	}
	defer f.report.Close()
	if f.nothing {
		return f.print(cmd, &conformance.Report{Target: f.target.URL, Level: f.opts.Level, Version: version.String(),
			Shard: f.part.String(), Of: f.of, Results: []conformance.Result{}}, nil)
	}
	if f.opts.Production && !f.yes {
		if err := f.askFirst(cmd); err != nil {
			return err
		}
	}
	if f.record != "" {
		file, err := os.OpenFile(f.record, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return fmt.Errorf("--record %s: %w; name a file that can be written", f.record, reasonOf(err))
		}
		w := bufio.NewWriter(file)
		f.opts.Record = w
		f.closers = append(f.closers, w.Flush, file.Close)
	}
	var saved []string // a file for each API
	if f.save != "" {
		f.opts.Save = func(s conformance.Saved) {
			name := f.save
			if len(saved) > 0 {
				ext := filepath.Ext(name)
				name = strings.TrimSuffix(name, ext) + "-" + string(s.API) + ext
			}
			if err := writeSaved(name, s); err != nil {
				say(cmd.ErrOrStderr(), "conformance: the request to come back to could not be saved: %v", err)
				return
			}
			saved = append(saved, name)
		}
	}
	rep, runErr := f.judge(cmd, func(ctx context.Context) (*conformance.Report, error) {
		return conformance.Run(ctx, f.target, &f.opts)
	})
	rep.Shard, rep.Of = f.part.String(), f.of
	for _, c := range f.closers {
		err = errors.Join(err, c())
	}
	if err != nil {
		err = failed(fmt.Errorf("--record %s: %w", f.record, reasonOf(err)))
	}
	if err := errors.Join(f.print(cmd, rep, runErr), err); err != nil { // it is printed whatever became of the recording
		return err
	}
	if len(saved) > 0 && !f.json {
		fmt.Fprintln(cmd.OutOrStdout(), "The upgrade has not ended. To judge its outcome later:")
		for _, name := range saved {
			fmt.Fprintf(cmd.OutOrStdout(), "  upgrademock conformance --resume-from %s%s\n", name, f.productionArgs())
		}
		fmt.Fprintln(cmd.OutOrStdout(), "The file holds what opens the request.")
	}
	if err := ended(cmd.Context()); err != nil {
		return err
	}
	return f.exit(rep, runErr)
}

// writeSaved leaves a request to come back to.
func writeSaved(name string, s conformance.Saved) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}

func (f *conformanceFlags) productionArgs() string {
	if !f.opts.Production {
		return ""
	}
	if f.target.Email == "" {
		return " --production"
	}
	return " --production --email " + f.target.Email
}

// judge runs with progress on a terminal.
func (f *conformanceFlags) judge(cmd *cobra.Command,
	run func(ctx context.Context) (*conformance.Report, error)) (*conformance.Report, error) {
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
	asked := map[conformance.API]int{}
	for _, c := range f.selected(f.opts.Level) {
		asked[c.API]++
	}
	fmt.Fprintf(w, "About to ask %s, a shared platform, with contract %s", f.target.URL, f.target.Contract)
	if f.target.Email != "" {
		fmt.Fprintf(w, " and the address %s", f.target.Email)
	}
	fmt.Fprintln(w, ":")
	if f.opts.Resume != nil {
		fmt.Fprintf(w, "  - look at request %s, made in an earlier run, and at what came of it\n", f.opts.Resume.ID)
	} else {
		if asked[conformance.APIDatabase] > 0 {
			fmt.Fprint(w, "  - of /database/v1, if it is there: some calls of create that must be refused, and make "+
				"nothing\n  - ONE request, with the aim test, for all other checks of it\n"+
				"  - one dump uploaded to it, SFTP access asked for, and the dump processed: people at the "+
				"platform may look at it\n")
		}
		if asked[conformance.APIScript] > 0 {
			fmt.Fprint(w, "  - of the script API, if it is there: some calls with a token that is none, which must be "+
				"refused\n  - ONE request, with the aim test, for all other checks of it\n"+
				"  - one dump sent to it by rsync, and processed\n")
		}
	}
	fmt.Fprintf(w, "  - up to %d checks, one call a second at most\n",
		asked[conformance.APIDatabase]+asked[conformance.APIScript])
	fmt.Fprint(w, "Go on? [y/N] ")
	line, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(line)); a != "y" && a != "yes" {
		return failed(errors.New("nothing was asked (--yes goes on without the question)"))
	}
	return nil
}
