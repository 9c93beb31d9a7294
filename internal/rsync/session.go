package rsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Exit statuses of rsync.
const (
	statusRefused   = 1
	statusProtocol  = 2
	statusFiles     = 11
	statusStream    = 12
	statusEnded     = 20
	statusSomeFiles = 23
)

// A protocolError is what no client sends.
type protocolError string

func (e protocolError) Error() string { return "protocol error: " + string(e) }

func protocol(format string, args ...any) error { return protocolError(fmt.Sprintf(format, args...)) }

// A cut is an error of Job.Data.
type cut struct{ error }

func (c cut) Unwrap() error { return c.error }

// An exit is the end of a program with a status that is not 0.
type exit struct{ status uint8 }

func (e exit) Error() string { return fmt.Sprintf("the program ended with exit status %d", e.status) }

var (
	// errClosed is the cause of the end when a program has ended.
	errClosed = errors.New("closed")

	errEarly = errors.New("the connection ended before the transfer did")

	errSomeFiles = errors.New("some files could not be sent")
)

// A session is one command that is served.
type session struct {
	job     *Job
	command *Command
	in      *source
	r       *reader // of in
	out     *sink

	fail context.CancelCauseFunc // ends the transfer; the first cause counts

	mu   sync.Mutex // calls of job, and writes to errw
	errw io.Writer
}

// A backend serves the protocol: it reads what the client sends, from the version of the protocol on, and writes what a
// server does. When the context is done, reading and writing fails.
type backend interface {
	receive(ctx context.Context, u *upload) error
	send(ctx context.Context, d *download) error // of at least one file or directory
}

type engine struct{ backend }

func (e engine) Serve(ctx context.Context, s Stream, c *Command, j *Job) (uint8, error) {
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	t := &session{job: j, command: c, in: newSource(running, s.In), out: newSink(running, s.Out), fail: fail, errw: s.Err}
	t.r = &reader{fill: t.in.next}
	err := t.serve(running, e.backend)
	if err == nil {
		err = t.out.close(ctx)
	} else {
		fail(err)
		t.out.close(ctx)
	}
	if err == nil {
		return 0, nil
	}
	return t.report(err), fmt.Errorf("rsync: %w", err)
}

func (t *session) serve(ctx context.Context, b backend) error {
	if err := t.command.ReadArgs(t.r); err != nil {
		return err
	}
	if t.command.Sender {
		return t.send(ctx, b)
	}
	return t.receive(ctx, b)
}

func (t *session) receive(ctx context.Context, b backend) error {
	u := &upload{session: t, c: t.command, root: t.job.Root}
	err := t.cause(ctx, b.receive(ctx, u))
	return errors.Join(err, u.finish(err))
}

func (t *session) send(ctx context.Context, b backend) error {
	d := &download{session: t, c: t.command}
	if err := d.find(t.job.Files); err != nil {
		return err
	}
	var err error
	if len(d.list) == 0 {
		err = d.nothing()
	} else {
		err = t.cause(ctx, b.send(ctx, d))
	}
	d.finish()
	if err == nil && d.incomplete {
		err = errSomeFiles
	}
	return err
}

// cause returns why the transfer ended: what was the first to fail, not what followed from it.
func (t *session) cause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && cause != errClosed {
		return cause
	}
	return err
}

// failed has an error end the transfer.
func (t *session) failed(err error) error {
	if err != nil && err != errStopped {
		t.fail(err)
	}
	return err
}

// report writes why the transfer failed to the client's user, and returns the exit status.
func (t *session) report(err error) uint8 {
	if e, ok := errors.AsType[exit](err); ok {
		return e.status // the program has said why
	}
	if _, ok := errors.AsType[cut](err); ok {
		return statusStream
	}
	if r, ok := errors.AsType[*Refusal](err); ok {
		t.say(r.Line)
		return statusRefused
	}
	if err == errSomeFiles {
		return statusSomeFiles
	}
	status := uint8(statusFiles)
	if _, ok := errors.AsType[protocolError](err); ok {
		status = statusProtocol
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		status, err = statusStream, errEarly
	} else if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return statusEnded
	}
	t.say("rsync: " + err.Error())
	return status
}

// say writes a line to the client's user.
func (t *session) say(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	io.WriteString(t.errw, line+"\n") // whoever has no stderr has no transfer either
}

// pass asks how many of n bytes of a file may pass.
func (t *session) pass(name string, offset int64, n int) (int, error) {
	if t.job.Data == nil {
		return n, nil
	}
	pass, err := t.job.Data(name, offset, n)
	if err != nil {
		return max(0, min(pass, n)), cut{err}
	}
	return n, nil
}

func (t *session) done(f File) {
	if t.job.Done == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.job.Done(f)
}
