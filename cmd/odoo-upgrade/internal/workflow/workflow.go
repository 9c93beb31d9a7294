// Package workflow does all of an upgrade: create, upload, process, wait and download. It saves each step in a state
// file before and after it is taken, so that another process can continue, however this one ends.
//
// What it guarantees, and how:
//
//   - No second request. That create is called is saved when there is a connection, right before the parameters are
//     sent, and its answer is saved as soon as it is read. A process that is killed in between, which is about one
//     round trip, leaves a state without id. Then there may be a request, and Run makes another one only with
//     NewRequest.
//   - No second upload. That the platform has confirmed the dump is saved. Before a dump is sent again over HTTPS, the
//     status shows whether the one before has arrived; an upload over SFTP is continued.
//   - No wrong dump. The dump's size, time and SHA-256 are saved, and another one is refused.
//   - No change of other files. State file and result are claimed (see package claim) from beginning to end.
package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/claim"
)

// The ways of a file.
const (
	Auto  = "auto"
	HTTPS = "https"
	SFTP  = "sftp"
)

// Options are what a run needs. Client, Params, Dump, Out and StateFile are required.
type Options struct {
	Client *client.Client
	Params client.CreateParams

	Dump      string    // a file, or "-" for Stdin
	Stdin     io.Reader // read only for Dump "-"
	Out       string    // where the upgraded dump goes
	KeepOut   bool      // replace no file at Out but an earlier run's
	StateFile string

	Via          string // Auto, HTTPS or SFTP. Empty means Auto
	SFTPFrom     int64  // the size in bytes from which on Auto chooses SFTP
	DownloadVia  string // HTTPS or SFTP. Empty means HTTPS
	NewRequest   bool   // set an earlier run's request aside
	SkipTest     bool   // call skip_test when the request is being tested
	Signers      func() ([]ssh.Signer, error)
	HostKeys     *client.HostKeys
	Window       int64 // see client.SFTPOptions
	Wait         client.WaitOptions
	Retry        client.RetryOptions
	ConfirmFirst func() error // asked before a request is created; nil does not ask
	Report       Reporter
}

// A Reporter shows what a run does. Its methods are called one at a time and should be quick.
type Reporter interface {
	// Step is called when something was done or begins.
	Step(Step)
	// Progress is called when bytes of the transfer that is named by what were moved.
	Progress(what string, p client.Progress)
	// Waiting is called when the state is the platform's answer, and nothing is done until the next call after the pause.
	Waiting(state string, pause time.Duration)
	// Secret is called with a key that must not be shown, before it could be.
	Secret(client.Key)
}

// A Step is an event of a run.
type Step struct {
	Event   string         // such as "created", for programs
	Text    string         // for people
	Details map[string]any // for programs
}

// Result is the result of a run.
type Result struct {
	Request int64
	Out     OutFile
	Already bool // an earlier run had finished everything
}

// ErrNeedsDecision means that going on could do harm, so that the user must decide.
var ErrNeedsDecision = errors.New("a decision is needed")

type run struct {
	Options
	notes   *claim.Claim   // on the state file
	out     *client.Output // at Out
	state   *State
	earlier *OutFile // what an earlier run left at Out
	spooled *DumpID  // what the pipe held, when it had to be read to find out
}

// Run does everything that the state file does not have yet. It returns an error that wraps client.ErrRejected if the
// platform will not upgrade the database, and ErrNeedsDecision if the user must decide how to go on.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := cmp.Or(claim.Check(o.Out), claim.Check(o.StateFile)); err != nil {
		return nil, err
	}
	notes, err := claim.Take(o.StateFile)
	if err != nil {
		return nil, err
	}
	defer notes.Release()
	out, err := client.OpenOutput(o.Out)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	r := &run{Options: o, notes: notes, out: out}
	if r.state, err = Load(o.StateFile); err != nil {
		return nil, err
	}
	defer r.tidy()
	if r.state != nil {
		r.Report.Secret(client.Key(r.state.Key))
		r.state.claim, r.earlier = notes, r.state.Out
	}
	r.tidy()
	if done, err := r.reconcile(ctx); done != nil || err != nil {
		return done, err
	}
	if r.state == nil || r.state.Phase == Creating {
		if err := r.create(ctx); err != nil {
			return nil, err
		}
	}
	return r.finish(ctx)
}

// tidy removes the temporary files of this run and of one that was killed, apart from the dump that the state needs.
func (r *run) tidy() {
	for _, name := range r.notes.Temps() {
		if r.state == nil || !r.state.Dump.Spooled || absolute(name) != r.state.Dump.Path {
			r.notes.Remove(name)
		}
	}
}

func (r *run) step(event, text string, details map[string]any) {
	if details == nil {
		details = map[string]any{}
	}
	if r.state != nil && r.state.Request != 0 {
		details["request"] = r.state.Request
	}
	r.Report.Step(Step{Event: event, Text: text, Details: details})
}

// retry repeats a call that does no harm when repeated, and reports it.
func (r *run) retry(ctx context.Context, try func(context.Context) error) error {
	o := r.retryOptions()
	o.Uncertain = true
	return client.Retry(ctx, &o, try)
}

// retryOptions returns the options of retries that are reported.
func (r *run) retryOptions() client.RetryOptions {
	o := r.Retry
	o.OnRetry = r.reportRetry
	return o
}

// reportRetry has the event "trouble" for programs.
func (r *run) reportRetry(err error, pause time.Duration) {
	r.step("trouble", fmt.Sprintf("%v; trying again in %s.", err, pause.Round(100*time.Millisecond)),
		map[string]any{"error": err.Error(), "pause_seconds": pause.Seconds()})
}

// Size returns a number of bytes as the bars of a transfer show it.
func Size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("% .1f", decor.SizeB1024(n))
}

// hostOf returns the host of a URL, for messages.
func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil {
		return u.Host
	}
	return base
}
