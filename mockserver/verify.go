package mockserver

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/likeness"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// The values of Outcome.Verdict.
const (
	Pass     = "pass"
	Fail     = "fail"
	Unjudged = "unjudged" // it takes more than the emulator knows; see Server.Judge
)

// Outcome is what came of one expectation of a scenario; see Server.Verify.
type Outcome struct {
	Scenario string `json:"scenario"`          // its name
	Expect   string `json:"expect"`            // the place of the expectation in the scenario, such as "calls.process"
	Verdict  string `json:"verdict"`           // Pass, Fail or Unjudged
	Wanted   string `json:"wanted"`            // the expectation in words
	Saw      string `json:"saw,omitempty"`     // what happened
	Hint     string `json:"hint,omitempty"`    // what a good client would have done
	Nearest  uint64 `json:"nearest,omitempty"` // Seq of the event that is nearest to what was wanted; 0: there is none
}

// Run is what is known of a client, beside its calls, by the program that ran it; see Server.Judge. An
// expectation about what is zero here is Unjudged, except those about how the client ended.
type Run struct {
	// Status is the exit status as a shell has it. Signal is the signal that ended the client; 0: it ended by itself.
	Status int
	Signal syscall.Signal
	// Took is how long the client ran. TimedOut says that it had to be ended for that.
	Took     time.Duration
	TimedOut bool
	// Printed is what the client printed, by the name of the stream, such as "standard output".
	Printed map[string]string
	// Out is the path of the file that the client was to write; over the script API also of a directory that is the
	// upgraded dump, or holds it under its name.
	Out string
	// Params are the parameters that it was to give to create. Dump is the path of the file that it was to send, or of
	// the directory over the script API.
	Params map[string]string
	Dump   string
	// Database, if not nil, is what became of the database that it was to upgrade in place of Dump.
	Database *Database
	// Command is what was run, for Server.WriteCapsule.
	Command []string
}

// Database is what became of the database that a client was to upgrade.
type Database struct {
	Name    string // of the database to make of the upgraded dump
	Exists  bool   // it is there, and not empty
	Differs string // how it, or the database that was upgraded, differs from what it should be; "": not at all
	// OldFiles and NewFiles are the directories of their filestores.
	OldFiles, NewFiles string
}

// evidence is what the judge knows of the run.
func (r *Run) evidence() *verify.Run {
	if r == nil {
		return nil
	}
	return &verify.Run{
		Status: r.Status, Signal: r.Signal, Took: r.Took, TimedOut: r.TimedOut, Printed: r.Printed, Out: r.Out,
		Params: r.Params, Dump: r.Dump, Database: (*verify.Database)(r.Database),
	}
}

// Verify compares what happened with what each scenario in use expects, for the events that pass the filter.
// Expectations about which the emulator cannot know are Unjudged.
func (s *Server) Verify(f journal.Filter) []Outcome { return s.Judge(f, nil) }

// Judge is Verify for a client that the caller ran. If run is nil, they are the same.
func (s *Server) Judge(f journal.Filter, run *Run) []Outcome {
	if f.Request != 0 && f.Contract == "" {
		if r, ok := s.platform.Get(f.Request); ok {
			f.Contract = r.Contract()
		}
	}
	normal := s.scripts.Normal()
	scripts := append(s.scripts.All(), normal...)
	evidence := make(map[string]*verify.Evidence)
	for _, script := range scripts {
		evidence[script.Name] = &verify.Evidence{Run: run.evidence(), Came: s.came}
	}
	var latest *verify.Evidence // whose create was the last one
	for _, e := range s.happened(f) {
		its := evidence[e.Scenario]
		switch {
		case its == nil && stray(&e) && latest != nil:
			latest.Strays = append(latest.Strays, e)
		case its != nil:
			its.Events = append(its.Events, e)
			if e.On == scenario.OnCreate || e.On == scenario.OnUpgrade || e.On == scenario.OnScriptCreate {
				its.Creates = append(its.Creates, e)
				latest = its
			}
		}
	}
	for _, r := range s.concerned(f) {
		if its := evidence[r.Scenario]; its != nil && (f.Contract == "" || f.Contract == r.Contract) {
			its.Requests = append(its.Requests, evidenceOf(s.platform, r, s.request(r).Status))
		}
	}
	var outcomes []Outcome
	for _, script := range scripts {
		its := evidence[script.Name]
		if !slices.Contains(normal, script) { // a wrong value may have kept a scenario from being chosen
			for _, n := range normal {
				its.Creates = append(its.Creates, evidence[n.Name].Creates...)
			}
		}
		for _, result := range verify.Judge(script, *its) {
			outcomes = append(outcomes, Outcome(result))
		}
	}
	return outcomes
}

// happened are the events that the judge looks at. What was refused before there was a request belongs to each request
// of the contract.
func (s *Server) happened(f journal.Filter) []journal.Event {
	of := journal.Filter{Contract: f.Contract, Since: f.Since, After: f.After}
	if f.Request == 0 {
		return s.Events(of)
	}
	s.platform.Evaluate()
	return s.observer.journal.Around(f.Request, of)
}

// concerned are the requests that the judge looks at.
func (s *Server) concerned(f journal.Filter) []platform.Snapshot {
	if f.Request == 0 {
		return s.platform.All()
	}
	if r, ok := s.platform.Get(f.Request); ok {
		return []platform.Snapshot{r.Snapshot()}
	}
	return nil
}

// stray reports whether a call was made for no request, or with a wrong key or token.
func stray(e *journal.Event) bool {
	switch e.On {
	case scenario.OnUpload, scenario.OnRequestSFTPAccess, scenario.OnProcess, scenario.OnStatus,
		scenario.OnSkipTest, scenario.OnDownload,
		scenario.OnScriptTransferStart, scenario.OnScriptTransferStop, scenario.OnScriptProcess,
		scenario.OnScriptStatus, scenario.OnScriptLogs, scenario.OnScriptWipe:
		return e.Request == 0
	}
	return false
}

// evidenceOf is a request as the judge sees it.
func evidenceOf(p *platform.Platform, r platform.Snapshot, status map[string]any) verify.Request {
	open := func(open func(*platform.Request) (*platform.Content, error)) (*platform.Content, error) {
		request, ok := p.Get(r.ID)
		if !ok {
			return nil, platform.ErrNoContent // it was forgotten meanwhile
		}
		return open(request)
	}
	opened := func(what func(*platform.Request) (*platform.Content, error)) func() (*verify.Content, error) {
		return func() (*verify.Content, error) {
			content, err := open(what)
			if err != nil {
				return nil, err
			}
			return &verify.Content{File: likeness.File{ReaderAt: content, Size: content.Size},
				Close: content.Close}, nil
		}
	}
	evidence := verify.Request{ID: r.ID, Key: r.Key, Processed: r.ProcessedAt != nil, Status: status}
	if request, ok := p.Get(r.ID); ok && r.API == platform.APIScript {
		evidence.Uploaded, evidence.Results, evidence.DumpName = request.Uploaded, request.Results, request.DumpName()
		return evidence
	}
	evidence.Original, evidence.Upgraded = opened((*platform.Request).Original), opened((*platform.Request).Upgraded)
	evidence.UpgradedSQL = func() (*verify.Content, error) { return spooled(open((*platform.Request).UpgradedSQL)) }
	return evidence
}

// spooled writes the content's SQL to a temporary file, since it is a stream.
func spooled(content *platform.Content, err error) (*verify.Content, error) {
	if err != nil {
		return nil, err
	}
	defer content.Close()
	sql, err := content.SQL(context.Background())
	if err != nil {
		return nil, err
	}
	defer sql.Close()
	f, err := os.CreateTemp("", "upgrademock-sql-")
	if err != nil {
		return nil, err
	}
	remove := func() error { return errors.Join(f.Close(), os.Remove(f.Name())) }
	size, err := io.Copy(f, sql)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return &verify.Content{File: likeness.File{ReaderAt: f, Size: size}, Close: remove}, nil
}
