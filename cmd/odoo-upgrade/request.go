package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/cmd/odoo-upgrade/internal/workflow"
)

// refFlags are the flags that name a request that exists.
type refFlags struct {
	request string
	key     string
	state   string
}

func (r *refFlags) register(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.request, "request", a.getenv("UPGRADE_REQUEST"), "the request's `id` (UPGRADE_REQUEST)")
	// The key is no default that --help would print.
	f.StringVar(&r.key, "key", "",
		"the request's `key`; better given as UPGRADE_KEY, where other users of the machine cannot see it")
	f.StringVar(&r.state, "state", "", "take request, key and platform from this state `file`")
}

// ref returns the request, and makes its key a secret. A state file also names the platform, unless --url is given.
func (r *refFlags) ref(a *app, cmd *cobra.Command) (client.Ref, error) {
	if r.state != "" {
		s, err := workflow.Load(r.state)
		switch {
		case err != nil:
			return client.Ref{}, err
		case s == nil:
			return client.Ref{}, usagef(cmd, "there is no state file %s", r.state)
		case s.Request == 0:
			return client.Ref{}, usagef(cmd, "%s was left by a run that has no request yet", r.state)
		}
		if !cmd.Flags().Changed("url") && a.getenv("UPGRADE_URL") == "" {
			a.url = s.URL
		}
		a.secrets.add(s.Ref().Key)
		return s.Ref(), nil
	}
	key := r.key
	if key == "" {
		key = a.getenv("UPGRADE_KEY")
	}
	a.secrets.add(client.Key(key))
	if r.request == "" || key == "" {
		return client.Ref{}, usagef(cmd, "which request? "+
			"Give --state, or --request and --key (or UPGRADE_REQUEST and UPGRADE_KEY)")
	}
	id, err := strconv.ParseInt(r.request, 10, 64)
	if err != nil || id <= 0 {
		return client.Ref{}, usagef(cmd, "--request %q: an id is a number, such as 10534", r.request)
	}
	return client.Ref{ID: id, Key: client.Key(key)}, nil
}

// refCommand adds to cmd what all commands for a request have: the flags that name it, and the calls that find it.
func (a *app) refCommand(
	cmd *cobra.Command, do func(*cobra.Command, *client.Client, client.Ref) error,
) *cobra.Command {
	var r refFlags
	r.register(a, cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ref, err := r.ref(a, cmd)
		if err != nil {
			return err
		}
		c, err := a.connect(cmd)
		if err != nil {
			return err
		}
		return do(cmd, c, ref)
	}
	return cmd
}

func (a *app) createCommand() *cobra.Command {
	var p client.CreateParams
	var yes bool
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a request, and print its id and key",
		Long: `Create a request in state draft. The answer holds its key, which opens the database to whoever has it; nothing
else of this program ever prints it.`,
		Example: `  odoo-upgrade create --contract M123456-abcdef --email john.doe@example.com --target 8.0 --aim test \
      --filename db.dump`,
	}
	a.orderFlags(cmd, &p)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask before creating a production request at the real platform")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := complete(cmd, &p, "filename"); err != nil {
			return err
		}
		c, err := a.connect(cmd)
		if err != nil {
			return err
		}
		if err := a.confirm(p.Aim, yes, "create a request"); err != nil {
			return err
		}
		r, err := c.Create(cmd.Context(), p, nil)
		if errors.Is(err, client.ErrUncertain) {
			return fmt.Errorf("%w. Whether the platform has made a request is not known; "+
				"if it has, it stays a draft", err)
		}
		if err != nil {
			return err
		}
		return a.showRequest(r, [2]string{"key", string(r.Key)})
	}
	return cmd
}

// orderFlags registers the flags for the parameters of a request.
func (a *app) orderFlags(cmd *cobra.Command, p *client.CreateParams) {
	f := cmd.Flags()
	f.StringVar(&p.Contract, "contract", a.getenv("UPGRADE_CONTRACT"),
		"the `reference` of the Enterprise contract, such as M123456-abcdef (UPGRADE_CONTRACT)")
	f.StringVar(&p.Email, "email", a.getenv("UPGRADE_EMAIL"), "the `email` that the platform writes to (UPGRADE_EMAIL)")
	f.StringVar(&p.Target, "target", "", "the Odoo `version` to upgrade to, such as 8.0 or 17.0")
	f.StringVar(&p.Aim, "aim", "", "the `aim`: test or production")
	f.StringVar(&p.Filename, "filename", "", "the dump's `name` at the platform")
	f.StringVar(&p.Timezone, "timezone", "", "the server's time `zone`, for databases older than Odoo 6.1")
}

// complete refuses a command line that lacks what the platform requires. The platform checks the values.
func complete(cmd *cobra.Command, p *client.CreateParams, also ...string) error {
	values := map[string]string{
		"contract": p.Contract, "email": p.Email, "target": p.Target, "aim": p.Aim, "filename": p.Filename,
	}
	for _, name := range append([]string{"contract", "email", "target", "aim"}, also...) {
		if v, ok := values[name]; ok && v == "" {
			return usagef(cmd, "--%s is missing", name)
		}
	}
	return nil
}

func (a *app) processCommand() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{Use: "process", Short: "Have the uploaded dump processed"}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask before processing a production request at the real platform")
	return a.refCommand(cmd, func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
		if a.production() && !yes {
			r, err := c.Status(cmd.Context(), ref)
			if err != nil {
				return err
			}
			if err := a.confirm(r.Aim, yes, fmt.Sprintf("process request %d", ref.ID)); err != nil {
				return err
			}
		}
		if err := c.Process(cmd.Context(), ref); err != nil {
			return err
		}
		return a.done("The platform has begun. To wait for it: odoo-upgrade wait.", map[string]any{"request": ref.ID})
	})
}

func (a *app) skipTestCommand() *cobra.Command {
	return a.refCommand(
		&cobra.Command{Use: "skip-test", Short: "End the test phase and have the upgraded database delivered"},
		func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
			err := c.SkipTest(cmd.Context(), ref)
			if e, ok := errors.AsType[*client.Error](err); ok && e.Status == 404 {
				return fmt.Errorf("%w. Platforms before 13.0 have no skip_test", err)
			}
			if err != nil {
				return err
			}
			return a.done("The test phase is skipped.", map[string]any{"request": ref.ID})
		})
}

func (a *app) statusCommand() *cobra.Command {
	cmd := a.refCommand(&cobra.Command{Use: "status", Short: "Show where a request stands"},
		func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
			r, err := c.Status(cmd.Context(), ref)
			if err != nil {
				return err
			}
			return a.showRequest(r)
		})
	byDatabase := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if flags := (scriptRefFlags{state: cmd.Flag("state").Value.String()}); flags.names(a, cmd) {
			return a.scriptStatus(cmd, &flags)
		}
		return byDatabase(cmd, args)
	}
	return cmd
}

// waitFlags are the flags that say how to poll.
type waitFlags struct {
	interval time.Duration
	outage   time.Duration
	timeout  time.Duration
}

func (w *waitFlags) register(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&w.interval, "interval", time.Second,
		"the shortest time between two status calls, or tries of anything; it grows while nothing changes")
	w.registerRetries(cmd)
}

// registerRetries registers what a command without polling has.
func (w *waitFlags) registerRetries(cmd *cobra.Command) {
	f := cmd.Flags()
	if f.Lookup("interval") == nil {
		w.interval = time.Second
	}
	f.DurationVar(&w.outage, "max-outage", 30*time.Minute, "give up when the platform cannot be asked for so long")
	f.DurationVar(&w.timeout, "timeout", 0, "give up waiting after so long; 0 waits as long as it takes")
}

func (w *waitFlags) options(cmd *cobra.Command) (client.WaitOptions, error) {
	if w.interval < 100*time.Millisecond {
		return client.WaitOptions{}, usagef(cmd, "--interval %s: less than 100ms is no way to treat a platform",
			w.interval)
	}
	if w.outage <= 0 || w.timeout < 0 {
		return client.WaitOptions{}, usagef(cmd, "--max-outage and --timeout cannot be negative")
	}
	return client.WaitOptions{Interval: w.interval, MaxInterval: max(time.Minute, w.interval), MaxOutage: w.outage}, nil
}

func (a *app) waitCommand() *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:   "wait",
		Short: "Wait until a request is done, and fail when the platform refuses it",
	}
	w.register(cmd)
	return a.refCommand(cmd, func(cmd *cobra.Command, c *client.Client, ref client.Ref) error {
		o, err := w.options(cmd)
		if err != nil {
			return err
		}
		ctx, cancel := withTimeout(cmd.Context(), w.timeout, "waited")
		defer cancel()
		a.bars = a.newBars()
		defer a.bars.end()
		var last client.State
		o.OnPause = func(pause time.Duration) { a.bars.waiting(string(last), pause) }
		o.OnStatus = func(r *client.Request) {
			if r.State != last {
				a.bars.end()
				fmt.Fprintf(a.stderr, "State: %s.\n", clean(string(r.State)))
				last = r.State
			}
		}
		o.OnRetry = func(err error, pause time.Duration) {
			a.bars.end()
			fmt.Fprintf(a.stderr, "%s; asking again in %s.\n", forPeople(err), pause.Round(100*time.Millisecond))
		}
		r, err := c.Wait(ctx, ref, &o)
		a.bars.end()
		if r != nil {
			if serr := a.showRequest(r); serr != nil {
				return serr
			}
		}
		return err
	})
}

// done writes the result of a command: text for people, details for programs.
func (a *app) done(text string, details map[string]any) error {
	if a.json {
		return writeJSON(a.stdout, details)
	}
	_, err := fmt.Fprintln(a.stdout, text)
	return err
}

// patient retries what can be repeated without harm, and reports it. A platform that does not answer the first call is
// more often a wrong URL than a bad moment: that is reported at once.
func (a *app) patient(ctx context.Context, try func(context.Context) error) error {
	var final error
	first := true
	o := &client.RetryOptions{Limit: 2 * time.Minute, Uncertain: true, OnRetry: a.reportRetry}
	err := client.Retry(ctx, o, func(ctx context.Context) error {
		err := try(ctx)
		if e, ok := errors.AsType[*client.Error](err); first && ok && e.Status == 0 {
			final = err
			return nil
		}
		first = false
		return err
	})
	return cmp.Or(final, err)
}

func (a *app) reportRetry(err error, pause time.Duration) {
	if a.bars != nil {
		a.bars.end()
	}
	fmt.Fprintf(a.stderr, "%s; trying again in %s.\n", forPeople(err), pause.Round(100*time.Millisecond))
}
