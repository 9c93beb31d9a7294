package control

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// Call is a call that changes something, or was to.
type Call struct {
	After  uint64 // the number of the journal's latest event before it
	Method string
	Path   string // below Base, with the query, such as "clock/advance"
	Body   string // if it is one line of JSON, and not a long one
	Err    error  // why it changed nothing; nil: it did
}

// maxTold is how many bytes of a body a Call has at most.
const maxTold = 200

// tell returns what passes a call on to Config.Called when it has been handled.
func (a api) tell(route route, r *http.Request) func(error) {
	if a.Called == nil || route.method == http.MethodGet || route.path == "/scenarios/check" {
		return func(error) {}
	}
	c := Call{After: a.Journal.Last(), Method: route.method,
		Path: strings.TrimPrefix(strings.TrimPrefix(r.URL.RequestURI(), Base), "/")}
	var read start
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r.Body, &read), r.Body}
	return func(err error) {
		if body := bytes.TrimSpace(read); len(read) <= maxTold && bytes.HasPrefix(body, []byte("{")) &&
			!bytes.ContainsAny(body, "\r\n") {
			c.Body = string(body)
		}
		c.Err = err
		a.Called(c)
	}
}

// start keeps the beginning of what is written to it.
type start []byte

func (s *start) Write(p []byte) (int, error) {
	*s = append(*s, p[:min(len(p), max(0, maxTold+1-len(*s)))]...)
	return len(p), nil
}
