package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A trial is a program that is run to be judged, as certify judges clients.
type trial struct {
	command string // of ours, "exec" or "replay"
	args    []string
	task    *task
	prints  bool // what it prints is judged, too
}

// judgesOutput reports whether a scenario says what a client prints.
func judgesOutput(scripts []*scenario.Scenario) bool {
	return slices.ContainsFunc(scripts, func(s *scenario.Scenario) bool {
		return s.Expect != nil && (s.Expect.Shows != nil || s.Expect.Hides != "")
	})
}

// program is what is run on the test bed.
func (t *trial) program(bed *testbed.Testbed) child.Command {
	return child.Command{Args: t.args, Env: child.Environ(bed.Env, t.task.environ(), nil), Mark: bed.Mark, Start: bed.Run}
}

// onTerminal runs the program on our terminal, and returns what is known of it. If what it prints is judged, that
// passes through us on its way.
func (t *trial) onTerminal(bed *testbed.Testbed, signals <-chan os.Signal, stderr io.Writer) (*mockserver.Run, error) {
	program := t.program(bed)
	program.Signals = signals
	if !t.prints {
		result, err := runProgram(t.command, program, stderr)
		return t.run(result, nil), err
	}
	out, err := newTee(os.Stdout)
	if err != nil {
		return nil, failed(err)
	}
	defer out.end()
	errs, err := newTee(os.Stderr)
	if err != nil {
		return nil, failed(err)
	}
	defer errs.end()
	program.Stdout, program.Stderr = out.program, errs.program
	result, err := runProgram(t.command, program, stderr)
	return t.run(result, printed(out.end(), errs.end())), err
}

// inSilence runs the program without a terminal, for as long as the scenarios say.
func (t *trial) inSilence(ctx context.Context, bed *testbed.Testbed,
	scripts []*scenario.Scenario) (*mockserver.Run, error) {
	limit := certify.Limit
	for _, s := range scripts {
		if s.Expect != nil && s.Expect.Within > 0 {
			limit = s.Expect.Within
		}
	}
	program := t.program(bed)
	out, err := newTee(nil)
	if err != nil {
		return nil, failed(err)
	}
	defer out.end()
	errs, err := newTee(nil)
	if err != nil {
		return nil, failed(err)
	}
	defer errs.end()
	program.Stdout, program.Stderr = out.program, errs.program
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	result, err := program.Run(limited)
	if start := (*child.StartError)(nil); errors.As(err, &start) {
		return nil, exitCode{start.Status, fmt.Errorf("%s: %w", t.command, err)}
	}
	if ctx.Err() != nil {
		return nil, failed(context.Cause(ctx))
	}
	run := t.run(result, printed(out.end(), errs.end()))
	run.TimedOut = limited.Err() != nil
	return run, nil
}

// run is what is known of the program after its end.
func (t *trial) run(result child.Result, printed map[string]string) *mockserver.Run {
	return &mockserver.Run{Status: result.Status, Signal: result.Signal, Took: result.Took, Printed: printed,
		Out: t.task.out, Params: t.task.params, Dump: t.task.dump, Command: t.args}
}

func printed(stdout, stderr string) map[string]string {
	return map[string]string{"standard output": stdout, "standard error": stderr}
}

// unmet are the expectations that a client did not meet.
func unmet(srv *mockserver.Server, run *mockserver.Run) []mockserver.Outcome {
	return slices.DeleteFunc(srv.Judge(journal.Filter{}, run), func(o mockserver.Outcome) bool {
		return o.Verdict != mockserver.Fail
	})
}

// runProgram runs a program on our terminal, for the command of that name. The error is that it could not be run.
func runProgram(command string, program child.Command, stderr io.Writer) (child.Result, error) {
	program.Stdin, program.Terminal = os.Stdin, true
	if program.Stdout == nil {
		program.Stdout, program.Stderr = os.Stdout, os.Stderr
	}
	program.Linger = linger
	program.Lingering = func(processes []string) {
		say(stderr, "%s: the program has ended and left running, for %v at most: %s", command, linger,
			strings.Join(processes, ", "))
	}
	result, err := program.Run(context.Background())
	if start := (*child.StartError)(nil); errors.As(err, &start) {
		return result, exitCode{start.Status, fmt.Errorf("%s: %w", command, err)}
	}
	if len(result.Ended) > 0 {
		say(stderr, "%s: ended what the program left running: %s; have it wait for what it starts", command,
			strings.Join(result.Ended, ", "))
	}
	return result, nil
}

// maxPrinted is how many bytes of what a program prints are judged.
const maxPrinted = 64 << 20

// A tee passes on what a program prints, and keeps it.
type tee struct {
	program *os.File // what the program prints to
	ours    *os.File
	done    chan struct{}
	kept    bytes.Buffer
}

// newTee passes on to a file, or nowhere for nil. It must be ended.
func newTee(to *os.File) (*tee, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	t := &tee{program: w, ours: r, done: make(chan struct{})}
	go func() {
		defer close(t.done)
		defer r.Close() // the program finds out that nobody reads any more
		buf := make([]byte, 32<<10)
		for {
			n, err := r.Read(buf)
			if n > 0 && to != nil {
				if _, err := to.Write(buf[:n]); err != nil {
					return
				}
			}
			t.kept.Write(buf[:min(n, maxPrinted-t.kept.Len())])
			if err != nil {
				return
			}
		}
	}()
	return t, nil
}

// end returns what was printed. A process that could not be ended may still hold the file, and is not waited for.
func (t *tee) end() string {
	t.program.Close()
	t.ours.SetReadDeadline(time.Now().Add(time.Second))
	<-t.done
	return t.kept.String()
}
