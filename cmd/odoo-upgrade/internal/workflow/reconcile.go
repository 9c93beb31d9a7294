package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// reconcile compares the state with what is asked for now. A result means that there is nothing left to do.
func (r *run) reconcile(ctx context.Context) (*Result, error) {
	if r.state != nil && r.NewRequest {
		if err := r.state.setAside(); err != nil {
			return nil, err
		}
		r.step("set-aside",
			"The earlier run's request is left alone; what was noted of it is kept beside the state file.", nil)
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
		return nil, fmt.Errorf("%w: an earlier run ended while it created the request (%s), so there may be one at the "+
			"platform whose key nobody knows. Such a request stays a draft, nothing comes of it. "+
			"To create another: --new-request", ErrNeedsDecision, s.Updated.Format(time.DateTime))
	}
	same, err := r.sameDump(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case !same && s.Phase.over():
		r.step("new-dump",
			fmt.Sprintf("Request %d is over and the dump is another one now: beginning anew.", s.Request), nil)
		r.state = nil
		return nil, nil
	case !same:
		return nil, fmt.Errorf("%w: the dump %s has changed since request %d was begun with it "+
			"(SHA-256 %.12s…, %d bytes then). Put the first one back to continue, or upgrade this one with --new-request",
			ErrNeedsDecision, r.Dump, s.Request, s.Dump.SHA256, s.Dump.Size)
	case s.Phase == Finished && s.Out.intact(ctx, r.Out):
		return &Result{Request: s.Request, Out: OutFile{r.Out, s.Out.Size, s.Out.SHA256}, Already: true}, nil
	case s.Phase == Finished:
		r.step("lost", "The upgraded dump of the earlier run is gone or changed: fetching it again.", nil)
		s.Phase = Processed
	}
	r.step("continuing", fmt.Sprintf("Continuing request %d, %s so far.", s.Request, s.Phase),
		map[string]any{"stage": s.Phase})
	return nil, nil
}

// sameOrder refuses to continue a request that was made with other parameters.
func (r *run) sameOrder() error {
	s, p := r.state, r.Params
	for _, f := range []struct{ name, noted, now string }{
		{"--url", s.URL, r.Client.URL()}, {"--contract", s.Contract, p.Contract}, {"--email", s.Email, p.Email},
		{"--target", s.Target, p.Target}, {"--aim", s.Aim, p.Aim}, {"--filename", s.Filename, p.Filename},
		{"--timezone", s.Timezone, p.Timezone},
	} {
		if f.noted != f.now {
			return fmt.Errorf("%w: %s belongs to a run %s, and this one is %s. Ask for the same to continue it, "+
				"choose another --out or --state for another upgrade, or give the first one up with --new-request",
				ErrNeedsDecision, s.path, with(f.name, f.noted), with(f.name, f.now))
		}
	}
	return nil
}

// sameDump reports whether the dump is the one of the state. After the upload, it may be gone.
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
			return false, fmt.Errorf("the copy of the piped dump, %s, is gone or changed (%w): begin anew with --new-request",
				noted.Path, errors.Join(err, client.ErrChanged))
		}
		r.step("spooled",
			"Using the dump that the earlier run read from the pipe; standard input is not read.", nil)
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
