package conformance

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// Target is the server to judge.
type Target struct {
	// URL is the base under which /database/v1/ lies, as `http://127.0.0.1:8480`.
	URL string
	// Contract is a contract reference that the server knows.
	Contract string
	// Email is the address given to create; "" means john.doe@example.com, which production must not be asked with.
	Email string
	// UnknownContract is a reference the server does not know; "" means the page's M123456-abcxyz.
	UnknownContract string
	// Region is the region in the URLs of answers; "" means the documented eu1.
	Region string
	// PublicURL is the base of the URLs in answers; "" means URL.
	PublicURL string
	// SFTPAddr (host:port) is dialled instead of the address that answers name, for a server behind a
	// port mapping; "" dials what is named.
	SFTPAddr string
}

// Options are a run's settings; nil means all zero values.
type Options struct {
	Level Level          // the zero Level is LevelObserved
	Run   *regexp.Regexp // only checks whose id it matches; nil: all
	Skip  *regexp.Regexp // of these, not those whose id it matches; nil: all
	// Production has manners: one shared request, aim test, one call a second, nothing that troubles
	// a shared platform. It is required for a URL that is not loopback, and refuses LevelAssumed.
	Production bool
	// Pause is the least time between two calls; 0 means none, or 1 s with Production, and less than that only
	// for a server on this machine.
	Pause    time.Duration
	FailFast bool // leave the rest out after the first failure
	// Wait is how long an upgrade may take before the checks of its outcome give up; 0 means 30 s, or no
	// waiting at all with Production. Negative never waits.
	Wait time.Duration
	// Timeout bounds the whole run; 0 means 10 min, more with a longer Wait.
	Timeout time.Duration
	// CallTimeout bounds one call, connecting included; 0 means 10 s, a minute with Production. A server that
	// has let several calls hang is given less.
	CallTimeout time.Duration
	Parallel    int            // checks at a time; 0 means 4. With Production always 1.
	RootCAs     *x509.CertPool // for https; nil: the system's
	Insecure    bool           // https without checking the certificate
	Seed        uint64         // of the dumps and parameters made up; 0 is a seed like any other
	Dump        []byte         // a dump the server can upgrade; nil: a small one made by pg_dump
	Baseline    *Baseline      // known deviations; nil: none
	Observe     func(Result)   // told each verdict as it stands; called by one goroutine at a time; nil: nobody
	// Record is given every exchange, with the requests' keys disguised, for [Replay]; nil: nobody.
	Record io.Writer
	// Save is called when a request was given to the platform whose outcome is still to come, with what Resume
	// needs to come back to it. It holds the request's key.
	Save   func(Saved)
	Resume *Saved // judge only the outcome of that request; nil: a run from the beginning
}

// Run judges the target and always returns a report, also when ctx ends early: what could not be judged
// is in it as Error or Skip with the reason.
func Run(ctx context.Context, target Target, opts *Options) *Report {
	if opts == nil {
		opts = &Options{}
	}
	s, err := newSuite(target, *opts)
	if err != nil {
		return troubled(target.URL, opts.Level, err)
	}
	return s.judge(ctx)
}

// troubled is the report of a run that never began.
func troubled(target string, level Level, err error) *Report {
	if level == "" {
		level = LevelObserved
	}
	rep := &Report{Target: target, Level: level, Err: err,
		Results: []Result{{ID: "suite/target", Verdict: Error, Rows: []string{}, Evidence: EvidenceDocumented, Message: err.Error()}}}
	rep.count()
	return rep
}

// Test judges the target at the default level, each check a subtest of t.
func Test(t *testing.T, target Target) {
	t.Helper()
	TestWith(t, target, nil)
}

// TestWith is [Test] with options.
func TestWith(t *testing.T, target Target, opts *Options) {
	t.Helper()
	rep := Run(t.Context(), target, opts)
	for _, res := range rep.Results {
		t.Run(res.ID, func(t *testing.T) {
			switch res.Verdict {
			case Fail, Error:
				t.Errorf("%s: %s (%s)", res.Verdict, res.Message, res.Source())
			case Skip:
				t.Skip(res.Message)
			}
		})
	}
}

// What [Report.Err] is when no check was made.
var (
	ErrProduction  = errors.New("this may be a shared platform")                 // and the options do not have its manners
	ErrURL         = errors.New("the URL is not a server's")                     // see [BaseURL]
	ErrNoServer    = errors.New("no Database Upgrade API")                       // at the target's URL
	ErrScheme      = errors.New("the server speaks the other of http and https") // than the target's URL
	ErrCertificate = errors.New("the server's certificate is not trusted")       // by Options.RootCAs
	ErrContract    = errors.New("the server does not know the contract")         // that is the target's
)

// BaseURL reads the URL of a server: http or https, a host, and what lies before /database/v1, if anything. The error is ErrURL.
func BaseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("%w: %q: want the server's address, as http://127.0.0.1:8480", ErrURL, raw)
	}
	if before, _, has := strings.Cut(u.Path+"/", "/database/"); has {
		base := *u
		base.Path, base.RawPath = before, ""
		return nil, fmt.Errorf("%w: %q: leave out the path of the methods, which each call adds: want %s", ErrURL, raw, base.String())
	}
	return u, nil
}

func (o *Options) fill(u *url.URL, t *Target) error {
	level, err := ParseLevel(string(o.Level))
	if err != nil {
		return err
	}
	o.Level = level
	if !o.Production && !Loopback(u) {
		return fmt.Errorf("%w: %s is not on this machine, and Options.Production is false", ErrProduction, u.Host)
	}
	if o.Production {
		if o.Level == LevelAssumed {
			return fmt.Errorf("%w: what is only assumed is never judged there; the level must be observed or documented", ErrProduction)
		}
		if t.Email == "" {
			return fmt.Errorf("%w: it needs an address of yours, to which it writes", ErrProduction)
		}
		o.Parallel = 1
		if o.Pause == 0 || !Loopback(u) {
			o.Pause = max(o.Pause, time.Second)
		}
	}
	if t.Email == "" {
		t.Email = "john.doe@example.com"
	}
	if t.UnknownContract == "" {
		t.UnknownContract = "M123456-abcxyz"
	}
	if t.Region == "" {
		t.Region = "eu1"
	}
	if o.Wait == 0 && !o.Production {
		o.Wait = 30 * time.Second
	}
	o.Wait = max(o.Wait, 0)
	if o.Timeout == 0 {
		o.Timeout = 10*time.Minute + 2*o.Wait
	}
	if o.CallTimeout == 0 {
		o.CallTimeout = 10 * time.Second
		if o.Production {
			o.CallTimeout = time.Minute
		}
	}
	if o.Parallel <= 0 {
		o.Parallel = 4
	}
	return nil
}

// Loopback reports whether the URL leads to this machine, so that no manners are needed.
func Loopback(u *url.URL) bool {
	host := u.Hostname()
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

func (o *Options) tlsConfig() *tls.Config {
	return &tls.Config{RootCAs: o.RootCAs, InsecureSkipVerify: o.Insecure, NextProtos: []string{"http/1.1"}}
}
