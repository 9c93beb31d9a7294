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

// preflights finds out which of the APIs that the selected checks are about the server has. The checks of one that it
// does not have are left out, unless the options ask for it, or it has neither. Where no check could be made it
// returns why, and the one result that says so.
func (s *suite) preflights(ctx context.Context) ([]LeftOut, Result, error) {
	asked := func(api API) bool {
		return slices.ContainsFunc(s.checks, func(c *check) bool { return c.api() == api })
	}
	var left []LeftOut
	var first Result
	var firstErr error
	for _, api := range []API{APIDatabase, APIScript} {
		if !asked(api) {
			continue
		}
		look := s.preflight
		if api == APIScript {
			look = s.scriptPreflight
		}
		res, err := look(ctx)
		switch {
		case err == nil:
			continue
		case !errors.Is(err, ErrNoServer), s.opts.API != "":
			return nil, res, err
		case firstErr == nil:
			first, firstErr = res, err
		}
		left = append(left, LeftOut{api, res.Message})
		if s.silent {
			return nil, res, err // it would not answer for the other API either
		}
	}
	s.checks = slices.DeleteFunc(s.checks, func(c *check) bool {
		return slices.ContainsFunc(left, func(l LeftOut) bool { return l.API == c.api() })
	})
	if len(s.checks) > 0 {
		return left, Result{}, nil
	}
	if len(left) > 1 {
		firstErr = neither{firstErr, strings.TrimPrefix(left[1].Reason, fmt.Sprintf("%v at %s: ", ErrNoServer, s.base))}
		first.Message = s.redact(firstErr.Error())
	}
	return nil, first, firstErr
}

// neither is the error of a server that has neither API.
type neither struct {
	error
	other string // what came of asking for the second
}

func (n neither) Error() string { return n.error.Error() + "; and " + n.other }

func (n neither) Unwrap() error { return n.error }

// preflight finds out whether the server has the database API, its targets, how it takes parameters, and whether it
// knows the contract. Where no check could be made it returns why, and the one result that says so.
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
	s.silent = true
	if st := c.guard(p.learn); st.verdict != Pass {
		p.saw = append(p.saw, st.message)
	}
	switch {
	case p.err != nil:
		return s.ended("suite/target", p.err)
	case p.unknown != "":
		return s.ended("suite/contract",
			fmt.Errorf("%w %s: create answers %s", ErrContract, s.target.Contract, p.unknown))
	case p.talks:
		return Result{}, nil
	}
	res, err := s.ended("answers/json",
		fmt.Errorf("%w at %s: sent create with the target 5.0; expected a JSON object with failures; came %s",
			ErrNoServer, s.base, s.redact(strings.Join(slices.Compact(p.saw), "; then "))))
	if len(p.saw) > 0 && strings.Contains(p.saw[0], "HTTP 2") {
		res.Verdict = Fail // it answers the method, but not as it should
	}
	res.Rows = rows("1.6")
	return res, err
}

// ended is the result and the error of a run that ends before its first check.
func (s *suite) ended(id string, err error) (Result, error) {
	return runError(id, s.redact(err.Error())), err
}

// inVain is the error by which every call would fail like the one that was answered so; nil if there may be others.
func (s *suite) inVain(a raw.Answer, err error) error {
	var untrusted *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &untrusted):
		return fmt.Errorf("%w: %s: %w", ErrCertificate, s.base, untrusted.Err)
	case errors.As(err, &noTLS):
		return fmt.Errorf("%w: want %s", ErrScheme, strings.Replace(s.base, "https:", "http:", 1))
	case a.Status == http.StatusBadRequest && strings.Contains(string(a.Body), "HTTP request") &&
		strings.Contains(string(a.Body), "HTTPS"):
		return fmt.Errorf("%w: want %s", ErrScheme, strings.Replace(s.base, "http:", "https:", 1))
	}
	return nil
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
	p.err = p.inVain(a, err)
	if err != nil {
		p.saw = append(p.saw, err.Error())
		return reply{Answer: a}, false
	}
	p.silent = false
	r := readReply(a)
	if r.object == nil {
		p.saw = append(p.saw, fmt.Sprintf("%s: %s", r.broken, r.Summary()))
		return r, false
	}
	if a.Status == http.StatusNotFound && r.object["failures"] == nil {
		p.saw = append(p.saw, r.Summary()) // JSON is what some servers say of any path
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

// noToken has the form of a token, and is none's.
var noToken = strings.Repeat("upgrademock-", 5)[:tokenLength]

// onlyKnows reports whether a server that answered a call otherwise than the script API does has such a call all the
// same: one of another name is not found.
func (c *checker) onlyKnows(name string, r rpcReply) bool {
	if r.Status == http.StatusNotFound || r.Status == http.StatusMethodNotAllowed {
		return false
	}
	other, err := c.tryRPC(name+"_of_no_platform", members{{"token", noToken}})
	return err == nil && other.Status == http.StatusNotFound
}

// scriptPreflight finds out whether the server has the script API, by calls that leave nothing behind.
func (s *suite) scriptPreflight(ctx context.Context) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, 4*s.opts.CallTimeout)
	defer cancel()
	c := s.newChecker(ctx, "preflight-script")
	defer c.close()
	if s.opts.Resume != nil {
		return Result{}, nil
	}
	var saw []string
	var ended error
	st := c.guard(func() {
		for _, name := range []string{"status", "process"} {
			r, err := c.tryRPC(name, members{{"token", noToken}})
			if ended = s.inVain(r.Answer, err); ended != nil {
				return
			}
			switch {
			case err != nil:
				saw = append(saw, err.Error())
			case r.isRPC():
				saw = nil
				return
			case c.onlyKnows(name, r):
				saw = nil
				return
			default:
				saw = append(saw, r.Summary())
			}
		}
	})
	if st.verdict != Pass {
		saw = append(saw, st.message)
	}
	switch {
	case ended != nil:
		return s.ended("suite/target", ended)
	case len(saw) == 0:
		return Result{}, nil
	}
	res, err := s.ended("script/jsonrpc", fmt.Errorf("%w at %s: sent POST upgrade/request/status with an unknown "+
		"token; expected a JSON object with result or error; came %s",
		ErrNoServer, s.base, strings.Join(slices.Compact(saw), "; then ")))
	res.Rows = rows("S1.9")
	return res, err
}
