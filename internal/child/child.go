// Package child runs a program and everything that the program starts, and leaves nothing of it behind.
//
// The program is in a process group of its own, which has the terminal where we had it, so that an interactive
// program works as it does in a shell (POSIX.1-2024, XBD 11.1.4). When the program has ended, what it left running
// has a while to end by itself, and is ended then: its group, and on Linux all its descendants, also a daemon in a
// session of its own that has cleared its environment. Linux makes the process that called Run the parent of such
// orphans (prctl(2), PR_SET_CHILD_SUBREAPER). So that they can be distinguished from what other code of that
// process starts, such code must not put its children into process groups of their own while a Command runs.
package child

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Command is a program to run. The files are the program's own: nothing stands between them.
type Command struct {
	Args []string // the program and its arguments
	Env  []string // nil: ours
	Dir  string   // where it runs; "": here
	// Mark is an entry of Env, NAME=VALUE, that no other process has.
	Mark string

	Stdin, Stdout, Stderr *os.File // nil: /dev/null

	// Start starts the program, as a child of this process, and sets Process of cmd; nil is cmd.Start. What it returns
	// is an error of Start.
	Start func(cmd *exec.Cmd) error

	// Signals are passed on; nil: none.
	Signals <-chan os.Signal
	// Terminal gives the program our terminal, if we are in its foreground.
	Terminal bool

	// Linger is how long what the program left running may go on when the program has ended by itself. A signal
	// ends it early.
	Linger time.Duration
	// Grace is how long a process has to end after it was asked to, before it is killed; 0: 2 s.
	Grace time.Duration
	// Lingering, if not nil, is called once with the processes that the program left running when it has been
	// waited for them for a moment.
	Lingering func(processes []string)
}

// The statuses of programs that could not be run, as shells have them (POSIX.1-2024, XCU 2.8.2).
const (
	StatusNotExecutable = 126
	StatusNotFound      = 127
	statusSignal        = 128 // plus the signal's number
)

// StartError is a program that could not be run.
type StartError struct {
	Status int // StatusNotFound or StatusNotExecutable
	Err    error
}

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// Result is how a program ended.
type Result struct {
	Status int            // as a shell has it: 128+n for signal n
	Signal syscall.Signal // that ended it; 0: it ended by itself
	Took   time.Duration  // until the program had ended
	Ended  []string       // the processes that it left running and that had to be ended, as "name (pid)"
}

// Run runs the program, and returns when it and all that it started have ended. When ctx ends first, they are
// asked to end, and killed after c.Grace; the result then has ctx's cause as its error. A program that could not be
// run is a *StartError.
func (c *Command) Run(ctx context.Context) (Result, error) {
	if len(c.Args) == 0 {
		panic("child: a Command without Args")
	}
	// Its parent is a thread: if the thread ended, so would the program (prctl(2), PR_SET_PDEATHSIG).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	path, err := exec.LookPath(c.Args[0])
	if err != nil {
		return Result{}, startError(c.Args[0], err)
	}
	cmd := &exec.Cmd{Path: path, Args: c.Args, Env: c.Env, Dir: c.Dir}
	// A nil *os.File in an interface would not be nil.
	if c.Stdin != nil {
		cmd.Stdin = c.Stdin
	}
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if c.Stderr != nil {
		cmd.Stderr = c.Stderr
	}
	g := newGroup(cmd, c.Terminal)
	defer g.close()
	began := time.Now()
	start := c.Start
	if start == nil {
		start = (*exec.Cmd).Start
	}
	if err := start(cmd); err != nil {
		return Result{}, startError(c.Args[0], err)
	}

	ended := make(chan struct{})
	watched := make(chan bool)
	go func() { watched <- g.watch(ctx, c, ended) }()
	linger := c.Linger
	if !g.awaitEnd() {
		linger = 0
	}
	close(ended)
	if interrupted := <-watched; interrupted {
		linger = 0
	}
	result := Result{Took: time.Since(began)}
	result.Ended = g.finish(ctx, c, linger)
	result.Status, result.Signal = status(cmd.ProcessState)
	if ctx.Err() != nil {
		return result, context.Cause(ctx)
	}
	return result, nil
}

func startError(name string, err error) *StartError {
	var cause error = err
	if wrapped := (*exec.Error)(nil); errors.As(err, &wrapped) {
		cause = wrapped.Err
	} else if wrapped := (*fs.PathError)(nil); errors.As(err, &wrapped) {
		cause = wrapped.Err
	}
	switch {
	case errors.Is(err, exec.ErrNotFound) && !strings.ContainsRune(name, os.PathSeparator):
		return &StartError{StatusNotFound, fmt.Errorf("%s: command not found in PATH", name)}
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return &StartError{StatusNotFound,
			fmt.Errorf("%s: %w; is it there, with the program that its #! line names?", name, cause)}
	case errors.Is(err, syscall.ENOEXEC):
		return &StartError{StatusNotExecutable, fmt.Errorf("%s: %w; a script needs a #! line", name, cause)}
	case errors.Is(err, fs.ErrPermission):
		return &StartError{StatusNotExecutable, fmt.Errorf("%s: %w; is it a file that you may execute?", name, cause)}
	}
	return &StartError{StatusNotExecutable, fmt.Errorf("%s: %w", name, cause)}
}

// Environ is the environment env with the variables set, each NAME=VALUE, and those in unset taken out.
func Environ(env, set, unset []string) []string {
	names := slices.Clone(unset)
	for _, entry := range set {
		name, _, _ := strings.Cut(entry, "=")
		names = append(names, name)
	}
	made := slices.DeleteFunc(slices.Clone(env), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains(names, name)
	})
	return append(made, set...)
}
