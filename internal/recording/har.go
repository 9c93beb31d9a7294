package recording

import (
	"cmp"

	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/retrace"
)

// harEntry is an entry of a HAR file, as far as it is of use. What is not there is nil or zero.
type harEntry struct {
	StartedDateTime loose
	Time            *amount // milliseconds
	FromCache       loose   `json:"_fromCache"` // of Chromium: no call was made
	Request         struct {
		Method, URL loose
		Headers     pairs
		BodySize    *amount
		PostData    *struct {
			MimeType, Text, Encoding loose
			Params                   pairs
		}
	}
	Response struct {
		Status   *amount
		Headers  pairs
		BodySize *amount
		Content  *struct {
			Size     *amount
			Text     *loose
			Encoding loose
		}
		Error   loose `json:"_error"`       // of Chromium, mitmproxy, BrowserMob
		Failure loose `json:"_failureText"` // of Playwright
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
		if e.made() {
			r.exchange(e.exchange())
		}
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

// made reports whether the call was made: a browser notes calls, too, that it answers itself, or does not let through.
func (h *harEntry) made() bool {
	return h.FromCache == "" && !strings.Contains(strings.ToLower(string(h.Response.Error+h.Response.Failure)), "blocked")
}

// exchange makes an exchange of an entry.
func (h *harEntry) exchange() *retrace.Exchange {
	why := string(cmp.Or(h.Response.Error, h.Response.Failure))
	e := &retrace.Exchange{
		At: moment(string(h.StartedDateTime)), Took: time.Duration(max(0, h.Time.or(0)) * float64(time.Millisecond)),
		Method: string(h.Request.Method), URL: string(h.Request.URL), Sent: -1, Size: -1,
		Status: max(0, int(h.Response.Status.or(0))), Header: h.Response.Headers.header(), Broken: broken(why), Why: why,
	}
	asked := h.Request.Headers.header()
	e.Range, e.Type = asked.Get("Range"), asked.Get("Content-Type")
	if post := h.Request.PostData; post != nil {
		e.Type = cmp.Or(e.Type, string(post.MimeType))
		e.Form, _ = decode(string(post.Text), string(post.Encoding), retrace.MaxBody)
		for _, p := range post.Params {
			if e.Extra == nil {
				e.Extra = map[string]string{}
			}
			e.Extra[p.name] = p.value
		}
	}
	if n := h.Request.BodySize.or(0); n > 0 {
		e.Sent = int64(n)
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
	if n := h.Response.BodySize.or(0); n > 0 {
		e.Size = int64(n)
	}
	content := h.Response.Content
	if content == nil {
		e.Missing = true
		return
	}
	size := int64(content.Size.or(-1))
	if content.Text == nil || *content.Text == "" {
		// BrowserMob without captured bodies says that there was none.
		e.Missing = size != 0 || e.Size > 0 || !slices.Contains([]string{"", "0"}, e.Header.Get("Content-Length"))
		if e.Size < 0 && packed == "" {
			e.Size = max(size, -1)
		}
		return
	}
	body, whole := decode(string(*content.Text), string(content.Encoding), retrace.MaxBody)
	e.Partial = !whole
	var known bool
	switch body, known = unpacked(body, packed, &e.Partial); {
	case !known:
		e.Missing = true
	case packed == "" && whole:
		e.Size = int64(len(body))
	}
	if packed == "" && size > int64(len(body)) && whole {
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

// moment reads an instant as programs write it, without a zone as UTC; the zero time if it is none.
func moment(text string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700",
		"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	if n, err := strconv.ParseFloat(text, 64); err == nil && n > 1e8 && n < 1e13 { // seconds, or milliseconds
		if n < 1e11 {
			n *= 1000
		}
		return time.UnixMicro(int64(n * 1000))
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
