package refserver

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"
)

// create answers create and upgrade.
func (s *Server) create(method string, p map[string]string, body []byte) (map[string]any, []failure) {
	if fails := s.refuseCreate(method, p); fails != nil {
		return nil, fails
	}
	req := s.newRequest(p)
	if method == "upgrade" {
		req.viaUpgrade = true
		if req.name == "" {
			req.name = p["contract"] + ".sql"
			if s.is("upgrade/filename") {
				req.name = "upgrade.sql"
			}
		}
		req.Params["filename"] = req.name
		req.Dump, req.uploaded = body, true
		if s.is("upgrade/bytes") {
			req.Dump = bytes.TrimSpace(body)
		}
		if !s.is("upgrade/processes") {
			s.process(req)
		}
	}
	out := map[string]any{"request": s.show(req)}
	if s.is("differently") {
		out["version"] = 1
	}
	return out, nil
}

// refuseCreate is why create or upgrade is refused, nil if it is not.
func (s *Server) refuseCreate(method string, p map[string]string) []failure {
	fails := s.missingParams(method, p)
	fails = append(fails, s.wrongTarget(method, p)...)
	if s.is("accepts 9.0") {
		fails = slices.DeleteFunc(fails, func(f failure) bool { return f["value"] == "9.0" })
	}
	if s.is("create/targets") && p["target"] == "6.1" {
		fails = append(fails, failure{"reason": "TARGET:INVALID", "message": "no"})
	}
	fails = append(fails, s.wrongContract(p["contract"], len(fails))...)
	fails = append(fails, s.wrongAim(p["aim"], len(fails))...)
	fails = append(fails, s.wrongValues(p)...)
	fails = s.mutateFailures(method, fails)
	if s.is("create/succeeds") {
		fails = append(fails, failure{"reason": "SERVER:ERROR", "message": "no"})
	}
	return fails
}

// missingParams is a failure for each parameter that is required and not there.
func (s *Server) missingParams(method string, p map[string]string) []failure {
	var fails []failure
	required := []string{"contract", "email", "target", "aim", "filename"}
	if method == "upgrade" {
		required = required[:4]
	}
	for _, name := range required {
		if p[name] == "" && !(s.is("create/requires-"+name) && method == "create") {
			f := missingFailure(name)
			if s.is("create/missing-" + name) {
				f["reason"] = "PARAMETER:MISSING"
			}
			fails = append(fails, f)
		}
	}
	return fails
}

// wrongTarget is the failure of a target that is not one of the targets.
func (s *Server) wrongTarget(method string, p map[string]string) []failure {
	targets := []string{"6.0", "6.1", "7.0", "8.0"}
	if s.is("edition 13.0") {
		targets = []string{"11.0", "12.0", "13.0"}
	}
	t := p["target"]
	switch {
	case t == "", slices.Contains(targets, t):
	case s.is("create/target-exact") && (t == "8" || t == "8.0x"):
	case s.is("upgrade/refusals") && method == "upgrade":
	default:
		expected := []any{}
		for _, v := range targets {
			expected = append(expected, v)
		}
		f := failure{"reason": "TARGET:INVALID", "message": fmt.Sprintf("Invalid value %q", t), "value": t,
			"expected": expected}
		if s.is("create/target-expected") {
			slices.Reverse(expected)
		}
		if s.is("create/target-invalid") {
			f["message"] = "Invalid target"
		}
		return []failure{f}
	}
	return nil
}

// wrongContract is the failure of a contract that is not known; others is the number of failures before it.
func (s *Server) wrongContract(c string, others int) []failure {
	var fails []failure
	if c == "M123456-abcxyz" {
		f := failure{"reason": "CONTRACT:NOT_FOUND", "message": "Can not find contract " + c, "code": c}
		if s.is("create/contract-unknown") {
			delete(f, "code")
			f["value"] = c
		}
		if !(s.is("create/all-problems") && others > 0) {
			fails = append(fails, f)
		}
	}
	if s.is("create/contract-forms") && len(c) > 13 && c != "M123456-abcxyz" && c != Contract {
		fails = append(fails, failure{"reason": "CONTRACT:INVALID", "message": "no"})
	}
	if s.is("create/contracts-known") && c != "" && c != Contract && c != "M123456-abcxyz" {
		fails = append(fails, failure{"reason": "CONTRACT:NOT_FOUND",
			"message": "Can not find contract " + c, "code": c})
	}
	return fails
}

// wrongAim is the failure of an aim that is none; others is the number of failures before it.
func (s *Server) wrongAim(a string, others int) []failure {
	var fails []failure
	if a != "" && a != "test" && a != "production" && !(s.is("create/aim-checked") && a == "tests") {
		f := failure{"reason": "AIM:INVALID", "message": fmt.Sprintf("Invalid value %q", a), "value": a,
			"expected": []string{"test", "production"}}
		if s.is("create/aim-invalid") {
			f["reason"] = "AIM:WRONG"
		}
		if s.is("create/all-problems-assumed") && others > 1 {
			f = nil
		}
		if f != nil {
			fails = append(fails, f)
		}
	}
	if s.is("create/aims") && a == "production" {
		fails = append(fails, failure{"reason": "AIM:INVALID", "message": "no"})
	}
	return fails
}

// wrongValues are the failures of the other parameters.
func (s *Server) wrongValues(p map[string]string) []failure {
	var fails []failure
	add := func(f failure) { fails = append(fails, f) }
	if e := p["email"]; e != "" && !s.is("create/email-invalid") {
		if _, err := mail.ParseAddress(e); err != nil || s.is("create/email-blank") && strings.TrimSpace(e) != e {
			add(failure{"reason": "EMAIL:INVALID", "message": fmt.Sprintf("Invalid value %q", e), "value": e})
		}
	}
	if n := p["filename"]; n == "." || n == ".." || len(n) > 255 || strings.ContainsAny(n, "/\\") ||
		strings.ContainsFunc(n, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		if !s.is("create/filename-invalid") || n != `a\b.dump` {
			add(failure{"reason": "FILENAME:INVALID", "message": "no", "value": n})
		}
	}
	if z := p["timezone"]; z != "" && !s.is("create/timezone-invalid") {
		if _, err := time.LoadLocation(z); err != nil || strings.Contains(z, "..") {
			add(failure{"reason": "TIMEZONE:INVALID", "message": "no", "value": z})
		}
	}
	return fails
}

// mutateFailures changes the list of failures as the mutations say.
func (s *Server) mutateFailures(method string, fails []failure) []failure {
	if s.is("differently") {
		for _, f := range fails {
			if r := f["reason"].(string); r != "TARGET:INVALID" && r != "CONTRACT:NOT_FOUND" {
				f["reason"], f["message"] = "PARAMETER", "wrong parameter"
			}
		}
	}
	missing := func(f failure) bool { return strings.HasSuffix(f["reason"].(string), ":MISSING") }
	if s.is("create/all-problems-counted") && method == "create" {
		if i := slices.IndexFunc(fails, missing); i >= 0 {
			fails = slices.Concat(fails[:i+1], slices.DeleteFunc(slices.Clone(fails[i+1:]), missing))
		}
	}
	if s.is("invalid only when nothing is missing") && slices.ContainsFunc(fails, missing) {
		fails = slices.DeleteFunc(fails, func(f failure) bool { return !missing(f) })
	}
	if s.is("upgrade/all-problems") && method == "upgrade" && len(fails) > 1 {
		fails = fails[:1]
	}
	return fails
}

// newRequest makes a request.
func (s *Server) newRequest(p map[string]string) *Request {
	if !s.is("create/id-new") || s.next < 10535 {
		s.next++
	}
	id := s.next
	if s.is("create/id-ascending") || s.is("differently") {
		id = 40000 - s.next
	}
	raw := make([]byte, 16)
	rand.Read(raw)
	if s.is("create/key-unguessable") {
		copy(raw, "2026")
	}
	if s.is("create/key-new") && s.next%2 == 0 {
		copy(raw, "sixteen byte key")
	}
	req := &Request{id: id, key: base64.URLEncoding.EncodeToString(raw), Params: maps.Clone(p), created: time.Now(),
		state: "draft", mtime: time.Now(), name: p["filename"]}
	switch {
	case s.is("create/key-form"):
		req.key = strings.TrimRight(req.key, "=")
	case s.is("key in hexadecimal"):
		req.key = hex.EncodeToString(raw)
	case s.is("key of 15 bytes"):
		req.key = base64.URLEncoding.EncodeToString(raw[:15])
	case s.is("key made of the id"):
		digest := md5.Sum([]byte(strconv.Itoa(id)))
		req.key = base64.URLEncoding.EncodeToString(digest[:])
	}
	if s.is("create/state-draft") {
		req.state = "new"
	}
	s.reqs[id] = req
	if s.is("create/filename-any-script") {
		req.name = strings.Map(func(r rune) rune {
			if r > 127 {
				return '?'
			}
			return r
		}, req.name)
	}
	return req
}
