package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// create makes the request and saves it. It retries errors after which surely no request was made.
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
	s := &State{URL: r.Client.URL(), Contract: p.Contract, Email: p.Email, Target: p.Target, Aim: p.Aim,
		Filename: p.Filename, Timezone: p.Timezone, Dump: dump, Phase: Creating,
		stateFile: stateFile{path: r.StateFile, claim: r.notes}}
	var req *client.Request
	err = retryCreate(ctx, r.retryOptions(), func(ctx context.Context) error {
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
		return fmt.Errorf("%w. Whether the platform has made a request is not known; "+
			"if it has, it stays a draft and nothing comes of it. To try again all the same: --new-request", err)
	default:
		return err
	}
	r.Report.Secret(req.Key)
	s.Request, s.Key, s.Phase = req.ID, string(req.Key), Created
	// Until the file has its name, a killed process loses the request; so the disk is waited for afterwards.
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
	d, err := spool(ctx, r.Stdin, r.notes, ".dump")
	if err == nil {
		r.step("spooled", fmt.Sprintf("The dump has %s.", Size(d.Size)), map[string]any{"bytes": d.Size})
	}
	return d, err
}

// firstContact is how long a platform may fail before a request was made or found.
const firstContact = 2 * time.Minute

// retryCreate repeats only what surely was not done, and only if the platform or its front-end said so: a page, a
// closed port and an unknown name are more often a wrong URL than a bad moment, which the user should know at once.
func retryCreate(ctx context.Context, o client.RetryOptions, try func(context.Context) error) error {
	o.Limit = firstContact
	var final error
	err := client.Retry(ctx, &o, func(ctx context.Context) error {
		err := try(ctx)
		if e, ok := errors.AsType[*client.Error](err); ok && len(e.Failures) == 0 && e.Status != 429 && e.Status != 502 &&
			e.Status != 503 {
			final = err
			return nil
		}
		return err
	})
	return cmp.Or(final, err)
}
