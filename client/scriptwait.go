package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// ScriptWaitOptions are the options of [Script.Wait]. A nil *ScriptWaitOptions is the same as a zero
// ScriptWaitOptions.
type ScriptWaitOptions struct {
	// Interval is the shortest time from the end of one status call to the next. If zero, it is 1 s.
	Interval time.Duration

	// MaxInterval is the longest time between two status calls. It is approached while the state stays the same: the
	// time to the next call is a tenth of the time that the state has lasted. If zero, it is 5 s, which is how often
	// the platform's own script asks (row S7.5).
	MaxInterval time.Duration

	// MaxOutage is how long all calls may fail with ErrTransient. If zero, it is 30 min.
	MaxOutage time.Duration

	// OnStatus, if not nil, is called with each answer. It should be quick.
	OnStatus func(*ScriptStatus)

	// OnRetry, if not nil, is called after each call that failed with ErrTransient, with the pause before the next
	// one. It should be quick.
	OnRetry func(err error, pause time.Duration)

	// OnPause, if not nil, is called after each answer that does not end the waiting, with the pause before the next
	// call. It should be quick.
	OnPause func(pause time.Duration)

	// Log, if not nil, gets the log of the upgrade while it grows, and its end: each byte once, from the one with the
	// number LogFrom on. That the log cannot be read does not end the waiting.
	Log io.Writer

	// LogFrom is the number of bytes of the log to leave out.
	LogFrom int64

	// OnLog, if not nil, is called when bytes were written to Log, with the number of bytes of the log so far. It
	// should be quick.
	OnLog func(next int64)
}

// A ScriptEndedError reports a request from which no upgraded database comes. errors.Is(err, [ErrRejected]) holds for
// it.
type ScriptEndedError struct {
	ID     string      // of the request
	State  ScriptState // ScriptFailed or ScriptCancelled
	Reason string      // what the platform says; often empty
}

// Error returns the state and the reason.
func (e *ScriptEndedError) Error() string {
	why := "the platform gave no reason; its log may have one"
	if e.Reason != "" {
		why = printable(e.Reason, 2000)
	}
	return fmt.Sprintf("client: request %s is %s: %v: %s", e.ID, e.State, ErrRejected, why)
}

// Is reports whether target is ErrRejected.
func (e *ScriptEndedError) Is(target error) bool { return target == ErrRejected }

// Rejection returns nil, or, if the state means that no upgraded database will come, a *[ScriptEndedError].
func (r *ScriptStatus) Rejection(ref ScriptRef) error {
	if r.State != ScriptFailed && r.State != ScriptCancelled {
		return nil
	}
	return &ScriptEndedError{ID: ref.ID, State: r.State, Reason: r.Reason}
}

// maxUnknown is how often in a row the status may be a state that is not known.
const maxUnknown = 20

// An UnknownStateError reports a request that stays in a state of which this package does not know whether it is final.
type UnknownStateError struct {
	ID    string      // of the request
	State ScriptState // in which it stays
}

// Error returns the state.
func (e *UnknownStateError) Error() string {
	return fmt.Sprintf("client: request %s stays in the state %q, which is not known here: it may be final, "+
		"and waiting again does no harm", e.ID, printable(string(e.State), 100))
}

// Wait polls the status until the request is in a final state, and returns it. If no upgraded database will come, it
// returns the status and a *[ScriptEndedError]. Calls that fail with ErrTransient are repeated; Wait returns any other
// error, and the context's cause if ctx ends. A state that is not known here is not final, but if it lasts, Wait
// returns an *[UnknownStateError]. A request in state new stays so until [Script.Process].
func (s *Script) Wait(ctx context.Context, ref ScriptRef, opts *ScriptWaitOptions) (*ScriptStatus, error) {
	var o ScriptWaitOptions
	if opts != nil {
		o = *opts
	}
	p := polling{o.Interval, o.MaxInterval, o.MaxOutage, o.OnRetry, o.OnPause}
	log := &logFollower{s: s, o: &o, next: o.LogFrom}
	var state ScriptState
	unknown := 0
	return poll(ctx, s.c, p, 5*time.Second, func() (*ScriptStatus, error) { return s.Status(ctx, ref) },
		func(r *ScriptStatus) (changed, done bool, err error) {
			ref.Host = r.Host
			if changed = r.State != state; changed {
				s.c.log.InfoContext(ctx, "state", "id", ref.ID, "state", r.State)
				state = r.State
			}
			if o.OnStatus != nil {
				o.OnStatus(r)
			}
			if err := log.follow(ctx, ref, r.State); err != nil {
				return changed, false, err
			}
			if r.State.Terminal() {
				return changed, true, r.Rejection(ref)
			}
			if unknown++; r.State.Known() {
				unknown = 0
			}
			if unknown == maxUnknown {
				return changed, true, &UnknownStateError{ID: ref.ID, State: r.State}
			}
			return changed, false, nil
		})
}

// logFollower writes the log of an upgrade while it grows.
type logFollower struct {
	s    *Script
	o    *ScriptWaitOptions
	next int64
	off  bool // whether the platform does not give the log
}

// finalTries is how often the end of the log is asked for.
const finalTries = 3

// follow writes what is new. It returns an error only if Log cannot be written.
func (l *logFollower) follow(ctx context.Context, ref ScriptRef, state ScriptState) error {
	if l.o.Log == nil || l.off || state != ScriptProgress && !state.Terminal() {
		return nil
	}
	for try := 1; ; {
		before := l.next
		next, err := l.s.Logs(ctx, ref, before, l.o.Log)
		l.next = next
		if next > before && l.o.OnLog != nil {
			l.o.OnLog(next)
		}
		switch {
		case isPermanent(err):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err == nil:
			if next == before || next-before < maxLog {
				return nil
			}
			continue // there is more
		}
		l.s.c.log.WarnContext(ctx, "log not read", "id", ref.ID, "error", err)
		if !errors.Is(err, ErrTransient) {
			l.off = true
			if l.o.OnRetry != nil {
				l.o.OnRetry(err, 0)
			}
			return nil
		}
		if !state.Terminal() || try == finalTries {
			return nil // the next status brings it, or the downloaded one
		}
		try++
		if err := sleep(ctx, min(orDefault(l.o.Interval, time.Second), time.Second)); err != nil {
			return err
		}
	}
}
