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

// Reasons the platform is known to give in Failure.Reason. Production may give others: they are carried along as they are.
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

// What callers ask about an error, with errors.Is.
var (
	// ErrNotFound: the contract or the request is unknown, a URL leads nowhere (yet), or a key is wrong.
	ErrNotFound = errors.New("not found")
	// ErrInvalidState: the method is not allowed in the state the request is in.
	ErrInvalidState = errors.New("not allowed in the request's state")
	// ErrTransient: trouble that passes by itself; the same call may succeed later.
	ErrTransient = errors.New("transient trouble")
	// ErrUncertain: the call left and no clear answer came, so the platform may or may not have acted.
	ErrUncertain = errors.New("the platform may or may not have acted on the call")
	// ErrNotJSON: something other than the method's JSON object came back, such as a proxy's page.
	ErrNotJSON = errors.New("the answer is not the JSON it should be")
	// ErrRejected: the request ended in a state from which no upgraded database comes.
	ErrRejected = errors.New("the platform did not upgrade the database")
	// ErrContradiction: the server's answers contradict each other, time and again, so that what it has cannot be got whole.
	ErrContradiction = transfer.ErrContradiction
	// ErrChanged: a file changed while it was being transferred.
	ErrChanged = errors.New("the file changed")
	// ErrHostKey: the SSH server's host key is unknown and was not accepted, or is not the known one.
	ErrHostKey = errors.New("host key not accepted")
	// ErrUnreachable: the SSH server does not answer; HTTPS may still work.
	ErrUnreachable = errors.New("the SSH server cannot be reached")
	// ErrLoginRefused: the SSH server takes none of our keys.
	ErrLoginRefused = errors.New("the SSH server refused the login")
)

// Error is what every call of the platform returns when it fails. Its text never holds the request's key.
type Error struct {
	Op         string        // the method: "create", "status", "download", …
	Status     int           // the HTTP status, 0 when no answer came
	Failures   []Failure     // what the platform reported; empty when the trouble was below it
	RetryAfter time.Duration // what the answer asked for, 0 when nothing
	Raw        []byte        // the answer's body as it came, nil when none did; it may hold the key
	Err        error         // what else went wrong, nil when Failures say it all

	uncertain bool
}

// Error names the method and every failure.
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

// Unwrap returns the cause below the platform's failures.
func (e *Error) Unwrap() error { return e.Err }

// Is answers for the package's Err values.
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

// transient holds when only SERVER:ERROR was reported, or when the trouble lies in or before a front-end: statuses made for
// it, an answer that is a page or damaged instead of JSON, a network that failed.
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
	return networkTrouble(e.Err)
}

// networkTrouble reports whether err is a network's failure that may pass. A certificate, a wrong host name or a full
// disk does not pass.
func networkTrouble(err error) bool {
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

// permanentError is trouble that no repetition mends: a wrong argument, our own disk.
type permanentError struct{ error }

func (e *permanentError) Unwrap() error { return e.error }

func isPermanent(err error) bool {
	var p *permanentError
	return errors.As(err, &p)
}

// local marks err as trouble of our own disk, and says what to do about the one kind that has a remedy.
func local(doing string, err error) error {
	if err == nil {
		return nil
	}
	switch {
	case isPermanent(err):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &permanentError{fmt.Errorf("%s: the disk is full: %w; what is there is kept: make room and start again to continue", doing, err)}
	case errors.Is(err, syscall.EFBIG):
		return &permanentError{fmt.Errorf("%s: a file may not be so large here: %w; "+
			"what is there is kept: raise the limit (ulimit -f) and start again to continue", doing, err)}
	}
	return &permanentError{fmt.Errorf("%s: %w", doing, err)}
}

// Failure is one problem the platform reported.
type Failure struct {
	Reason   string   // such as "TARGET:INVALID"
	Message  string   // for people
	Code     string   // the wrong value, as CONTRACT:NOT_FOUND gives it
	Value    string   // the wrong value, as TARGET:INVALID gives it
	Expected []string // the valid values, nil when none were given

	// Extra holds the further keys, nil when there are none.
	Extra map[string]json.RawMessage
}

// String returns reason, message and the valid values in one line.
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

// decodeFailures reads the list in any shape it could have; an element that is not an object becomes the message of a failure.
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
