package scenario

import (
	"encoding/json"
	"maps"
	"path"
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
	// download, of the file (its offset, whatever the packets) on sftp.read and sftp.write, of the data of all files
	// of one rsync on rsync.upload and rsync.download. Zero: at once.
	After int64 `json:"-"`
	// File is a glob: the action triggers before the first byte of data of the first file that matches, on
	// rsync.upload and rsync.download. Empty: After says when. See [Fault.MatchesFile].
	File string `json:"file,omitempty"`
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
	// Refuse refuses the login, over SFTP or of rsync, or on rsync.upload and rsync.download the run of rsync.
	Refuse bool `json:"refuse,omitempty"`
	// Disconnect drops the SSH connection without a goodbye.
	Disconnect bool `json:"disconnect,omitempty"`
	// Error answers the SFTP operation with this text.
	Error string `json:"error,omitempty"`
	// Revoke ends the SFTP access: open sessions are closed and no login works until access is requested again.
	Revoke bool `json:"revoke,omitempty"`
	// HostKey is "changed" for a server that shows another host key than before.
	HostKey string `json:"hostkey,omitempty"`
	// KnownHosts is what transfer/start answers as known_hosts in place of the truth, and a pointer to "" answers
	// null. Nil: the truth.
	KnownHosts *string `json:"-"`
	// Unreachable says that nothing listens on the port that transfer/start answers.
	Unreachable bool `json:"unreachable,omitempty"`
}

// Failure is one object of an answer's `failures`, or what the script API says in place of a result.
type Failure struct {
	// Reason is what programs look at, such as "SERVER:ERROR". Any can be scripted. The script API has none.
	Reason string
	// Message is for people, and all that the script API tells.
	Message string
	// Form is how the script API puts it: FormResult, FormError, or "" for what the API itself would do.
	Form string
	// More holds the further keys, such as code, value, expected: any JSON value. The script API has none.
	More map[string]any
}

// The forms of a failure of the script API (rows S1.10, S1.11).
const (
	FormResult = "result" // a result with the key error
	FormError  = "error"  // no result, and an error with data.message
)

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
		{actKnownHosts, f.KnownHosts != nil},
		{actUnreachable, f.Unreachable},
	} {
		if action.set {
			set = append(set, action.name)
		}
	}
	return set
}

// MatchesFile reports whether File is a glob for the file of that name, such as "toc.dat" or "filestore/0a/0a1b": for
// the whole name or for the part behind the last slash.
func (f *Fault) MatchesFile(name string) bool {
	for _, name := range []string{name, path.Base(name)} {
		if ok, err := match(f.File, name); ok && err == nil {
			return true
		}
	}
	return false
}

// MarshalJSON returns the language's form, which without Form is the object as it stands in an answer of the database
// API: reason, message, and the further keys.
func (f Failure) MarshalJSON() ([]byte, error) {
	object := maps.Clone(f.More)
	if object == nil {
		object = map[string]any{}
	}
	delete(object, "reason")
	object["message"] = f.Message
	if f.Reason != "" {
		object["reason"] = f.Reason
	}
	if f.Form != "" {
		object["form"] = f.Form
	}
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

		KnownHosts json.RawMessage `json:"known_hosts,omitempty"`
	}{plain: plain(f), Delay: formatDuration(f.Delay)}
	if f.After != 0 {
		written.After = bytesize.Format(f.After)
	}
	if f.Rate != 0 {
		written.Rate = formatRate(f.Rate)
	}
	if f.KnownHosts != nil {
		var err error
		if written.KnownHosts, err = textOrNull(*f.KnownHosts); err != nil {
			return nil, err
		}
	}
	return json.Marshal(written)
}

// textOrNull writes a text for which the empty one stands for null.
func textOrNull(text string) ([]byte, error) {
	if text == "" {
		return []byte("null"), nil
	}
	return json.Marshal(text)
}
