package refserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Contract is the contract that the server knows, beside others that look like one.
const Contract = "M123456-abcdef"

// Server is a server of the upgrade API. Its fields change what it does, and are set before the first call.
type Server struct {
	// Edit changes an answer on its way out. If nil, answers go out as they are.
	Edit func(method string, ok bool, answer map[string]any)

	// File serves a download, and reports whether it did. If nil, the server does.
	File func(w http.ResponseWriter, r *http.Request) bool

	// Front is called for each call in place of next, which is the server. If nil, the server is.
	Front func(w http.ResponseWriter, r *http.Request, next http.Handler)

	// Packet answers an SFTP request of a kind. With the type 0 it leaves the answer to the server. If nil, the server
	// answers all.
	Packet func(f *Session, kind byte, p *Packet) (byte, []byte)

	// Steps are the states after process, one for each poll.
	Steps []string

	// SkipTest says whether the server has the method skip_test.
	SkipTest bool

	mutations map[string]bool
	web       *httptest.Server
	ssh       *sshServer

	mu   sync.Mutex
	next int // the id of the last request
	reqs map[int]*Request
}

// Request is a request that was created.
type Request struct {
	Params map[string]string // of create
	Dump   []byte

	id              int
	key             string
	created         time.Time
	processed       time.Time
	state           string
	polls           int    // since process
	original        []byte // what process took
	uploaded        bool
	keys            []ssh.PublicKey
	mtime           time.Time
	viaUpgrade      bool
	name            string // of the shared file
	statusCalls     int
	guessPostgresql string
	viaSFTP         bool
}

// over reports whether the upgrade has ended.
func (r *Request) over() bool { return r.state == "done" || r.state == "delivered" }

// New starts a server, and closes it when the test ends. A mutation is one thing that is wrong with the server; its
// name is that of the check that must fail, or says what is wrong.
func New(t testing.TB, mutations ...string) *Server {
	s := &Server{mutations: map[string]bool{}, next: 10533, reqs: map[int]*Request{}, SkipTest: true,
		Steps: []string{"pending", "processing", "done"}}
	for _, m := range mutations {
		s.mutations[m] = true
	}
	s.ssh = newSSHServer(t, s)
	s.web = httptest.NewServer(s)
	t.Cleanup(func() {
		s.web.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		clear(s.reqs) // testing holds on to this function, and by it to the dumps, until the parent test ends
	})
	return s
}

// Created returns the parameters of each request that was created.
func (s *Server) Created() []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []map[string]string
	for _, r := range s.reqs {
		all = append(all, maps.Clone(r.Params))
	}
	return all
}

// is reports whether the server has the mutation.
func (s *Server) is(mutation string) bool { return s.mutations[mutation] }

// URL is the server's base URL.
func (s *Server) URL() string { return s.web.URL }

// failure is one object of the list of failures.
type failure map[string]any

// ServeHTTP answers a call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Front != nil {
		s.Front(w, r, http.HandlerFunc(s.serve))
		return
	}
	s.serve(w, r)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if s.is("hang") {
		<-r.Context().Done()
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/database/v1/"); ok {
		s.serveMethod(w, r, rest)
		return
	}
	if s.File != nil && s.File(w, r) {
		return
	}
	s.serveFile(w, r)
}

// serveMethod answers a call of a method.
func (s *Server) serveMethod(w http.ResponseWriter, r *http.Request, method string) {
	if trimmed := strings.TrimSuffix(method, "/"); !s.is("answers/trailing-slash") {
		method = trimmed
	}
	switch method {
	case "create", "upload", "request_sftp_access", "process", "status", "upgrade":
	case "skip_test":
		if !s.SkipTest {
			http.NotFound(w, r)
			return
		}
	default:
		if s.is("answers/unknown-method") {
			s.answer(w, method, map[string]any{"failures": []any{}})
			return
		}
		http.NotFound(w, r)
		return
	}
	allowed := []string{"GET", "POST", "PUT", "HEAD"}
	if s.is("answers/http-methods") {
		allowed = []string{"GET", "POST"}
	}
	if !slices.Contains(allowed, r.Method) && !s.is("answers/http-method-refused") {
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		http.Error(w, "no", http.StatusMethodNotAllowed)
		return
	}
	p, fails := s.params(r, method)
	if fails == nil {
		var body []byte
		var err error
		if method == "upload" || method == "upgrade" {
			body, err = s.body(r)
			if err != nil && method == "upload" {
				expected := r.ContentLength
				fails = []failure{{"reason": "DUMP:INCOMPLETE", "message": "The upload ended early",
					"received": len(body), "expected_size": expected}}
				if s.is("upload/broken-refused") {
					fails[0]["reason"] = "DUMP:BROKEN"
				}
				if s.is("upload/broken-keeps-earlier") {
					s.mu.Lock()
					if req, _ := s.find(p); req != nil {
						req.Dump = body
					}
					s.mu.Unlock()
				}
			}
		}
		if fails == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			var out map[string]any
			out, fails = s.call(r, method, p, body)
			if fails == nil {
				s.answer(w, method, out)
				return
			}
		}
	}
	list := []any{}
	for _, f := range fails {
		list = append(list, map[string]any(f))
	}
	s.answer(w, method, map[string]any{"failures": list})
}

// answer writes an answer.
func (s *Server) answer(w http.ResponseWriter, method string, out map[string]any) {
	list, _ := out["failures"].([]any)
	ok := len(list) == 0
	if out["failures"] == nil {
		out["failures"] = []any{}
	}
	if s.Edit != nil {
		s.Edit(method, ok, out)
	}
	status := http.StatusOK
	switch {
	case ok && method == "process" && s.is("answers/success-status"):
		status = http.StatusFound
	case ok && method == "create" && s.is("answers/success-200"):
		status = http.StatusCreated
	case !ok && (s.is("answers/failure-200") || s.is("differently")):
		status = http.StatusUnprocessableEntity
	}
	ctype := "application/json"
	if s.is("answers/content-type") || s.is("differently") {
		ctype = "text/plain"
	}
	body, _ := json.Marshal(out)
	switch {
	case s.is("garbage"):
		body = []byte("<html>Bad Gateway</html>")
	case s.is("utf8"):
		body = bytes.ReplaceAll(body, []byte("new"), []byte("n\xff\xfew"))
	case s.is("flood"):
		w.Header().Set("Content-Type", ctype)
		w.WriteHeader(status)
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	case s.is("reset"):
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", ctype)
	w.WriteHeader(status)
	w.Write(body)
}

// find is the request that the parameters open.
func (s *Server) find(p map[string]string) (*Request, []failure) {
	var missing []failure
	for _, name := range []string{"request", "key"} {
		if p[name] == "" {
			missing = append(missing, missingFailure(name))
		}
	}
	if missing != nil && s.is("differently") {
		return nil, []failure{notFoundFailure(p["request"])}
	}
	if missing != nil {
		return nil, missing
	}
	id, _ := strconv.Atoi(p["request"])
	req := s.reqs[id]
	if req == nil || req.key != p["key"] || strconv.Itoa(id) != p["request"] {
		return nil, []failure{notFoundFailure(p["request"])}
	}
	return req, nil
}

// missingFailure is the failure of a parameter that is not there.
func missingFailure(name string) failure {
	return failure{"reason": strings.ToUpper(name) + ":MISSING", "message": fmt.Sprintf("Missing parameter %q", name)}
}

// notFoundFailure is the failure of a request that does not exist.
func notFoundFailure(id string) failure {
	return failure{"reason": "REQUEST:NOT_FOUND", "message": "Can not find request " + id, "code": id}
}

// stateFailure is the failure of a method in the wrong state.
func stateFailure(req *Request, expected ...string) []failure {
	return []failure{{"reason": "STATE:INVALID", "message": "not in state " + req.state, "value": req.state,
		"expected": expected}}
}

// open is find with the mutations of one method.
func (s *Server) open(method string, p map[string]string) (*Request, []failure) {
	g := Group(method)
	id, _ := strconv.Atoi(p["request"])
	known := s.reqs[id]
	switch {
	case s.is(g+"/wrong-key") && known != nil && len(p["key"]) > 2 && strings.EqualFold(known.key[:2], p["key"][:2]):
		return known, nil
	case s.is(g+"/other-key") && known != nil &&
		slices.ContainsFunc(slices.Collect(maps.Values(s.reqs)), func(r *Request) bool { return r.key == p["key"] }):
		return known, nil
	case s.is(g+"/requires-key") && known != nil && p["key"] == "":
		return known, nil
	case s.is(g+"/unknown-request") && known == nil && p["request"] != "" && p["key"] != "":
		return nil, []failure{}
	case s.is(g+"/not-found") && known == nil && p["request"] != "" && p["key"] != "":
		return nil, []failure{{"reason": "REQUEST:UNKNOWN", "message": "no"}}
	case s.is(g+"/all-problems") && p["request"] == "" && p["key"] == "":
		return nil, []failure{missingFailure("request")}
	case s.is(g+"/missing") && (p["request"] == "" || p["key"] == ""):
		return nil, []failure{notFoundFailure(p["request"])}
	}
	return s.find(p)
}

// Group is the group of the checks of a method, the first part of their ids.
func Group(method string) string {
	if method == "request_sftp_access" {
		return "sftp-access"
	}
	return strings.ReplaceAll(method, "_", "-")
}
