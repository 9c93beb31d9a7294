package recording

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The types of this file read what programs put into HAR files, whether it is of the type that the format wants or not:
// one odd value must not make a recording useless.

// loose is a text. A number or a boolean is taken as it stands, anything else for no text.
type loose string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *loose) UnmarshalJSON(data []byte) error {
	var text string
	switch {
	case json.Unmarshal(data, &text) == nil:
		*l = loose(text)
	case data[0] != '{' && data[0] != '[' && string(data) != "null":
		*l = loose(data)
	}
	return nil
}

// amount is a number, which may be quoted. Anything else is no number: 0.
type amount float64

// UnmarshalJSON implements [json.Unmarshaler].
func (a *amount) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(data), `" `), 64)
	if err == nil && n > -1e15 && n < 1e15 {
		*a = amount(n)
	}
	return nil
}

// or is the number; other if there is none.
func (a *amount) or(other float64) float64 {
	if a == nil {
		return other
	}
	return float64(*a)
}

// pair is a header, or a parameter.
type pair struct{ name, value string }

// pairs are a list of objects with a name and a value, or an object by names.
type pairs []pair

// UnmarshalJSON implements [json.Unmarshaler].
func (p *pairs) UnmarshalJSON(data []byte) error {
	var list []struct{ Name, Value loose }
	var byName map[string]loose
	if json.Unmarshal(data, &list) == nil {
		for _, item := range list {
			*p = append(*p, pair{string(item.Name), string(item.Value)})
		}
	} else if json.Unmarshal(data, &byName) == nil {
		for name, value := range byName {
			*p = append(*p, pair{name, string(value)})
		}
		slices.SortFunc(*p, func(a, b pair) int { return strings.Compare(a.name, b.name) })
	}
	return nil
}

// header makes a header of them. HTTP/2 has names of its own among them, such as :status.
func (p pairs) header() http.Header {
	h := http.Header{}
	for _, item := range p {
		if item.name != "" && item.name[0] != ':' {
			h.Add(item.name, item.value)
		}
	}
	return h
}
