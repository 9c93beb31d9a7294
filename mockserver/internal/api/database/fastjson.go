package database

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// This file writes the JSON of answers. Objects keep the order of their keys, which encoding/json has no type for; and
// the few types that a status is made of are written without it, since clients poll: with one json.Encoder for the
// values of a status, a poll takes a third to a half more CPU time; see bench/README.md.

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
// messages come as people read them. All but the few types of a status goes through encoding/json.
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

// fields is where the keys of a request go, in their order.
type fields struct {
	b      []byte         // JSON, with a comma behind each value …
	values map[string]any // … unless this is not nil
	set    map[string]any // the script knows better what the values of these are
	root   []byte         // what the URLs begin with
	simple bool           // the values need no escape
	err    error
}

func (f *fields) value(key string, value any) {
	if set, ok := f.set[key]; ok {
		value = set
	}
	if f.values != nil {
		f.values[key] = value
		return
	}
	b, err := appendJSON(appendKey(f.b, key), value)
	if err != nil {
		f.err = err
		return
	}
	f.b = append(b, ',')
}

func (f *fields) text(key, value string) {
	if !f.simple {
		f.value(key, value)
		return
	}
	f.b = append(appendString(appendKey(f.b, key), value), ',')
}

func (f *fields) textOrNull(key, value string) {
	if value == "" {
		f.null(key)
	} else {
		f.text(key, value)
	}
}

func (f *fields) null(key string) {
	if !f.simple {
		f.value(key, nil)
		return
	}
	f.b = append(appendKey(f.b, key), "null,"...)
}

func (f *fields) number(key string, value int64) {
	if !f.simple {
		f.value(key, value)
		return
	}
	f.b = append(strconv.AppendInt(appendKey(f.b, key), value, 10), ',')
}

func (f *fields) moment(key string, t time.Time) {
	if !f.simple {
		f.value(key, string(appendTimestamp(nil, t)))
		return
	}
	f.b = append(appendTimestamp(append(appendKey(f.b, key), '"'), t), `",`...)
}

// link is a URL of the request.
func (f *fields) link(key, path string) {
	if !f.simple {
		f.value(key, string(f.root)+path)
		return
	}
	f.b = append(append(append(append(appendKey(f.b, key), '"'), f.root...), path...), `",`...)
}

func appendKey(b []byte, key string) []byte {
	b = append(b, '"')
	b = append(b, key...)
	return append(b, '"', ':')
}

// appendTimestamp is UTC, as the sample's created_at.
func appendTimestamp(b []byte, t time.Time) []byte { return t.UTC().AppendFormat(b, time.DateTime) }

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
