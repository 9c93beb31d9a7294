package api

import (
	"cmp"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// Answer is an answer that does not depend on the API. It is an error so that handlers may return it.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

func (a *Answer) Error() string { return strconv.Itoa(a.Status) + " " + http.StatusText(a.Status) }

// scripted is the answer of a scenario: by default of status 200, and HTML if there is a body.
func scripted(h *scenario.HTTP) *Answer {
	header := http.Header{}
	if h.Body != "" {
		header.Set("Content-Type", "text/html")
	}
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		header.Set(name, h.Headers[name])
	}
	if h.ContentType != "" {
		header.Set("Content-Type", h.ContentType)
	}
	return &Answer{Status: cmp.Or(h.Status, http.StatusOK), Header: header, Body: h.Body}
}

// shortAnswer is the size up to which net/http itself writes a Content-Length.
const shortAnswer = 2 << 10

func (a *Answer) write(c *Call) {
	header := c.W.Header()
	for name, values := range a.Header {
		header[name] = values
	}
	if (len(a.Body) > shortAnswer || a.Body != "" && c.fault != nil) && header["Content-Length"] == nil {
		header.Set("Content-Length", strconv.Itoa(len(a.Body)))
	}
	c.W.WriteHeader(a.Status)
	io.WriteString(&c.W, a.Body)
}

// Text is an answer in plain text, as http.Error gives it.
func Text(status int, text string) *Answer {
	return &Answer{Status: status, Body: text + "\n", Header: http.Header{
		"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"},
	}}
}

// NotFound is the plain 404 that explains nothing (row 8.1); the journal gets why.
func (c *Call) NotFound(why string) *Answer {
	c.Event.Why = why
	return Text(http.StatusNotFound, "404 page not found")
}

// Send writes a whole answer, spoiled if the scenario says so.
func (c *Call) Send(status int, contentType string, body []byte) {
	if c.SendsGarbage() {
		body = []byte(garbage)
		c.fired(0)
	}
	c.W.Header().Set("Content-Type", contentType)
	c.W.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.W.WriteHeader(status)
	c.W.Write(body)
}

// SendsGarbage reports whether a fault puts something else in the place of what Send is given.
func (c *Call) SendsGarbage() bool { return c.fault != nil && c.fault.Garbage }

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status   int
	sent     int64    // bytes of the body that went out
	bodiless bool     // it is the answer to a HEAD
	spoiler  *spoiler // what a fault does to the answer; nil: nothing
}

// WriteHeader is http.ResponseWriter's.
func (w *recorder) WriteHeader(status int) {
	if w.spoiler != nil && w.status == 0 {
		w.spoiler.aim(w.Header())
	}
	w.status = cmp.Or(w.status, status)
	w.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (w *recorder) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.spoiler != nil {
		return w.spoiler.write(b)
	}
	return w.send(b)
}

// send is Write without a fault.
func (w *recorder) send(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	if !w.bodiless {
		w.sent += int64(n)
	}
	return n, err
}

// CopyBuffer is the size of the buffer of a transfer between a socket and a file. It is larger than io.Copy's, with
// which an upload takes half as much CPU time again, and a download a fifth; see bench/README.md.
const CopyBuffer = 256 << 10

// ReadFrom is io.ReaderFrom's.
func (w *recorder) ReadFrom(r io.Reader) (int64, error) {
	return io.CopyBuffer(struct{ io.Writer }{w}, r, make([]byte, CopyBuffer))
}

// Unwrap is for http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }
