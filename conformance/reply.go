package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// A reply is the answer of one API method, read as tolerantly as a check needs that judges something else.
type reply struct {
	raw.Answer
	object map[string]any // nil when the body is no JSON object
	broken string         // why it is none
}

func readReply(a raw.Answer) reply {
	r := reply{Answer: a}
	switch {
	case a.Cut:
		r.broken = fmt.Sprintf("the answer is larger than %d bytes", raw.AnswerLimit)
		return r
	case a.Broken != "":
		r.broken = "the answer was broken off: " + a.Broken
		return r
	case !utf8.Valid(a.Body):
		r.broken = "the answer is not valid UTF-8"
		return r
	}
	dec := json.NewDecoder(bytes.NewReader(a.Body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		r.broken = "the answer is not JSON: " + err.Error()
		return r
	}
	if _, err := dec.Token(); err != io.EOF {
		r.broken = "the answer has something after the JSON"
		return r
	}
	object, ok := v.(map[string]any)
	if !ok {
		r.broken = "the answer is JSON, but " + kind(v) + " and not an object"
		return r
	}
	r.object = object
	return r
}

// A failure is one object of the list `failures`.
type failure map[string]any

func (f failure) reason() string { return text(f["reason"]) }

// failures lists the objects of `failures`, leaving out what is none.
func (r reply) failures() []failure {
	list, _ := r.object["failures"].([]any)
	var fs []failure
	for _, v := range list {
		if f, ok := v.(map[string]any); ok {
			fs = append(fs, f)
		}
	}
	return fs
}

// failure returns the first failure with the reason.
func (r reply) failure(reason string) (failure, bool) {
	for _, f := range r.failures() {
		if f.reason() == reason {
			return f, true
		}
	}
	return nil, false
}

// request is the object `request`, nil without one.
func (r reply) request() map[string]any {
	m, _ := r.object["request"].(map[string]any)
	return m
}

// fine reports whether a tolerant client takes the call for a success.
func (r reply) fine() bool {
	list, isList := r.object["failures"].([]any)
	return r.object != nil && (len(list) == 0 && (isList || r.object["failures"] == nil)) && r.Status < 400
}

// refused reports whether the server said no in a way that a client can notice.
func (r reply) refused() bool {
	list, _ := r.object["failures"].([]any)
	return len(list) > 0 || r.Status >= 400
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// number is a JSON number or numeric string as its digits, as a tolerant client reads an id or a port.
func number(v any) string {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case string:
		if v != "" && strings.Trim(v, "0123456789") == "" {
			return v
		}
	}
	return ""
}

// kind names a JSON value's type in words.
func kind(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		if isInteger(v) {
			return "an integer"
		}
		return "a number with a fraction"
	case string:
		return "a string"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("%T", v)
}

// isInteger reports whether v is written as an integer; 7.0 and 7e1 are not.
func isInteger(v any) bool {
	n, ok := v.(json.Number)
	return ok && !strings.ContainsAny(n.String(), ".eE")
}

// show writes a JSON value on one line, shortened.
func show(v any) string {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Sprint(v)
	}
	s := strings.TrimSpace(buf.String())
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
