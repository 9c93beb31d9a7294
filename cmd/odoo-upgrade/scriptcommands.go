package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
)

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

// names reports whether a command that both APIs have is for a request of the script API: by the state file, or by
// UPGRADE_TOKEN if nothing names another.
func (r *scriptRefFlags) names(a *app, cmd *cobra.Command) bool {
	if r.state != "" {
		s, err := workflow.LoadScript(r.state)
		return err == nil && s != nil
	}
	return cmd.Flag("request").Value.String() == "" && a.getenv("UPGRADE_TOKEN") != ""
}

// scriptStatus shows where a request of the script API stands.
func (a *app) scriptStatus(cmd *cobra.Command, flags *scriptRefFlags) error {
	ref, _, err := flags.ref(a, cmd)
	if err != nil {
		return err
	}
	s, err := a.connectScript(cmd)
	if err != nil {
		return err
	}
	status, err := a.locate(cmd.Context(), s, &ref)
	if err != nil {
		return scriptError(err)
	}
	if a.json {
		return writeJSON(a.secrets.wrap(a.stdout), map[string]any{"request": ref.ID, "status": status.State,
			"reason": status.Reason, "archived": status.Archived, "host": status.Host})
	}
	archived := ""
	if status.Archived {
		archived = "yes, its files may be gone"
	}
	return table(a.secrets.wrap(a.stdout), [2]string{"request", ref.ID}, [2]string{"state", string(status.State)},
		[2]string{"reason", status.Reason}, [2]string{"archived", archived})
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
	cmd.Flags().Int64Var(&from, "from", 0, "leave out the log's first bytes, this `number` of them")
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
		"the `reference` of the Enterprise contract (UPGRADE_CONTRACT; default: that of the state file)")
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
		Long: `Download what an upgrade has made, and restore it with --restore-into and --merge-filestore. The request is
that of a state file of "run", or that of the token in UPGRADE_TOKEN; then --ssh-key names the key that the request was
created with. What was downloaded before is not downloaded again.`,
	}
	flags.register(cmd)
	pg.register(cmd)
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "the `directory` to download to, if there is no state file (default: upgraded)")
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
