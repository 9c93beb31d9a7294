package workflow

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// forget removes the state of a run that has neither a request nor a dump of its own, and its folder.
func (r *scriptRun) forget() {
	s := r.state
	if s != nil && s.Phase == Begun && (s.Dump.Path == "" || s.Database == "") {
		s.dropDump()
		_ = os.Remove(s.path)
		_ = os.Remove(s.Out) // if it is empty
	}
}

// reconcile compares the state with what is asked for now.
func (r *scriptRun) reconcile() error {
	s := r.state
	switch {
	case s == nil:
		return nil
	case s.Phase == Creating && r.NewRequest:
		s.Phase = Begun // the dump serves the next request
	case r.NewRequest && s.Phase != Begun:
		if err := s.renameOld(s.Request); err != nil {
			return err
		}
		s.dropDump()
		r.state = nil
		r.step("set-aside",
			"The earlier run's request is left alone; what was noted of it is kept beside the state file.", nil)
		return r.clearOut(s)
	}
	if s.Phase == Begun {
		r.order()
		return nil
	}
	if err := r.sameOrder(); err != nil {
		return err
	}
	if changed, err := r.dumpChanged(); changed || err != nil {
		return cmp.Or(err, fmt.Errorf("%w: the dump %s has changed since request %s was begun with it. Put the first one "+
			"back to continue, or upgrade this one with --new-request", ErrNeedsDecision, s.Dump.Path, s.Request))
	}
	switch {
	case s.Phase == Creating:
		return fmt.Errorf("%w: an earlier run ended while it created the request (%s), so there may be one at the "+
			"platform whose token nobody knows. Nothing comes of such a request. "+
			"To create another: --new-request", ErrNeedsDecision, s.Updated.Format(time.DateTime))
	case s.Phase == Rejected:
		return fmt.Errorf("%w: request %s has ended without an upgraded database. For another try: --new-request",
			ErrNeedsDecision, s.Request)
	case s.Phase == Finished && s.Result.missing():
		r.step("lost", "The results of the earlier run are gone: fetching them again.", nil)
		s.Phase, s.Result = Processed, nil
	}
	if s.Phase != Finished {
		r.step("continuing", fmt.Sprintf("Continuing request %s, %s so far.", s.Request, s.Phase),
			map[string]any{"stage": s.Phase})
	}
	return nil
}

// dumpChanged reports whether the dump is another one than the state's. After the upload, it may be gone.
func (r *scriptRun) dumpChanged() (bool, error) {
	s := r.state
	if s.past(Uploaded) && (s.Database != "" || s.Dump.Spooled) {
		return false, nil
	}
	dump, err := client.OpenScriptDump(s.Dump.Path)
	if errors.Is(err, os.ErrNotExist) && s.past(Uploaded) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return dump.Digest() != s.Dump.Digest, nil
}

// order takes over what an earlier run without a request has left: its folder, and its dump if it is the one that is
// asked for.
func (r *scriptRun) order() {
	s, p := r.state, r.Params
	same := s.Database != "" && s.Database == r.Database && s.Out == absolute(r.Out) && time.Since(s.Updated) < freshDump
	dump, err := client.OpenScriptDump(s.Dump.Path)
	if !same || s.Dump.Path == "" || err != nil || dump.Digest() != s.Dump.Digest {
		left, _ := filepath.Glob(filepath.Join(s.Out, ownDump+".*"))
		for _, name := range left {
			_ = os.RemoveAll(name)
		}
		s.dropDump()
		r.forgetDump()
		return
	}
	s.URL, s.Contract, s.Target, s.Aim, s.EnvVars = r.Client.URL(), p.Contract, p.Target, p.Aim, p.EnvVars
	r.step("dump", fmt.Sprintf("Using the dump that an earlier run made at %s: %s.",
		s.Updated.Local().Format(time.TimeOnly), Size(s.Dump.Size)),
		map[string]any{"bytes": s.Dump.Size})
}

// freshDump is how long a dump of a database serves another run, if nothing came of the one that made it.
const freshDump = time.Hour

// forgetDump forgets a run without a request.
func (r *scriptRun) forgetDump() {
	_ = os.Remove(r.state.path)
	_ = os.Remove(r.state.Out) // if it is empty
	r.state = nil
}

// sameOrder refuses to continue a request that was made with other parameters.
func (r *scriptRun) sameOrder() error {
	s, p := r.state, r.Params
	dump := r.Dump
	if dump != "" && dump != "-" {
		dump = absolute(dump)
	}
	noted := s.Dump.Path
	if s.Dump.Spooled {
		noted = "-"
	}
	if s.Database != "" {
		noted = dump
	}
	for _, f := range []struct{ name, noted, now string }{
		{"--url", s.URL, r.Client.URL()}, {"--contract", s.Contract, p.Contract}, {"--target", s.Target, p.Target},
		{"--aim", s.Aim, p.Aim}, {"--env", strings.Join(s.EnvVars, " "), strings.Join(p.EnvVars, " ")},
		{"--database", s.Database, r.Database}, {"--dump", noted, dump}, {"--out", s.Out, absolute(r.Out)},
	} {
		if f.noted != f.now {
			return fmt.Errorf("%w: %s belongs to a run %s, and this one is %s. Ask for the same to continue it, "+
				"choose another --out or --state for another upgrade, or give the first one up with --new-request",
				ErrNeedsDecision, s.path, with(f.name, f.noted), with(f.name, f.now))
		}
	}
	return nil
}

// check refuses what would fail later, before anything is done.
func (r *scriptRun) check(ctx context.Context) error {
	if r.Database != "" && (r.state == nil || !r.state.past(Created)) {
		if err := r.Postgres.need("pg_dump"); err != nil {
			return err
		}
	}
	if r.MergeFilestore != "" {
		if info, err := os.Stat(r.MergeFilestore); err != nil || !info.IsDir() {
			return inputError("the folder %s to merge the filestore into is not there", r.MergeFilestore)
		}
	}
	if r.RestoreInto == "" {
		return nil
	}
	if err := r.Postgres.need("createdb", "dropdb", "pg_restore", "psql"); err != nil {
		return err
	}
	if r.state != nil && r.state.Restored != nil && r.state.Restored.Database == r.RestoreInto {
		return nil // it is ours
	}
	there, err := r.Postgres.exists(ctx, r.RestoreInto)
	if err != nil {
		return err
	}
	if there {
		return inputError("there is a database %s already; choose another name to restore into, or drop it", r.RestoreInto)
	}
	return nil
}

// begin notes that the folder of the results is this run's, and makes it.
func (r *scriptRun) begin() error {
	entries, err := os.ReadDir(r.Out)
	switch {
	case err == nil && len(entries) > 0:
		return inputError("%s is there already and not empty, and no earlier run of this upgrade has made it: "+
			"choose another --out", r.Out)
	case err != nil && !missing(err):
		return inputError("the folder %s for the results cannot be used: %v", r.Out, reason(err))
	}
	if r.Dump != "" && r.Dump != "-" {
		if _, err := client.OpenScriptDump(r.Dump); err != nil {
			return inputError("%s", strings.TrimPrefix(err.Error(), "client: "))
		}
		if within(r.Dump, r.Out) || within(r.Dump, r.StateFile) || within(r.Out, r.Dump) {
			return inputError("the dump %s, the results in %s and the state file %s must not lie in each other",
				r.Dump, r.Out, r.StateFile)
		}
	}
	p := r.Params
	r.state = &ScriptState{URL: r.Client.URL(), Contract: p.Contract, Target: p.Target, Aim: p.Aim, EnvVars: p.EnvVars,
		Database: r.Database, Phase: Begun, Out: absolute(r.Out), stateFile: stateFile{path: r.StateFile, claim: r.notes}}
	if err := r.state.save(); err != nil {
		return err
	}
	if err := os.Mkdir(r.Out, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		r.state.remove()
		return inputError("the folder %s for the results cannot be made: %v", r.Out, reason(err))
	}
	return nil
}

// within reports whether path is dir or lies in it.
func within(dir, path string) bool {
	real := func(p string) string {
		p = absolute(p)
		if resolved, err := filepath.EvalSymlinks(p); err == nil {
			return resolved
		}
		if resolved, err := filepath.EvalSymlinks(filepath.Dir(p)); err == nil {
			return filepath.Join(resolved, filepath.Base(p))
		}
		return p
	}
	rel, err := filepath.Rel(real(dir), real(path))
	return err == nil && filepath.IsLocal(rel)
}

// clearOut removes what a run that is given up has left in the folder of its results, so that it can be used again:
// what it made of a database and what it did not receive whole. Results are kept, and need another folder.
func (r *scriptRun) clearOut(s *ScriptState) error {
	if s.Out != absolute(r.Out) {
		return nil
	}
	entries, err := os.ReadDir(s.Out)
	if err != nil {
		return nil // begin looks again
	}
	if len(entries) > 0 && s.Result == nil && !s.past(Processed) {
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), ownDump) {
				_ = os.RemoveAll(filepath.Join(s.Out, e.Name()))
			}
		}
	}
	if entries, _ = os.ReadDir(s.Out); len(entries) > 0 {
		name := s.Out + ".old"
		for i := 1; ; i++ {
			if _, err := os.Lstat(name); missing(err) {
				break
			}
			name = fmt.Sprintf("%s.old%d", s.Out, i)
		}
		if err := os.Rename(s.Out, name); err != nil {
			return fmt.Errorf("keeping the earlier results under another name: %w", err)
		}
		r.step("kept", fmt.Sprintf("The earlier results are kept in %s.", name), map[string]any{"kept": name})
	}
	return nil
}

// with says which value a run has a flag with, or that it is without it.
func with(flag, value string) string {
	if value == "" {
		return "without " + flag
	}
	return fmt.Sprintf("with %s %q", flag, value)
}
