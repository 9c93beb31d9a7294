package recording

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/retrace"
)

// conformanceVersion is the version of the suite's recordings that is read here.
const conformanceVersion = 1

// suiteStep is an exchange in a recording of the conformance suite.
type suiteStep struct {
	Lane string
	Kind string
	What string
	Err  string
	Out  json.RawMessage
}

// suiteAnswer is the answer in one.
type suiteAnswer struct {
	At     time.Time
	Status int
	Header http.Header
	Body   string // "t:" and text, or "b:" and base64
	Size   int64
	Cut    bool
	Broken string
}

// conformance reads a recording of the conformance suite. What it has of SFTP and rsync is left out: most of it is
// done on purpose.
func (r *reader) conformance() error {
	var heading struct {
		Version int `json:"upgrademock_recording"`
	}
	if err := r.dec.Decode(&heading); err != nil {
		return err
	}
	if heading.Version != conformanceVersion {
		return fmt.Errorf("it has version %d, and version %d is read", heading.Version, conformanceVersion)
	}
	for {
		var st suiteStep
		if err := r.next(&st); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if st.Kind != "http" && st.Kind != "raw" {
			continue
		}
		e, err := st.exchange()
		if err != nil {
			r.Entries--
			return err
		}
		r.exchange(e)
	}
}

// suiteCall is how the suite describes a call: GET status {request=7, key=…} in words.
var suiteCall = regexp.MustCompile(`^([A-Z]+) (\S+)(?: \{(.*?)\})?(?: |$)`)

// exchange makes an exchange of a step.
func (st *suiteStep) exchange() (*retrace.Exchange, error) {
	var a suiteAnswer
	if len(st.Out) > 0 {
		if err := json.Unmarshal(st.Out, &a); err != nil {
			return nil, err
		}
	}
	e := &retrace.Exchange{At: a.At, Status: a.Status, Header: a.Header, Size: a.Size, Partial: a.Cut, Sent: -1,
		Broken: broken(a.Broken)}
	if st.Err != "" {
		e.Broken = broken(st.Err)
	}
	body, ok := strings.CutPrefix(a.Body, "t:")
	if !ok {
		decoded, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a.Body, "b:"))
		if err != nil {
			return nil, err
		}
		body = string(decoded)
	}
	e.Body, e.Partial = []byte(body[:min(len(body), retrace.MaxBody)]), e.Partial || len(body) > retrace.MaxBody
	m := suiteCall.FindStringSubmatch(st.What)
	if m == nil {
		return e, nil // it is no call that could be told apart
	}
	e.Method, e.URL, e.Extra = m[1], m[2], map[string]string{}
	name := ""
	for part := range strings.SplitSeq(m[3], ", ") {
		if key, value, ok := strings.Cut(part, "="); ok {
			name = key
			e.Extra[name] = value
		} else if name != "" {
			e.Extra[name] += ", " + part
		}
	}
	if !strings.HasPrefix(e.URL, "/") {
		_, token := e.Extra["token"]
		_, actuator := e.Extra["actuator"]
		if token || actuator || strings.HasPrefix(st.Lane, "script/") || strings.HasSuffix(st.Lane, "-script") {
			e.URL = "/upgrade/request/" + e.URL
		} else {
			e.URL = "/database/v1/" + e.URL
		}
	}
	return e, nil
}
