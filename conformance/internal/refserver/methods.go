package refserver

import (
	"bytes"
	"net/http"
	"slices"
	"time"
)

// call does what a method is for.
func (s *Server) call(r *http.Request, method string, p map[string]string, body []byte) (map[string]any, []failure) {
	if method == "create" || method == "upgrade" {
		return s.create(method, p, body)
	}
	req, fails := s.open(method, p)
	if req == nil {
		if len(fails) == 0 {
			return map[string]any{}, nil
		}
		return nil, fails
	}
	switch method {
	case "upload":
		return s.upload(req, body)
	case "request_sftp_access":
		return s.access(req, p)
	case "process":
		return s.processCall(req)
	case "status":
		s.poll(req)
		return map[string]any{"request": s.show(req)}, nil
	case "skip_test":
		return s.skipTest(req)
	}
	return nil, nil
}

// upload takes a dump.
func (s *Server) upload(req *Request, body []byte) (map[string]any, []failure) {
	if req.state != "draft" && !s.is("upload/only-draft") {
		return nil, stateFailure(req, "draft")
	}
	to := req
	if s.is("upload/own-request") {
		for _, other := range s.reqs {
			if other.name == "bystander.dump" {
				other.Dump, other.uploaded = body, true
			}
		}
	}
	switch {
	case s.is("upload/replaces") && len(to.Dump) > len(body) && !bytes.Contains(body, []byte("intruder")):
		to.Dump = append(slices.Clone(body), to.Dump[len(body):]...)
	case s.is("upload/describes-the-last") && to.uploaded:
		to.guessPostgresql = describe(to.Dump).postgresql
		to.Dump = body
	default:
		to.Dump = body
	}
	to.uploaded = true
	to.mtime = time.Now()
	if s.is("upload/still-draft") {
		to.state = "uploaded"
	}
	if s.is("upload/empty") && len(body) == 0 {
		return map[string]any{"failures": "nothing came"}, nil
	}
	if s.is("upload/answer") {
		return nil, []failure{{"reason": "SERVER:ERROR", "message": "no"}}
	}
	return map[string]any{}, nil
}

// processCall answers process.
func (s *Server) processCall(req *Request) (map[string]any, []failure) {
	if s.is("process/answer") {
		return nil, []failure{{"reason": "SERVER:ERROR", "message": "no"}}
	}
	if req.state != "draft" && !s.is("process/twice") {
		return nil, stateFailure(req, "draft")
	}
	if len(req.Dump) == 0 && !s.is("process/needs-dump") {
		return nil, []failure{{"reason": "DUMP:MISSING", "message": "there is no dump"}}
	}
	if s.is("process/own-request") {
		for _, other := range s.reqs {
			if other.state == "draft" && other.uploaded && other.name == "bystander.dump" {
				s.process(other)
			}
		}
	}
	if req.state == "draft" && !s.is("process/leaves-draft") {
		s.process(req)
	}
	return map[string]any{}, nil
}

// skipTest answers skip_test.
func (s *Server) skipTest(req *Request) (map[string]any, []failure) {
	if s.is("skip-test/state-invalid") && req.state == "draft" {
		return nil, []failure{{"reason": "STATE:WRONG", "message": "no"}}
	}
	if req.state != "testing" {
		if s.is("skip-test/refused-in-draft") && req.state == "draft" || s.is("skip-test/only-in-testing") &&
			req.state != "draft" && req.state != "delivered" {
			return map[string]any{}, nil
		}
		return nil, stateFailure(req, "testing")
	}
	req.state, req.polls = "delivered", len(s.Steps)+1
	if s.is("skip-test/delivers") {
		req.state = "done"
	}
	return map[string]any{}, nil
}

// process begins an upgrade.
func (s *Server) process(req *Request) {
	req.original = req.Dump
	if s.is("process/sftp-dump") && bytes.Contains(req.Dump, []byte("by SFTP")) {
		req.original = bytes.TrimSpace(req.Dump)
	}
	req.state, req.polls, req.processed = s.Steps[0], 0, time.Now()
	if !s.is("sftp-access/ends") {
		s.ssh.close(req.id)
		req.keys = nil
	}
}

// poll moves a request on: each state is answered by one poll.
func (s *Server) poll(req *Request) {
	req.statusCalls++
	if req.original == nil || req.state == "delivered" {
		return
	}
	if req.state == "testing" {
		return
	}
	i := min(req.polls, len(s.Steps)-1)
	req.state = s.Steps[i]
	req.polls++
	if s.is("process/stays-done") && req.state == "done" && req.polls > len(s.Steps)+1 {
		req.state = "processing"
	}
}
