package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// members are those of a JSON object, in order.
type members []member

type member struct {
	name  string
	value any
}

// with returns m with the values of those members replaced, or added.
func (m members) with(changed ...member) members {
	out := append(members(nil), m...)
next:
	for _, c := range changed {
		for i := range out {
			if out[i].name == c.name {
				out[i] = c
				continue next
			}
		}
		out = append(out, c)
	}
	return out
}

// without returns m without the member of that name.
func (m members) without(name string) members {
	var out members
	for _, e := range m {
		if e.name != name {
			out = append(out, e)
		}
	}
	return out
}

func (m members) MarshalJSON() ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteByte('{')
	for i, e := range m {
		if i > 0 {
			buf.WriteString(", ")
		}
		value, err := json.Marshal(e.value)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&buf, "%q: %s", e.name, value)
	}
	buf.WriteByte('}')
	return buf.Bytes(), nil
}

// String shows the members for messages, long ones shortened.
func (m members) String() string {
	var parts []string
	for _, e := range m {
		v, is := e.value.(string)
		switch {
		case !is:
			v = show(e.value)
		case e.name == "ssh_key" && len(v) > 30:
			v = v[:30] + "…"
		}
		parts = append(parts, e.name+"="+strings.TrimSpace(v))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// An rpcReply is the answer to a call of the script API, read as a copy of the script reads it (rows S1.9 to S1.11).
type rpcReply struct {
	reply
	result  map[string]any // nil without the object result
	refusal string         // the text of a failure; empty if there is none
	form    int            // of the failure: 1 in result, 2 in error
}

func readRPC(a raw.Answer) rpcReply {
	r := rpcReply{reply: readReply(a)}
	if v, there := r.object["result"]; there {
		r.result, _ = v.(map[string]any)
		if e, failed := r.result["error"]; failed {
			r.form, r.refusal = 1, text(e)
		}
		return r
	}
	e, _ := r.object["error"].(map[string]any)
	data, _ := e["data"].(map[string]any)
	if r.refusal = text(data["message"]); r.refusal != "" {
		r.form = 2
	}
	return r
}

// fine reports whether the script takes the call for a success.
func (r rpcReply) fine() bool { return r.result != nil && r.form == 0 && r.Status < 300 }

// refused reports whether the server said no in a way that the script notices.
func (r rpcReply) refused() bool { return r.form != 0 || r.Status >= 300 }

// isRPC reports whether this is an answer of the script API, rather than what a server says of any path.
func (r rpcReply) isRPC() bool {
	_, enveloped := r.object["jsonrpc"]
	_, isError := r.object["error"].(map[string]any)
	if r.Header.Get("Content-Encoding") != "" { // which is not decoded
		return r.OK() && strings.Contains(r.Header.Get("Content-Type"), "json")
	}
	return enveloped || isError || r.result != nil || r.object != nil && r.Status < 300
}

// rpcURL is the address of a call of the script API.
func (c *checker) rpcURL(name string) string { return c.base + "/upgrade/request/" + name }

// composeRPC builds a call as the script makes it (row S1.4).
func (c *checker) composeRPC(name string, params any) raw.Call {
	body, err := json.Marshal(members{{"jsonrpc", "2.0"}, {"method", "not_used"}, {"params", params},
		{"id", "not_used"}})
	if err != nil {
		panic(err)
	}
	return raw.Call{Method: http.MethodPost, URL: c.rpcURL(name), ContentType: "application/json", Body: body,
		Header: http.Header{"Accept-Encoding": {"identity"}}, What: fmt.Sprintf("POST %s %v", name, params)}
}

// rpc makes a call; only no answer at all ends the check.
func (c *checker) rpc(name string, params any) rpcReply {
	return readRPC(c.must(c.composeRPC(name, params)))
}

// tryRPC makes a call for a step before the one judged.
func (c *checker) tryRPC(name string, params any) (rpcReply, error) {
	a, err := c.try(c.composeRPC(name, params))
	if err != nil {
		return rpcReply{reply: reply{Answer: raw.Answer{What: a.What}, broken: err.Error()}}, err
	}
	return readRPC(a), nil
}

// mustRPC makes a call that has to go well, for a step before the one judged: if it does not, the check is blocked by
// the one that judges it.
func (c *checker) mustRPC(by, name string, params any) rpcReply {
	r, err := c.tryRPC(name, params)
	switch {
	case err != nil:
		c.blocked(by, "%s: %v", name, err)
	case !r.fine():
		c.blocked(by, "%s answered %s", name, r.Summary())
	}
	return r
}

// result ends the check unless the call went well.
func (c *checker) result(r rpcReply) rpcReply {
	c.object(r.reply)
	if !r.fine() {
		c.wrong(r.What, "success, with the object result", r.Summary())
	}
	return r
}

// refuses ends the check unless the call was refused, in words.
func (c *checker) refuses(r rpcReply, why string) rpcReply {
	if r.form == 0 || strings.TrimSpace(r.refusal) == "" {
		c.wrong(r.What, "a failure with a text, in result.error or error.data.message: "+why, r.Summary())
	}
	return r
}
