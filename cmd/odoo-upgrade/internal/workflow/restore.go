package workflow

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// restore makes a database of the upgraded dump. Until it is whole, the database has a name that nobody else uses,
// which is noted before it is made: what a killed run has left of it is dropped, and begun anew.
func (r *scriptRun) restore(ctx context.Context) error {
	s := r.state
	if r.RestoreInto == "" || s.Restored != nil && s.Restored.Database == r.RestoreInto && s.Restored.Temporary == "" {
		return nil
	}
	if s.PGIncompatible {
		return fmt.Errorf("the upgraded dump is in %s, but was not restored: the platform says that it needs a newer "+
			"PostgreSQL than the one that the dump was from. Restore it on a newer server, with pg_restore", s.Result.Dump)
	}
	if before := s.Restored; before != nil && before.Temporary != "" {
		done, err := r.afterKill(ctx, before)
		if done || err != nil {
			return err
		}
	}
	// PostgreSQL cuts names at 63 bytes.
	temporary := fmt.Sprintf("%.38s_odoo_upgrade_%s", strings.ToValidUTF8(r.RestoreInto, "_"), randomName())
	s.Restored = &RestoredState{Database: r.RestoreInto, Temporary: temporary}
	if err := s.save(); err != nil {
		return err
	}
	r.step("restoring", fmt.Sprintf("Restoring into the database %s.", r.RestoreInto),
		map[string]any{"database": r.RestoreInto})
	if err := r.Postgres.create(ctx, temporary); err != nil {
		return err
	}
	if err := r.fill(ctx, temporary); err != nil {
		if derr := r.Postgres.drop(context.WithoutCancel(ctx), temporary); derr == nil {
			s.Restored = nil
			err = errors.Join(err, s.save())
		}
		return err
	}
	if err := r.Postgres.rename(ctx, temporary, r.RestoreInto); err != nil {
		return err
	}
	return r.restored()
}

func (r *scriptRun) restored() error {
	r.state.Restored.Temporary = ""
	if err := r.state.save(); err != nil {
		return err
	}
	r.step("restored", fmt.Sprintf("Restored into the database %s.", r.RestoreInto),
		map[string]any{"database": r.RestoreInto})
	return nil
}

// afterKill looks at what a killed run has left. It reports whether the database is whole.
func (r *scriptRun) afterKill(ctx context.Context, before *RestoredState) (done bool, err error) {
	left, err := r.Postgres.exists(ctx, before.Temporary)
	if err != nil {
		return false, err
	}
	if left {
		return false, r.Postgres.drop(ctx, before.Temporary)
	}
	// It was never made, or it has its name already.
	there, err := r.Postgres.exists(ctx, before.Database)
	if err != nil || !there {
		return false, err
	}
	if before.Database != r.RestoreInto {
		return false, nil
	}
	return true, r.restored()
}

// fill restores the upgraded dump, by its form.
func (r *scriptRun) fill(ctx context.Context, database string) error {
	path := r.state.Result.Dump
	if info, err := os.Stat(path); err != nil || info.IsDir() {
		return errors.Join(err, r.Postgres.restoreArchive(ctx, path, database))
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 5)
	n, _ := io.ReadFull(f, head)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte("PGDMP")):
		return r.Postgres.restoreArchive(ctx, path, database)
	case bytes.HasPrefix(head, []byte("PK")):
		archive, err := zip.OpenReader(path)
		if err != nil {
			return fmt.Errorf("the upgraded dump %s: %w", path, err)
		}
		defer archive.Close()
		sql, err := archive.Open("dump.sql")
		if err != nil {
			return fmt.Errorf("the upgraded dump %s has no dump.sql: %w", path, err)
		}
		defer sql.Close()
		return r.Postgres.restoreSQL(ctx, sql, database)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		sql, err := gzip.NewReader(f)
		if err != nil {
			return fmt.Errorf("the upgraded dump %s: %w", path, err)
		}
		return r.Postgres.restoreSQL(ctx, sql, database)
	}
	return r.Postgres.restoreSQL(ctx, f, database)
}

// merge copies the files of the result's filestore over those of the customer's. It can be repeated.
func (r *scriptRun) merge(ctx context.Context) error {
	s := r.state
	if r.MergeFilestore == "" || s.Merged == absolute(r.MergeFilestore) {
		return nil
	}
	from, done, err := s.Result.filestore()
	if err != nil {
		return err
	}
	defer done()
	merged := 0
	if from != nil {
		to, err := os.OpenRoot(r.MergeFilestore)
		if err != nil {
			return fmt.Errorf("the folder to merge the filestore into: %w", err)
		}
		defer to.Close()
		if s.MergePart == "" {
			s.MergePart = ".odoo-upgrade-part-" + randomName()
			if err := s.save(); err != nil {
				return err
			}
		}
		if merged, err = mergeFiles(ctx, to, from, s.MergePart); err != nil {
			return fmt.Errorf("merging the filestore into %s: %w; the same command goes on", r.MergeFilestore, err)
		}
	}
	s.Merged, s.MergePart = absolute(r.MergeFilestore), ""
	if err := s.save(); err != nil {
		return err
	}
	r.step("merged", fmt.Sprintf("Merged %d files into the filestore %s.", merged, r.MergeFilestore),
		map[string]any{"files": merged, "filestore": r.MergeFilestore})
	return nil
}

// filestore returns the files that the upgrade made, beside the dump or in it; nil if there are none.
func (res *ScriptResult) filestore() (fs.FS, func(), error) {
	if res.Filestore != "" {
		return os.DirFS(res.Filestore), func() {}, nil
	}
	archive, err := zip.OpenReader(res.Dump)
	if err != nil {
		return nil, func() {}, nil // another form, which has none
	}
	done := func() { _ = archive.Close() }
	if _, err := fs.Stat(archive, "filestore"); err != nil {
		done()
		return nil, func() {}, nil
	}
	files, err := fs.Sub(archive, "filestore")
	return files, done, err
}

// mergeFiles copies the regular files of from into to. A file has the name part until it is whole, and one of the same
// size, whose name is the checksum of its content, is not copied again. It returns how many were copied.
func mergeFiles(ctx context.Context, to *os.Root, from fs.FS, part string) (int, error) {
	_ = to.Remove(part) // of a run that was killed
	n := 0
	err := fs.WalkDir(from, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		local := filepath.FromSlash(name)
		if d.IsDir() {
			if name == "." {
				return nil
			}
			return to.MkdirAll(local, 0o777)
		}
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if there, err := to.Lstat(local); err == nil && there.Mode().IsRegular() && there.Size() == info.Size() {
			return nil
		}
		n++
		return copyInto(to, local, from, name, part)
	})
	return n, err
}

func copyInto(to *os.Root, local string, from fs.FS, name, part string) error {
	in, err := from.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := to.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err == nil {
		err = to.Rename(part, local)
	}
	if err != nil {
		_ = to.Remove(part)
	}
	return err
}
