package certify

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/upgrademock/upgrademock/internal/child"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var (
	errTooLong     = errors.New("the client took too long")
	errInterrupted = errors.New("the run was interrupted")
)

// execute runs the client in the directory work, for as long as it may, and before that the run that is interrupted.
func (r *run) execute(ctx context.Context, work string) (err error) {
	command := child.Command{Dir: work, Mark: r.testbed.Mark, Start: r.testbed.Run}
	if command.Args, command.Env, err = r.commandLine(ctx); err != nil {
		return err
	}
	for name, file := range map[string]**os.File{"stdout": &command.Stdout, "stderr": &command.Stderr} {
		if *file, err = os.Create(filepath.Join(r.dir, name)); err != nil {
			return err
		}
		defer (*file).Close()
	}
	switch r.script.Run.Stdin {
	case scenario.StdinSilent:
		silence, hold, err := os.Pipe()
		if err != nil {
			return err
		}
		defer silence.Close()
		defer hold.Close()
		command.Stdin = silence
	case scenario.StdinClosed:
		command.Args = append([]string{"sh", "-c", `exec "$@" <&-`, "sh"}, command.Args...)
	}
	again := false
	if in := r.script.Run.Interrupted; in != nil {
		if again, err = r.interrupted(ctx, &command, *in); err != nil {
			return err
		}
	}
	if again || r.script.Run.Interrupted == nil {
		if err := r.once(ctx, &command); err != nil {
			return err
		}
	}
	for name, text := range map[string]*string{"stdout": &r.stdout, "stderr": &r.stderr} {
		data, err := os.ReadFile(filepath.Join(r.dir, name))
		if err != nil {
			return err
		}
		*text = string(data)
	}
	return nil
}

// once runs the client, and notes how it ended.
func (r *run) once(ctx context.Context, command *child.Command) (err error) {
	limit := Limit
	if r.script.Expect != nil && r.script.Expect.Within > 0 {
		limit = r.script.Expect.Within
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTooLong)
	ctx, end := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	defer end(nil)
	if r.script.Expect != nil && r.script.Expect.GivesUp != "" {
		watching.Go(func() {
			if r.slowsDown(ctx) {
				end(errTooLong)
			}
		})
	}
	r.ended, err = command.Run(ctx)
	if r.late = errors.Is(err, errTooLong); r.late {
		return nil
	}
	return err
}

// watched is how long a client that may try for ever is watched: half a minute or so, and a third of the time that the
// scenario leaves it where that is less.
func watched(expect *scenario.Expect) time.Duration {
	limit := cmp.Or(expect.Within, Limit)
	return min(35*time.Second, limit/3)
}

// slowsDown waits until the client has been watched for long enough, and its tries have come further and further
// apart: it would pass however long it went on. One long pause may be the machine's, so it must be the latest one for a
// second. It returns false when ctx ends first.
func (r *run) slowsDown(ctx context.Context) bool {
	began, before := time.Now(), false
	for wait := watched(r.script.Expect); ; wait = time.Second {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(wait):
		}
		known := &mockserver.Run{TimedOut: true, Took: time.Since(began)}
		verdicts := r.testbed.Server.Judge(journal.Filter{}, known)
		slower := slices.ContainsFunc(verdicts, func(v mockserver.Outcome) bool {
			return v.Expect == "gives_up" && v.Verdict == mockserver.Pass
		})
		if slower && before {
			return true
		}
		before = slower
	}
}

// interrupted runs the client until the event, and reports whether it was running then. If it was not, it has ended in
// its own way, which is judged.
func (r *run) interrupted(ctx context.Context, command *child.Command, at scenario.Interruption) (bool, error) {
	ctx, interrupt := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		filter := journal.Filter{On: at.On}
		for range at.Skip + 1 {
			e, err := r.testbed.Server.Await(ctx, filter)
			if err != nil {
				return
			}
			filter.After = e.Seq
		}
		interrupt(errInterrupted)
	}()
	err := r.once(ctx, command)
	interrupt(nil)
	<-watched
	if errors.Is(err, errInterrupted) {
		return true, nil
	}
	return false, err
}

// commandLine are the client's arguments and environment.
func (r *run) commandLine(ctx context.Context) (args, env []string, err error) {
	r.params, err = params(r.script, r.opts.Testbed.Server, filepath.Base(r.opts.Dump))
	if err != nil {
		return nil, nil, err
	}
	set, unset, err := r.surroundings(ctx)
	if err != nil {
		return nil, nil, err
	}
	values, err := r.values()
	if err != nil {
		return nil, nil, err
	}
	var words []string
	for _, p := range Placeholders {
		value, given := values[p.Variable]
		if given {
			set = append(set, p.Variable+"="+value)
		} else {
			value = lookup(r.testbed.Env, p.Variable)
		}
		words = append(words, p.Word, value)
	}
	replace := strings.NewReplacer(words...)
	for _, arg := range r.opts.Args {
		args = append(args, replace.Replace(arg))
	}
	return args, child.Environ(r.testbed.Env, set, unset), nil
}

// surroundings makes what a wrapper of the upgrade script has of its own, and returns the variables that lead there,
// and those that would lead elsewhere. The script keeps its token, its key, and the host keys that it trusts in TMPDIR.
func (r *run) surroundings(ctx context.Context) (set, unset []string, err error) {
	if !r.overScript() {
		return nil, nil, nil
	}
	home := filepath.Join(r.dir, "home")
	for name, dir := range map[string]string{"HOME": home, "TMPDIR": filepath.Join(r.dir, "tmp")} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, nil, err
		}
		set = append(set, name+"="+dir)
	}
	if r.server == nil {
		return set, nil, nil
	}
	if r.db, err = newDatabase(ctx, r.server, r.name, r.params["contract"], home); err != nil {
		return nil, nil, err
	}
	for _, entry := range r.testbed.Env {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "PG") {
			unset = append(unset, name)
		}
	}
	return append(set, r.server.Env()...), unset, nil
}

// copyDump copies a dump, a file or a directory, into the directory dir, and returns where it is then.
func copyDump(dump, dir string) (string, error) {
	made := filepath.Join(dir, filepath.Base(dump))
	info, err := os.Stat(dump)
	if err == nil && info.IsDir() {
		return made, os.CopyFS(made, os.DirFS(dump))
	}
	if err == nil {
		err = os.Mkdir(dir, 0o700)
	}
	if err != nil {
		return "", err
	}
	from, err := os.Open(dump)
	if err != nil {
		return "", err
	}
	defer from.Close()
	to, err := os.OpenFile(made, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return made, errors.Join(err, to.Close())
}
