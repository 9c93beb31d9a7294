package recording

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/upgrademock/upgrademock/internal/retrace"
)

// headingKey is the first key of a recording of ours.
const headingKey = "upgrademock_exchanges"

// version changes when recordings can't be read any more as they were before.
const version = 1

// A Heading is the first line of a recording.
type Heading struct {
	Version  int       `json:"upgrademock_exchanges"`
	Began    time.Time `json:"began"`
	Upstream string    `json:"upstream"`          // where the calls were passed on to
	Command  []string  `json:"command,omitempty"` // the program that made them
	Note     string    `json:"note,omitempty"`    // what is not in it
}

// line is an exchange as it is written. Keys and tokens are disguised, and dumps are sizes and checksums.
type line struct {
	At     time.Time         `json:"at"`
	Took   int64             `json:"took_ns"`
	Method string            `json:"method"`
	URL    string            `json:"url"`
	Type   string            `json:"content_type,omitempty"`
	Range  string            `json:"range,omitempty"`
	Params map[string]string `json:"params,omitempty"`
	Sent   int64             `json:"sent"`
	Short  bool              `json:"sent_partial,omitempty"`
	Sum    string            `json:"sent_sha256,omitempty"`
	Status int               `json:"status"`
	Header http.Header       `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	Base64 bool              `json:"base64,omitempty"` // Body is
	Size   int64             `json:"size"`
	Hash   string            `json:"size_sha256,omitempty"`
	Part   bool              `json:"partial,omitempty"`
	Miss   bool              `json:"missing,omitempty"`
	Broken string            `json:"broken,omitempty"`
}

// own reads a recording of ours.
func (r *reader) own() error {
	var h Heading
	if err := r.dec.Decode(&h); err != nil {
		return err
	}
	if h.Version != version {
		return fmt.Errorf("it has version %d, and version %d is read", h.Version, version)
	}
	for {
		var l line
		err := r.next(&l)
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case l.Method == "":
			r.Entries--
			return fmt.Errorf("it is no exchange: it has no %q", "method")
		}
		e := &retrace.Exchange{At: l.At, Took: time.Duration(max(l.Took, 0)), Method: l.Method, URL: l.URL, Type: l.Type,
			Range: l.Range, Extra: l.Params, Sent: l.Sent, Short: l.Short, Status: max(l.Status, 0), Header: l.Header,
			Body: []byte(l.Body), Size: l.Size, Partial: l.Part, Missing: l.Miss, Broken: l.Broken}
		if l.Base64 {
			if e.Body, err = base64.StdEncoding.DecodeString(l.Body); err != nil {
				r.Entries--
				return err
			}
		}
		r.exchange(e)
	}
}

// encode makes a line of an exchange. sent and came are the checksums of the bodies; "" for none.
func encode(e *retrace.Exchange, sent, came string) ([]byte, error) {
	l := line{At: e.At, Took: int64(e.Took), Method: e.Method, URL: e.URL, Type: e.Type, Range: e.Range,
		Params: e.Extra, Sent: e.Sent, Short: e.Short, Sum: sent, Status: e.Status, Header: e.Header,
		Body: string(e.Body), Size: e.Size, Hash: came, Part: e.Partial, Miss: e.Missing, Broken: e.Broken}
	if !utf8.Valid(e.Body) {
		l.Body, l.Base64 = base64.StdEncoding.EncodeToString(e.Body), true
	}
	return json.Marshal(l)
}
