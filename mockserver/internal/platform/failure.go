package platform

import (
	"fmt"
	"strings"
)

// The reasons of docs/fidelity.md, section 2.
const (
	ReasonTargetInvalid    = "TARGET:INVALID"
	ReasonContractNotFound = "CONTRACT:NOT_FOUND"
	ReasonServerError      = "SERVER:ERROR"
	ReasonAimInvalid       = "AIM:INVALID"
	ReasonEmailInvalid     = "EMAIL:INVALID"
	ReasonFilenameInvalid  = "FILENAME:INVALID"
	ReasonTimezoneInvalid  = "TIMEZONE:INVALID"
	ReasonRequestNotFound  = "REQUEST:NOT_FOUND"
	ReasonStateInvalid     = "STATE:INVALID"
	ReasonSSHKeysInvalid   = "SSH_KEYS:INVALID"
	ReasonDumpMissing      = "DUMP:MISSING"
	ReasonDumpIncomplete   = "DUMP:INCOMPLETE"
	ReasonDumpTooLarge     = "DUMP:TOO_LARGE" // ours alone
)

// Failure is one problem of a call: its reason for programs, its message for people, and what Fields has beside them
// (row 1.9).
type Failure struct {
	Reason  string
	Message string
	Fields  map[string]any

	// Why explains the refusal to who tests a client. It goes to the journal, never onto the wire.
	Why string

	// Form is how the script API puts it, as a scenario's Failure has it; "" lets the API choose.
	Form string
}

// Failures are all problems of one call (row 1.8); never an empty list where it is an error.
type Failures []Failure

func (fs Failures) Error() string {
	texts := make([]string, len(fs))
	for i, f := range fs {
		texts[i] = f.Reason + " " + f.Message
	}
	return "platform: " + strings.Join(texts, "; ")
}

// Why joins the explanations.
func (fs Failures) Why() string {
	var texts []string
	for _, f := range fs {
		if f.Why != "" {
			texts = append(texts, f.Why)
		}
	}
	return strings.Join(texts, "; ")
}

// Missing is the failure for a required parameter that is absent or empty.
func Missing(parameter string) Failure {
	return Failure{
		Reason:  strings.ToUpper(parameter) + ":MISSING",
		Message: fmt.Sprintf("Missing parameter %q", parameter),
		Why:     fmt.Sprintf("the call carries no %s, neither in the query string nor in a form body", parameter),
	}
}

func invalid(reason, value string, fields map[string]any, why string) Failure {
	if fields == nil {
		fields = make(map[string]any, 1)
	}
	fields["value"] = value
	return Failure{Reason: reason, Message: `Invalid value "` + value + `"`, Fields: fields, Why: why}
}

func notFound(id string, why string) Failure {
	return Failure{
		Reason:  ReasonRequestNotFound,
		Message: "Can not find request " + id,
		Fields:  map[string]any{"code": id},
		Why:     why,
	}
}

func wrongState(method string, id int64, state string, allowed ...string) Failure {
	return Failure{
		Reason: ReasonStateInvalid,
		Message: fmt.Sprintf("Request %d is in state %s; %s is possible in %s only",
			id, state, method, strings.Join(allowed, ", ")),
		Fields: map[string]any{"value": state, "expected": allowed},
		Why:    fmt.Sprintf("%s came while request %d was in state %s", method, id, state),
	}
}

// TooLarge is the failure for a dump beyond the limit (assumed). The expected size is -1 where the client
// announced none.
func (p *Platform) TooLarge(expected int64) Failure {
	limit := p.opts.MaxDump
	fields := map[string]any{"limit": limit, "expected_size": nil}
	if expected >= 0 {
		fields["expected_size"] = expected
	}
	return Failure{
		Reason:  ReasonDumpTooLarge,
		Message: fmt.Sprintf("The dump is larger than %d bytes", limit),
		Fields:  fields,
		Why:     fmt.Sprintf("the emulator takes dumps of up to %d bytes (%s)", limit, p.opts.OptionName("MaxDump")),
	}
}

// ServerError is the failure for a problem of the platform's own, after which clients are expected to try again.
func ServerError(message string, cause error) Failure {
	return Failure{Reason: ReasonServerError, Message: message, Why: fmt.Sprint(cause)}
}
