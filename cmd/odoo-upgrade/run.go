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
)

func (a *app) runCommand() *cobra.Command {
	var (
		o         workflow.Options
		wait      waitFlags
		flags     sshFlags
		yes       bool
		state     string
		threshold int64
	)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Go the whole way: create, upload, process, wait, download",
		Long: `Create a request, upload the dump, have it processed, wait, and download the upgraded dump to --out.

How far it is, is noted in a state file beside --out. After a crash, an interruption (Ctrl-C) or a failure the same command
continues where it was: it never creates a second request and never uploads what has arrived. The state file holds the
request's key; it is readable for its owner only. When everything is done it stays, so that calling the command once more does
nothing; another dump begins a new upgrade.

Should the process be killed in the very moment in which the platform answers create, nobody can know whether there is a
request. Then run stops and asks for --new-request, which begins anew (and sets aside what was noted).

--via auto uses SFTP, which can resume, for dumps from --sftp-from on, and HTTPS for smaller ones or when SFTP can't be reached.
A key to log in with is made for the occasion unless --ssh-key or --ssh-agent is given.

With --json every step is one line of JSON; the last one has "event": "finished" or "error".`,
		Example: `  odoo-upgrade run --contract M123456-abcdef --email john.doe@example.com --target 8.0 --aim test \
      --dump db.dump --out upgraded.dump
  pg_dump -Fc db | odoo-upgrade run --dump - --filename db.dump --out upgraded.dump …`,
	}
	f := cmd.Flags()
	a.orderFlags(cmd, &o.Params)
	f.Lookup("filename").Usage = "the dump's name at the platform (default: its file's name)"
	f.StringVar(&o.Dump, "dump", "", "the dump, or - to read it from standard input (it is kept in a file beside the state file until the end)")
	f.StringVar(&o.Out, "out", "", "where the upgraded dump goes (default: upgraded_ and the dump's name, in this folder, where that is free)")
	f.StringVar(&state, "state", "", "where to note how far the run is (default: --out with .upgrade-state.json added)")
	f.StringVar(&o.Via, "via", workflow.Auto, "how to upload: auto, https or sftp")
	f.StringVar(&o.DownloadVia, "download-via", workflow.HTTPS, "how to download: https or sftp")
	f.Int64Var(&threshold, "sftp-from", 256, "the size in MiB from which on --via auto chooses SFTP")
	f.BoolVar(&o.NewRequest, "new-request", false, "begin anew, whatever an earlier run has done")
	f.BoolVar(&o.SkipTest, "skip-test", false, "end the platform's test phase as soon as it begins")
	f.BoolVar(&yes, "yes", false, "do not ask before creating a production request at the real platform")
	wait.register(cmd)
	flags.register(cmd)
	for flag, values := range map[string][]string{"via": {"auto", "https", "sftp"}, "download-via": {"https", "sftp"}, "aim": {"test", "production"}} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := cmp.Or(complete(cmd, &o.Params), flags.check(cmd)); err != nil {
			return err
		}
		switch {
		case o.Dump == "":
			return usagef(cmd, "--dump is missing")
		case o.Via != workflow.Auto && o.Via != workflow.HTTPS && o.Via != workflow.SFTP:
			return usagef(cmd, "--via %q: choose auto, https or sftp", o.Via)
		case o.DownloadVia != workflow.HTTPS && o.DownloadVia != workflow.SFTP:
			return usagef(cmd, "--download-via %q: choose https or sftp", o.DownloadVia)
		case threshold < 0:
			return usagef(cmd, "--sftp-from cannot be negative")
		}
		if o.Params.Filename == "" {
			o.Params.Filename = "database.dump"
			if o.Dump != "-" {
				o.Params.Filename = filepath.Base(o.Dump)
			}
		}
		if o.Out == "" {
			o.Out, o.KeepOut = "upgraded_"+safeName(o.Params.Filename), true
		}
		o.StateFile = state
		if state == "" {
			o.StateFile = o.Out + ".upgrade-state.json"
		}
		dump := namedFile{what: "--dump", path: o.Dump}
		if o.Dump == "-" {
			dump = namedFile{what: "standard input", open: a.stdin}
		}
		err := a.distinct(cmd, &flags, dump, namedFile{what: "--out", path: o.Out, written: true},
			namedFile{what: "--state", path: o.StateFile, written: true})
		if err != nil {
			return err
		}
		if o.Wait, err = wait.options(cmd); err != nil {
			return err
		}
		o.Retry = client.RetryOptions{Min: wait.interval}
		if o.Client, err = a.connect(cmd); err != nil {
			return err
		}
		if o.HostKeys, err = flags.hostKeys(a); err != nil && o.Via == workflow.SFTP {
			return err
		}
		defer flags.close()
		var signers []ssh.Signer
		o.Signers = func() ([]ssh.Signer, error) {
			if signers == nil {
				signers, err = flags.signers(a)
			}
			return signers, err
		}
		// A key that cannot be used shows now, and not when the platform waits for the dump.
		if len(flags.keyFiles) > 0 || flags.agent {
			if _, err := o.Signers(); err != nil {
				return err
			}
		}
		o.Stdin, o.SFTPFrom = a.stdin, threshold<<20
		o.ConfirmFirst = func() error { return a.confirm(o.Params.Aim, yes, "create a request") }
		o.Report = &reporter{a: a, bars: a.newBars()}

		ctx, cancel := withTimeout(cmd.Context(), wait.timeout, "it has run")
		defer cancel()
		began := time.Now()
		res, err := workflow.Run(ctx, o)
		o.Report.(*reporter).bars.end()
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
		return writeJSONLine(a.secrets.wrap(a.stdout), map[string]any{"event": "finished", "request": res.Request, "out": res.Out.Path,
			"bytes": res.Out.Size, "sha256": res.Out.SHA256, "already": res.Already, "seconds": took.Seconds()})
	}
	rows := [][2]string{
		{"request", fmt.Sprint(res.Request)},
		{"upgraded dump", res.Out.Path},
		{"size", workflow.Size(res.Out.Size)},
		{"SHA-256", res.Out.SHA256},
	}
	if res.Already {
		rows = append(rows, [2]string{"note", "an earlier run had finished this; for another upgrade of the same dump: --new-request"})
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
