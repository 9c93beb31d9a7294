package mockserver

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/mockserver/internal/api/script"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
	gossh "golang.org/x/crypto/ssh"
)

// Off is the address of a listener that is switched off.
const Off = "off"

// The editions of the official page that can be emulated (docs/fidelity.md, section 3).
const (
	Edition11 = "11.0"
	Edition13 = "13.0"
)

// Defaults of the bounds in [Options].
const (
	DefaultJournalSize    = 10_000
	DefaultMaxDump        = 64 << 30
	DefaultMaxConnections = 4096
	DefaultMaxSessions    = 1024
	DefaultMaxRequests    = 250_000 // a request takes about 1 KiB of memory
)

// profiles has what the editions of the page differ in.
var profiles = map[string]struct {
	targets   []string
	skipTest  bool
	filestore bool // row 7 filestore
}{
	Edition11: {targets: []string{"6.0", "6.1", "7.0", "8.0"}},
	Edition13: {targets: []string{"11.0", "12.0", "13.0"}, skipTest: true, filestore: true},
}

// Options are the options of a Server. The zero value is a good one for tests: all listeners on free loopback
// ports, nothing kept.
type Options struct {
	// HTTPAddr, HTTPSAddr and SFTPAddr are where to listen, as host:port; "" is a free port of 127.0.0.1, Off
	// is nowhere.
	HTTPAddr, HTTPSAddr, SFTPAddr string
	// ControlAddr moves the control API to a listener of its own; "" leaves it at /_mock/ of the HTTP listener.
	ControlAddr string

	// Listen makes the listeners, those of transfers included; nil is [net.Listen]. It is for a program that has the
	// server listen elsewhere, as in another network namespace. They must be a *[net.TCPListener].
	Listen func(network, address string) (net.Listener, error)

	// DataDir keeps requests, dumps, the CA and the SSH host key. It is made if need be, may be empty, or that
	// of an earlier Server; a directory with anything else in it is refused, and stays as it is. "" keeps
	// everything in a temporary directory that is gone after Close.
	DataDir string
	// CADir keeps the CA apart from the rest, so that it stays the same for many servers; "" is DataDir.
	CADir string
	// CAHosts are further names and addresses that the CA may sign for, beside loopback and the platform's domain.
	CAHosts []string

	// Edition is the edition of the official page to emulate, Edition11 (also "") or Edition13.
	Edition string
	// Targets overrides the edition's valid targets, and those of the script API, which takes any since 13.0; nil
	// leaves them.
	Targets []string
	// Contracts are globs of the contracts that are known; nil: all but M123456-abcxyz.
	Contracts []string
	// Region is the part of the URLs that names the data centre; "" is eu1.
	Region string
	// FailureStatus is the HTTP status of answers with failures; 0 is 200.
	FailureStatus int

	// PublicURL is the base of the URLs in answers; "" takes scheme and Host of the call being answered.
	PublicURL string
	// SFTPHostname is the hostname in request_sftp_access's answer; "" takes the host of the call being answered.
	SFTPHostname string
	// SFTPAccessTTL is how long an SFTP access lasts; 0 is 24 hours.
	SFTPAccessTTL time.Duration
	// SFTPHostKeys are the SSH server's, at most one of each type; nil is an ECDSA P-256 key, made once for
	// each DataDir.
	SFTPHostKeys []gossh.Signer

	// Transfer is where the transfers of the script API listen, as host:port: a free port of that host for each
	// transfer if the port is 0, else that one for all. "" is a free port of SFTPAddr's host for each.
	Transfer string
	// TransferTimeout is how long nothing may move in a transfer until it ends; 0 is 5 minutes.
	TransferTimeout time.Duration
	// Rsync is a program to serve transfers with, found as a shell finds it; "" serves them without one.
	Rsync string
	// Script is the file that GET /upgrade hands out: a copy of the upgrade script, of which none comes with the
	// emulator. "" is none.
	Script string

	// Scenarios are looked at in order; the first whose When matches a create's parameters drives that request.
	// Where none matches, a request is pending for one poll, processing for one poll, and then done.
	Scenarios []*scenario.Scenario
	// Requests exist from the start, in this order. A DataDir that has requests already gets none of them.
	Requests []NewRequest
	// Seed makes ids and keys the same for each run; 0 takes the keys from the system's random numbers. For
	// tests only: keys made of a seed can be guessed.
	Seed uint64
	// JournalSize is how many events are remembered; 0 is DefaultJournalSize.
	JournalSize int
	// MaxDump is how many bytes a dump may have; 0 is DefaultMaxDump. A larger one is refused with
	// DUMP:TOO_LARGE, over SFTP with "File too large", and the dump that was there before stays (assumed).
	MaxDump int64
	// MaxConnections is how many connections each HTTP listener, and each that Guard returns, has at one time;
	// 0 is DefaultMaxConnections. Further ones are closed at once.
	MaxConnections int
	// MaxSessions is how many SFTP connections there may be at one time; 0 is DefaultMaxSessions. Further ones
	// are closed at once.
	MaxSessions int
	// MaxRequests is how many requests are held; 0 is DefaultMaxRequests. Then create is refused with
	// SERVER:ERROR until some are forgotten (POST /_mock/reset).
	MaxRequests int
	// JournalWriter gets each event as a line of JSON. If nil, events are not written.
	JournalWriter io.Writer

	// BeforeProcess, if not nil, is called after a process has been accepted in form and before it is carried out.
	BeforeProcess func(requestID int64)
	// OnUpload, if not nil, is called when a dump is complete, over whichever wire, before the client is answered.
	OnUpload func(requestID int64)
	// OnControl, if not nil, is called after each call of the control API that changes something, or was to.
	OnControl func(ControlCall)

	// OptionName is how texts call an option, by the name of its field, when they suggest another value. It lets a
	// command return the name of its flag. If nil, texts call it "Options.MaxDump".
	OptionName func(field string) string

	// Clock is the clock of requests, accesses and journal; if nil, that of the system. Server.Advance, and the
	// control API, need a *ManualClock.
	Clock Clock
	// Skip has a *ManualClock jump to the next change of a request's state when its client asks for a state that it was
	// told already, and nothing else is under way, so that the hours of an upgrade take no time. See Server.Skipped for
	// what cannot be skipped. Server.Judge then judges durations by real time, which clients take.
	Skip bool
	// Logger gets what an operator should know; nil discards it. It never sees a key.
	Logger *slog.Logger
}

// OptionError is an error about one field of [Options].
type OptionError struct {
	Option string // the name of its field
	Err    error  // what is wrong with it, what was wanted, and an example
}

// Error names the option, and says what is wrong with it.
func (e *OptionError) Error() string { return "mockserver: " + e.Option + ": " + e.Err.Error() }

// Unwrap returns Err.
func (e *OptionError) Unwrap() error { return e.Err }

func badOption(option, format string, args ...any) error {
	return &OptionError{option, fmt.Errorf(format, args...)}
}

// Check returns the *[OptionError] that [New] would return for the options, or nil. Nil options are the default ones.
func (o *Options) Check() error {
	_, err := o.withDefaults()
	return err
}

// withDefaults checks the options and fills in what was left out.
func (o *Options) withDefaults() (Options, error) {
	var full Options
	if o != nil {
		full = *o
	}
	for _, addr := range []*string{&full.HTTPAddr, &full.HTTPSAddr, &full.SFTPAddr} {
		if *addr == "" {
			*addr = "127.0.0.1:0"
		}
	}
	if full.Edition == "" {
		full.Edition = Edition11
	}
	profile, ok := profiles[full.Edition]
	if !ok {
		return full, badOption("Edition", "unknown edition %q of the page: choose %s or %s", full.Edition,
			Edition11, Edition13)
	}
	if full.Targets == nil {
		full.Targets = profile.targets
	}
	for _, glob := range full.Contracts {
		if _, err := path.Match(glob, ""); err != nil {
			return full, badOption("Contracts", "%q is no glob; wanted one such as M123456-* or M12345[0-9]-abcdef",
				glob)
		}
	}
	if full.Skip && full.manual() == nil {
		return full, badOption("Skip", "only a clock that stands can jump; wanted a *ManualClock as Clock")
	}
	if full.Region == "" {
		full.Region = "eu1"
	}
	if !regionName.MatchString(full.Region) {
		return full, badOption("Region", "%q cannot be a part of a URL; wanted a name such as eu1", full.Region)
	}
	if strings.ContainsAny(full.SFTPHostname, "/@[] \t\r\n") || strings.Contains(full.SFTPHostname, ":") &&
		net.ParseIP(full.SFTPHostname) == nil {
		return full, badOption("SFTPHostname", "%q is no host; wanted a name or an address alone, such as "+
			"upgrade.example.com", full.SFTPHostname)
	}
	if full.FailureStatus == 0 {
		full.FailureStatus = 200
	}
	if full.FailureStatus < 200 || full.FailureStatus > 599 {
		return full, badOption("FailureStatus", "%d is no HTTP status for answers with failures; choose one "+
			"from 200 to 599", full.FailureStatus)
	}
	if full.SFTPAccessTTL == 0 {
		full.SFTPAccessTTL = 24 * time.Hour
	}
	if full.SFTPAccessTTL < 0 {
		return full, badOption("SFTPAccessTTL", "an SFTP access cannot last %v; wanted a time such as 24h",
			full.SFTPAccessTTL)
	}
	if err := cmp.Or(full.setBounds(), full.setTransfers()); err != nil {
		return full, err
	}
	if full.PublicURL != "" {
		if err := checkBase(full.PublicURL); err != nil {
			return full, &OptionError{"PublicURL", err}
		}
	}
	full.Requests = slices.Clone(full.Requests)
	full.Scenarios = slices.Clone(full.Scenarios)
	for i, s := range full.Scenarios {
		var err error
		if full.Scenarios[i], err = usable(s); err != nil {
			return full, badOption("Scenarios", "number %d: %w", i+1, err)
		}
	}
	full.setFunctions()
	return full, nil
}

// setFunctions fills in what the server calls.
func (o *Options) setFunctions() {
	if o.OptionName == nil {
		o.OptionName = func(field string) string { return "Options." + field }
	}
	if o.Clock == nil {
		o.Clock = realClock{}
	}
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
}

// setBounds checks the bounds, and fills in the default ones.
func (o *Options) setBounds() error {
	for name, limit := range map[string]int64{
		"JournalSize": int64(o.JournalSize), "MaxDump": o.MaxDump, "MaxConnections": int64(o.MaxConnections),
		"MaxSessions": int64(o.MaxSessions), "MaxRequests": int64(o.MaxRequests),
	} {
		if limit < 0 {
			return badOption(name, "it cannot be %d; choose a number above 0, or 0 for the default", limit)
		}
	}
	o.JournalSize = cmp.Or(o.JournalSize, DefaultJournalSize)
	o.MaxDump = cmp.Or(o.MaxDump, DefaultMaxDump)
	o.MaxConnections = cmp.Or(o.MaxConnections, DefaultMaxConnections)
	o.MaxSessions = cmp.Or(o.MaxSessions, DefaultMaxSessions)
	o.MaxRequests = cmp.Or(o.MaxRequests, DefaultMaxRequests)
	return nil
}

// setTransfers checks the options of the script API, and fills in the default ones.
func (o *Options) setTransfers() error {
	if o.Transfer == "" {
		host, _, err := net.SplitHostPort(o.SFTPAddr)
		if err != nil { // it is switched off, or wrong, which Start says
			host = "127.0.0.1"
		}
		o.Transfer = net.JoinHostPort(host, "0")
	}
	_, port, err := net.SplitHostPort(o.Transfer)
	if _, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil {
		return badOption("Transfer", "%q is no address; wanted HOST:PORT, such as 127.0.0.1:2222, or HOST:0 for a "+
			"free port for each transfer", o.Transfer)
	}
	if o.TransferTimeout < 0 {
		return badOption("TransferTimeout", "a transfer cannot wait %v; wanted a time such as 5m", o.TransferTimeout)
	}
	o.TransferTimeout = cmp.Or(o.TransferTimeout, 5*time.Minute)
	if o.Rsync != "" {
		program, err := exec.LookPath(o.Rsync)
		if missing, ok := errors.AsType[*exec.Error](err); ok {
			err = missing.Err
		}
		if err != nil {
			return badOption("Rsync", "%q: %w; wanted the rsync program, by its path or by its name", o.Rsync, err)
		}
		o.Rsync = program
	}
	if o.Script != "" {
		err := script.CheckFile(o.Script)
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		if err != nil {
			return badOption("Script", "%q: %w; wanted the file of a copy of the upgrade script", o.Script, err)
		}
	}
	return nil
}

// usable is the scenario with its files found, or what is wrong with it.
func usable(s *scenario.Scenario) (*scenario.Scenario, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	own := *s // what the caller has stays as it is
	return &own, own.Resolve(".")
}

var regionName = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)

func checkBase(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" ||
		u.Fragment != "" {
		return fmt.Errorf("%q: wanted http://HOST[:PORT] or https://HOST[:PORT], with a path if need be", base)
	}
	return nil
}

// manual is the clock if it can be advanced, else nil.
func (o *Options) manual() *ManualClock {
	clock, _ := o.Clock.(*ManualClock)
	return clock
}
