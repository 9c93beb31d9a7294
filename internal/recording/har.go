package recording

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/retrace"
)

// pair is a header, or a parameter.
type pair struct{ Name, Value string }

// harEntry is an entry of a HAR file, as far as it is of use. What is not there is nil or zero.
type harEntry struct {
	StartedDateTime string
	Time            float64 // milliseconds
	Request         struct {
		Method, URL string
		Headers     []pair
		BodySize    *int64
		PostData    *struct {
			MimeType, Text, Encoding string
			Params                   []pair
		}
	}
	Response struct {
		Status   int
		Headers  []pair
		BodySize *int64
		Content  *struct {
			Size     *int64
			Text     *string
			Encoding string
		}
		Error string `json:"_error"` // of Chromium, mitmproxy
	}
}

// har reads the entries of a HAR file, which stand somewhere in its object log.
func (r *reader) har() error {
	if err := r.enter("log"); err != nil {
		return err
	}
	if err := r.enter("entries"); err != nil {
		return err
	}
	for r.dec.More() {
		var e harEntry
		if err := r.next(&e); err != nil {
			return err
		}
		r.exchange(e.exchange())
	}
	_, err := r.dec.Token()
	return err
}

// enter goes into the object or list of that name, passing over all before it.
func (r *reader) enter(name string) error {
	if r.dec.InputOffset() == 0 {
		if _, err := r.dec.Token(); err != nil {
			return err
		}
	}
	for r.dec.More() {
		key, err := r.dec.Token()
		if err != nil {
			return err
		}
		if key == name {
			open, err := r.dec.Token()
			if _, ok := open.(json.Delim); err == nil && !ok {
				err = fmt.Errorf("%q is no object or list", name)
			}
			return err
		}
		r.limit.left = maxEntry
		var passed json.RawMessage
		if err := r.dec.Decode(&passed); err != nil {
			return err
		}
	}
	if _, err := r.dec.Token(); err != nil {
		return err
	}
	return fmt.Errorf("it has no %q", name)
}

// exchange makes an exchange of an entry.
func (h *harEntry) exchange() *retrace.Exchange {
	e := &retrace.Exchange{
		At: moment(h.StartedDateTime), Took: time.Duration(max(0, h.Time) * float64(time.Millisecond)),
		Method: h.Request.Method, URL: h.Request.URL, Sent: -1, Size: -1,
		Status: max(0, h.Response.Status), Header: header(h.Response.Headers), Broken: broken(h.Response.Error),
	}
	asked := header(h.Request.Headers)
	e.Range, e.Type = asked.Get("Range"), asked.Get("Content-Type")
	if post := h.Request.PostData; post != nil {
		e.Type = cmp.Or(e.Type, post.MimeType)
		body, _ := decode(post.Text, post.Encoding, retrace.MaxBody)
		e.Form = body
		for _, p := range post.Params {
			if e.Extra == nil {
				e.Extra = map[string]string{}
			}
			e.Extra[p.Name] = p.Value
		}
	}
	if n := h.Request.BodySize; n != nil && *n > 0 {
		e.Sent = *n
	}
	h.body(e)
	if e.Status == 0 && e.Broken == "" {
		e.Broken = retrace.BrokenUnknown
	}
	return e
}

// body takes the answer's body, in whichever of its forms it is there.
func (h *harEntry) body(e *retrace.Exchange) {
	packed := e.Header.Get("Content-Encoding")
	if n := h.Response.BodySize; n != nil && *n > 0 {
		e.Size = *n
	}
	content := h.Response.Content
	if content == nil {
		e.Missing = true
		return
	}
	if content.Text == nil || *content.Text == "" {
		e.Missing = content.Size == nil || *content.Size != 0
		if content.Size != nil && e.Size < 0 && packed == "" {
			e.Size = *content.Size
		}
		return
	}
	body, whole := decode(*content.Text, content.Encoding, retrace.MaxBody)
	e.Partial = !whole
	switch {
	case bytes.HasPrefix(body, []byte("\x1f\x8b")): // as it came: some proxies do not unpack it
		body, e.Partial = unpack(body, e.Partial)
		e.Size = -1
	case packed != "" && body != nil && body[0] >= 0x80 && !e.Partial:
		e.Missing = true // packed in a way that is not known here
	case packed == "" && whole:
		e.Size = int64(len(body))
	}
	if n := content.Size; n != nil && packed == "" && *n > int64(len(body)) && whole {
		e.Partial = true // the browser has kept a part of it
	}
	e.Body = body
}

// decode returns the beginning of a text of a HAR file, and whether that is all of it.
func decode(text, encoding string, limit int) (body []byte, whole bool) {
	if !strings.EqualFold(encoding, "base64") {
		return []byte(text[:min(len(text), limit)]), len(text) <= limit
	}
	in := base64.NewDecoder(base64.StdEncoding, strings.NewReader(text))
	body, err := io.ReadAll(io.LimitReader(in, int64(limit)+1))
	return body[:min(len(body), limit)], err == nil && len(body) <= limit
}

// unpack returns the beginning of what gzip has packed.
func unpack(packed []byte, cut bool) (body []byte, partial bool) {
	in, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, true
	}
	body, err = io.ReadAll(io.LimitReader(in, retrace.MaxBody+1))
	return body[:min(len(body), retrace.MaxBody)], cut || err != nil || len(body) > retrace.MaxBody
}

// header makes a header of a list, in which HTTP/2 has names of its own.
func header(list []pair) http.Header {
	h := http.Header{}
	for _, p := range list {
		if p.Name != "" && p.Name[0] != ':' {
			h.Add(p.Name, p.Value)
		}
	}
	return h
}

// moment reads an instant as programs write it; the zero time if it is none.
func moment(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700",
		"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// broken finds out how a call broke off by the words that browsers and proxies have for it; "" for no word.
func broken(text string) string {
	text = strings.ToLower(text)
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
	}
	switch {
	case text == "":
		return ""
	case has("timed_out", "timed out", "timeout", "aborted", "client disconnect", "cancel"):
		return retrace.BrokenTimeout
	case has("reset"):
		return retrace.BrokenReset
	case has("closed", "disconnect", "empty_response", "empty response", "incomplete", "mismatch", "eof", "broken pipe"):
		return retrace.BrokenClosed
	}
	return retrace.BrokenUnknown
}

// other notes the host of a call that is none of the platform's.
func (r *reader) other(rawURL string) {
	const most = 5
	u, err := url.Parse(rawURL)
	if err == nil && u.Host != "" && len(r.Hosts) < most && !slices.Contains(r.Hosts, u.Hostname()) {
		r.Hosts = append(r.Hosts, u.Hostname())
	}
}
