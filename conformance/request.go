package conformance

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
func (b *bench) createParams() params {
	return params{"contract", b.target.Contract, "email", b.target.Email, "target", b.learned.target, "aim", "test", "filename", "openchs.70.cdump"}
}

// readRequest takes the request out of create's answer.
func (b *bench) readRequest(r reply, p params) (request, bool) {
	m := r.request()
	id := number(m["id"])
	if id == "" {
		id = text(m["id"])
	}
	req := request{id: id, key: text(m["key"]), params: p, reply: r}
	if req.id == "" || req.key == "" {
		return req, false
	}
	b.remember(req.id, req.key, text(m["status_url"]))
	return req, true
}

// create makes a request of the check's own, with the usual parameters changed by kv.
func (b *bench) create(kv ...string) request {
	p := b.createParams()
	for i := 0; i+1 < len(kv); i += 2 {
		p = p.set(kv[i], kv[i+1])
	}
	r, err := b.tryAPI("create", p)
	if err != nil {
		b.blocked("create/succeeds", "create: %v", err)
	}
	req, ok := b.readRequest(r, p)
	if !ok {
		b.blocked("create/succeeds", "create gave no request with id and key: %s", r.came())
	}
	return req
}

// draft is a request in draft to look at: one of the check's own, or in production the shared one.
func (b *bench) draft() request {
	if b.opts.Production {
		return b.journey("main").draft(b)
	}
	return b.create()
}

// uploaded is a request in draft with the documented kind of dump, and that dump.
func (b *bench) uploaded() (request, []byte) {
	if b.opts.Production {
		j := b.journey("main")
		return j.uploaded(b), j.dump
	}
	req := b.create()
	dump := b.dump()
	b.put(req, dump)
	return req, dump
}

// put uploads a dump over HTTP for a step before the one judged.
func (b *bench) put(req request, dump []byte) {
	a, err := b.try(b.composeUpload(req, dump))
	if err != nil {
		b.blocked("upload/answer", "upload: %v", err)
	}
	if r := readReply(a); r.object == nil || !r.fine() {
		b.blocked("upload/answer", "upload answered %s", r.came())
	}
}

func (b *bench) composeUpload(req request, dump []byte) call {
	return call{method: "POST", url: b.methodURL("upload") + "?" + req.auth().encode(), ctype: "application/octet-stream", body: dump,
		what: fmt.Sprintf("POST upload {request=%s} with %d bytes", req.id, len(dump))}
}

// status asks for the request's status for a step before the one judged.
func (b *bench) status(req request) reply {
	r, err := b.tryAPI("status", req.auth())
	if err != nil {
		b.blocked("status/answer", "status: %v", err)
	}
	if r.request() == nil {
		b.blocked("status/answer", "status answered %s", r.came())
	}
	return r
}

// preflight finds out whether this is such a server at all, its targets, and how it takes parameters. Where it is
// none, the one result says so.
func (s *suite) preflight(ctx context.Context) (Result, bool) {
	ctx, cancel := context.WithTimeout(ctx, 4*s.opts.CallTimeout)
	defer cancel()
	b := s.newBench(ctx, "preflight")
	defer b.close()
	s.learned = learned{target: "8.0", ways: map[string]way{}}
	var talks bool
	var saw []string
	st := b.guard(func() {
		if s.opts.Resume != nil {
			talks = true
			return
		}
		probe := func(method string, w way, p params) (reply, bool) {
			a, err := b.try(b.compose(method, w, p))
			r := reply{answer: a}
			if err == nil {
				r = readReply(a)
			}
			switch {
			case err != nil:
				saw = append(saw, err.Error())
			case r.object == nil:
				saw = append(saw, fmt.Sprintf("%s: %s", r.broken, r.came()))
			default:
				talks = true
			}
			return r, err == nil && r.object != nil
		}
		for _, w := range []way{byQuery, byForm} {
			r, ok := probe("create", w, b.createParams().set("target", "5.0"))
			if f, invalid := r.failure("TARGET:INVALID"); invalid {
				s.learned.ways["create"] = w
				list, _ := f["expected"].([]any)
				for _, v := range list {
					if t := text(v); t != "" {
						s.learned.targets = append(s.learned.targets, t)
					}
				}
				break
			}
			if !ok && b.hangs.Load() > 0 {
				break
			}
		}
		for _, method := range []string{"status", "process"} {
			if b.hangs.Load() > 0 {
				break
			}
			r, _ := probe(method, byQuery, params{"request", "999999999", "key", "AAAAAAAAAAAAAAAAAAAAAA=="})
			if namesMissing(r) {
				s.learned.ways[method] = byForm
			}
		}
		if n := len(s.learned.targets); n > 0 {
			s.learned.target = slices.MaxFunc(s.learned.targets, compareRows)
			return
		}
		// The refusal told nothing: find a target and a way by trying.
		for _, target := range []string{"8.0", "13.0", "18.0"} {
			for _, w := range []way{byQuery, byForm} {
				if s.opts.Production || talks && len(saw) > 0 && b.hangs.Load() > 1 {
					return
				}
				p := b.createParams().set("target", target)
				if r, ok := probe("create", w, p); ok {
					if _, ok := b.readRequest(r, p); ok {
						s.learned.target, s.learned.ways["create"] = target, w
						return
					}
				} else if b.hangs.Load() > 1 {
					return
				}
			}
		}
	})
	if st.verdict != Pass {
		saw = append(saw, st.message)
	}
	if talks {
		return Result{}, true
	}
	verdict := Error
	if len(saw) > 0 && strings.Contains(saw[0], "HTTP 2") {
		verdict = Fail // it answers the method, but not as it should
	}
	return Result{ID: "answers/json", Verdict: verdict, Rows: rows("1.6"), Evidence: Documented,
		Message: fmt.Sprintf("no Database Upgrade API at %s: sent create with the target 5.0; expected a JSON object with failures; came %s", s.base, s.redact(strings.Join(slices.Compact(saw), "; then ")))}, false
}
