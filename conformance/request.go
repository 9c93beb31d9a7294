package conformance

import (
	"fmt"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// learned is what the preflight found out about the server, so that one broken way of passing parameters does not
// hide every other verdict.
type learned struct {
	target  string         // a valid target, the newest listed
	targets []string       // as `expected` of TARGET:INVALID lists them; nil if it lists none
	ways    map[string]way // by which a method takes its parameters, where not by the query
}

// way is how a method's parameters are passed where that is not what is judged.
func (s *suite) way(method string) way { return s.learned.ways[method] }

// A request is one that create made, read as tolerantly as possible.
type request struct {
	id, key string
	params  params
	reply   reply // create's
}

// auth are the parameters that open the request.
func (r request) auth() params { return params{"request", r.id, "key", r.key} }

// createParams are what create is asked with; the filename is the documented session's.
func (c *checker) createParams() params {
	return params{"contract", c.target.Contract, "email", c.target.Email, "target", c.learned.target, "aim", "test",
		"filename", "openchs.70.cdump"}
}

// readRequest takes the request out of create's answer.
func (c *checker) readRequest(r reply, p params) (request, bool) {
	m := r.request()
	id := number(m["id"])
	if id == "" {
		id = text(m["id"])
	}
	req := request{id: id, key: text(m["key"]), params: p, reply: r}
	if req.id == "" || req.key == "" {
		return req, false
	}
	c.remember(APIDatabase, req.id, req.key, text(m["status_url"]))
	return req, true
}

// create makes a request of the check's own, with the usual parameters changed by kv.
func (c *checker) create(kv ...string) request {
	p := c.createParams()
	for i := 0; i+1 < len(kv); i += 2 {
		p = p.set(kv[i], kv[i+1])
	}
	r, err := c.tryAPI("create", p)
	if err != nil {
		c.blocked("create/succeeds", "create: %v", err)
	}
	req, ok := c.readRequest(r, p)
	if !ok {
		c.blocked("create/succeeds", "create gave no request with id and key: %s", r.Summary())
	}
	return req
}

// draft is a request in draft to look at: one of the check's own, or in production the shared one.
func (c *checker) draft() request {
	if c.opts.Production {
		return c.lifecycle("main").draft(c)
	}
	return c.create()
}

// uploaded is a request in draft with the documented kind of dump, and that dump.
func (c *checker) uploaded() (request, []byte) {
	if c.opts.Production {
		j := c.lifecycle("main")
		return j.uploaded(c), j.dump
	}
	req := c.create()
	dump := c.dump()
	c.put(req, dump)
	return req, dump
}

// put uploads a dump over HTTP for a step before the one judged.
func (c *checker) put(req request, dump []byte) {
	a, err := c.try(c.composeUpload(req, dump))
	if err != nil {
		c.blocked("upload/answer", "upload: %v", err)
	}
	if r := readReply(a); r.object == nil || !r.fine() {
		c.blocked("upload/answer", "upload answered %s", r.Summary())
	}
}

func (c *checker) composeUpload(req request, dump []byte) raw.Call {
	return raw.Call{Method: "POST", URL: c.methodURL("upload") + "?" + req.auth().encode(),
		ContentType: "application/octet-stream", Body: dump,
		What: fmt.Sprintf("POST upload {request=%s} with %d bytes", req.id, len(dump))}
}

// status asks for the request's status for a step before the one judged.
func (c *checker) status(req request) reply {
	r, err := c.tryAPI("status", req.auth())
	if err != nil {
		c.blocked("status/answer", "status: %v", err)
	}
	if r.request() == nil {
		c.blocked("status/answer", "status answered %s", r.Summary())
	}
	return r
}
