package retrace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// outcome finds out what went wrong in an exchange. If nothing did, it returns the object that the answer is, of the
// script API its result; nil if there is none.
func (s *seen) outcome(e *Exchange) map[string]any {
	length, err := strconv.ParseInt(e.Header.Get("Content-Length"), 10, 64)
	short := err == nil && e.Size >= 0 && e.Size < length && e.Method != http.MethodHead && !e.Missing
	files := s.on == scenario.OnDownload || s.on == scenario.OnScriptLogs
	switch {
	case e.Status == 0 || e.Broken == BrokenTimeout:
		s.unanswered(e)
	case e.Status > 599, e.Status < 200:
		s.note = fmt.Sprintf("an answer has the status %d, which no server can have", e.Status)
	case e.Status >= 300:
		s.fault = &scenario.Fault{HTTP: s.verbatim(e)}
	case e.Broken != "", short && files:
		s.broke(e, length)
	case files || e.Method == http.MethodHead:
	case e.Missing:
		s.note = "the answers of some calls are not in the recording: they are taken for good"
		s.idle = true
	default:
		object := s.object(e)
		if s.fault != nil && s.fault.Truncate && short {
			s.broke(e, length)
		}
		return object
	}
	return nil
}

// unanswered is a call to which no answer came.
func (s *seen) unanswered(e *Exchange) {
	took := rough(e.Took)
	switch {
	case e.Broken == BrokenTimeout:
		s.fault = &scenario.Fault{Delay: (2*e.Took + time.Minute).Round(time.Minute)}
		s.note = "no answer came within " + took + ", and the client gave up: how long it would have taken is a guess"
		if e.Took < 10*time.Millisecond {
			s.note = "the client gave up before an answer came: how long that would have taken is a guess"
		}
		s.idle = true
	case e.Broken == BrokenClosed:
		s.fault = &scenario.Fault{Reset: true}
		s.note = "the connection was closed before an answer; a scenario has a reset for that"
	case e.Broken == BrokenReset:
		s.fault = &scenario.Fault{Reset: true}
	case e.Why != "":
		s.fault = &scenario.Fault{Reset: true}
		s.note = "there is no answer, for the recording says: " + strconv.Quote(e.Why[:min(len(e.Why), 100)]) +
			"; a reset is a guess"
	default:
		s.fault = &scenario.Fault{Reset: true}
		s.note = "there is no answer, and why is not known: a reset is a guess"
	}
	switch dump := s.on == scenario.OnUpload || s.on == scenario.OnUpgrade; {
	case !dump || !s.fault.Reset:
	case e.Short && e.Sent > 0:
		s.fault.After = e.Sent
		s.note = join(s.note, "how much of the dump had arrived is known roughly: so much had been sent")
	default:
		s.note = join(s.note, "how much of the dump had arrived is not known: `after` says so, such as `after: 1MiB`")
	}
}

// broke is an answer that broke off in the middle.
func (s *seen) broke(e *Exchange, length int64) {
	s.fault = &scenario.Fault{Cut: e.Broken != BrokenReset || s.on != scenario.OnDownload}
	s.fault.Reset = !s.fault.Cut
	if s.on == scenario.OnDownload && e.Size > 0 {
		s.fault.After = e.Size
	}
	if length > 0 && e.Size >= 0 {
		s.note = fmt.Sprintf("%d of %d bytes of the answer came", e.Size, length)
	}
}

// verbatim is the answer as it was.
func (s *seen) verbatim(e *Exchange) *scenario.HTTP {
	answer := &scenario.HTTP{Status: e.Status, ContentType: e.Header.Get("Content-Type")}
	if !httpguts.ValidHeaderFieldValue(answer.ContentType) {
		answer.ContentType = ""
	}
	for _, name := range []string{"Retry-After", "Location", "WWW-Authenticate"} {
		if value := e.Header.Get(name); value != "" && httpguts.ValidHeaderFieldValue(value) {
			if answer.Headers == nil {
				answer.Headers = map[string]string{}
			}
			answer.Headers[name] = value
		}
	}
	answer.Body = string(e.Body)
	switch {
	case e.Missing && e.Status >= 300 && e.Status < 400: // nobody reads it
	case e.Missing:
		s.note = join(s.note, "the body of the answer is not in the recording")
	case !readable(e.Body):
		answer.Body = ""
		s.note = join(s.note, fmt.Sprintf("the body of the answer is no text: %d bytes are left out", len(e.Body)))
	case len(e.Body) > maxText || e.Partial:
		answer.Body = strings.ToValidUTF8(string(e.Body[:min(maxText, len(e.Body))]), "")
		s.note = join(s.note, "of the body of the answer, this is the beginning")
	}
	return answer
}

// readable reports whether a body is text that a scenario can hold.
func readable(body []byte) bool {
	return utf8.Valid(body) && bytes.IndexFunc(body, func(r rune) bool {
		return r < ' ' && r != '\n' && r != '\r' && r != '\t'
	}) < 0
}

// object reads an answer that came whole.
func (s *seen) object(e *Exchange) map[string]any {
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(e.Body, []byte("\ufeff"))))
	dec.UseNumber()
	var object map[string]any
	err := dec.Decode(&object)
	if err == nil && object != nil {
		_, err = dec.Token()
	}
	switch {
	case errors.Is(err, io.EOF) && object != nil:
	case e.Partial:
		s.note, s.idle = "the recording has only the beginning of some answers", true
		return nil
	case len(e.Body) == 0 && s.on == scenario.OnScriptTransferStop: // which is fine (row S3.8)
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF) && e.Body[0] == '{':
		s.fault = &scenario.Fault{Truncate: true}
		s.note = fmt.Sprintf("the answer ended after %d bytes, in the middle", len(e.Body))
		return nil
	default:
		s.noObject(e)
		return nil
	}
	if s.api == scenario.APIScript {
		return s.result(e, object)
	}
	list, _ := object["failures"].([]any)
	if len(list) == 0 {
		return object
	}
	failure, ok := asFailure(list[0])
	if len(list) > 1 || !ok {
		s.fault = &scenario.Fault{HTTP: s.verbatim(e)}
		return nil
	}
	s.fault = &scenario.Fault{Failure: failure}
	return nil
}

// noObject is an answer that is no JSON object.
func (s *seen) noObject(e *Exchange) {
	polls := s.on == scenario.OnStatus || s.on == scenario.OnScriptStatus
	if text := readable(e.Body); text && (polls || creates(s.on)) || len(e.Body) == 0 {
		s.fault = &scenario.Fault{HTTP: s.verbatim(e)}
		return
	}
	s.fault = &scenario.Fault{Garbage: true}
	s.note = "the answer was no JSON object; it began with: " + strconv.Quote(string(e.Body[:min(len(e.Body), 60)]))
}

func asFailure(v any) (*scenario.Failure, bool) {
	object, _ := v.(map[string]any)
	f, flat := &scenario.Failure{}, true
	f.Reason, _ = object["reason"].(string)
	f.Message, _ = object["message"].(string)
	for key, value := range object {
		if key != "reason" && key != "message" && key != "form" {
			if f.More == nil {
				f.More = map[string]any{}
			}
			f.More[key] = value
			flat = flat && !nested(value)
		}
	}
	_, form := object["form"] // which a scenario takes for its own key
	return f, f.Reason != "" && !form && flat
}

// nested reports whether a value is more than a scalar or a list of them.
func nested(v any) bool {
	list, _ := v.([]any)
	_, object := v.(map[string]any)
	return object || slices.ContainsFunc(list, func(item any) bool {
		switch item.(type) {
		case []any, map[string]any:
			return true
		}
		return false
	})
}

// result returns the result of an answer of the script API, or notes the failure that it is (rows S1.9 to S1.11).
func (s *seen) result(e *Exchange, object map[string]any) map[string]any {
	result, ok := object["result"].(map[string]any)
	if text, failed := result["error"].(string); failed && text != "" {
		s.fault = &scenario.Fault{Failure: &scenario.Failure{Message: text, Form: scenario.FormResult}}
		return nil
	}
	if ok {
		return result
	}
	trouble, _ := object["error"].(map[string]any)
	data, _ := trouble["data"].(map[string]any)
	if text, _ := data["message"].(string); text != "" {
		s.fault = &scenario.Fault{Failure: &scenario.Failure{Message: text, Form: scenario.FormError}}
		return nil
	}
	if s.on != scenario.OnScriptTransferStop {
		s.fault = &scenario.Fault{HTTP: s.verbatim(e)}
	}
	return nil
}

// transfers takes from the calls of the script API what is known of its transfers, which are not in a recording of
// HTTP: that one took place, and that it broke off where another one was begun without an end.
func (r *request) transfers(s *seen, nth int) {
	ways := map[string]string{"upload": scenario.OnRsyncUpload, "download": scenario.OnRsyncDownload}
	switch {
	case s.on == scenario.OnRequestSFTPAccess && nth > 0 && !r.begun:
		r.remark("SFTP access was asked for again before process: a session may have broken off; SFTP is not in a " +
			"recording of HTTP")
	case s.on == scenario.OnScriptTransferStop && s.fault == nil:
		r.open = ""
	case s.on == scenario.OnScriptTransferStart && s.fault == nil:
		login := r.count(scenario.OnRsyncLogin)
		if s.noHosts {
			r.fail(scenario.OnRsyncLogin, login, scenario.Fault{KnownHosts: new(string)}, "")
		}
		on := ways[s.transfer]
		if r.open != "" && r.open == s.transfer {
			r.fail(on, r.places[on].calls-1, scenario.Fault{Disconnect: true}, "a guess: the transfer did not end "+
				"before another one was begun; where it broke off is not known, as rsync is not in a recording of HTTP")
		}
		if r.open = s.transfer; on != "" {
			r.count(on)
		}
	}
	if s.dumpName != "" {
		r.upgraded.DumpName = &s.dumpName
	}
	r.compat = r.compat || s.tooOld
}

// hideIn hides a key in the texts of a fault, and reports whether it was there.
func hideIn(f *scenario.Fault, key string) (hidden bool) {
	out := func(text string) string {
		short := hide(text, key)
		hidden = hidden || short != text
		return short
	}
	if f.HTTP != nil {
		f.HTTP.Body = out(f.HTTP.Body)
		for name, value := range f.HTTP.Headers {
			f.HTTP.Headers[name] = out(value)
		}
	}
	if f.Failure != nil {
		f.Failure.Message = out(f.Failure.Message)
		for name, value := range f.Failure.More {
			if text, ok := value.(string); ok {
				f.Failure.More[name] = out(text)
			}
		}
	}
	return hidden
}

// hide takes a key out of a text, as it is and as it stands in URLs.
func hide(text, key string) string {
	if plain, err := url.QueryUnescape(key); err == nil && strings.Contains(key, "%") { // parameters that were not decoded
		key = plain
	}
	bare := strings.TrimRight(key, "=")
	if len(bare) < 8 {
		return text
	}
	return strings.NewReplacer(key, "KEY", url.QueryEscape(key), "KEY", bare, "KEY").Replace(text)
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
