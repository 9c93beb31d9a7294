package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"
)

// patientBody gives up on a body that does not progress, however long the whole may take.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	read    int64 // bytes
	ended   bool  // it was read to its end, or cannot be read any further
}

// patient returns r with such a body. It is a copy: net/http looks at its own body to see whether a client waits for
// "100 Continue".
func (a *API) patient(w http.ResponseWriter, r *http.Request) *http.Request {
	if r.Body == nil || r.Body == http.NoBody {
		return r
	}
	r = r.WithContext(r.Context())
	r.Body = &patientBody{ReadCloser: r.Body, control: http.NewResponseController(w), stall: a.Stall}
	return r
}

func (b *patientBody) Read(p []byte) (int, error) {
	b.control.SetReadDeadline(time.Now().Add(b.stall))
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	b.ended = b.ended || err != nil
	return n, err
}

// BodyRead is how many bytes of the call's body came in.
func (c *Call) BodyRead() int64 {
	if body, ok := c.R.Body.(*patientBody); ok {
		return body.read
	}
	return 0
}

// lingerTimeout is how long the rest of a refused body is read for, so that the client gets to read the answer:
// many look at it only when they have sent everything, and closing before would reset the connection under
// them.
const lingerTimeout = 30 * time.Second

// Discard reads what is left of the body. Serve does it before it answers. A client that still waits
// for "100 Continue" sends none.
func (c *Call) Discard() {
	body, ok := c.R.Body.(*patientBody)
	waits := ok && body.read == 0 && strings.EqualFold(c.R.Header.Get("Expect"), "100-continue")
	if !ok || body.ended || waits {
		return
	}
	http.NewResponseController(&c.W).SetReadDeadline(time.Now().Add(lingerTimeout))
	n, _ := io.Copy(io.Discard, body.ReadCloser)
	body.read += n
}

// pause waits, and reports whether it came to the end: neither did the client go nor does the server close.
func (a *API) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-a.Closing.Done():
	}
	return false
}
