package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// finish does what is left to do for a request that exists, whatever state it is in.
func (r *scriptRun) finish(ctx context.Context) (*ScriptResult, error) {
	s := r.state
	if !s.past(Processed) {
		if err := r.send(ctx); err != nil {
			return nil, err
		}
	}
	if !s.past(Downloaded) {
		if err := r.fetch(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.restore(ctx); err != nil {
		return nil, err
	}
	if err := r.merge(ctx); err != nil {
		return nil, err
	}
	if s.Phase != Finished {
		s.Phase = Finished
		if err := s.save(); err != nil {
			return nil, err
		}
	}
	s.dropDump()
	res := *s.Result
	res.Merged = s.Merged
	if s.Restored != nil {
		res.Database = s.Restored.Database
	}
	return &res, nil
}

// send uploads the dump and has it processed, as far as that is still to be done.
func (r *scriptRun) send(ctx context.Context) error {
	s := r.state
	// Another process may have come further than it could note.
	status, err := r.status(ctx)
	if err != nil {
		return err
	}
	if status.State == client.ScriptNew {
		earlier := s.past(Uploaded)
		if !earlier {
			err = r.upload(ctx)
		}
		if err == nil {
			err = r.process(ctx)
		}
		// The platform may have lost a dump that an earlier run has sent.
		if refused, ok := errors.AsType[*client.Error](err); earlier && ok && len(refused.Failures) > 0 {
			r.step("missing", fmt.Sprintf("%v: sending the dump again.", err), nil)
			if err = r.upload(ctx); err == nil {
				err = r.process(ctx)
			}
		}
		if err != nil {
			return err
		}
	}
	s.Phase = Processed
	if err := s.save(); err != nil {
		return err
	}
	r.step("processing", "The platform has begun; this may take hours. "+
		"The run can be interrupted and started again at any time.", nil)
	return nil
}

func (r *scriptRun) upload(ctx context.Context) error {
	s := r.state
	dump, err := client.OpenScriptDump(s.Dump.Path)
	if err != nil {
		return err
	}
	if dump.Digest() != s.Dump.Digest {
		return fmt.Errorf("the dump %s: %w while this run was going on", s.Dump.Path, client.ErrChanged)
	}
	o, err := r.transferOptions("upload")
	if err != nil {
		return err
	}
	r.step("uploading", fmt.Sprintf("Uploading %s.", Size(s.Dump.Size)), map[string]any{"bytes": s.Dump.Size})
	t, err := r.script.Upload(ctx, s.Ref(), dump, o)
	if err != nil {
		return err
	}
	s.Phase = Uploaded
	if err := s.save(); err != nil {
		return err
	}
	there := ""
	if t.Skipped > 0 {
		there = fmt.Sprintf("; files that were there already: %d", t.Skipped)
	}
	r.step("uploaded", fmt.Sprintf("The dump is uploaded: %s%s.", Size(s.Dump.Size), there),
		map[string]any{"bytes": s.Dump.Size, "sent": t.Bytes, "skipped": t.Skipped})
	return nil
}

func (r *scriptRun) transferOptions(what string) (*client.ScriptTransferOptions, error) {
	signers, err := r.signers()
	if err != nil {
		return nil, err
	}
	retry := r.retryOptions()
	return &client.ScriptTransferOptions{Signers: signers, Retry: &retry,
		Progress: func(p client.Progress) { r.Report.Progress(what, p) }}, nil
}

// process starts the upgrade. If it is uncertain whether the call arrived, the status shows it.
func (r *scriptRun) process(ctx context.Context) error {
	return r.retry(ctx, func(ctx context.Context) error {
		answer, err := r.script.Process(ctx, r.state.Ref())
		if err == nil {
			r.state.PGIncompatible = !answer.PGCompatible
			if !answer.PGCompatible {
				r.step("incompatible", "The platform says that the upgraded database needs a newer PostgreSQL than the one "+
					"that the dump is from: it will not be restored by this run.", nil)
			}
			return nil
		}
		if !errors.Is(err, client.ErrUncertain) {
			return err
		}
		status, serr := r.status(ctx)
		if serr != nil {
			return serr
		}
		if status.State != client.ScriptNew {
			return nil
		}
		return err
	})
}

// status returns where the request stands. It is asked at the platform itself, whose answer names the host that the
// request is assigned to.
func (r *scriptRun) status(ctx context.Context) (*client.ScriptStatus, error) {
	var status *client.ScriptStatus
	err := r.retry(ctx, func(ctx context.Context) (err error) {
		ref := r.state.Ref()
		ref.Host = ""
		status, err = r.script.Status(ctx, ref)
		return err
	})
	if err == nil && status.Host != "" {
		r.state.Host = status.Host
	}
	return status, err
}

// fetch waits for the results and downloads them.
func (r *scriptRun) fetch(ctx context.Context) error {
	s := r.state
	var last client.ScriptState
	o := r.Wait
	o.OnRetry = r.reportRetry
	o.OnStatus = func(status *client.ScriptStatus) {
		if status.State != last {
			last = status.State
			r.step("state", stateText(status), map[string]any{"state": string(status.State)})
		}
	}
	o.OnPause = func(pause time.Duration) { r.Report.Waiting(string(last), pause) }
	var noted error
	if r.Log != nil {
		o.Log, o.LogFrom = r.Log, s.LogBytes
		o.OnLog = func(next int64) {
			s.LogBytes = next - r.Log.Pending()
			noted = cmp.Or(noted, s.saveQuickly())
		}
	}
	ref := s.Ref()
	ref.Host = "" // as status does
	status, err := r.script.Wait(ctx, ref, &o)
	if ended, ok := errors.AsType[*client.ScriptEndedError](err); ok {
		s.Phase = Rejected
		return errors.Join(ended, s.save())
	}
	if err := cmp.Or(err, noted); err != nil {
		return err
	}
	s.Host = cmp.Or(status.Host, s.Host)
	if status.Archived {
		r.step("archived", "The platform calls the request archived: its files may be gone.", nil)
	}
	return r.download(ctx)
}

func stateText(status *client.ScriptStatus) string {
	text := fmt.Sprintf("State: %s.", status.State)
	if !status.State.Known() {
		text += " This program does not know that state; it waits on."
	}
	if status.Reason != "" {
		text += " The platform says: " + status.Reason
	}
	return text
}

func (r *scriptRun) download(ctx context.Context) error {
	s := r.state
	o, err := r.transferOptions("download")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Out, 0o700); err != nil {
		return inputError("the folder %s for the results cannot be made: %v", s.Out, reason(err))
	}
	r.step("downloading", "Downloading the results.", nil)
	t, err := r.script.Download(ctx, s.Ref(), s.Out, o)
	if err != nil {
		return err
	}
	for _, name := range t.Left {
		r.step("left-out", fmt.Sprintf("%s is no file and was left out.", name), map[string]any{"name": name})
	}
	res := &ScriptResult{Request: s.Request, Dump: t.Dump, Filestore: t.Filestore, Report: t.Report, Log: t.Log,
		Size: t.Size}
	if info, err := os.Stat(res.Dump); err == nil && info.IsDir() {
		if _, err := os.Stat(filepath.Join(res.Dump, "toc.dat")); err != nil {
			return fmt.Errorf("the upgraded dump %s is not whole: it has no toc.dat", res.Dump)
		}
	}
	s.Result, s.Phase = res, Downloaded
	if err := s.save(); err != nil {
		return err
	}
	r.step("downloaded", fmt.Sprintf("Downloaded %s to %s.", Size(t.Size), s.Out),
		map[string]any{"bytes": t.Size, "received": t.Bytes, "skipped": t.Skipped, "out": s.Out})
	if res.Report != "" {
		r.step("report", "The report of the upgrade: "+res.Report, map[string]any{"report": res.Report})
	}
	return nil
}

// missing reports whether the dump is not where it was left.
func (res *ScriptResult) missing() bool {
	if res == nil {
		return true
	}
	info, err := os.Stat(res.Dump)
	if err == nil && info.IsDir() {
		_, err = os.Stat(filepath.Join(res.Dump, "toc.dat"))
	}
	return err != nil
}
