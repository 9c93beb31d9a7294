package conformance

import (
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// authMethod is a method that a request's id and key open, and how it is called with other ones.
type authMethod struct {
	name string
	call func(c *checker, p params) reply
}

// authMethods are all of them.
var authMethods = []authMethod{
	{"status", func(c *checker, p params) reply { return c.api("status", c.way("status"), p) }},
	{"upload", func(c *checker, p params) reply {
		return readReply(c.must(raw.Call{Method: "POST", URL: c.methodURL("upload") + "?" + p.encode(),
			ContentType: "application/octet-stream", Body: []byte("-- PostgreSQL database dump\n-- an intruder's\n"),
			What: "POST upload " + p.String()}))
	}},
	{"request_sftp_access", func(c *checker, p params) reply {
		return readReply(c.must(c.composeAccess(p, raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	}},
	{"process", func(c *checker, p params) reply { return c.api("process", c.way("process"), p) }},
}

// wrongKeys are keys near to the right one that are not it, with what each is.
func wrongKeys(key string) []struct{ what, key string } {
	flip := func(i int) string {
		if i >= len(key) {
			return key + "A"
		}
		c := byte('A')
		if key[i] == 'A' {
			c = 'B'
		}
		return key[:i] + string(c) + key[i+1:]
	}
	all := []struct{ what, key string }{
		{"another well-formed key", base64.URLEncoding.EncodeToString([]byte("sixteen byte key"))},
		{"the key with its first character changed", flip(0)},
		{"the key with a character in the middle changed", flip(12)},
		{"the first half of the key", key[:len(key)/2]},
		{"% for the key", "%"},
		{"the key twice", key + key},
	}
	if lower := strings.ToLower(key); lower != key {
		all = append(all, struct{ what, key string }{"the key in lower case", lower})
	}
	return all
}

// notFound ends the check unless the reply is the assumed answer for what does not exist.
func (c *checker) notFound(r reply, id string) {
	f := c.reasoned(r, "REQUEST:NOT_FOUND")
	if code := f["code"]; text(code) != id && number(code) != id {
		c.wrong(r.What, "REQUEST:NOT_FOUND with code "+id, show(map[string]any(f)))
	}
	c.hasKey(r, f, "message", "Can not find request "+id)
}

// refusesAccess ends the check unless the reply is a refusal that shows nothing of the request.
func (c *checker) refusesAccess(sent string, r reply) {
	if r.object == nil && r.Status < 400 || r.object != nil && !r.refused() || len(r.request()) > 0 {
		c.wrong(sent, "a failure", r.Summary())
	}
}

func accessRuleChecks() []check {
	var checks []check
	for _, m := range authMethods {
		needs := needsWrites
		if m.name == "process" {
			needs |= needsProcess
		}
		checks = append(checks,
			check{id: group(m.name) + "/wrong-key", rows: rows("2"), evidence: EvidenceDocumented, needs: needs,
				says: m.name + " is refused with a key that is not the request's, and changes nothing.",
				run:  func(c *checker) { checkWrongKey(c, m) }},
			check{id: group(m.name) + "/other-key", rows: rows("2"), evidence: EvidenceDocumented, needs: needs,
				says: m.name + " is refused with the key of another request.",
				run:  func(c *checker) { checkOtherKey(c, m) }},
			check{id: group(m.name) + "/requires-key", rows: rows("2"), evidence: EvidenceDocumented, needs: needs,
				says: m.name + " is refused without key and without request.",
				run:  func(c *checker) { checkRequiresKey(c, m) }},
			check{id: group(m.name) + "/unknown-request", rows: rows("2"), evidence: EvidenceDocumented,
				gentle: m.name == "status",
				says:   m.name + " is refused for a request that does not exist, in order.",
				run:    func(c *checker) { checkUnknownRequest(c, m) }},
			check{id: group(m.name) + "/not-found", rows: rows("2"), evidence: EvidenceAssumed,
				says: m.name + " answers a wrong key and an unknown id with the same REQUEST:NOT_FOUND.",
				run:  func(c *checker) { checkNotFound(c, m) }},
			check{id: group(m.name) + "/all-problems", rows: rows("1.8"), evidence: EvidenceDocumented,
				gentle: m.name == "status",
				says:   m.name + " without request and key reports each of the two.",
				run:    func(c *checker) { checkAllProblems(c, m) }},
			check{id: group(m.name) + "/missing", rows: rows("2"), evidence: EvidenceAssumed,
				says: m.name + " names missing parameters with REQUEST:MISSING and KEY:MISSING, together.",
				run:  func(c *checker) { checkMissing(c, m) }})
	}
	return checks
}

func checkWrongKey(c *checker, m authMethod) {
	req, _ := c.uploaded()
	before := c.status(req)
	for _, k := range wrongKeys(req.key) {
		r := m.call(c, params{"request", req.id, "key", k.key})
		c.refusesAccess(fmt.Sprintf("%s with the id and %s", m.name, k.what), r)
	}
	c.unchanged(m.name+" with wrong keys", req, before)
}

func checkOtherKey(c *checker, m authMethod) {
	req, _ := c.uploaded()
	other := c.create()
	before := c.status(req)
	r := m.call(c, params{"request", req.id, "key", other.key})
	c.refusesAccess(m.name+" with the key of another request", r)
	c.unchanged(m.name+" with the key of another request", req, before)
}

func checkRequiresKey(c *checker, m authMethod) {
	req, _ := c.uploaded()
	before := c.status(req)
	for _, p := range []params{{"request", req.id}, {"key", req.key}, {"request", req.id, "key", ""},
		{"request", "", "key", req.key}} {
		r := m.call(c, p)
		c.refusesAccess(m.name+" "+p.String(), r)
	}
	c.unchanged(m.name+" without key", req, before)
}

func checkUnknownRequest(c *checker, m authMethod) {
	key := base64.URLEncoding.EncodeToString([]byte("sixteen byte key"))
	ids := []string{"999999999", "0", "-1", "abc", "99999999999999999999999", "1.5"}
	if c.opts.Production {
		ids = ids[:1]
	}
	for _, id := range ids {
		r := c.object(m.call(c, params{"request", id, "key", key}))
		c.refusal(r, "there is no such request")
		c.failureFields(r)
		if r.Status >= 500 {
			c.wrong(r.What, "a refusal, not a crash", r.Summary())
		}
	}
}

func checkNotFound(c *checker, m authMethod) {
	req, other := c.create(), c.create()
	wrong := m.call(c, params{"request", req.id, "key", wrongKeys(req.key)[0].key})
	unknown := m.call(c, params{"request", "999999999", "key", req.key})
	c.notFound(wrong, req.id)
	c.notFound(unknown, "999999999")
	c.notFound(m.call(c, params{"request", req.id, "key", other.key}), req.id)
	x := strings.ReplaceAll(string(wrong.Body), req.id, "999999999")
	if x != string(unknown.Body) || wrong.Status != unknown.Status {
		c.wrong(m.name+" with a wrong key, and with an unknown id", "the same answer",
			wrong.Summary()+" and "+unknown.Summary())
	}
}

func checkAllProblems(c *checker, m authMethod) {
	c.bothMissing(func(p params) reply { return m.call(c, p) })
}

func checkMissing(c *checker, m authMethod) {
	req := c.create()
	c.missing(m.call(c, params{"request", req.id}), "key")
	c.missing(m.call(c, params{"key", req.key}), "request")
	c.missing(m.call(c, params{"request", "", "key", req.key}), "request")
	c.missing(m.call(c, nil), "request", "key")
}

// bothMissing ends the check unless a call without request and key has a failure for each. A server to which a call
// without them is one with an unknown request sees one problem, and says so by the same reason.
func (c *checker) bothMissing(call func(p params) reply) {
	r := c.refusal(call(nil), "request and key are missing")
	unknown := call(params{"request", "999999999", "key",
		base64.URLEncoding.EncodeToString([]byte("sixteen byte key"))})
	if fs := unknown.failures(); len(fs) == 1 && len(r.failures()) == 1 && fs[0].reason() == r.failures()[0].reason() {
		return
	}
	c.counted(r, problems{least: 2})
}

// unchanged ends the check when what was refused has left a trace in the request.
func (c *checker) unchanged(did string, req request, before reply) {
	after := c.status(req)
	for _, key := range []string{"state", "filesize", "postgresql", "compressions", "processed_at"} {
		if x, y := show(before.request()[key]), show(after.request()[key]); x != y {
			c.wrong(did, key+" unchanged: "+x, y)
		}
	}
}
