package workflow

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/upgrademock/upgrademock/internal/claim"
)

// stateFile is the file that a state is kept in.
type stateFile struct {
	path      string
	claim     *claim.Claim // on path; needed to save
	next      string       // the file that prepare has written
	committed bool         // whether the file is this state's
}

// maxState bounds what is read of a state file.
const maxState = 1 << 20

// readState reads a state file of the given version into v. If there is no file, it returns false and no error.
func readState(path string, v any, version int) (bool, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var raw []byte
	if err == nil && !info.Mode().IsRegular() {
		err = inputError("%s is no regular file", path)
	}
	if err == nil {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			raw, err = io.ReadAll(io.LimitReader(f, maxState))
			_ = f.Close()
		}
	}
	if err != nil {
		return false, fmt.Errorf("reading what an earlier run noted: %w", err)
	}
	var head struct {
		Version int   `json:"version"`
		Phase   Phase `json:"stage"`
	}
	err = json.Unmarshal(raw, &head)
	if err == nil && head.Version == version {
		err = json.Unmarshal(raw, v)
	}
	if err != nil || head.Version == 0 || head.Phase == "" {
		return false, fmt.Errorf("%s is not a state file of odoo-upgrade, or is damaged. "+
			"If an earlier run made it, its request may still be there; to begin anew, move the file away", path)
	}
	switch got := head.Version; got {
	case version:
		return true, nil
	case stateVersion:
		return false, fmt.Errorf("%s belongs to a run with the database API (--api database), not the script API", path)
	case scriptStateVersion:
		return false, fmt.Errorf("%s belongs to a run with the script API (--api script), not the database API", path)
	}
	return false, fmt.Errorf("%s was written by another version of odoo-upgrade (format %d, this one reads %d): "+
		"continue with that one", path, head.Version, version)
}

// save replaces the state file. When it returns, the state survives a kill of the process and a power cut.
func (f *stateFile) save(v any) error {
	if err := f.prepare(v); err != nil {
		return err
	}
	if err := f.Commit(); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(f.path)); err == nil {
		_ = dir.Sync() // not every file system can
		_ = dir.Close()
	}
	return nil
}

// saveQuickly is like save, but does not wait for the disk.
func (f *stateFile) saveQuickly(v any) error {
	if err := f.writeBeside(v, false); err != nil {
		return err
	}
	return f.Commit()
}

// prepare writes the state beside its file, for Commit.
//
// The file is made by the claim, and not by a library: the claim holds its name before it exists, so that what a
// killed process leaves is found and removed.
func (f *stateFile) prepare(v any) error { return f.writeBeside(v, true) }

// Commit replaces the state file by what Prepare wrote.
func (f *stateFile) Commit() error {
	err := os.Rename(f.next, f.path)
	if err == nil {
		f.next, f.committed = "", true
	}
	return f.failed(err)
}

func (f *stateFile) writeBeside(v any, sync bool) error {
	f.discard()
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return f.failed(err)
	}
	file, err := f.claim.Create(".new")
	if err != nil {
		return f.failed(err)
	}
	f.next = file.Name()
	_, err = file.Write(append(raw, '\n'))
	if err == nil && sync {
		err = file.Sync()
	}
	if err := cmp.Or(err, file.Close()); err != nil {
		f.discard()
		return f.failed(err)
	}
	return nil
}

// discard removes what prepare wrote, unless Commit was called.
func (f *stateFile) discard() {
	if f.next != "" {
		f.claim.Remove(f.next)
		f.next = ""
	}
}

func (f *stateFile) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("noting how far this run is, in %s: %w; without that it cannot be continued", f.path, err)
}

// remove removes the state file if it was saved.
func (f *stateFile) remove() {
	f.discard()
	if f.committed {
		_ = os.Remove(f.path)
	}
}

// renameOld renames the state file to a name that is free. It is kept for the key in it.
func (f *stateFile) renameOld(request string) error {
	for i := 0; ; i++ {
		name := f.path + ".old"
		if request != "" {
			name = fmt.Sprintf("%s.%s.old", f.path, request)
		}
		if i > 0 {
			name += fmt.Sprint(i)
		}
		file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("keeping %s under another name: %w", f.path, err)
		}
		_ = file.Close()
		return os.Rename(f.path, name)
	}
}
