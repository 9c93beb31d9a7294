package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// finish takes a request that exists to its end, from whatever state it is in.
func (r *run) finish(ctx context.Context) (*Result, error) {
	s := r.state
	fresh := s.Phase == Created && s.Via == ""
	var req *client.Request
	if !fresh {
		var err error
		if req, err = r.statusWithin(ctx, firstContact); err != nil {
			return nil, r.unknown(err)
		}
	}
	if fresh || req.State == client.StateDraft {
		// The platform may have forgotten a dump that it confirmed; then process says so, and once it is sent again.
		for again := range 2 {
			if !s.Phase.uploaded() {
				if err := r.upload(ctx); err != nil {
					return nil, r.unknown(err)
				}
			}
			err := r.process(ctx)
			if err == nil {
				break
			}
			var e *client.Error
			if again > 0 || !errors.As(err, &e) || !(e.Has(client.ReasonDumpMissing) || e.Has(client.ReasonDumpIncomplete)) {
				return nil, err
			}
			r.step("missing", "The platform does not have the dump: sending it again.", nil)
			s.Phase, s.Confirmed = Created, 0
		}
	}
	if s.Phase != Processed {
		s.Phase = Processed
		if err := s.Save(); err != nil {
			return nil, err
		}
	}
	if err := r.fetch(ctx); err != nil {
		return nil, err
	}
	s.dropSpooled()
	return &Result{Request: s.Request, Out: *s.Out}, nil
}

// patience is how long the upgraded dump may be missing though the state says that it is there.
const patience = 2 * time.Minute

// fetch waits for the upgraded dump and downloads it.
func (r *run) fetch(ctx context.Context) error {
	var missed time.Time
	for {
		req, err := r.wait(ctx)
		if err != nil {
			return err
		}
		err = r.download(ctx, req)
		if !errors.Is(err, client.ErrNotFound) {
			return err
		}
		// The state was taken back, or the file is late.
		if missed.IsZero() {
			missed = time.Now()
		}
		if time.Since(missed) > patience {
			return err
		}
		r.step("not-there", "The upgraded dump is not there yet; asking again.", nil)
	}
}

// unknown adds what to do when the platform does not know the request any more.
func (r *run) unknown(err error) error {
	var e *client.Error
	if errors.As(err, &e) && e.Has(client.ReasonRequestNotFound) {
		return fmt.Errorf("%w. The platform at %s no longer knows the request; to begin anew: --new-request", err, hostOf(r.state.URL))
	}
	return err
}

// status asks where the request is, patiently, and at a distance from other such calls.
func (r *run) status(ctx context.Context) (*client.Request, error) {
	return r.statusWithin(ctx, r.Wait.MaxOutage)
}

func (r *run) statusWithin(ctx context.Context, outage time.Duration) (*client.Request, error) {
	o := r.Wait
	o.MaxOutage = outage
	o.Until = func(*client.Request) bool { return true }
	o.OnRetry = r.trouble
	return r.Client.Wait(ctx, r.state.Ref(), &o)
}

// process starts the upgrade. When it is not sure whether the call arrived, the status decides.
func (r *run) process(ctx context.Context) error {
	ref := r.state.Ref()
	err := r.retry(ctx, func(ctx context.Context) error {
		err := r.Client.Process(ctx, ref)
		if !errors.Is(err, client.ErrUncertain) && !errors.Is(err, client.ErrInvalidState) {
			return err
		}
		req, serr := r.status(ctx)
		if serr != nil {
			return serr
		}
		if req.State != client.StateDraft {
			return nil
		}
		return err
	})
	if err != nil {
		return err
	}
	r.state.Phase = Processed
	if err := r.state.Save(); err != nil {
		return err
	}
	r.step("processing", "The platform has begun; this may take hours. The run can be interrupted and started again at any time.", nil)
	return nil
}

// wait polls until the request is over.
func (r *run) wait(ctx context.Context) (*client.Request, error) {
	var last client.State
	var skip bool
	o := r.Wait
	o.OnRetry = r.trouble
	o.OnStatus = func(req *client.Request) {
		if req.State != last {
			last = req.State
			r.tellState(req)
		}
	}
	o.Until = func(req *client.Request) bool {
		if req.State == client.StateTesting && r.SkipTest && !skip {
			skip = true
			return true
		}
		return req.State.Terminal()
	}
	for {
		req, err := r.Client.Wait(ctx, r.state.Ref(), &o)
		if err != nil {
			return nil, r.unknown(err)
		}
		if rejected := req.Rejection(); rejected != nil {
			r.state.Phase = Rejected
			return nil, errors.Join(rejected, r.state.Save())
		}
		if req.State.Succeeded() {
			return req, nil
		}
		r.step("skipping", "Skipping the test phase.", nil)
		err = r.retry(ctx, func(ctx context.Context) error { return r.Client.SkipTest(ctx, r.state.Ref()) })
		if err != nil && !errors.Is(err, client.ErrInvalidState) {
			return nil, err
		}
	}
}

func (r *run) tellState(req *client.Request) {
	text := fmt.Sprintf("State: %s.", req.State)
	if req.EstimatedTime != "" {
		text = fmt.Sprintf("State: %s, estimated time %s.", req.State, req.EstimatedTime)
	}
	switch {
	case req.State == client.StateTesting && !r.SkipTest:
		text += " People test the result; this run waits. To have it delivered now: --skip-test, or odoo-upgrade skip-test."
	case !req.State.Known():
		text += " This program does not know that state; it waits on."
	}
	if req.CustomerMessage != "" && !req.State.Rejected() {
		text += " The platform says: " + req.CustomerMessage
	}
	r.step("state", text, map[string]any{"state": string(req.State), "estimated_time": req.EstimatedTime})
}

// download fetches the upgraded dump, checks what can be checked, and notes the end.
func (r *run) download(ctx context.Context, req *client.Request) error {
	s := r.state
	var came string // the SHA-256 of what the platform sent
	if r.DownloadVia == SFTP || req.UpgradedDumpURL == "" {
		o, err := r.sftpOptions("download")
		if err != nil {
			return err
		}
		access, err := r.access(ctx, o.Signers)
		if err != nil {
			return err
		}
		r.step("downloading", fmt.Sprintf("Downloading the upgraded dump over SFTP from %s.", access.Addr()), map[string]any{"via": SFTP})
		got, err := r.Client.DownloadSFTPTo(ctx, access, r.out, o)
		if err != nil {
			return err
		}
		came = got.SHA256
	} else {
		r.step("downloading", "Downloading the upgraded dump.", map[string]any{"via": HTTPS})
		retry := r.Retry
		retry.OnRetry = r.trouble
		got, err := r.Client.DownloadTo(ctx, req.UpgradedDumpURL, r.out, &client.DownloadOptions{
			Retry: &retry, Progress: func(p client.Progress) { r.Report.Progress("download", p) }})
		if err != nil {
			return err
		}
		came = got.SHA256
	}
	began := time.Now()
	sum, n, err := digestFile(ctx, r.Out)
	if err != nil {
		return fmt.Errorf("reading the download back: %w", err)
	}
	if sum != came {
		return fmt.Errorf("%s is not what was downloaded (SHA-256 %s now, %s then): %w, another program has written to it; "+
			"start again to download it once more", r.Out, sum, came, client.ErrChanged)
	}
	s.Phase, s.Out = Finished, &OutFile{Path: r.Out, Size: n, SHA256: sum}
	r.step("downloaded", fmt.Sprintf("Downloaded %s, SHA-256 %s.", Size(n), sum), map[string]any{"bytes": n, "sha256": sum, "hash_seconds": time.Since(began).Seconds()})
	return s.Save()
}
