package workflow

import (
	"os"
	"path/filepath"
	"time"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/internal/claim"
)

// The phases that only a run with the script API has.
const (
	Begun      Phase = "begun"      // the folder of the results is ours; a dump may be in the making
	Downloaded Phase = "downloaded" // the results are in their folder
)

// ScriptState is what another process needs to continue a run with the script API. It holds the request's token and
// the private key of its transfers, so that its file is readable for its owner only.
type ScriptState struct {
	Version  int      `json:"version"`
	API      string   `json:"api"` // "script"
	URL      string   `json:"url"`
	Contract string   `json:"contract"`
	Target   string   `json:"target"`
	Aim      string   `json:"aim"`
	EnvVars  []string `json:"env_vars,omitempty"`

	Dump     ScriptDumpID `json:"dump"`
	Database string       `json:"database,omitempty"` // that the dump was made of

	Phase          Phase  `json:"stage"`
	Request        string `json:"request,omitempty"`
	Token          string `json:"token,omitempty"`
	Host           string `json:"host,omitempty"` // to which the request is assigned
	SSHKey         string `json:"ssh_key,omitempty"`
	PGIncompatible bool   `json:"pg_incompatible,omitempty"` // the platform says that the result cannot be restored
	LogBytes       int64  `json:"log_bytes,omitempty"`       // that were shown

	Out       string         `json:"out"` // the folder of the results, absolute
	Result    *ScriptResult  `json:"result,omitempty"`
	Restored  *RestoredState `json:"restored,omitempty"`
	Merged    string         `json:"merged,omitempty"`     // the folder that the filestore was merged into
	MergePart string         `json:"merge_part,omitempty"` // the name there of a file that is not whole
	Updated   time.Time      `json:"updated"`

	stateFile
}

// ScriptDumpID identifies a dump.
type ScriptDumpID struct {
	Path    string `json:"path,omitempty"` // absolute; empty while there is none
	Size    int64  `json:"size,omitempty"`
	Digest  string `json:"digest,omitempty"`  // of the names, sizes and times of its files
	Spooled bool   `json:"spooled,omitempty"` // whether it is a copy of what came from a pipe
}

// RestoredState says how far the result is restored. The database has a name of its own until it is whole.
type RestoredState struct {
	Database  string `json:"database"`            // the name in the end
	Temporary string `json:"temporary,omitempty"` // the name until then; empty when it is done
}

// LoadScript reads a state file of a run with the script API. If there is none, it returns nil and no error.
func LoadScript(path string) (*ScriptState, error) {
	s := &ScriptState{stateFile: stateFile{path: path}}
	found, err := readState(path, s, scriptStateVersion)
	if !found || err != nil {
		return nil, err
	}
	return s, nil
}

// Ref returns what names the request.
func (s *ScriptState) Ref() client.ScriptRef {
	return client.ScriptRef{ID: s.Request, Token: client.Key(s.Token), Host: s.Host}
}

func (s *ScriptState) stamped() *ScriptState {
	s.Version, s.API, s.Updated = scriptStateVersion, "script", time.Now().UTC().Truncate(time.Second)
	return s
}

func (s *ScriptState) save() error        { return s.stateFile.save(s.stamped()) }
func (s *ScriptState) saveQuickly() error { return s.stateFile.saveQuickly(s.stamped()) }
func (s *ScriptState) prepare() error     { return s.stateFile.prepare(s.stamped()) }

// past reports whether a phase is over.
func (s *ScriptState) past(p Phase) bool {
	order := map[Phase]int{Begun: 1, Creating: 2, Created: 3, Uploaded: 4, Processed: 5, Rejected: 6, Downloaded: 6,
		Finished: 7}
	return order[s.Phase] >= order[p]
}

// dropDump removes a dump that is no longer needed and that this run, or one before it, made.
func (s *ScriptState) dropDump() {
	switch {
	case s.Dump.Spooled && claim.Own(s.path, s.Dump.Path) && filepath.Dir(s.Dump.Path) == filepath.Dir(absolute(s.path)):
		_ = os.Remove(s.Dump.Path)
	case s.Database != "" && s.Dump.Path == filepath.Join(s.Out, ownDump):
		_ = os.RemoveAll(s.Dump.Path)
	}
}

// ownDump is the name of a dump that a run makes, in the folder of its results.
const ownDump = "origin.dump"
