package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

// Reasons that the platform is known to give in Failure.Reason. It may give others.
const (
	ReasonTargetInvalid    = "TARGET:INVALID"
	ReasonAimInvalid       = "AIM:INVALID"
	ReasonEmailInvalid     = "EMAIL:INVALID"
	ReasonFilenameInvalid  = "FILENAME:INVALID"
	ReasonTimezoneInvalid  = "TIMEZONE:INVALID"
	ReasonContractNotFound = "CONTRACT:NOT_FOUND"
	ReasonRequestNotFound  = "REQUEST:NOT_FOUND"
	ReasonStateInvalid     = "STATE:INVALID"
	ReasonSSHKeysInvalid   = "SSH_KEYS:INVALID"
	ReasonDumpMissing      = "DUMP:MISSING"
	ReasonDumpIncomplete   = "DUMP:INCOMPLETE"
	ReasonServerError      = "SERVER:ERROR"
)

// Errors of this package, for errors.Is.
var (
	// ErrNotFound means that the contract or the request is unknown, that the key is wrong, or that a file is not
	// there (yet).
	ErrNotFound = errors.New("not found")

	// ErrInvalidState means that the method is not allowed in the request's state.
	ErrInvalidState = errors.New("not allowed in the request's state")

	// ErrTransient means that the same call may succeed later: the platform reported SERVER:ERROR, a server before it
	// failed, or the network did.
	ErrTransient = errors.New("transient failure")

	// ErrUncertain means that the call was sent and no clear answer came, so that the platform may have acted on it.
	ErrUncertain = errors.New("the platform may or may not have acted on the call")

	// ErrNotJSON means that the answer is not the method's JSON object, but for example a proxy's page.
	ErrNotJSON = errors.New("the answer is not the JSON it should be")

	// ErrRejected means that the request has ended in a state from which no upgraded database comes.
	ErrRejected = errors.New("the platform did not upgrade the database")

	// ErrContradiction means that a server's answers contradict each other or the protocol.
	ErrContradiction = transfer.ErrContradiction

	// ErrChanged means that a file changed while it was transferred.
	ErrChanged = errors.New("the file changed")

	// ErrHostKey means that the key of the SSH server is unknown and was not accepted, or is not the known one.
	// See [UnknownHostError] and [HostKeyChangedError].
	ErrHostKey = errors.New("host key not accepted")

	// ErrUnreachable means that the SSH server does not answer. HTTPS may still work.
	ErrUnreachable = errors.New("the SSH server cannot be reached")

	// ErrLoginRefused means that the SSH server accepts none of the keys.
	ErrLoginRefused = errors.New("the SSH server refused the login")
)

// An Error is a call that failed. Its text never holds the request's key.
type Error struct {
	Op         string        // the method, such as "create", or "download", "sftp upload" or "sftp download"
	Status     int           // the HTTP status; 0 if there was no answer
	Failures   []Failure     // what the platform reported
	RetryAfter time.Duration // how long to wait, by the answer's header of that name; 0 without one
	Raw        []byte        // the body of the answer, nil if there was none; it may hold the key
	Err        error         // what else went wrong; nil if Failures say it all

	uncertain bool
}

// Error returns the method and all failures.
func (e *Error) Error() string {
	var parts []string
	for _, f := range e.Failures {
		parts = append(parts, f.String())
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if len(parts) == 0 {
		parts = append(parts, "HTTP status "+statusText(e.Status))
	}
	return "client: " + e.Op + ": " + strings.Join(parts, "; ")
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the value of this package that describes e: ErrNotFound, ErrInvalidState, ErrUncertain
// or ErrTransient.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == 404 || e.any(func(r string) bool { return strings.HasSuffix(r, ":NOT_FOUND") })
	case ErrInvalidState:
		return e.any(func(r string) bool { return r == ReasonStateInvalid })
	case ErrUncertain:
		return e.uncertain
	case ErrTransient:
		return e.transient()
	}
	return false
}

// Has reports whether one of the failures has this reason.
func (e *Error) Has(reason string) bool {
	return e.any(func(r string) bool { return r == reason })
}

func (e *Error) any(pred func(reason string) bool) bool {
	for _, f := range e.Failures {
		if pred(f.Reason) {
			return true
		}
	}
	return false
}

// transient reports whether only SERVER:ERROR was reported, or a front-end or the network failed: by the HTTP status,
// or with an answer that is a page or damaged JSON.
func (e *Error) transient() bool {
	if len(e.Failures) > 0 {
		return !e.any(func(r string) bool { return r != ReasonServerError })
	}
	switch {
	case e.Status >= 500, e.Status == 408, e.Status == 425, e.Status == 429:
		return true
	case e.Status >= 300:
		return false
	case errors.Is(e.Err, ErrNotJSON):
		return true
	}
	return networkFailure(e.Err)
}

// networkFailure reports whether err is a failure of the network that may pass. A certificate, a wrong host name or a
// full disk does not.
func networkFailure(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var tooSlow *timeoutError
	var trust *TrustError
	var dns *net.DNSError
	switch {
	case errors.As(err, &tooSlow):
		return true
	case errors.As(err, &trust), errors.Is(err, errWrongProtocol), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &dns):
		return !dns.IsNotFound
	case isPermanent(err), errors.Is(err, ErrChanged), errors.Is(err, ErrHostKey):
		return false
	}
	return true
}

// permanentError is an error that a repetition does not mend, such as a wrong argument or a full disk.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

func isPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

// local returns err, which is one of this machine's files, as a permanent error, with what to do about it if that is
// known.
func local(doing string, err error) error {
	if err == nil {
		return nil
	}
	switch {
	case isPermanent(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &permanentError{fmt.Errorf("%s: the disk is full: %w; "+
			"what is there is kept: make room and start again to continue", doing, err)}
	case errors.Is(err, syscall.EFBIG):
		return &permanentError{fmt.Errorf("%s: a file may not be so large here: %w; "+
			"what is there is kept: raise the limit (ulimit -f) and start again to continue", doing, err)}
	}
	return &permanentError{fmt.Errorf("%s: %w", doing, err)}
}

// A Failure is a problem that the platform reported.
type Failure struct {
	Reason   string   // such as ReasonTargetInvalid
	Message  string   // for people
	Code     string   // the wrong value of CONTRACT:NOT_FOUND
	Value    string   // the wrong value of TARGET:INVALID
	Expected []string // the valid values; nil if none were given

	// Extra holds the keys that have no field here; nil if there are none.
	Extra map[string]json.RawMessage
}

// String returns the reason, the message and the valid values in one line.
func (f Failure) String() string {
	s := f.Reason
	if f.Message != "" {
		if s != "" {
			s += ": "
		}
		s += f.Message
	}
	if len(f.Expected) > 0 {
		s += " (expected " + strings.Join(f.Expected, ", ") + ")"
	}
	return printable(s, 2000)
}

// decodeFailures reads the list of failures, or a single one. An element that is not an object becomes the message of
// a failure.
func decodeFailures(raw json.RawMessage, key Key) []Failure {
	if s := strings.TrimSpace(string(raw)); s == "" || s == "null" || s == "false" || s == `""` {
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		items = []json.RawMessage{raw}
	}
	var out []Failure
	for _, it := range items {
		var f map[string]json.RawMessage
		if json.Unmarshal(it, &f) != nil {
			out = append(out, Failure{Message: Redact(text(it), key)})
			continue
		}
		out = append(out, Failure{
			Reason:   text(f["reason"]),
			Message:  Redact(text(f["message"]), key),
			Code:     text(f["code"]),
			Value:    text(f["value"]),
			Expected: list(f["expected"]),
			Extra:    without(f, "reason", "message", "code", "value", "expected"),
		})
	}
	return out
}
