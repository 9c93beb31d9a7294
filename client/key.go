package client

import (
	"log/slog"
	"net/url"
	"strings"
)

// Key is a request's private key. It prints as "[key]" in every format and log record; JSON and string(k) hold the key itself.
type Key string

const hidden = "[key]"

// String returns a placeholder.
func (Key) String() string { return hidden }

// GoString returns a placeholder.
func (Key) GoString() string { return hidden }

// LogValue returns a placeholder.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// Redact replaces each key in s, as it is or as URLs and JSON escape it, by "[key]". Keys of fewer than 4 characters are
// no keys, and left alone.
func Redact(s string, keys ...Key) string {
	for _, k := range keys {
		plain := string(k)
		if len(plain) < 4 {
			continue
		}
		for _, form := range []string{
			plain,
			url.QueryEscape(plain),
			url.PathEscape(plain),
			strings.ReplaceAll(plain, "=", "%3D"),
			strings.ReplaceAll(plain, "=", "%3d"),
			strings.ReplaceAll(plain, "=", `\u003d`),
			strings.ReplaceAll(plain, "=", "&#61;"),
		} {
			s = strings.ReplaceAll(s, form, hidden)
		}
		// The padding says nothing, and some programs leave it out.
		if bare := strings.TrimRight(plain, "="); len(bare) >= 16 {
			s = strings.ReplaceAll(s, bare, hidden)
		}
	}
	return s
}

// redacted returns err with a text without the key: what a server sends may stand in the text of a transport's error.
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
