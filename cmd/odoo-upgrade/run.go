package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
	"github.com/upgrademock/upgrademock/internal/helptext"
)

// runFlags are the flags of run.
type runFlags struct {
	options      workflow.Options
	wait         waitFlags
	ssh          sshFlags
	script       scriptFlags
	api          string
	state        string
	yes          bool
	sftpFromMiB  int64
	loginSigners []ssh.Signer // of ssh; nil before they are needed
}

func (r *runFlags) register(a *app, cmd *cobra.Command) {
	f, o := cmd.Flags(), &r.options
	a.orderFlags(cmd, &o.Params)
	f.Lookup("filename").Usage = "the dump's `name` at the platform (default: its file's name)"
	f.StringVar(&r.api, "api", apiAuto,
		"the platform's `API`: database, script, or auto, which is script for targets from 14.0 on")
	f.StringVar(&o.Dump, "dump", "",
		"the `file` with the dump, or - to read it from standard input "+
			"(it is kept in a file beside the state file until the end); for the script API also a folder")
	f.StringVar(&o.Out, "out", "",
		"the `file` to write the upgraded dump to, for the script API the folder of the results "+
			"(default: upgraded_ and the dump's name, in this folder, where that is free)")
	f.StringVar(&r.state, "state", "",
		"the `file` to note in how far the run is (default: --out with .upgrade-state.json added)")
	f.StringVar(&o.Via, "via", workflow.Auto, "the `protocol` to upload with: auto, https or sftp")
	f.StringVar(&o.DownloadVia, "download-via", workflow.HTTPS, "the `protocol` to download with: https or sftp")
	f.Int64Var(&r.sftpFromMiB, "sftp-from", 256, "the `size` in MiB from which on --via auto chooses SFTP")
	f.BoolVar(&o.NewRequest, "new-request", false, "begin anew, whatever an earlier run has done")
	f.BoolVar(&o.SkipTest, "skip-test", false, "end the platform's test phase as soon as it begins")
	f.BoolVar(&r.yes, "yes", false, "do not ask before creating a production request at the real platform")
	r.script.register(cmd)
	r.wait.register(cmd)
	r.ssh.register(cmd)
	_ = cmd.RegisterFlagCompletionFunc("via", helptext.Choose("auto", "https", "sftp"))
}

// check refuses flags that are missing or wrong.
func (r *runFlags) check(cmd *cobra.Command) error {
	o := &r.options
	if err := cmp.Or(complete(cmd, &o.Params), r.ssh.check(cmd)); err != nil {
		return err
	}
	switch {
	case o.Dump == "":
		return usagef(cmd, "--dump is missing")
	case o.Via != workflow.Auto && o.Via != workflow.HTTPS && o.Via != workflow.SFTP:
		return usagef(cmd, "--via %q: choose auto, https or sftp", o.Via)
	case o.DownloadVia != workflow.HTTPS && o.DownloadVia != workflow.SFTP:
		return usagef(cmd, "--download-via %q: choose https or sftp", o.DownloadVia)
	case r.sftpFromMiB < 0:
		return usagef(cmd, "--sftp-from cannot be negative")
	}
	return nil
}

// nameFiles chooses the names that were not given, and refuses two that are one file.
func (r *runFlags) nameFiles(a *app, cmd *cobra.Command) error {
	o := &r.options
	if o.Params.Filename == "" {
		o.Params.Filename = "database.dump"
		if o.Dump != "-" {
			o.Params.Filename = filepath.Base(o.Dump)
		}
	}
	if o.Out == "" {
		o.Out, o.KeepOut = "upgraded_"+safeName(o.Params.Filename), true
	}
	o.StateFile = cmp.Or(r.state, o.Out+".upgrade-state.json")
	dump := namedFile{what: "--dump", path: o.Dump}
	if o.Dump == "-" {
		dump = namedFile{what: "standard input", open: a.stdin}
	}
	return a.distinct(cmd, &r.ssh, dump, namedFile{what: "--out", path: o.Out, written: true},
		namedFile{what: "--state", path: o.StateFile, written: true})
}

// complete fills in the options that are not flags.
func (r *runFlags) complete(a *app, cmd *cobra.Command) error {
	o := &r.options
	var err error
	if o.Wait, err = r.wait.options(cmd); err != nil {
		return err
	}
	o.Retry = client.RetryOptions{Min: r.wait.interval}
	if o.Client, err = a.connect(cmd); err != nil {
		return err
	}
	if o.HostKeys, err = r.ssh.hostKeys(a); err != nil && o.Via == workflow.SFTP {
		return err
	}
	o.Signers = func() ([]ssh.Signer, error) {
		var err error
		if r.loginSigners == nil {
			r.loginSigners, err = r.ssh.signers(a)
		}
		return r.loginSigners, err
	}
	// A key that cannot be used shows now, and not when the platform waits for the dump.
	if len(r.ssh.keyFiles) > 0 || r.ssh.agent {
		if _, err := o.Signers(); err != nil {
			return err
		}
	}
	o.Stdin, o.SFTPFrom = a.stdin, r.sftpFromMiB<<20
	o.ConfirmFirst = func() error { return a.confirm(o.Params.Aim, r.yes, "create a request") }
	return nil
}

func (a *app) runCommand() *cobra.Command {
	var flags runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Go the whole way: create, upload, process, wait, download",
		Long: `Create a request, upload the dump, have it processed, wait, and download the upgraded dump to --out.

How far it is, is noted in a state file beside --out. After a crash, an interruption (Ctrl-C) or a failure the same
command continues where it was: it never creates a second request and never uploads what has arrived. The state file
holds the request's key; it is readable for its owner only. When everything is done it stays, so that calling the
command once more does nothing; another dump begins a new upgrade.

Should the process be killed in the very moment in which the platform answers create, nobody can know whether there is
a request. Then run stops and asks for --new-request, which begins anew (and sets aside what was noted).

--via auto uses SFTP, which can resume, for dumps from --sftp-from on, and HTTPS for smaller ones or when SFTP can't be
reached. A key to log in with is made for the occasion unless --ssh-key or --ssh-agent is given.

For targets from 14.0 on, and with --api script, the platform is called by https and rsync as its upgrade script does
it. Then --dump may be a folder as "pg_dump -Fd" makes it, or --database has pg_dump make one; files that have arrived
are not sent again. The log of the upgrade is shown while it grows. --out is a folder for the upgraded dump, filestore,
upgrade-report.html and upgrade.log. --restore-into makes a database of the dump, and --merge-filestore copies the
files. The key to log in with is kept in the state file. Another dump needs --new-request, which keeps earlier results
under another name. Exit code 3 says that the platform has refused or cancelled the upgrade, and 1 that it failed.

With --json every step is one line of JSON; the last one has "event": "finished" or "error".`,
		Example: `  odoo-upgrade run --contract M123456-abcdef --target 17.0 --aim test \
      --dump db.dump --out upgraded
  odoo-upgrade run --contract M123456-abcdef --target 17.0 --aim test \
      --database db --restore-into db_17
  odoo-upgrade run --contract M123456-abcdef --target 8.0 --aim test \
      --email john.doe@example.com --dump db.dump --out upgraded.dump
  pg_dump -Fc db | odoo-upgrade run --dump - --out upgraded.dump …`,
	}
	flags.register(a, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		defer flags.ssh.close()
		if flags.api != apiAuto && flags.api != apiScript && flags.api != apiDatabase {
			return usagef(cmd, "--api %q: choose auto, script or database", flags.api)
		}
		api := chooseAPI(flags.api, flags.options.Params.Target)
		if err := checkAPI(cmd, flags.api, api, flags.options.Params.Target); err != nil {
			return err
		}
		if api == apiScript {
			return flags.runScript(a, cmd)
		}
		if err := flags.check(cmd); err != nil {
			return err
		}
		if err := flags.nameFiles(a, cmd); err != nil {
			return err
		}
		if err := flags.complete(a, cmd); err != nil {
			return err
		}
		report := &reporter{a: a, bars: a.newBars()}
		flags.options.Report = report
		ctx, cancel := withTimeout(cmd.Context(), flags.wait.timeout, "it has run")
		defer cancel()
		began := time.Now()
		res, err := workflow.Run(ctx, flags.options)
		report.bars.end()
		if sig := (signalError{}); errors.As(err, &sig) || errors.As(context.Cause(ctx), &sig) {
			return fmt.Errorf("%w. The same command continues where it was", context.Cause(ctx))
		}
		if err != nil {
			return err
		}
		return a.showResult(res, time.Since(began))
	}
	return cmd
}

func (a *app) showResult(res *workflow.Result, took time.Duration) error {
	if a.json {
		return writeJSONLine(a.secrets.wrap(a.stdout), map[string]any{
			"event": "finished", "request": res.Request, "out": res.Out.Path, "bytes": res.Out.Size,
			"sha256": res.Out.SHA256, "already": res.Already, "seconds": took.Seconds(),
		})
	}
	rows := [][2]string{
		{"request", fmt.Sprint(res.Request)},
		{"upgraded dump", res.Out.Path},
		{"size", workflow.Size(res.Out.Size)},
		{"SHA-256", res.Out.SHA256},
	}
	if res.Already {
		rows = append(rows, [2]string{"note",
			"an earlier run had finished this; for another upgrade of the same dump: --new-request"})
	}
	return table(a.secrets.wrap(a.stdout), rows...)
}

// reporter shows a run: lines for people on standard error, or lines of JSON on standard output.
type reporter struct {
	a    *app
	bars *bars
}

func (r *reporter) Secret(k client.Key) { r.a.secrets.add(k) }

func (r *reporter) Progress(what string, p client.Progress) { r.bars.progress(what, p) }

func (r *reporter) Waiting(state string, pause time.Duration) { r.bars.waiting(state, pause) }

func (r *reporter) Step(s workflow.Step) {
	r.bars.end()
	if r.a.json {
		line := map[string]any{"event": s.Event, "text": clean(s.Text)}
		for k, v := range s.Details {
			line[k] = v
		}
		_ = writeJSONLine(r.a.secrets.wrap(r.a.stdout), line)
		return
	}
	fmt.Fprintln(r.a.stderr, clean(s.Text))
}
