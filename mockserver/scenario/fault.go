package scenario

import (
	"encoding/json"
	"maps"
	"time"

	"github.com/upgrademock/upgrademock/internal/bytesize"
)

// Fault is one thing that goes wrong: where, when, and how. It has one action, or a delay, a rate, or both; delay and
// rate also go with an action.
type Fault struct {
	// On is the place, one of the On constants.
	On string `json:"on"`
	// Skip lets the first so many calls pass.
	Skip int `json:"skip,omitempty"`
	// Times is how often the fault triggers at most; zero: without end.
	Times int `json:"times,omitempty"`
	// Every lets it trigger only at every Nth of the calls not skipped, the Nth first; zero: at each.
	Every int `json:"every,omitempty"`
	// After is the byte before which the action triggers: of the body on upload and upgrade, of what is handed out on
	// download, of the file (its offset, whatever the packets) on sftp.read and sftp.write. Zero: at once.
	After int64 `json:"-"`
	// Delay is waited before anything else happens.
	Delay time.Duration `json:"-"`
	// Rate is the most bytes per second; zero: no limit.
	Rate int64 `json:"-"`

	// Failure answers with the usual envelope and this one failure.
	Failure *Failure `json:"failure,omitempty"`
	// HTTP answers with exactly this.
	HTTP *HTTP `json:"http,omitempty"`
	// Reset drops the connection with a TCP RST.
	Reset bool `json:"reset,omitempty"`
	// Cut closes the connection in the middle of the answer, or at After.
	Cut bool `json:"cut,omitempty"`
	// Truncate sends an answer that ends too early, but in order.
	Truncate bool `json:"truncate,omitempty"`
	// Garbage sends something that is not JSON in place of the answer.
	Garbage bool `json:"garbage,omitempty"`
	// Refuse refuses the SFTP login.
	Refuse bool `json:"refuse,omitempty"`
	// Disconnect drops the SSH connection without a goodbye.
	Disconnect bool `json:"disconnect,omitempty"`
	// Error answers the SFTP operation with this text.
	Error string `json:"error,omitempty"`
	// Revoke ends the SFTP access: open sessions are closed and no login works until access is requested again.
	Revoke bool `json:"revoke,omitempty"`
	// HostKey is "changed" for a server that shows another host key than before.
	HostKey string `json:"hostkey,omitempty"`
}

// Failure is one object of an answer's `failures`.
type Failure struct {
	// Reason is what programs look at, such as "SERVER:ERROR". Any can be scripted.
	Reason string
	// Message is for people.
	Message string
	// More holds the further keys, such as code, value, expected: any JSON value.
	More map[string]any
}

// HTTP is an answer that did not come from the platform's program.
type HTTP struct {
	// Status is the status code; zero: 200.
	Status int `json:"status,omitempty"`
	// Headers are set as they are.
	Headers map[string]string `json:"headers,omitempty"`
	// ContentType is short for that header; empty: text/html when there is a body.
	ContentType string `json:"content_type,omitempty"`
	// Body is sent as it is.
	Body string `json:"body,omitempty"`
}

// Action returns the key of the fault's action, such as "reset"; empty: it only delays or slows down.
func (f *Fault) Action() string {
	actions := f.actions()
	if len(actions) == 0 {
		return ""
	}
	return actions[0]
}

// actions returns the keys of all actions that are set; a valid fault has at most one.
func (f *Fault) actions() []string {
	var set []string
	for _, action := range []struct {
		name string
		set  bool
	}{
		{actFailure, f.Failure != nil},
		{actHTTP, f.HTTP != nil},
		{actReset, f.Reset},
		{actCut, f.Cut},
		{actTruncate, f.Truncate},
		{actGarbage, f.Garbage},
		{actRefuse, f.Refuse},
		{actDisconnect, f.Disconnect},
		{actError, f.Error != ""},
		{actRevoke, f.Revoke},
		{actHostKey, f.HostKey != ""},
	} {
		if action.set {
			set = append(set, action.name)
		}
	}
	return set
}

// MarshalJSON returns the object as it stands in an answer: reason, message, and the further keys.
func (f Failure) MarshalJSON() ([]byte, error) {
	object := maps.Clone(f.More)
	if object == nil {
		object = map[string]any{}
	}
	object["reason"], object["message"] = f.Reason, f.Message
	return json.Marshal(object)
}

// MarshalJSON writes the language's form.
func (f Fault) MarshalJSON() ([]byte, error) {
	type plain Fault
	written := struct {
		plain
		After string `json:"after,omitempty"`
		Delay string `json:"delay,omitempty"`
		Rate  string `json:"rate,omitempty"`
	}{plain: plain(f), Delay: formatDuration(f.Delay)}
	if f.After != 0 {
		written.After = bytesize.Format(f.After)
	}
	if f.Rate != 0 {
		written.Rate = formatRate(f.Rate)
	}
	return json.Marshal(written)
}
