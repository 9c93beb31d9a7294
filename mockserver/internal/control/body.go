package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

const maxBody = 1 << 20 // of a call

// decode reads a JSON body strictly into a struct; where it is wrong, the error says so with the position and
// an example.
func decode(r *http.Request, into any, example string) error {
	data, err := readBody(r)
	if err != nil {
		return err
	}
	wanted := "wanted JSON such as " + example
	if len(bytes.TrimSpace(data)) == 0 {
		return badRequest("the body is empty: %s", wanted)
	}
	var keys map[string]json.RawMessage
	err = json.Unmarshal(data, &keys)
	if err == nil {
		known := keysOf(into)
		for key := range keys {
			if !slices.Contains(known, key) {
				return badRequest("%s; %s", unknown("key", key, known), wanted)
			}
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		err = dec.Decode(into)
	}
	syntax, isSyntax := errors.AsType[*json.SyntaxError](err)
	kind, isKind := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil:
		return nil
	case isSyntax && syntax.Offset >= int64(len(data)):
		return badRequest("%s: the JSON ends too early; %s", place(data, syntax.Offset), wanted)
	case isSyntax:
		return badRequest("%s: found %q where JSON cannot have it; %s", place(data, syntax.Offset),
			data[max(0, syntax.Offset-1)], wanted)
	case isKind && kind.Field != "":
		return badRequest("%s: %q is %s: wanted %s", place(data, kind.Offset), kind.Field, inWords(kind.Value),
			wantedKind(kind.Type))
	case isKind:
		return badRequest("%s: the body is %s: %s", place(data, kind.Offset), inWords(kind.Value), wanted)
	}
	return badRequest("the body cannot be read: %s", wanted)
}

// keysOf are the JSON keys of the struct that into points to.
func keysOf(into any) []string {
	var keys []string
	for t, i := reflect.TypeOf(into).Elem(), 0; i < t.NumField(); i++ {
		key, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}

// inWords is a kind of JSON value as encoding/json names it.
func inWords(value string) string {
	value, number, _ := strings.Cut(value, " ")
	switch value {
	case "string":
		return "a text"
	case "bool":
		return "true or false"
	case "array":
		return "a list"
	case "object":
		return "an object"
	}
	return strings.TrimSpace("a number " + number)
}

func wantedKind(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Bool:
		return "true or false"
	}
	return "a whole number"
}

// place is where an offset stands, in words.
func place(data []byte, offset int64) string {
	before := data[:min(max(offset, 0), int64(len(data)))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := max(1, len(before)-(bytes.LastIndexByte(before, '\n')+1))
	return fmt.Sprintf("line %d, column %d", line, column)
}

func readBody(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, badRequest("the body ended too early, or is not in the form that the headers say; send it again")
	}
	if len(data) > maxBody {
		return nil, problem{http.StatusRequestEntityTooLarge, fmt.Errorf("the body is larger than %d bytes", maxBody)}
	}
	return data, nil
}

// noBody refuses a body where none is read: what it asks for would be ignored.
func noBody(r *http.Request) error {
	data, err := readBody(r)
	if err != nil {
		return err
	}
	if text := bytes.TrimSpace(data); len(text) > 0 && !bytes.Equal(text, []byte("{}")) {
		return badRequest("this call has no body: what it is about stands in the query string, such as ?request=10534")
	}
	return nil
}
