package conformance

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

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
	c.remember(req.id, req.key, text(m["status_url"]))
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

// preflight finds out whether this is such a server at all, its targets, how it takes parameters, and whether it knows
// the contract. Where no check could be made it returns why, and the one result that says so.
func (s *suite) preflight(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*s.opts.CallTimeout)
	defer cancel()
	c := s.newChecker(ctx, "preflight")
	defer c.close()
	s.learned = learned{target: "8.0", ways: map[string]way{}}
	if s.opts.Resume != nil {
		return Result{}, nil
	}
	p := &scout{checker: c}
	if st := c.guard(p.learn); st.verdict != Pass {
		p.saw = append(p.saw, st.message)
	}
	ended := func(id string, verdict Verdict, err error) (Result, error) {
		message := s.redact(err.Error())
		return Result{ID: id, Verdict: verdict, Rows: []string{}, Evidence: EvidenceDocumented, Message: message}, err
	}
	switch {
	case p.err != nil:
		return ended("suite/target", Error, p.err)
	case p.unknown != "":
		return ended("suite/contract", Error,
			fmt.Errorf("%w %s: create answers %s", ErrContract, s.target.Contract, p.unknown))
	case p.talks:
		return Result{}, nil
	}
	verdict := Error
	if len(p.saw) > 0 && strings.Contains(p.saw[0], "HTTP 2") {
		verdict = Fail // it answers the method, but not as it should
	}
	res, err := ended("answers/json", verdict,
		fmt.Errorf("%w at %s: sent create with the target 5.0; expected a JSON object with failures; came %s",
			ErrNoServer, s.base, s.redact(strings.Join(slices.Compact(p.saw), "; then "))))
	res.Rows = rows("1.6")
	return res, err
}

// scout makes the first calls, and is what they found out.
type scout struct {
	*checker
	talks   bool     // some call was answered by a JSON object
	saw     []string // what came instead
	unknown string   // the answer by which the server does not know the contract; "" while it may
	err     error    // why further calls are in vain; nil while they may not be
}

// learn makes the calls.
func (p *scout) learn() {
	for _, w := range []way{byQuery, byForm} {
		r, ok := p.probe("create", w, p.createParams().set("target", "5.0"))
		if p.over() {
			return
		}
		if f, invalid := r.failure("TARGET:INVALID"); invalid {
			p.learned.ways["create"] = w
			list, _ := f["expected"].([]any)
			for _, v := range list {
				if t := text(v); t != "" {
					p.learned.targets = append(p.learned.targets, t)
				}
			}
			break
		}
		if !ok && p.hangs.Load() > 0 {
			break
		}
	}
	for _, method := range []string{"status", "process"} {
		if p.hangs.Load() > 0 {
			break
		}
		r, _ := p.probe(method, byQuery, params{"request", "999999999", "key", "AAAAAAAAAAAAAAAAAAAAAA=="})
		if namesMissing(r) {
			p.learned.ways[method] = byForm
		}
	}
	if len(p.learned.targets) > 0 {
		p.learned.target = slices.MaxFunc(p.learned.targets, compareRows)
		if !p.opts.Production && p.hangs.Load() == 0 {
			// A server may look at the contract only when nothing else is wrong.
			p.creates(p.learned.ways["create"], p.createParams())
		}
		return
	}
	// The refusal lists no targets: find one, and a way, by trying.
	for _, target := range []string{"8.0", "13.0", "18.0"} {
		for _, w := range []way{byQuery, byForm} {
			if p.opts.Production || p.talks && len(p.saw) > 0 && p.hangs.Load() > 1 {
				return
			}
			if p.creates(w, p.createParams().set("target", target)) {
				p.learned.target, p.learned.ways["create"] = target, w
				return
			}
			if p.over() || p.hangs.Load() > 1 {
				return
			}
		}
	}
}

// over reports whether nothing more can be learned.
func (p *scout) over() bool { return p.err != nil || p.unknown != "" }

// probe makes a call and takes note of what it says of the server.
func (p *scout) probe(method string, w way, params params) (reply, bool) {
	a, err := p.try(p.compose(method, w, params))
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &untrusted):
		p.err = fmt.Errorf("%w: %s: %w", ErrCertificate, p.base, untrusted.Err)
	case errors.As(err, &noTLS):
		p.err = fmt.Errorf("%w: want %s", ErrScheme, strings.Replace(p.base, "https:", "http:", 1))
	case a.Status == http.StatusBadRequest && strings.Contains(string(a.Body), "HTTP request") &&
		strings.Contains(string(a.Body), "HTTPS"):
		p.err = fmt.Errorf("%w: want %s", ErrScheme, strings.Replace(p.base, "http:", "https:", 1))
	}
	if err != nil {
		p.saw = append(p.saw, err.Error())
		return reply{Answer: a}, false
	}
	r := readReply(a)
	if r.object == nil {
		p.saw = append(p.saw, fmt.Sprintf("%s: %s", r.broken, r.Summary()))
		return r, false
	}
	p.talks = true
	if f, is := r.failure("CONTRACT:NOT_FOUND"); is && (f["code"] == nil || text(f["code"]) == p.target.Contract) {
		p.unknown = show(map[string]any(f))
	}
	return r, true
}

// creates reports whether create gives a request.
func (p *scout) creates(w way, params params) bool {
	r, ok := p.probe("create", w, params)
	if !ok {
		return false
	}
	_, ok = p.readRequest(r, params)
	return ok
}
