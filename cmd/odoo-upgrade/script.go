package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
		"copy the files that the upgrade made into this `folder`, the filestore of the database (script API)")
}

func (p *postgresFlags) options(a *app, cmd *cobra.Command) (workflow.Postgres, error) {
	if p.jobs < 1 || p.jobs > 1000 {
		return workflow.Postgres{}, usagef(cmd, "--jobs %d: expected a number from 1 to 1000", p.jobs)
	}
	_, ask := terminal(a.stdin)
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
	f.StringArrayVar(&s.envVars, "env", nil, "a `NAME=value` for the platform's upgrade (may be repeated; script API)")
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
	o.Wait = client.ScriptWaitOptions{Interval: poll.Interval, MaxOutage: poll.MaxOutage}
	if !cmd.Flags().Changed("interval") {
		o.Wait.Interval = 0 // the script API's own
	}
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
}

// logLines shows what is written to it by whole lines, so that no character and no secret is cut in two.
type logLines struct {
	show func(lines string)
	rest []byte
}

// maxLogLine is how long a line may be before a part of it is shown.
const maxLogLine = 256 << 10

func (l *logLines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	if end := bytes.LastIndexByte(l.rest, '\n') + 1; end > 0 {
		l.show(string(l.rest[:end]))
		l.rest = append(l.rest[:0], l.rest[end:]...)
	}
	if len(l.rest) > maxLogLine {
		l.end()
	}
	return len(p), nil
}

// Pending returns how many bytes are not shown yet.
func (l *logLines) Pending() int64 { return int64(len(l.rest)) }

// end shows what is left.
func (l *logLines) end() {
	if len(l.rest) > 0 {
		l.show(string(l.rest) + "\n")
		l.rest = l.rest[:0]
	}
}

// scriptRefFlags are the flags that name a request of the script API.
type scriptRefFlags struct{ state string }

func (r *scriptRefFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.state, "state", "",
		"take request, token and platform from this state `file`; without it, the token is taken from UPGRADE_TOKEN")
}

// ref returns the request, and makes its token a secret. The token is never given on the command line, where other
// users of the machine could see it. state is nil without a file.
func (r *scriptRefFlags) ref(a *app, cmd *cobra.Command) (client.ScriptRef, *workflow.ScriptState, error) {
	if r.state == "" {
		token := client.Key(a.getenv("UPGRADE_TOKEN"))
		if token == "" {
			return client.ScriptRef{}, nil, usagef(cmd, "which request? Give --state, or its token in UPGRADE_TOKEN")
		}
		a.secrets.add(token)
		return client.ScriptRef{ID: "of that token", Token: token}, nil, nil
	}
	s, err := workflow.LoadScript(r.state)
	switch {
	case err != nil:
		return client.ScriptRef{}, nil, err
	case s == nil:
		return client.ScriptRef{}, nil, usagef(cmd, "there is no state file %s", r.state)
	case s.Token == "":
		return client.ScriptRef{}, nil, usagef(cmd, "%s was left by a run that has no request yet", r.state)
	}
	if !cmd.Flags().Changed("url") && a.getenv("UPGRADE_URL") == "" {
		a.url = s.URL
	}
	ref := s.Ref()
	ref.Host = "" // the platform's first answer says it
	a.secrets.add(ref.Token)
	return ref, s, nil
}

// connectScript makes the client of the script API.
func (a *app) connectScript(cmd *cobra.Command) (*client.Script, error) {
	c, err := a.connect(cmd)
	if err != nil {
		return nil, err
	}
	s, err := c.Script()
	if err != nil {
		return nil, usageError{err, cmd.CommandPath()}
	}
	return s, nil
}

// locate asks for the status, which names the host that the request is assigned to.
func (a *app) locate(ctx context.Context, s *client.Script, ref *client.ScriptRef) (*client.ScriptStatus, error) {
	var status *client.ScriptStatus
	err := a.patient(ctx, func(ctx context.Context) (err error) {
		status, err = s.Status(ctx, *ref)
		return err
	})
	if err == nil {
		ref.Host = status.Host
	}
	return status, err
}

func (a *app) logsCommand() *cobra.Command {
	var flags scriptRefFlags
	var from int64
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs",
		Short: "Print the log of an upgrade (script API)",
		Long: `Print the log of an upgrade to standard output, each byte once. With --follow, go on until the upgrade has
ended; the exit code is then that of the upgrade.`,
	}
	flags.register(cmd)
	cmd.Flags().Int64Var(&from, "from", 0, "leave out so many `bytes` of the log")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "print what is added until the upgrade has ended")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if from < 0 {
			return usagef(cmd, "--from cannot be negative")
		}
		ref, _, err := flags.ref(a, cmd)
		if err != nil {
			return err
		}
		s, err := a.connectScript(cmd)
		if err != nil {
			return err
		}
		lines := &logLines{show: func(text string) { _, _ = io.WriteString(a.secrets.wrap(a.stdout), clean(text)) }}
		defer lines.end()
		if follow {
			_, err := s.Wait(cmd.Context(), ref, &client.ScriptWaitOptions{Log: lines, LogFrom: from, OnRetry: a.reportRetry})
			return scriptError(err)
		}
		if _, err := a.locate(cmd.Context(), s, &ref); err != nil {
			return scriptError(err)
		}
		for {
			before := from
			err := a.patient(cmd.Context(), func(ctx context.Context) (err error) {
				from, err = s.Logs(ctx, ref, from, lines)
				return err
			})
			if err != nil || from == before {
				return scriptError(err)
			}
		}
	}
	return cmd
}

func (a *app) wipeCommand() *cobra.Command {
	var flags scriptRefFlags
	var contract string
	var yes bool
	cmd := &cobra.Command{
		Use:   "wipe",
		Short: "Have the platform remove the dumps of a contract (script API)",
		Long: `Have the platform remove the dumps of all requests of a contract, of which the state file or UPGRADE_TOKEN
names one. What is being upgraded is cancelled. On a terminal, wipe asks before; elsewhere it needs --yes.`,
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&contract, "contract", a.getenv("UPGRADE_CONTRACT"),
		"the `code` of the Enterprise contract (UPGRADE_CONTRACT; default: that of the state file)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ref, state, err := flags.ref(a, cmd)
		if err != nil {
			return err
		}
		if state != nil && !cmd.Flags().Changed("contract") {
			contract = cmp.Or(state.Contract, contract)
		}
		if contract == "" {
			return usagef(cmd, "--contract is missing")
		}
		s, err := a.connectScript(cmd)
		if err != nil {
			return err
		}
		if !yes {
			ok, err := a.ask(fmt.Sprintf("This removes the dumps of all requests of the contract %s from the platform, "+
				"and cancels what is being upgraded. Go on?", contract))
			if errors.Is(err, errNobody) {
				return errors.New("this would remove the dumps of all requests of the contract, " +
					"and there is no terminal to ask on: add --yes")
			}
			if err == nil && !ok {
				err = errors.New("not confirmed; nothing was done")
			}
			if err != nil {
				return err
			}
		}
		if _, err := a.locate(cmd.Context(), s, &ref); err != nil {
			return scriptError(err)
		}
		var wiped *client.Wiped
		err = a.patient(cmd.Context(), func(ctx context.Context) (err error) {
			wiped, err = s.Wipe(ctx, contract, ref)
			return err
		})
		if err != nil {
			return scriptError(err)
		}
		if err := a.done(fmt.Sprintf("Removed: %s.", cmp.Or(strings.Join(wiped.Wiped, ", "), "nothing was left")),
			map[string]any{"wiped": wiped.Wiped, "failed": wiped.Failed}); err != nil {
			return err
		}
		if len(wiped.Failed) > 0 {
			return fmt.Errorf("the platform could not remove those of the requests %s; try again later",
				strings.Join(wiped.Failed, ", "))
		}
		return nil
	}
	return cmd
}

func (a *app) restoreCommand() *cobra.Command {
	var flags scriptRefFlags
	var wait waitFlags
	var keys sshFlags
	var pg postgresFlags
	var out string
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Download and restore the result of an upgrade that is done (script API)",
		Long: `Download what an upgrade has made, and restore it with --restore-into and --merge-filestore. The request is that
of a state file of "run", or that of the token in UPGRADE_TOKEN; then --ssh-key names the key that the request was created
with. What was downloaded before is not downloaded again.`,
	}
	flags.register(cmd)
	pg.register(cmd)
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "the `folder` to download to, if there is no state file (default: upgraded)")
	f.StringArrayVar(&keys.keyFiles, "ssh-key", nil, "log in with the private key in this `file` (may be repeated)")
	f.BoolVar(&keys.agent, "ssh-agent", false, "log in with the keys of the ssh-agent")
	wait.registerRetries(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		defer keys.close()
		ref, state, err := flags.ref(a, cmd)
		if err != nil {
			return err
		}
		o := workflow.ScriptOptions{Out: filepath.Clean(cmp.Or(out, "upgraded")), StateFile: flags.state,
			RestoreInto: pg.restoreInto, MergeFilestore: pg.mergeFilestore}
		if state != nil {
			if out != "" {
				return usagef(cmd, "--out cannot go with --state, which has the folder already: %s", state.Out)
			}
			o.Out = state.Out
		} else {
			if len(keys.keyFiles) == 0 && !keys.agent {
				return usagef(cmd, "--ssh-key is missing: the key that the request was created with")
			}
			o.StateFile = o.Out + ".upgrade-state.json"
			if err := free(cmd, o.Out, o.StateFile); err != nil {
				return err
			}
		}
		if o.Postgres, err = pg.options(a, cmd); err != nil {
			return err
		}
		return a.scriptWay(cmd, &wait, &keys, o, func(ctx context.Context, o workflow.ScriptOptions) (
			*workflow.ScriptResult, error) {
			return workflow.RestoreScript(ctx, o, ref)
		})
	}
	return cmd
}

// free refuses a folder with files that no earlier restore has left there.
func free(cmd *cobra.Command, out, state string) error {
	if _, err := os.Lstat(state); err == nil {
		return nil
	}
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return usagef(cmd, "--out %s cannot be used: %v", out, reason(err))
	}
	return usagef(cmd, "--out %s is not empty, and no earlier restore has made it: name another folder", out)
}
