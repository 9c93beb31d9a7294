package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// readScriptAnswer reads an answer of the script API. The platform reports failures with HTTP status 200 and in one of
// two forms (rows S1.10 and S1.11); another status is a front-end's, whatever the body says.
func readScriptAnswer(op string, resp *http.Response, raw []byte, key Key) (*answer, *Error) {
	e := &Error{Op: op, Status: resp.StatusCode, Raw: raw, RetryAfter: retryAfter(resp.Header, time.Now())}
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal(raw, &envelope); err != nil || envelope == nil {
		e.Err = notJSON(resp, raw, key)
		page := looksHTML(resp.Header.Get("Content-Type"), raw)
		e.uncertain = resp.StatusCode < 300 && !page || uncertainStatus(resp.StatusCode)
		return nil, e
	}
	message, failed := scriptFailure(envelope)
	message = Redact(message, key)
	if resp.StatusCode >= 300 {
		e.Err = fmt.Errorf("HTTP status %s", statusText(resp.StatusCode))
		if message != "" {
			e.Err = fmt.Errorf("HTTP status %s: %s", statusText(resp.StatusCode), printable(message, 2000))
		}
		e.uncertain = uncertainStatus(resp.StatusCode)
		return nil, e
	}
	if failed {
		e.Failures = []Failure{{Message: message}}
		return nil, e
	}
	var result map[string]json.RawMessage
	if err := json.Unmarshal(envelope["result"], &result); err != nil || result == nil {
		e.Err = fmt.Errorf("%w: it has neither a result that is an object nor an error; it begins with %q",
			ErrNotJSON, Redact(firstLine(raw), key))
		e.uncertain = true
		return nil, e
	}
	return &answer{result, raw}, nil
}

// scriptFailure returns the message of a failure, in the form of result.error or of error.data.message.
func scriptFailure(envelope map[string]json.RawMessage) (message string, failed bool) {
	const silent = "the platform refused the call and gave no reason"
	var result, failure, data map[string]json.RawMessage
	if json.Unmarshal(envelope["result"], &result) == nil && result != nil {
		said, failed := result["error"]
		if message = text(said); failed && message == "" {
			message = silent
		}
		return message, failed
	}
	said := bytes.TrimSpace(envelope["error"])
	if len(said) == 0 || string(said) == "null" {
		return "", false
	}
	if json.Unmarshal(said, &failure) != nil {
		return text(said), true
	}
	_ = json.Unmarshal(failure["data"], &data)
	for _, text := range []string{text(data["message"]), text(failure["message"]), silent} {
		if text != "" {
			return text, true
		}
	}
	return "", false
}

// readScriptStop reads the answer of transfer/stop, of which nothing but failures matters and which may be empty
// (row S3.8).
func readScriptStop(op string, resp *http.Response, raw []byte, key Key) (*answer, *Error) {
	if resp.StatusCode < 300 {
		var envelope map[string]json.RawMessage
		if len(bytes.TrimSpace(raw)) == 0 {
			return &answer{raw: raw}, nil
		}
		if json.Unmarshal(raw, &envelope) == nil && envelope != nil {
			if _, failed := scriptFailure(envelope); !failed {
				return &answer{raw: raw}, nil
			}
		}
	}
	return readScriptAnswer(op, resp, raw, key)
}

// lacks returns the error for an answer without a key that it must have.
func (a *answer) lacks(op, what string) *Error {
	return &Error{Op: op, Status: http.StatusOK, Raw: a.raw, uncertain: true,
		Err: fmt.Errorf("%w: its result has no %s", ErrNotJSON, what)}
}
