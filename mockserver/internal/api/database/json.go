package database

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// object is a JSON object whose keys keep their order (docs/fidelity.md, section 7). Its keys are ours: they
// need no escape.
type object []field

type field struct {
	key   string
	value any
}

// MarshalJSON is for objects within values that encoding/json writes.
func (o object) MarshalJSON() ([]byte, error) { return appendJSON(nil, o) }

// appendJSON appends what [json.Marshal] would make of v, without the escapes for HTML: the page's URLs and
// messages come as people read them. The few types that a status is made of are written here, because clients
// poll and json takes most of the time of a poll; all else goes through encoding/json.
func appendJSON(b []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case string:
		return appendString(b, v), nil
	case []string:
		if v == nil {
			return append(b, "null"...), nil
		}
		b = append(b, '[')
		for i, s := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, s)
		}
		return append(b, ']'), nil
	case *described:
		return v.appendJSON(b)
	case object:
		b = append(b, '{')
		for i, f := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, '"')
			b = append(b, f.key...)
			b = append(b, `":`...)
			var err error
			if b, err = appendJSON(b, f.value); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	return appendAny(b, v)
}

func appendString(b []byte, s string) []byte {
	if !needsNoEscape(s) {
		b, _ = appendAny(b, s) // a string can always be written
		return b
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

func appendAny(b []byte, v any) ([]byte, error) {
	to := bytes.NewBuffer(b)
	enc := json.NewEncoder(to)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(to.Bytes(), []byte("\n")), err
}

// needsNoEscape reports whether s is printable ASCII without quote and backslash.
func needsNoEscape(s string) bool {
	for i := range len(s) {
		if !unescaped[s[i]] {
			return false
		}
	}
	return true
}

// unescaped are the bytes that JSON takes as they are.
var unescaped = func() [256]bool {
	var set [256]bool
	for c := byte(' '); c <= '~'; c++ {
		set[c] = c != '"' && c != '\\'
	}
	return set
}()
