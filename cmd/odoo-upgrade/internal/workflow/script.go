package workflow

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/claim"
)

// ScriptOptions are what a run with the script API needs. Client, Out, StateFile, and Dump or Database are required.
type ScriptOptions struct {
	Client *client.Client
	Params client.ScriptParams // without the SSH key

	Dump     string    // a file, a folder, or "-" for Stdin
	Stdin    io.Reader // read only for Dump "-"
	Database string    // to dump, in place of Dump; PostgreSQL is found as its own programs do

	Out       string // the folder that the results go to
	StateFile string

	NewRequest   bool                         // set an earlier run's request aside
	Signers      func() ([]ssh.Signer, error) // to log in to the transfers with; nil makes a key and keeps it in the state
	Wait         client.ScriptWaitOptions
	Retry        client.RetryOptions
	Log          LogWriter    // shows the log of the upgrade; nil does not
	ConfirmFirst func() error // asked before a request is created; nil does not ask
	Report       Reporter

	Postgres       Postgres
	RestoreInto    string // the database to make of the result; empty makes none
	MergeFilestore string // the folder to merge the result's filestore into; empty merges none
}

// A LogWriter shows a log. Pending returns how many of the bytes that were written are not shown yet.
type LogWriter interface {
	io.Writer
	Pending() int64
}

// ScriptResult is what a run with the script API leaves. Paths are absolute, and empty for what there is not.
type ScriptResult struct {
	Request   string `json:"request"`
	Dump      string `json:"dump"`
	Filestore string `json:"filestore,omitempty"`
	Report    string `json:"report,omitempty"`
	Log       string `json:"log,omitempty"`
	Size      int64  `json:"size"`

	Database string `json:"-"` // that was restored
	Merged   string `json:"-"` // the folder that the filestore was merged into
	Already  bool   `json:"-"` // whether an earlier run had finished everything
}

type scriptRun struct {
	ScriptOptions
	script *client.Script
	notes  *claim.Claim // on the state file
	state  *ScriptState
	ssh    []ssh.Signer
}

// RunScript does everything that the state file does not have yet. It returns a *client.ScriptEndedError if the
// platform did not upgrade the database, and ErrNeedsDecision if the user must decide how to go on.
func RunScript(ctx context.Context, o ScriptOptions) (*ScriptResult, error) {
	r, done, err := openScript(o)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := r.reconcile(); err != nil {
		return nil, err
	}
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	already := r.state != nil && r.state.Phase == Finished
	if r.state == nil {
		if err := r.begin(); err != nil {
			return nil, err
		}
	}
	if !r.state.past(Created) {
		if err := r.create(ctx); err != nil {
			r.forget()
			return nil, err
		}
	}
	res, err := r.finish(ctx)
	if res != nil {
		res.Already = already
	}
	return res, err
}

// RestoreScript downloads and restores the result of a request that the state, or ref, names.
func RestoreScript(ctx context.Context, o ScriptOptions, ref client.ScriptRef) (*ScriptResult, error) {
	r, done, err := openScript(o)
	if err != nil {
		return nil, err
	}
	defer done()
	if r.state == nil {
		if ref.Token == "" {
			return nil, inputError("there is no state file %s", o.StateFile)
		}
		r.state = &ScriptState{URL: r.Client.URL(), Phase: Processed, Request: cmp.Or(ref.ID, "of that token"),
			Token: string(ref.Token), Out: absolute(o.Out), stateFile: stateFile{path: o.StateFile, claim: r.notes}}
	}
	if !r.state.past(Created) {
		return nil, inputError("%s was left by a run that has no request yet", o.StateFile)
	}
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	status, err := r.status(ctx)
	if err != nil {
		return nil, err
	}
	if err := status.Rejection(r.state.Ref()); err != nil {
		return nil, err
	}
	if status.State != client.ScriptDone {
		return nil, fmt.Errorf("request %s is %s: there is nothing to restore yet", r.state.Request, status.State)
	}
	if r.state.Phase == Finished && r.state.Result.missing() || !r.state.past(Processed) || r.state.Phase == Rejected {
		r.state.Phase, r.state.Result = Processed, nil
	}
	if err := r.state.save(); err != nil {
		return nil, err
	}
	return r.finish(ctx)
}

// openScript takes the claim on the state file, and reads it.
func openScript(o ScriptOptions) (*scriptRun, func(), error) {
	script, err := o.Client.Script()
	if err != nil {
		return nil, nil, err
	}
	if err := claim.Check(o.StateFile); err != nil {
		return nil, nil, err
	}
	notes, err := claim.Take(o.StateFile)
	if err != nil {
		return nil, nil, err
	}
	r := &scriptRun{ScriptOptions: o, script: script, notes: notes}
	done := func() { r.tidy(); notes.Release() }
	if r.state, err = LoadScript(o.StateFile); err != nil {
		done()
		return nil, nil, err
	}
	if r.state != nil {
		r.state.claim = notes
		r.Report.Secret(client.Key(r.state.Token))
	}
	r.tidy()
	return r, done, nil
}

// tidy removes the temporary files of this run and of one that was killed, apart from the dump that the state needs.
func (r *scriptRun) tidy() {
	for _, name := range r.notes.Temps() {
		if r.state == nil || !r.state.Dump.Spooled || absolute(name) != r.state.Dump.Path {
			r.notes.Remove(name)
		}
	}
}

func (r *scriptRun) step(event, text string, details map[string]any) {
	if details == nil {
		details = map[string]any{}
	}
	if r.state != nil && r.state.Request != "" {
		details["request"] = r.state.Request
	}
	r.Report.Step(Step{Event: event, Text: text, Details: details})
}

func (r *scriptRun) retryOptions() client.RetryOptions {
	o := r.Retry
	o.OnRetry = r.reportRetry
	return o
}

func (r *scriptRun) retry(ctx context.Context, try func(context.Context) error) error {
	o := r.retryOptions()
	o.Uncertain = true
	return client.Retry(ctx, &o, try)
}

func (r *scriptRun) reportRetry(err error, pause time.Duration) {
	text := fmt.Sprintf("%v; trying again in %s.", err, pause.Round(100*time.Millisecond))
	if pause == 0 {
		text = fmt.Sprintf("%v; going on without.", err)
	}
	r.step("trouble", text, map[string]any{"error": err.Error(), "pause_seconds": pause.Seconds()})
}
