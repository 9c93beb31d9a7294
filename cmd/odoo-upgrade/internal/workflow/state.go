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
	"time"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/claim"
)

// A Phase is how far a run has come. The platform may be ahead of what was saved, but never behind.
type Phase string

// The phases in their order.
const (
	Creating  Phase = "creating"  // create was about to be sent; whether it arrived is not known
	Created   Phase = "created"   // the request's id and key are known
	Sent      Phase = "sent"      // the dump was sent over HTTPS; whether it arrived is not known
	Uploaded  Phase = "uploaded"  // the platform has confirmed the dump
	Processed Phase = "processed" // process was accepted
	Rejected  Phase = "rejected"  // over: the platform will not upgrade
	Finished  Phase = "finished"  // over: the upgraded dump is in its place
)

func (s Phase) uploaded() bool { return s != Creating && s != Created && s != Sent }
func (s Phase) over() bool     { return s == Rejected || s == Finished }

// State is what another process needs to continue a run. It holds the request's key, so that its file is readable for
// its owner only.
type State struct {
	Version   int       `json:"version"`
	URL       string    `json:"url"`
	Contract  string    `json:"contract"`
	Email     string    `json:"email"`
	Target    string    `json:"target"`
	Aim       string    `json:"aim"`
	Filename  string    `json:"filename"`
	Timezone  string    `json:"timezone,omitempty"`
	Dump      DumpID    `json:"dump"`
	Phase     Phase     `json:"stage"`
	Via       string    `json:"via,omitempty"`       // how the dump went: "https" or "sftp"
	Confirmed int64     `json:"confirmed,omitempty"` // how many bytes the SFTP server has confirmed
	Request   int64     `json:"request,omitempty"`
	Key       string    `json:"key,omitempty"`
	Out       *OutFile  `json:"out,omitempty"`
	Updated   time.Time `json:"updated"`

	path      string
	claim     *claim.Claim // on path; needed to save
	next      string       // the file that Prepare has written
	committed bool         // whether the file is this state's
}

const stateVersion = 1

// DumpID identifies a dump.
type DumpID struct {
	Path     string    `json:"path"` // absolute; of the spooled copy when the dump came from a pipe
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
	SHA256   string    `json:"sha256"`
	Spooled  bool      `json:"spooled,omitempty"`
}

// OutFile is the finished download.
type OutFile struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Ref returns the request's id and key.
func (s *State) Ref() client.Ref { return client.Ref{ID: s.Request, Key: client.Key(s.Key)} }

// maxState bounds what is read of a state file.
const maxState = 1 << 20

// Load reads a state file. If there is none, it returns nil and no error.
func Load(path string) (*State, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
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
		return nil, fmt.Errorf("reading what an earlier run noted: %w", err)
	}
	s := &State{path: path}
	if err := json.Unmarshal(raw, s); err != nil || s.Version == 0 || s.Phase == "" {
		return nil, fmt.Errorf("%s is not a state file of odoo-upgrade, or is damaged. "+
			"If an earlier run made it, its request may still be there; to begin anew, move the file away", path)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("%s was written by another version of odoo-upgrade (format %d, this one reads %d): "+
			"continue with that one", path, s.Version, stateVersion)
	}
	return s, nil
}

// Save replaces the state file. When it returns, the state survives a kill of the process and a power cut.
func (s *State) Save() error {
	if err := s.Prepare(); err != nil {
		return err
	}
	if err := s.Commit(); err != nil {
		return err
	}
	if dir, err := os.Open(filepath.Dir(s.path)); err == nil {
		_ = dir.Sync() // not every file system can
		_ = dir.Close()
	}
	return nil
}

// SaveQuickly is like Save, but does not wait for the disk: the state survives a kill of the process, but after a
// power cut in the next seconds the file may have the state before.
func (s *State) SaveQuickly() error {
	if err := s.writeBeside(false); err != nil {
		return err
	}
	return s.Commit()
}

// Prepare writes the state to a file beside the state file. Commit then gives it the name, which takes microseconds,
// for a state that must appear at one exact moment. Commit does not wait for the disk.
//
// The file is made by the claim, and not by a library: the claim holds its name before it exists, so that what a
// killed process leaves is found and removed.
func (s *State) Prepare() error { return s.writeBeside(true) }

// Commit replaces the state file by what Prepare wrote.
func (s *State) Commit() error {
	err := os.Rename(s.next, s.path)
	if err == nil {
		s.next, s.committed = "", true
	}
	return s.failed(err)
}

func (s *State) writeBeside(sync bool) error {
	s.discard()
	s.Version, s.Updated = stateVersion, time.Now().UTC().Truncate(time.Second)
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return s.failed(err)
	}
	f, err := s.claim.Create(".new")
	if err != nil {
		return s.failed(err)
	}
	s.next = f.Name()
	_, err = f.Write(append(raw, '\n'))
	if err == nil && sync {
		err = f.Sync()
	}
	if err := cmp.Or(err, f.Close()); err != nil {
		s.discard()
		return s.failed(err)
	}
	return nil
}

// discard removes what Prepare wrote, unless Commit was called.
func (s *State) discard() {
	if s.next != "" {
		s.claim.Remove(s.next)
		s.next = ""
	}
}

func (s *State) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("noting how far this run is, in %s: %w; without that it cannot be continued", s.path, err)
}

// remove removes the state file if it was saved.
func (s *State) remove() {
	s.discard()
	if s.committed {
		_ = os.Remove(s.path)
	}
}

// setAside renames the state file of a request that is given up, to a name that is free. It is kept for the key in it.
// The dump that was kept for the request is removed.
func (s *State) setAside() error {
	s.dropSpooled()
	for i := 0; ; i++ {
		name := s.path + ".old"
		if s.Request != 0 {
			name = fmt.Sprintf("%s.%d.old", s.path, s.Request)
		}
		if i > 0 {
			name += fmt.Sprint(i)
		}
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("keeping %s under another name: %w", s.path, err)
		}
		_ = f.Close()
		return os.Rename(s.path, name)
	}
}

// dropSpooled removes the copy of a dump that came from a pipe. A file whose name does not have the form of such
// copies is left alone.
func (s *State) dropSpooled() {
	if s.Dump.Spooled && claim.Own(s.path, s.Dump.Path) && filepath.Dir(s.Dump.Path) == filepath.Dir(absolute(s.path)) {
		_ = os.Remove(s.Dump.Path)
	}
}

func absolute(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	return abs
}
