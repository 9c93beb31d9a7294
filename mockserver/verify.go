package mockserver

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/upgrademock/upgrademock/mockserver/internal/likeness"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Verdict is the verdict on one expectation of a scenario; see Server.Verify.
type Verdict = verify.Result

// The values of Verdict.Verdict.
const (
	Pass     = verify.Pass
	Fail     = verify.Fail
	Unjudged = verify.Unjudged // it takes more than the emulator knows; see Server.Judge
)

// Run is what the one who ran a client knows of it beside its calls; see Server.Judge.
type Run = verify.Run

// SentOver tells which way a dump went up: "https", "sftp", or "" when none was sent. Who tried both ways went over SFTP.
func SentOver(events []Event) string { return verify.SentOver(events) }

// Verify judges, for every scenario in use, its `expect` by what happened, narrowed down by the filter's Request and Contract. What
// takes a Run is Unjudged.
func (s *Server) Verify(f Filter) []Verdict { return s.Judge(f, nil) }

// Judge judges as Verify does, and by what run says as well. If run is nil, they are the same.
func (s *Server) Judge(f Filter, run *Run) []Verdict {
	if f.Request != 0 && f.Contract == "" {
		f.Contract, _ = s.platform.Whose(f.Request)
	}
	scripts := s.scripts.all()
	evidence := make(map[string]*verify.Evidence)
	for _, script := range scripts {
		evidence[script.Name] = &verify.Evidence{Run: run}
	}
	normal := evidence[scripts[len(scripts)-1].Name]
	var latest *verify.Evidence // whose create was the last one
	for _, e := range s.Events(Filter{Contract: f.Contract, Since: f.Since, After: f.After}) {
		its := evidence[e.Scenario]
		switch {
		case its == nil && stray(&e) && latest != nil:
			latest.Strays = append(latest.Strays, e)
		case its == nil || f.Request != 0 && e.Request != f.Request && e.Request != 0:
			// What was refused before there was a request belongs to each request of the contract.
		default:
			its.Events = append(its.Events, e)
			if e.On == scenario.OnCreate || e.On == scenario.OnUpgrade {
				its.Creates = append(its.Creates, e)
				latest = its
			}
		}
	}
	for _, r := range s.platform.All() {
		if its := evidence[r.Scenario]; its != nil && (f.Request == 0 || f.Request == r.ID) && (f.Contract == "" || f.Contract == r.Contract) {
			its.Requests = append(its.Requests, s.asEvidence(r))
		}
	}
	var verdicts []Verdict
	for _, script := range scripts {
		its := evidence[script.Name]
		if its != normal { // a wrong value may have kept a scenario from being chosen
			its.Creates = append(its.Creates, normal.Creates...)
		}
		verdicts = append(verdicts, verify.Judge(script, *its)...)
	}
	return verdicts
}

// stray reports whether a call was made for no request, or with a wrong key.
func stray(e *Event) bool {
	switch e.On {
	case scenario.OnUpload, scenario.OnRequestSFTPAccess, scenario.OnProcess, scenario.OnStatus, scenario.OnSkipTest, scenario.OnDownload:
		return e.Request == 0
	}
	return false
}

func (s *Server) asEvidence(r platform.Snapshot) verify.Request {
	ref := platform.Ref{ID: strconv.FormatInt(r.ID, 10), Key: r.Key}
	opened := func(open func(platform.Ref) (*platform.Content, error)) func() (*verify.Content, error) {
		return func() (*verify.Content, error) {
			content, err := open(ref)
			if err != nil {
				return nil, err
			}
			return &verify.Content{File: likeness.File{ReaderAt: content, Size: content.Size}, Close: content.Close}, nil
		}
	}
	return verify.Request{
		ID: r.ID, Key: r.Key, Processed: r.ProcessedAt != nil, Status: s.request(r).Status,
		Original: opened(s.platform.Original), Upgraded: opened(s.platform.Upgraded),
		UpgradedSQL: func() (*verify.Content, error) { return spooled(s.platform.UpgradedSQL(ref)) },
	}
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
