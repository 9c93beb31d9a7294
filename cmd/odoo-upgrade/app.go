package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/helptext"
	"github.com/upgrademock/upgrademock/internal/safefile"
	"github.com/upgrademock/upgrademock/internal/version"
)

// environment is what the command uses of its process.
type environment struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
}

// app holds the flags that all commands have, and what is made of them.
type app struct {
	environment
	secrets *redactor // behind stderr, and behind stdout where a command shows no key

	url         string
	caFile      string
	json        bool
	verbose     bool
	callTimeout time.Duration

	began   bool
	running string // the command that began
	client  *client.Client
	bars    *bars
}

func newApp(env environment) *app {
	a := &app{environment: env, secrets: &redactor{}}
	a.stderr = a.secrets.wrap(env.stderr)
	return a
}

func (a *app) close() {
	if a.client != nil {
		a.client.Close()
	}
}

// usageError is a mistake on the command line.
type usageError struct {
	error
	command string
}

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...), cmd.CommandPath()}
}

// flagError describes a value that the flag library refused in Go's terms: which flag and value, what was expected,
// and an example.
func flagError(err error) error {
	invalid, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return err
	}
	expected := map[string]string{
		"bool":     "true or false, or the flag alone",
		"duration": "a number with its unit, such as 500ms, 30s, 5m or 1h30m",
		"int64":    "a whole number, such as 256",
	}
	f := invalid.GetFlag()
	if what := expected[f.Value.Type()]; what != "" {
		return fmt.Errorf("--%s %q: expected %s", f.Name, invalid.GetValue(), what)
	}
	return err
}

// reason returns an error of the file system without operation and path.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// forReleases, if not nil, makes a command that builds of releases need: see manual.go.
var forReleases func() *cobra.Command

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "odoo-upgrade",
		Short: "Have an Odoo database upgraded by the upgrade platform",
		Long: `odoo-upgrade calls the Odoo upgrade platform: it creates a request, uploads a dump, has it processed, waits,
and downloads the upgraded database. "run" does all of it with one command, and continues where it was when it is
called again after an interruption. The other commands do one step each.

The platform has two APIs. For targets from 14.0 on it is reached by the one of its upgrade script: "run" chooses it by
the target or by --api; logs, wipe and restore are commands of it, and status knows both. The others belong to the
database API.

The platform is https://upgrade.odoo.com unless --url or UPGRADE_URL says otherwise. Commands for a request that exists
take it from --state FILE (which "run" writes), or from --request and --key, or from UPGRADE_REQUEST and UPGRADE_KEY.

Exit codes: 0 all went well; 1 it failed, or the database was not upgraded; 2 the command line is wrong, or names
files that cannot be used; 3 by the script API, the platform has refused or cancelled it; 130 and 143 interrupted.`,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// Whatever fails before a command begins is a mistake on the command line.
		PersistentPreRun: func(cmd *cobra.Command, _ []string) { a.began, a.running = true, cmd.CommandPath() },
	}
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{helptext.Meant(cmd, flagError(err)), cmd.CommandPath()}
	})
	helptext.Version(root, version.String())
	f := root.PersistentFlags()
	f.StringVar(&a.url, "url", cmp.Or(a.getenv("UPGRADE_URL"), client.ProductionURL),
		"the platform's `URL` (UPGRADE_URL)")
	f.StringVar(&a.caFile, "ca-file", "", "trust the certificate authorities in this PEM `file`, beside the system's")
	f.BoolVar(&a.json, "json", false, "write JSON for programs to standard output")
	f.BoolVarP(&a.verbose, "verbose", "v", false, "log every call to standard error")
	f.DurationVar(&a.callTimeout, "call-timeout", 30*time.Second,
		"how long one call may take, uploads and downloads aside")
	root.AddCommand(a.runCommand(), a.createCommand(), a.uploadCommand(), a.sftpAccessCommand(), a.sftpUploadCommand(),
		a.processCommand(), a.skipTestCommand(), a.statusCommand(), a.waitCommand(), a.downloadCommand(),
		a.logsCommand(), a.wipeCommand(), a.restoreCommand())
	for _, c := range root.Commands() {
		c.Args = cobra.NoArgs
	}
	if forReleases != nil {
		root.AddCommand(forReleases())
	}
	helptext.Refuse(root)
	helptext.Fit(root, flagGroups...)
	completeFlags(root)
	return root
}

// connect makes the client from the flags.
func (a *app) connect(cmd *cobra.Command) (*client.Client, error) {
	opts := &client.Options{UserAgent: "odoo-upgrade/" + version.String(), CallTimeout: a.callTimeout}
	if a.callTimeout <= 0 {
		return nil, usagef(cmd, "--call-timeout must be longer than nothing")
	}
	if a.verbose {
		opts.Logger = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if a.caFile != "" {
		pem, err := safefile.ReadNamed(a.caFile, 16<<20)
		if err != nil {
			return nil, usagef(cmd, "--ca-file %s cannot be read: %v", a.caFile, reason(err))
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(pem) {
			return nil, usagef(cmd, "--ca-file %s holds no certificate in PEM form; "+
				"expected a file with -----BEGIN CERTIFICATE-----", a.caFile)
		}
		opts.RootCAs = roots
	}
	c, err := client.New(a.url, opts)
	if err != nil {
		return nil, usageError{err, cmd.CommandPath()}
	}
	a.client = c
	return c, nil
}

// production reports whether the platform is the real one.
func (a *app) production() bool {
	u, err := url.Parse(a.url)
	real, _ := url.Parse(client.ProductionURL)
	return err == nil && strings.EqualFold(u.Hostname(), real.Hostname())
}

// confirm asks the user before a call of the real platform that cannot be undone.
func (a *app) confirm(aim string, yes bool, what string) error {
	if aim != "production" || yes || !a.production() {
		return nil
	}
	ok, err := a.ask(what + " at the real platform with the aim production. Go on?")
	if errors.Is(err, errNobody) {
		return fmt.Errorf("this would %s at the real platform with the aim production, "+
			"and there is no terminal to ask on: add --yes", what)
	}
	if err == nil && !ok {
		err = errors.New("not confirmed; nothing was done")
	}
	return err
}

// defaultKnownHosts is where OpenSSH keeps the hosts it knows.
func defaultKnownHosts() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".ssh", "known_hosts")
}

// withTimeout returns a context that ends after d; if d is zero, it does not.
func withTimeout(ctx context.Context, d time.Duration, what string) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, d, fmt.Errorf("--timeout: %s for %s now; "+
		"it goes on at the platform, and the same command waits on", what, d))
}
