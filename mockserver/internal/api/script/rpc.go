package script

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/upgrademock/upgrademock/mockserver/internal/eventlog"
)

// maxBody bounds the body of a call, in bytes. The longest calls of the script have a public key and some environment
// variables.
const maxBody = 1 << 20

// rpc is a call as it was read (row S1.4). What is wrong with it is a [badCall].
type rpc struct {
	id     json.RawMessage // to be echoed; nil: the call names none that can be
	params map[string]json.RawMessage
}

// badCall is an error about a call that is none, or not one of this method. Its text is for whoever wrote the client.
// It quotes nothing of the call, which may have a token anywhere.
type badCall struct{ text string }

func (b badCall) Error() string { return b.text }

func bad(format string, args ...any) error { return badCall{fmt.Sprintf(format, args...)} }

// readRPC reads the body of a call. As far as it was understood, the call is returned with an error, too.
func readRPC(r *http.Request) (rpc, error) {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); !slices.Contains(jsonTypes, kind) {
		return rpc{}, bad("The Content-Type is not that of JSON: send application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case len(body) > maxBody:
		return rpc{}, bad("The call has more than %d bytes: send the parameters alone (a database goes over rsync)", maxBody)
	case err != nil:
		return rpc{}, bad("The body ended before its end: send all that its Content-Length announces")
	}
	return parseRPC(body)
}

// jsonTypes are the types of a body that Odoo takes for JSON (assumed).
var jsonTypes = []string{"application/json", "application/json-rpc"}

const sample = `send {"jsonrpc": "2.0", "method": "not_used", "id": "not_used", "params": {…}}`

// parseRPC reads a call. Of members that come twice the last one counts, as in Python (assumed).
func parseRPC(body []byte) (rpc, error) {
	var call rpc
	if !utf8.Valid(body) {
		return call, bad("The body is not UTF-8: send JSON in UTF-8")
	}
	members, err := object(body)
	switch {
	case err != nil:
		return call, bad("The body is not JSON%s: %s", position(err), sample)
	case members == nil:
		return call, bad("The body is JSON and no object: %s", sample)
	}
	if call.id = members["id"]; !isScalar(call.id) { // JSON-RPC 2.0, section 4
		call.id = nil
		return call, bad("The id is neither a string nor a number: %s", sample)
	}
	var version any
	if raw, there := members["jsonrpc"]; there && (json.Unmarshal(raw, &version) != nil || version != "2.0") {
		return call, bad(`The call is not JSON-RPC 2.0: %s`, sample)
	}
	raw, there := members["params"]
	if call.params, err = object(raw); !there || err != nil || call.params == nil {
		call.params = nil
		return call, bad("The params are no object: %s", sample)
	}
	return call, nil
}

// object reads the members of a JSON object by their exact names. It returns nil for JSON that is something else.
func object(data []byte) (map[string]json.RawMessage, error) {
	var members map[string]json.RawMessage
	err := json.Unmarshal(data, &members)
	if _, other := errors.AsType[*json.UnmarshalTypeError](err); other {
		return nil, nil
	}
	return members, err
}

// position is where a text stops being JSON, for the end of a clause.
func position(err error) string {
	if broken, ok := errors.AsType[*json.SyntaxError](err); ok && broken.Offset > 0 {
		return fmt.Sprintf(", from byte %d on", broken.Offset)
	}
	return ""
}

func isScalar(raw json.RawMessage) bool {
	return len(raw) == 0 || !strings.ContainsRune(`{[tf`, rune(raw[0]))
}

// text is the parameter with that name, "" if it is absent or null.
func (c *rpc) text(name string) (string, error) {
	var text *string
	raw, there := c.params[name]
	if there && json.Unmarshal(raw, &text) != nil {
		return "", bad("%s is %s: send a string", name, kindOf(raw))
	}
	if text == nil {
		return "", nil
	}
	return *text, nil
}

// list is the parameter with that name, nil if it is absent or null.
func (c *rpc) list(name string) ([]string, error) {
	var texts []*string
	raw, there := c.params[name]
	if !there {
		return nil, nil
	}
	if json.Unmarshal(raw, &texts) != nil {
		kind := kindOf(raw)
		if raw[0] == '[' {
			kind += " of something else"
		}
		return nil, bad("%s is %s: send a list of strings, [] for none", name, kind)
	}
	list := make([]string, len(texts))
	for i, text := range texts {
		if text == nil {
			return nil, bad("%s has null in it: send a list of strings, [] for none", name)
		}
		list[i] = *text
	}
	return list, nil
}

// kindOf is what kind of JSON that is, in words.
func kindOf(raw json.RawMessage) string {
	switch raw[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "a list"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

// shown are the parameters for the journal: strings as they are, and all else as JSON.
func (c *rpc) shown() []eventlog.Param {
	list := make([]eventlog.Param, 0, len(c.params))
	for name, raw := range c.params {
		var text string
		if raw[0] != '"' || json.Unmarshal(raw, &text) != nil {
			text = string(raw)
		}
		list = append(list, eventlog.Param{Name: name, Value: text})
	}
	slices.SortFunc(list, func(a, b eventlog.Param) int { return strings.Compare(a.Name, b.Name) })
	return list
}
