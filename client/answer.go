package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// answer is the JSON object of an answer without failures.
type answer struct {
	fields map[string]json.RawMessage
	raw    []byte
}

// readAnswer reads an answer. The platform reports failures with HTTP status 200 (row 1.7), front-ends with another
// status; either is an error.
func readAnswer(op string, resp *http.Response, raw []byte, key Key) (*answer, *Error) {
	e := &Error{Op: op, Status: resp.StatusCode, Raw: raw, RetryAfter: retryAfter(resp.Header, time.Now())}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		e.Err = notJSON(resp, raw, key)
		// A page with status 200 comes from a front-end that did not pass the call on.
		page := looksHTML(resp.Header.Get("Content-Type"), raw)
		e.uncertain = resp.StatusCode < 300 && !page || uncertainStatus(resp.StatusCode)
		return nil, e
	}
	e.Failures = decodeFailures(fields["failures"], key)
	switch {
	case len(e.Failures) > 0:
		return nil, e
	case resp.StatusCode >= 300:
		e.Err = fmt.Errorf("HTTP status %s without a failure in the answer", statusText(resp.StatusCode))
		e.uncertain = uncertainStatus(resp.StatusCode)
		return nil, e
	}
	return &answer{fields, raw}, nil
}

// uncertainStatus reports whether the platform may have acted on a call that got this status: it failed on the way,
// or a front-end waited too long for it. 502 and 503 mean that the platform was not reached.
func uncertainStatus(code int) bool { return code == 500 || code == 504 }

// notJSON describes what came instead of JSON, with its first line, which often names a proxy or a login page.
func notJSON(resp *http.Response, raw []byte, key Key) error {
	if loc := resp.Header.Get("Location"); loc != "" && resp.StatusCode/100 == 3 {
		if u, err := url.Parse(loc); err == nil {
			u.RawQuery, u.User = "", nil
			loc = u.String()
		}
		return fmt.Errorf("%w: HTTP status %s sends us on to %s; if that is the platform, use it as the URL",
			ErrNotJSON, statusText(resp.StatusCode), Redact(printable(loc, 200), key))
	}
	kind := "something else"
	switch {
	case len(bytes.TrimSpace(raw)) == 0:
		return fmt.Errorf("%w: HTTP status %s with an empty body", ErrNotJSON, statusText(resp.StatusCode))
	case looksHTML(resp.Header.Get("Content-Type"), raw):
		kind = "an HTML page, perhaps a proxy's or a login page,"
	case bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")):
		kind = "damaged JSON"
	}
	return fmt.Errorf("%w: HTTP status %s with %s that begins with %q",
		ErrNotJSON, statusText(resp.StatusCode), kind, Redact(firstLine(raw), key))
}

func looksHTML(contentType string, raw []byte) bool {
	mt, _, _ := mime.ParseMediaType(contentType)
	head := bytes.ToLower(bytes.TrimSpace(raw[:min(len(raw), 512)]))
	return mt == "text/html" || mt == "application/xhtml+xml" ||
		bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// firstLine returns the first line that is not blank, made printable and cut at 120 characters.
func firstLine(raw []byte) string {
	for line := range bytes.Lines(raw[:min(len(raw), 64<<10)]) {
		if s := strings.TrimSpace(string(line)); s != "" {
			return printable(s, 120)
		}
	}
	return ""
}

// printable returns s without characters that are not printable, cut at limit characters.
func printable(s string, limit int) string {
	out := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && r != ' ' {
			return -1
		}
		return r
	}, s))
	if len(out) > limit {
		out = append(out[:limit], '…')
	}
	return string(out)
}

func statusText(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// retryAfter returns the duration of a Retry-After header in either form (RFC 9110, section 10.2.3); zero if there is
// none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.Atoi(v); err == nil && n >= 0 {
		return time.Duration(min(n, 1<<30)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}

// The functions below read a value from any JSON type that could mean it. They return the zero value for null and for
// what cannot be read.

// text reads a string. Any other value is returned as its JSON.
func text(v json.RawMessage) string {
	v = bytes.TrimSpace(v)
	if len(v) == 0 || string(v) == "null" {
		return ""
	}
	var s string
	if v[0] == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// integer reads a number, or a string that holds one.
func integer(v json.RawMessage) (int64, bool) {
	s := strings.TrimSpace(text(v))
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	// Some encoders write 10534 as 10534.0 or 1.0534e4.
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == float64(int64(f)) && f > -1<<53 && f < 1<<53 {
		return int64(f), true
	}
	return 0, false
}

// boolean reads true, "true", 1 and the like.
func boolean(v json.RawMessage) bool {
	b, _ := strconv.ParseBool(text(v))
	return b
}

// list reads an array, or a single value as an array of one.
func list(v json.RawMessage) []string {
	var items []json.RawMessage
	if json.Unmarshal(v, &items) != nil {
		if s := text(v); s != "" {
			return []string{s}
		}
		return nil
	}
	if items == nil {
		return nil
	}
	out := make([]string, 0, len(items))
	for _, it := range items {
		out = append(out, text(it))
	}
	return out
}

// moment reads a time as the platform writes it, in UTC without a zone.
func moment(v json.RawMessage) time.Time {
	s := text(v)
	for _, layout := range []string{time.DateTime, time.RFC3339Nano, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// without returns the fields that are not in known; nil if there are none.
func without(fields map[string]json.RawMessage, known ...string) map[string]json.RawMessage {
	var extra map[string]json.RawMessage
next:
	for k, v := range fields {
		for _, name := range known {
			if k == name {
				continue next
			}
		}
		if extra == nil {
			extra = map[string]json.RawMessage{}
		}
		extra[k] = v
	}
	return extra
}
