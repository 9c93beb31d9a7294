package workflow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// finish does what is left to do for a request that exists, whatever state it is in.
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
		// The platform may have lost a dump that it confirmed. Then process says so, and it is sent again, once.
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

// patience is how long the upgraded dump may be missing though the state means that it is there.
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

// unknown adds what to do if the platform does not know the request.
func (r *run) unknown(err error) error {
	if e, ok := errors.AsType[*client.Error](err); ok && e.Has(client.ReasonRequestNotFound) {
		return fmt.Errorf("%w. The platform at %s no longer knows the request; to begin anew: --new-request",
			err, hostOf(r.state.URL))
	}
	return err
}

// status returns the request. It is retried, and keeps the distance from other status calls.
func (r *run) status(ctx context.Context) (*client.Request, error) {
	return r.statusWithin(ctx, r.Wait.MaxOutage)
}

func (r *run) statusWithin(ctx context.Context, outage time.Duration) (*client.Request, error) {
	o := r.Wait
	o.MaxOutage = outage
	o.Until = func(*client.Request) bool { return true }
	o.OnRetry = r.reportRetry
	return r.Client.Wait(ctx, r.state.Ref(), &o)
}

// process starts the upgrade. If it is uncertain whether the call arrived, the status shows it.
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
	r.step("processing", "The platform has begun; this may take hours. "+
		"The run can be interrupted and started again at any time.", nil)
	return nil
}

// wait polls until the request has ended.
func (r *run) wait(ctx context.Context) (*client.Request, error) {
	var last client.State
	var skip bool
	o := r.Wait
	o.OnRetry = r.reportRetry
	o.OnStatus = func(req *client.Request) {
		if req.State != last {
			last = req.State
			r.reportState(req)
		}
	}
	o.OnPause = func(pause time.Duration) { r.Report.Waiting(string(last), pause) }
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

func (r *run) reportState(req *client.Request) {
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

// download downloads the upgraded dump, reads it back, and saves that the run is finished.
func (r *run) download(ctx context.Context, req *client.Request) error {
	var received string // the SHA-256
	var err error
	if r.DownloadVia == SFTP || req.UpgradedDumpURL == "" {
		received, err = r.downloadSFTP(ctx)
	} else {
		received, err = r.downloadHTTPS(ctx, req.UpgradedDumpURL)
	}
	if err != nil {
		return err
	}
	began := time.Now()
	sum, n, err := digestFile(ctx, r.Out)
	if err != nil {
		return fmt.Errorf("reading the download back: %w", err)
	}
	if sum != received {
		return fmt.Errorf("%s is not what was downloaded (SHA-256 %s now, %s then): %w, another program has written to it; "+
			"start again to download it once more", r.Out, sum, received, client.ErrChanged)
	}
	s := r.state
	s.Phase, s.Out = Finished, &OutFile{Path: r.Out, Size: n, SHA256: sum}
	r.step("downloaded", fmt.Sprintf("Downloaded %s, SHA-256 %s.", Size(n), sum),
		map[string]any{"bytes": n, "sha256": sum, "hash_seconds": time.Since(began).Seconds()})
	return s.Save()
}

// downloadHTTPS returns the SHA-256 of what was received.
func (r *run) downloadHTTPS(ctx context.Context, url string) (string, error) {
	r.step("downloading", "Downloading the upgraded dump.", map[string]any{"via": HTTPS})
	retry := r.Retry
	retry.OnRetry = r.reportRetry
	got, err := r.Client.DownloadTo(ctx, url, r.out, &client.DownloadOptions{
		Retry:    &retry,
		Progress: func(p client.Progress) { r.Report.Progress("download", p) },
	})
	if err != nil {
		return "", err
	}
	return got.SHA256, nil
}

// downloadSFTP returns the SHA-256 of what was received.
func (r *run) downloadSFTP(ctx context.Context) (string, error) {
	o, err := r.sftpOptions("download")
	if err != nil {
		return "", err
	}
	access, err := r.access(ctx, o.Signers)
	if err != nil {
		return "", err
	}
	r.step("downloading", fmt.Sprintf("Downloading the upgraded dump over SFTP from %s.", access.Addr()),
		map[string]any{"via": SFTP})
	got, err := r.Client.DownloadSFTPTo(ctx, access, r.out, o)
	if err != nil {
		return "", err
	}
	return got.SHA256, nil
}
