// Package workflow goes the whole way of an upgrade: create, upload, process, wait, download. It notes each step in
// a state file before and after taking it, so that the next process continues where this one ended, however it
// ended.
//
// What is promised, and how:
//
//   - No second request. Create is noted as begun when the connection stands, right before its parameters leave, and its
//     answer as soon as it is read. A process killed in between (about one round trip) leaves a note without id; then
//     nobody can know whether a request exists, and Run refuses to make another without NewRequest.
//   - No second upload. The platform's confirmation is noted. Before a whole dump is sent again over HTTPS, the
//     status is asked whether the one before has arrived; over SFTP the transfer goes on from what is there.
//   - No wrong dump. What the dump is, is noted by size, time and SHA-256; another one is refused.
//   - No foreign file touched. State file and result are claimed (see package claim) from the beginning to the end.
package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/claim"
)

// The ways a file can go.
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

// Reporter hears what happens. Its methods are called one at a time and must be quick.
type Reporter interface {
	// Step tells that something was done or begins.
	Step(Step)
	// Progress tells how far the present transfer is.
	Progress(what string, p client.Progress)
	// Secret tells a key that must not be shown, before anything could show it.
	Secret(client.Key)
}

// Step is one event of a run.
type Step struct {
	Event   string         // such as "created", for programs
	Text    string         // for people
	Details map[string]any // for programs
}

// Result is how a run ended well.
type Result struct {
	Request int64
	Out     OutFile
	Already bool // an earlier run had finished everything
}

// ErrNeedsDecision: going on could do harm, and only the user can say whether to.
var ErrNeedsDecision = errors.New("a decision is needed")

type run struct {
	Options
	notes   *claim.Claim   // on the state file
	out     *client.Output // at Out
	state   *State
	earlier *OutFile // what an earlier run left at Out
	spooled *DumpID  // what the pipe held, when it had to be read to find out
}

// Run goes on from wherever the state file says, to the end. It returns an error that wraps client.ErrRejected
// when the platform will not upgrade the database, and ErrNeedsDecision when it refuses to guess.
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

// tidy removes the temporary files of this run, and of one that was killed, save the dump that the state needs.
func (r *run) tidy() {
	for _, name := range r.notes.Temps() {
		if r.state == nil || !r.state.Dump.Spooled || absolute(name) != r.state.Dump.Path {
			r.notes.Remove(name)
		}
	}
}

// reconcile compares what is noted with what is asked for now. A result means that there is nothing left to do.
func (r *run) reconcile(ctx context.Context) (*Result, error) {
	if r.state != nil && r.NewRequest {
		if err := r.state.setAside(); err != nil {
			return nil, err
		}
		r.step("set-aside", "The earlier run's request is left alone; what was noted of it is kept beside the state file.", nil)
		r.state = nil
	}
	if r.state == nil {
		return nil, nil
	}
	if err := r.sameOrder(); err != nil {
		return nil, err
	}
	s := r.state
	if s.Phase == Creating && s.Request == 0 {
		return nil, fmt.Errorf("%w: an earlier run ended while it created the request (%s), so there may be one at the platform whose key "+
			"nobody knows. Such a request stays a draft, nothing comes of it. To create another: --new-request", ErrNeedsDecision, s.Updated.Format(time.DateTime))
	}
	same, err := r.sameDump(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case !same && s.Phase.over():
		r.step("new-dump", fmt.Sprintf("Request %d is over and the dump is another one now: beginning anew.", s.Request), nil)
		r.state = nil
		return nil, nil
	case !same:
		return nil, fmt.Errorf("%w: the dump %s has changed since request %d was begun with it (SHA-256 %.12s…, %d bytes then). "+
			"Put the first one back to continue, or upgrade this one with --new-request", ErrNeedsDecision, r.Dump, s.Request, s.Dump.SHA256, s.Dump.Size)
	case s.Phase == Finished && s.Out.intact(ctx, r.Out):
		return &Result{Request: s.Request, Out: OutFile{r.Out, s.Out.Size, s.Out.SHA256}, Already: true}, nil
	case s.Phase == Finished:
		r.step("lost", "The upgraded dump of the earlier run is gone or changed: fetching it again.", nil)
		s.Phase = Processed
	}
	r.step("continuing", fmt.Sprintf("Continuing request %d, %s so far.", s.Request, s.Phase), map[string]any{"stage": s.Phase})
	return nil, nil
}

// sameOrder refuses to continue a request that was made of something else than is asked for now.
func (r *run) sameOrder() error {
	s, p := r.state, r.Params
	for _, f := range []struct{ name, noted, now string }{
		{"--url", s.URL, r.Client.URL()}, {"--contract", s.Contract, p.Contract}, {"--email", s.Email, p.Email},
		{"--target", s.Target, p.Target}, {"--aim", s.Aim, p.Aim}, {"--filename", s.Filename, p.Filename}, {"--timezone", s.Timezone, p.Timezone},
	} {
		if f.noted != f.now {
			return fmt.Errorf("%w: %s belongs to a run with %s %q, and this one has %q. Ask for the same to continue it, "+
				"choose another --out or --state for another upgrade, or give the first one up with --new-request",
				ErrNeedsDecision, s.path, f.name, f.noted, f.now)
		}
	}
	return nil
}

// sameDump reports whether the dump is the one that was noted. After the upload it may be gone.
func (r *run) sameDump(ctx context.Context) (bool, error) {
	noted := r.state.Dump
	if r.Dump == "-" {
		if !noted.Spooled {
			return false, nil
		}
		if r.state.Phase.over() {
			d, err := r.prepareDump(ctx)
			r.spooled = &d
			return err == nil && d.SHA256 == noted.SHA256, err
		}
		if ok, err := noted.unchanged(); !ok && !r.state.Phase.uploaded() {
			return false, fmt.Errorf("the copy of the piped dump, %s, is gone or changed (%w): begin anew with --new-request", noted.Path, errors.Join(err, client.ErrChanged))
		}
		r.step("spooled", "Using the dump that the earlier run read from the pipe; standard input is not read.", nil)
		return true, nil
	}
	quick := r.state.Phase.uploaded()
	ok, err := DumpID{Path: r.Dump, Size: noted.Size, Modified: noted.Modified}.unchanged()
	switch {
	case missing(err) && quick:
		return true, nil // it is not needed any more
	case ok && quick && err == nil:
		return true, nil
	}
	now, err := identify(ctx, r.Dump)
	if err != nil {
		return false, err
	}
	if now.SHA256 != noted.SHA256 {
		return false, nil
	}
	r.state.Dump = now // touched, moved or mounted elsewhere, and still the same
	return true, nil
}

// create makes the request and notes it. Trouble that leaves no doubt that nothing was made is waited out.
func (r *run) create(ctx context.Context) error {
	if r.ConfirmFirst != nil {
		if err := r.ConfirmFirst(); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(r.Out); err == nil && r.KeepOut && !r.earlier.intact(ctx, r.Out) {
		return inputError("%s is there already, and no earlier run of this upgrade has made it: "+
			"--out %s replaces it, another --out keeps it", r.Out, r.Out)
	}
	dump, err := r.prepareDump(ctx)
	if err != nil {
		return err
	}
	p := r.Params
	s := &State{URL: r.Client.URL(), Contract: p.Contract, Email: p.Email, Target: p.Target, Aim: p.Aim, Filename: p.Filename,
		Timezone: p.Timezone, Dump: dump, Phase: Creating, path: r.StateFile, claim: r.notes}
	var req *client.Request
	err = r.retryCreate(ctx, func(ctx context.Context) error {
		if err := s.Prepare(); err != nil {
			return err
		}
		var err error
		req, err = r.Client.Create(ctx, p, &client.CreateOptions{BeforeSend: s.Commit})
		if err != nil && !errors.Is(err, client.ErrUncertain) {
			s.remove() // surely nothing was made
		}
		return err
	})
	switch {
	case err == nil:
	case errors.Is(err, client.ErrUncertain):
		return fmt.Errorf("%w. Whether the platform has made a request is not known; if it has, it stays a draft and nothing comes of it. "+
			"To try again all the same: --new-request", err)
	default:
		return err
	}
	r.Report.Secret(req.Key)
	s.Request, s.Key, s.Phase = req.ID, string(req.Key), Created
	// Only the name matters to a killed process, and the time until it is there is the time in which a request can
	// be lost; so the disk is waited for afterwards.
	err = s.SaveQuickly()
	if err == nil {
		err = s.Save()
	}
	if err != nil {
		return fmt.Errorf("request %d was created, but %w", req.ID, err)
	}
	r.state = s
	r.step("created", fmt.Sprintf("Request %d created: %s to %s, aim %s.", req.ID, p.Filename, p.Target, p.Aim), nil)
	return nil
}

func (r *run) prepareDump(ctx context.Context) (DumpID, error) {
	if r.Dump != "-" {
		return identify(ctx, r.Dump)
	}
	if r.spooled != nil {
		return *r.spooled, nil
	}
	r.step("spooling", "Reading the dump from standard input.", nil)
	d, err := spool(ctx, r.Stdin, r.notes)
	if err == nil {
		r.step("spooled", fmt.Sprintf("The dump has %s.", Size(d.Size)), map[string]any{"bytes": d.Size})
	}
	return d, err
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

// retry repeats calls that do no harm when repeated, and says so.
func (r *run) retry(ctx context.Context, try func(context.Context) error) error {
	o := r.Retry
	o.Uncertain = true
	o.OnRetry = r.trouble
	return client.Retry(ctx, &o, try)
}

// firstContact is how long a platform may be out of order before anything hangs on it.
const firstContact = 2 * time.Minute

// retryCreate repeats only what surely was not done, and only when the platform or its front-end said so
// themselves: a page, a closed port, a name that leads nowhere are more often a wrong URL than a bad moment, and
// the user wants to know.
func (r *run) retryCreate(ctx context.Context, try func(context.Context) error) error {
	o := r.Retry
	o.OnRetry = r.trouble
	o.Limit = firstContact
	var final error
	err := client.Retry(ctx, &o, func(ctx context.Context) error {
		err := try(ctx)
		var e *client.Error
		if errors.As(err, &e) && len(e.Failures) == 0 && e.Status != 429 && e.Status != 502 && e.Status != 503 {
			final = err
			return nil
		}
		return err
	})
	return cmp.Or(final, err)
}

func (r *run) trouble(err error, pause time.Duration) {
	r.step("trouble", fmt.Sprintf("%v; trying again in %s.", err, pause.Round(100*time.Millisecond)),
		map[string]any{"error": err.Error(), "pause_seconds": pause.Seconds()})
}

// Size renders bytes for people.
func Size(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, i := float64(n)/1024, 0
	for v >= 1024 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// hostOf names the platform in messages.
func hostOf(base string) string {
	if u, err := url.Parse(base); err == nil {
		return u.Host
	}
	return base
}
