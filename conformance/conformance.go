package conformance

import (
	"context"
	"crypto/x509"
	"io"
	"regexp"
	"time"

	"github.com/upgrademock/upgrademock/internal/version"
)

// Target is the server to judge.
type Target struct {
	// URL is the base under which /database/v1/ and /upgrade/request/ lie, as in http://127.0.0.1:8480.
	URL string

	// Contract is the reference of a contract that the server knows.
	Contract string

	// Email is the address given to create, which the script API does not ask for. If empty, john.doe@example.com is
	// given; a shared platform needs an address of yours, to which it writes.
	Email string

	// UnknownContract is a reference that the server does not know.
	// If empty, it is the page's M123456-abcxyz.
	UnknownContract string

	// Region is the region in the URLs of answers. If empty, it is the documented eu1.
	Region string

	// PublicURL is the base of the URLs in answers. If empty, it is URL.
	PublicURL string

	// SFTPAddr, of the form host:port, is dialed in place of the address that answers
	// name, for a server behind a port mapping. If empty, what answers name is dialed.
	SFTPAddr string
}

// Options configures a run. The zero Options judges a server on this machine
// at LevelObserved.
type Options struct {
	// Level says how far the run goes. If empty, it is LevelObserved.
	Level Level

	// API says which API's checks are made. If empty, those of what the server has are, and the report says
	// which it has not. With APIAll, a server that lacks one of the two is not judged.
	API API

	// Run selects the checks whose id it matches. If nil, all are selected.
	Run *regexp.Regexp

	// Skip leaves out those of the selected checks whose id it matches. If nil, none are left out.
	Skip *regexp.Regexp

	// Production asks as a shared platform must be asked: one request for all checks, made
	// with the aim test, one check at a time, one call a second, and nothing that could trouble
	// others. It is required for a URL that does not lead to this machine, and refuses LevelAssumed.
	Production bool

	// Pause is the least time between two calls. If zero, there is none, or 1 s with Production;
	// a shorter one with Production holds only for a server on this machine.
	Pause time.Duration

	// FailFast leaves the remaining checks out after the first failure.
	FailFast bool

	// Wait is how long an upgrade may take before the checks of its outcome give up. If zero, it is 30 s,
	// or no time with Production. If negative, the run never waits.
	Wait time.Duration

	// Timeout bounds the whole run. If zero, it is 10 min and twice Wait.
	Timeout time.Duration

	// CallTimeout bounds one call, connecting included. If zero, it is 10 s, or a minute with Production.
	// A server that has not answered several calls in time is given less for the others.
	CallTimeout time.Duration

	// Parallel is how many checks are made at a time. If zero or negative, it is 4; with Production it is always 1.
	Parallel int

	// RootCAs are the authorities trusted for https. If nil, they are the system's.
	RootCAs *x509.CertPool

	// Insecure leaves the server's certificate unchecked.
	Insecure bool

	// Seed is what dumps and parameters are made from. Zero is a seed like any other.
	Seed uint64

	// Dump is a dump that the server can upgrade. If nil, a small one made by pg_dump is used.
	Dump []byte

	// Baseline lists known deviations. If nil, there are none.
	Baseline *Baseline

	// Observe is called with each verdict as soon as it is known, by one goroutine at a time.
	// If nil, verdicts are in the report only.
	Observe func(Result)

	// Record is where every exchange with the server is written, with the requests' keys disguised,
	// for Replay. If nil, nothing is recorded.
	Record io.Writer

	// Save is called with a request whose upgrade had not ended when the run did, for Resume in a
	// later run. The request's key is in it. If nil, the request is not saved.
	Save func(Saved)

	// Resume is a saved request: the run judges only the outcome of its upgrade. If nil, the run
	// makes requests of its own.
	Resume *Saved
}

// Run judges the target. A nil opts is the same as the zero Options.
//
// Run always returns a report, also when ctx ends early: what could not be judged is in it as Error or Skip,
// with the reason. The error is not nil if no check was made; then the report has one result that says so.
// It is one of ErrURL, ErrProduction, ErrNoServer, ErrScheme, ErrCertificate and ErrContract, or says which of
// the options is wrong. A server that fails its checks is no error: see [Report.OK].
func Run(ctx context.Context, target Target, opts *Options) (*Report, error) {
	if opts == nil {
		opts = &Options{}
	}
	s, err := newSuite(target, *opts)
	if err != nil {
		return unjudged(target.URL, opts.Level, err), err
	}
	return s.judge(ctx)
}

// unjudged is the report of a run that never began.
func unjudged(target string, level Level, err error) *Report {
	if level == "" {
		level = LevelObserved
	}
	rep := &Report{Target: target, Level: level, Version: version.String(),
		Results: []Result{runError("suite/target", err.Error())}}
	rep.count()
	return rep
}

// runError is a result about the run itself.
func runError(id, message string) Result {
	return Result{ID: id, Verdict: Error, Rows: []string{}, Evidence: EvidenceDocumented, Message: message}
}
