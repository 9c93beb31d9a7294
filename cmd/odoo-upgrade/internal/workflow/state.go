package workflow

import (
	"fmt"
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

	stateFile
}

// The versions of state files: of runs with the database API, and with the script API.
const (
	stateVersion       = 1
	scriptStateVersion = 2
)

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

// Load reads a state file. If there is none, it returns nil and no error.
func Load(path string) (*State, error) {
	s := &State{stateFile: stateFile{path: path}}
	found, err := readState(path, s, stateVersion)
	if !found || err != nil {
		return nil, err
	}
	return s, nil
}

// Save replaces the state file. When it returns, the state survives a kill of the process and a power cut.
func (s *State) Save() error { return s.save(s.stamped()) }

// SaveQuickly is like Save, but does not wait for the disk: the state survives a kill of the process, but after a
// power cut in the next seconds the file may have the state before.
func (s *State) SaveQuickly() error { return s.saveQuickly(s.stamped()) }

// Prepare writes the state to a file beside the state file. Commit then gives it the name, which takes microseconds,
// for a state that must appear at one exact moment. Commit does not wait for the disk.
func (s *State) Prepare() error { return s.prepare(s.stamped()) }

func (s *State) stamped() *State {
	s.Version, s.Updated = stateVersion, time.Now().UTC().Truncate(time.Second)
	return s
}

// setAside renames the state file of a request that is given up. The dump that was kept for the request is removed.
func (s *State) setAside() error {
	s.dropSpooled()
	request := ""
	if s.Request != 0 {
		request = fmt.Sprint(s.Request)
	}
	return s.renameOld(request)
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
