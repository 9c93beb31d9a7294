package client

import (
	"log/slog"
	"net/url"
	"strings"
)

// A Key is the private key of a request. It prints as "[key]" in all formats and log records. Conversion to a string
// and encoding as JSON keep the key itself.
type Key string

const hidden = "[key]"

// String returns a placeholder.
func (Key) String() string { return hidden }

// GoString returns a placeholder.
func (Key) GoString() string { return hidden }

// LogValue returns a placeholder.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// Redact returns s with each of the keys replaced by "[key]", also where they are escaped as in URLs, JSON or HTML.
// Keys of fewer than 4 characters are ignored.
func Redact(s string, keys ...Key) string {
	for _, k := range keys {
		key := string(k)
		if len(key) < 4 {
			continue
		}
		for _, form := range []string{
			key,
			url.QueryEscape(key),
			url.PathEscape(key),
			strings.ReplaceAll(key, "=", "%3D"),
			strings.ReplaceAll(key, "=", "%3d"),
			strings.ReplaceAll(key, "=", `\u003d`),
			strings.ReplaceAll(key, "=", "&#61;"),
		} {
			s = strings.ReplaceAll(s, form, hidden)
		}
		// Some programs leave the padding out.
		if bare := strings.TrimRight(key, "="); len(bare) >= 16 {
			s = strings.ReplaceAll(s, bare, hidden)
		}
	}
	return s
}

// redacted returns err with the key taken out of its text: a transport's error may quote what a server sent.
func redacted(err error, key Key) error {
	if text := err.Error(); Redact(text, key) != text {
		return &redactedError{err, Redact(text, key)}
	}
	return err
}

type redactedError struct {
	error
	text string
}

func (e *redactedError) Error() string { return e.text }
func (e *redactedError) Unwrap() error { return e.error }
