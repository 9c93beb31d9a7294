package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
	"github.com/upgrademock/upgrademock/internal/tty"
)

// The APIs of the platform, as --api names them.
const (
	apiAuto     = "auto"
	apiScript   = "script"
	apiDatabase = "database"
)

// firstScriptTarget is the first version for which the platform is reached by the script API only.
const firstScriptTarget = 14

// targetVersion is the number in a target: of 17.0, 17, v17 or saas~17.2.
var targetVersion = regexp.MustCompile(`^(?:v|saas[~-])?([0-9]{1,3})(\.[0-9]+)?$`)

// chooseAPI returns the API for a target.
func chooseAPI(api, target string) string {
	if api != apiAuto {
		return api
	}
	if m := targetVersion.FindStringSubmatch(target); m != nil {
		if n, _ := strconv.Atoi(m[1]); n >= firstScriptTarget {
			return apiScript
		}
	}
	return apiDatabase
}

// scriptTarget returns a target in the form that the platform knows: 18.0 for 18 and v18.
func scriptTarget(target string) string {
	m := targetVersion.FindStringSubmatch(target)
	if m == nil || strings.HasPrefix(target, "saas") {
		return target
	}
	return m[1] + cmp.Or(m[2], ".0")
}

// postgresFlags are the flags about the database on this side.
type postgresFlags struct {
	jobs           int
	restoreInto    string
	mergeFilestore string
}

func (p *postgresFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&p.jobs, "jobs", 4, "the `number` of tables that pg_dump and pg_restore work on at the same time")
	f.StringVar(&p.restoreInto, "restore-into", "",
		"make a database of this `name` of the upgraded dump, which must not exist (script API)")
	f.StringVar(&p.mergeFilestore, "merge-filestore", "",
		"copy the files that the upgrade made into this `directory`, the filestore of the database (script API)")
}

func (p *postgresFlags) options(a *app, cmd *cobra.Command) (workflow.Postgres, error) {
	if p.jobs < 1 || p.jobs > 1000 {
		return workflow.Postgres{}, usagef(cmd, "--jobs %d: expected a number from 1 to 1000", p.jobs)
	}
	_, ask := tty.File(a.stdin)
	return workflow.Postgres{Jobs: p.jobs, Ask: ask, Messages: a.stderr}, nil
}

// scriptFlags are the flags of run that only the script API has.
type scriptFlags struct {
	postgresFlags
	database string
	envVars  []string
}

func (s *scriptFlags) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.database, "database", "",
		"dump the database of this `name` with pg_dump, in place of --dump; its server is found by PGHOST, PGUSER and "+
			"libpq's other variables (script API)")
	f.StringArrayVar(&s.envVars, "env", nil, "a `NAME=VALUE` for the platform's upgrade (may be repeated; script API)")
	s.postgresFlags.register(cmd)
}

// only lists the flags of run that one of the APIs has.
var only = map[string][]string{
	apiScript: {"database", "env", "jobs", "restore-into", "merge-filestore"},
	apiDatabase: {"filename", "timezone", "via", "download-via", "sftp-from", "skip-test", "known-hosts",
		"accept-new-host-key"},
}

// checkAPI refuses flags that the chosen API does not have.
func checkAPI(cmd *cobra.Command, flag, api, target string) error {
	why := "--api " + api
	if flag == apiAuto {
		why = fmt.Sprintf("the target %s, for which --api auto chooses the %s API", target, api)
	}
	other := apiScript
	if api == apiScript {
		other = apiDatabase
	}
	for _, name := range only[other] {
		if cmd.Flags().Changed(name) {
			return usagef(cmd, "--%s cannot go with %s", name, why)
		}
	}
	return nil
}

// runScript goes the whole way by the script API.
func (r *runFlags) runScript(a *app, cmd *cobra.Command) error {
	p := client.ScriptParams{Contract: r.options.Params.Contract, Target: scriptTarget(r.options.Params.Target),
		Aim: r.options.Params.Aim, EnvVars: r.script.envVars}
	if cmd.Flags().Changed("email") {
		fmt.Fprintln(a.stderr, "odoo-upgrade: --email has no effect: the script API takes no address")
	}
	dump, database := r.options.Dump, r.script.database
	if err := r.checkScript(cmd, p, dump, database); err != nil {
		return err
	}
	out := cmp.Or(r.options.Out, "upgraded_"+safeName(cmp.Or(database, dumpName(dump))))
	o := workflow.ScriptOptions{Params: p, Dump: dump, Stdin: a.stdin, Database: database, Out: filepath.Clean(out),
		StateFile: cmp.Or(r.state, filepath.Clean(out)+".upgrade-state.json"), NewRequest: r.options.NewRequest,
		RestoreInto: r.script.restoreInto, MergeFilestore: r.script.mergeFilestore,
		ConfirmFirst: func() error { return a.confirm(p.Aim, r.yes, "create a request") }}
	files := []namedFile{{what: "--state", path: o.StateFile, written: true}}
	if info, err := os.Stat(dump); err == nil && info.Mode().IsRegular() {
		files = append(files, namedFile{what: "--dump", path: dump})
	}
	if dump == "-" {
		files = append(files, namedFile{what: "standard input", open: a.stdin})
	}
	if err := a.distinct(cmd, &r.ssh, files...); err != nil {
		return err
	}
	var err error
	if o.Postgres, err = r.script.options(a, cmd); err != nil {
		return err
	}
	return a.scriptWay(cmd, &r.wait, &r.ssh, o, func(ctx context.Context, o workflow.ScriptOptions) (
		*workflow.ScriptResult, error) {
		return workflow.RunScript(ctx, o)
	})
}

func (r *runFlags) checkScript(cmd *cobra.Command, p client.ScriptParams, dump, database string) error {
	for _, f := range []struct{ name, value string }{
		{"contract", p.Contract}, {"target", p.Target}, {"aim", p.Aim},
	} {
		if f.value == "" {
			return usagef(cmd, "--%s is missing", f.name)
		}
	}
	switch {
	case dump == "" && database == "":
		return usagef(cmd, "--dump is missing, or --database to make one")
	case dump != "" && database != "":
		return usagef(cmd, "--dump and --database exclude each other")
	}
	for _, v := range p.EnvVars {
		if name, _, ok := strings.Cut(v, "="); !ok || name == "" || strings.ContainsAny(v, "\n\x00") {
			return usagef(cmd, "--env %q: expected NAME=value", v)
		}
	}
	return r.ssh.check(cmd)
}

// dumpName returns the name of a dump without its folder and suffix.
func dumpName(dump string) string {
	if dump == "-" {
		return "database"
	}
	name := filepath.Base(filepath.Clean(dump))
	for _, suffix := range []string{".sql.gz", ".sql", ".dump", ".zip"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && base != "" {
			return base
		}
	}
	return name
}

// scriptWay runs a part of the way, with what all of them need.
func (a *app) scriptWay(cmd *cobra.Command, wait *waitFlags, keys *sshFlags, o workflow.ScriptOptions,
	way func(context.Context, workflow.ScriptOptions) (*workflow.ScriptResult, error)) error {
	poll, err := wait.options(cmd)
	if err != nil {
		return err
	}
	o.Wait = client.ScriptWaitOptions{Interval: poll.Interval, MaxInterval: max(poll.Interval, 5*time.Second),
		MaxOutage: poll.MaxOutage}
	o.Retry = client.RetryOptions{Min: wait.interval, Limit: min(wait.outage, 10*time.Minute)}
	if o.Client, err = a.connect(cmd); err != nil {
		return err
	}
	if _, err := o.Client.Script(); err != nil {
		return usageError{err, cmd.CommandPath()}
	}
	if len(keys.keyFiles) > 0 || keys.agent {
		// A key that cannot be used shows now, and not when the platform waits for the dump.
		signers, err := keys.signers(a)
		if err != nil {
			return err
		}
		o.Signers = func() ([]ssh.Signer, error) { return signers, nil }
	}
	report := &reporter{a: a, bars: a.newBars()}
	log := &logLines{show: report.log}
	o.Report, o.Log = report, log
	ctx, cancel := withTimeout(cmd.Context(), wait.timeout, "it has run")
	defer cancel()
	began := time.Now()
	res, err := way(ctx, o)
	log.end()
	report.bars.end()
	if sig := (signalError{}); errors.As(err, &sig) || errors.As(context.Cause(ctx), &sig) {
		return fmt.Errorf("%w. The same command continues where it was", context.Cause(ctx))
	}
	if err != nil {
		return scriptError(err)
	}
	return a.showScriptResult(res, time.Since(began))
}

// exitError is an error with an exit code of its own.
type exitError struct {
	error
	code int
}

func (e exitError) Unwrap() error { return e.error }

// refusedCode is the exit code for what the platform refused or cancelled.
const refusedCode = 3

// scriptError gives an error of the script API its exit code.
func scriptError(err error) error {
	if err == nil {
		return nil
	}
	if ended, ok := errors.AsType[*client.ScriptEndedError](err); ok && ended.State == client.ScriptCancelled {
		return exitError{err, refusedCode}
	}
	if refused, ok := errors.AsType[*client.Error](err); ok && len(refused.Failures) > 0 {
		return exitError{err, refusedCode}
	}
	return err
}

func (a *app) showScriptResult(res *workflow.ScriptResult, took time.Duration) error {
	if a.json {
		return writeJSONLine(a.secrets.wrap(a.stdout), map[string]any{
			"event": "finished", "request": res.Request, "out": res.Dump, "filestore": res.Filestore, "report": res.Report,
			"log": res.Log, "bytes": res.Size, "database": res.Database, "merged": res.Merged, "already": res.Already,
			"seconds": took.Seconds(),
		})
	}
	rows := [][2]string{
		{"request", res.Request}, {"upgraded dump", res.Dump}, {"filestore", res.Filestore}, {"report", res.Report},
		{"log", res.Log}, {"size", workflow.Size(res.Size)}, {"database", res.Database}, {"merged into", res.Merged},
	}
	if res.Already {
		rows = append(rows, [2]string{"note",
			"an earlier run had finished this; for another upgrade: --new-request"})
	}
	return table(a.secrets.wrap(a.stdout), rows...)
}

// log shows lines of the upgrade's log: to people on standard error, and to programs as events.
func (r *reporter) log(lines string) {
	r.bars.end()
	if r.a.json {
		for line := range strings.Lines(lines) {
			_ = writeJSONLine(r.a.secrets.wrap(r.a.stdout),
				map[string]any{"event": "log", "text": clean(strings.TrimRight(line, "\r\n"))})
		}
		return
	}
	_, _ = io.WriteString(r.a.stderr, clean(lines))
	if r.bars.wait != nil {
		r.bars.wait.logged(lines)
	}
}
