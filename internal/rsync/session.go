package rsync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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
	// errClosed is the cause of the end when the library wants neither to read nor to write any more.
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
	silent  bool // what the backend says to the client's user is not passed on

	fail context.CancelCauseFunc // ends the transfer; the first cause counts

	mu   sync.Mutex // calls of job, and writes to errw
	errw io.Writer
}

// A backend moves the files. It reads what a client of protocol 27 would send, and writes what a server does, and
// returns when it has ended. When the context is done, reading and writing fails.
type backend interface {
	// receive writes regular files below the root of the upload, into directories that are there.
	receive(ctx context.Context, u *upload, in io.Reader, out io.Writer) error

	// send sends the files of the download as one directory, in which they are named by numbers.
	send(ctx context.Context, d *download, in io.Reader, out io.Writer) error
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
	in, out := t.pull(u.receive), t.push(u.ask)
	err := t.cause(ctx, b.receive(ctx, u, in, out))
	in.stop()
	out.stop()
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
		in, out := t.pull(d.asked), t.push(d.send)
		err = t.cause(ctx, b.send(ctx, d, in, out))
		in.stop()
		out.stop()
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

// pull returns a filter whose error ends the transfer.
func (t *session) pull(parse func(r *reader, emit func([]byte) error) error) *filter {
	return pulled(func(emit func([]byte) error) error {
		return t.failed(parse(t.r, emit))
	})
}

func (t *session) push(parse func(r *reader) error) *filter {
	return pushed(func(r *reader) error { return t.failed(parse(r)) })
}

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

// greet passes on what a server sends first: the version of the protocol, and a number that goes into checksums.
func (t *session) greet(r *reader) error {
	if _, err := r.int32(); err != nil {
		return err
	}
	seed, err := r.int32()
	if err != nil {
		return err
	}
	return t.out.raw(appendInt32(appendInt32(nil, protocolVersion), seed))
}

// message passes on what a backend says to the client's user, unless it says no more than its error does.
func (t *session) message(kind byte, text []byte) error {
	if t.silent {
		return nil
	}
	return t.out.message(kind, text)
}

// rootPath is the path that leads to the root.
func rootPath(root *os.Root) (string, error) {
	name := root.Name()
	at, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	is, err := root.Stat(".")
	if err != nil {
		return "", err
	}
	if !os.SameFile(at, is) {
		return "", &fs.PathError{Op: "open", Path: name, Err: errors.New("another directory than the root of the upload")}
	}
	return name, nil
}
