package journey

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/upgrademock/upgrademock/client"
)

// Stage is how far a run has come, as far as it was noted. The platform may be ahead of it, never behind.
type Stage string

// The stages in their order.
const (
	Creating  Stage = "creating"  // create was about to leave; whether it arrived is not known
	Created   Stage = "created"   // the request's id and key are known
	Sent      Stage = "sent"      // the dump has left over HTTPS; whether it arrived is not known
	Uploaded  Stage = "uploaded"  // the platform has confirmed the dump
	Processed Stage = "processed" // process was accepted
	Rejected  Stage = "rejected"  // over: the platform will not upgrade
	Finished  Stage = "finished"  // over: the upgraded dump is in its place
)

func (s Stage) uploaded() bool { return s != Creating && s != Created && s != Sent }
func (s Stage) over() bool     { return s == Rejected || s == Finished }

// State is what a run remembers: enough to continue where it was, in another process. It holds the request's key, so
// its file is for its owner only.
type State struct {
	Version  int       `json:"version"`
	URL      string    `json:"url"`
	Contract string    `json:"contract"`
	Email    string    `json:"email"`
	Target   string    `json:"target"`
	Aim      string    `json:"aim"`
	Filename string    `json:"filename"`
	Timezone string    `json:"timezone,omitempty"`
	Dump     DumpID    `json:"dump"`
	Stage    Stage     `json:"stage"`
	Via      string    `json:"via,omitempty"` // how the dump went: "https" or "sftp"
	Request  int64     `json:"request,omitempty"`
	Key      string    `json:"key,omitempty"`
	Out      *OutFile  `json:"out,omitempty"`
	Updated  time.Time `json:"updated"`

	path string
}

const stateVersion = 1

// DumpID tells one dump from another.
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

// Ref names the request to the client.
func (s *State) Ref() client.Ref { return client.Ref{ID: s.Request, Key: client.Key(s.Key)} }

// Load reads a state file. A file that is not there is nil without error.
func Load(path string) (*State, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what an earlier run noted: %w", err)
	}
	s := &State{path: path}
	if err := json.Unmarshal(raw, s); err != nil || s.Version == 0 || s.Stage == "" {
		return nil, fmt.Errorf("%s is not a state file of odoo-upgrade, or is damaged. "+
			"If an earlier run made it, its request may still be there; to begin anew, move the file away", path)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("%s was written by another version of odoo-upgrade (format %d, this one reads %d): continue with that one", path, s.Version, stateVersion)
	}
	return s, nil
}

// Save puts the state into its file, at once and as a whole. When it returns, the state survives the end of
// the process and a power cut.
func (s *State) Save() error { return s.write(true) }

// SaveQuickly is Save for the moment when the platform has just answered create. Only the new name matters to a killed
// process, and the time until it is there is the time in which a request can be lost; so the disk is waited for afterwards.
func (s *State) SaveQuickly() error { return s.write(false) }

// Prepare writes the state beside its file, and Commit gives it the name, which takes microseconds and does not wait for
// the disk: a note that must appear at one exact moment. (After a power cut in the next seconds it may be missing.)
func (s *State) Prepare() error {
	f, err := s.writeBeside(true)
	if err != nil {
		return s.failed(err)
	}
	return f.Close()
}

// Commit makes what Prepare wrote the state.
func (s *State) Commit() error {
	if err := os.Rename(s.path+".new", s.path); err != nil {
		return s.failed(err)
	}
	return nil
}

func (s *State) write(syncFirst bool) error {
	f, err := s.writeBeside(syncFirst)
	if err != nil {
		return s.failed(err)
	}
	defer f.Close()
	if err := s.Commit(); err != nil {
		return err
	}
	if !syncFirst {
		if err := f.Sync(); err != nil {
			return s.failed(err)
		}
	}
	if dir, err := os.Open(filepath.Dir(s.path)); err == nil {
		_ = dir.Sync() // not every file system can
		_ = dir.Close()
	}
	return nil
}

// writeBeside returns the new file, still open.
func (s *State) writeBeside(sync bool) (_ *os.File, err error) {
	s.Version, s.Updated = stateVersion, time.Now().UTC().Truncate(time.Second)
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(s.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	if _, err = f.Write(append(raw, '\n')); err == nil && sync {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func (s *State) failed(err error) error {
	return fmt.Errorf("noting how far this run is, in %s: %w; without that it cannot be continued", s.path, err)
}

// remove forgets the state, where there is one: nothing is to be continued.
func (s *State) remove() {
	_ = os.Remove(s.path)
	_ = os.Remove(s.path + ".new")
}

// setAside keeps the state of a request that is given up, for its key, under another name.
func (s *State) setAside() error {
	name := s.path + ".old"
	if s.Request != 0 {
		name = fmt.Sprintf("%s.%d.old", s.path, s.Request)
	}
	return os.Rename(s.path, name)
}
