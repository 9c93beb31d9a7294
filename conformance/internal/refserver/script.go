package refserver

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

// Script is a server of the script API, over HTTPS, with a temporary SSH server for each transfer in which the system's
// rsync runs. Its fields change what it does, and are set before the first call.
type Script struct {
	// Edit changes an answer on its way out: the whole object with "jsonrpc" and "result", and reports by ok whether
	// the call succeeded. If nil, answers go out as they are.
	Edit func(call string, ok bool, answer map[string]any)

	// Front is called for each call in place of next, which is the server. If nil, the server is.
	Front func(w http.ResponseWriter, r *http.Request, next http.Handler)

	// Login changes who is let in to a transfer, and how. If nil, the key of the request is.
	Login func(config *ssh.ServerConfig)

	// Request is called for each request on a channel of a transfer, and reports whether it has answered, which ends the
	// channel. If nil, the server answers.
	Request func(r *ssh.Request, ch ssh.Channel) bool

	// Run is called for each command in place of next, which runs it and returns its exit status. If nil, it is run.
	Run func(c *Command, next func() int) int

	// Conn serves a connection to a transfer in place of the server. If nil, the server does.
	Conn func(raw net.Conn)

	// Steps are the states after process, one for each poll.
	Steps []string

	// Reason is why an upgrade failed, if it does.
	Reason string

	mutations map[string]bool
	rsync     string
	dir       string
	web       *httptest.Server
	hostKey   ssh.Signer
	wg        sync.WaitGroup

	mu   sync.Mutex
	jobs []*job
	port int // of the last transfer
}

// NewScript starts a server, and closes it when the test ends. The program is the rsync to run. A mutation is one
// thing that is wrong with the server, and says what; with "differently" the server is right, and has chosen otherwise
// wherever the contract leaves a choice.
func NewScript(t testing.TB, rsync string, mutations ...string) *Script {
	s := &Script{mutations: map[string]bool{}, rsync: rsync, dir: t.TempDir(), hostKey: newHostKey(),
		Steps: []string{"pending", "progress", "done"}}
	for _, m := range mutations {
		s.mutations[m] = true
	}
	s.web = httptest.NewTLSServer(s)
	t.Cleanup(func() {
		s.web.Close()
		s.mu.Lock()
		for _, j := range s.jobs {
			j.transfer.close()
			for _, old := range j.replaced {
				old.close()
			}
		}
		s.mu.Unlock()
		s.wg.Wait()
	})
	return s
}

// newHostKey makes a host key.
func newHostKey() ssh.Signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	return signer
}

// URL is the server's base URL.
func (s *Script) URL() string { return s.web.URL }

// RootCAs has the certificate of the server.
func (s *Script) RootCAs() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.web.Certificate())
	return pool
}

// Tokens returns the token of each request that was created.
func (s *Script) Tokens() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, j := range s.jobs {
		all = append(all, j.token)
	}
	return all
}

// is reports whether the server has the mutation.
func (s *Script) is(mutation string) bool { return s.mutations[mutation] }

// problem is why a call is refused, as the user reads it.
type problem string

func (p problem) Error() string { return string(p) }

// ServeHTTP answers a call.
func (s *Script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.Front != nil {
		s.Front(w, r, http.HandlerFunc(s.serve))
		return
	}
	s.serve(w, r)
}

// scriptText is what is handed out as the script.
const scriptText = "#!/usr/bin/env python3\nimport sys\nsys.exit('this server has no script')\n"

func (s *Script) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/upgrade" {
		text(w, "text/x-python", http.StatusOK, scriptText)
		return
	}
	name, found := strings.CutPrefix(path.Clean(r.URL.Path), "/upgrade/request/")
	call := s.calls()[name]
	switch method := r.Method; {
	case found && name == "logs" && method == http.MethodGet:
		s.serveLogs(w, r)
	case found && call != nil && method == http.MethodPost:
		s.serveCall(w, r, name, call)
	case found && (call != nil || name == "logs") && !s.is("differently"):
		http.Error(w, "another method, please", http.StatusMethodNotAllowed)
	default:
		http.NotFound(w, r)
	}
}

// text answers with a text.
func text(w http.ResponseWriter, kind string, status int, body string) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// call is one of the calls: it gets the params, and returns the result.
type call func(host string, p map[string]any) (map[string]any, error)

// calls are those that come by POST.
func (s *Script) calls() map[string]call {
	return map[string]call{"create": s.create, "transfer/start": s.start, "transfer/stop": s.stop,
		"process": s.process, "status": s.status, "wipe": s.wipe}
}

// serveCall answers a call of JSON-RPC.
func (s *Script) serveCall(w http.ResponseWriter, r *http.Request, name string, do call) {
	var in struct {
		ID     any            `json:"id"`
		Params map[string]any `json:"params"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	var result map[string]any
	if err != nil {
		err = problem("That is no call: " + err.Error())
	} else {
		s.mu.Lock()
		result, err = do(r.Host, in.Params)
		s.mu.Unlock()
	}
	out := map[string]any{"jsonrpc": "2.0", "id": in.ID}
	var said problem
	switch {
	case err == nil:
		out["result"] = result
	case !errors.As(err, &said):
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	case s.is("differently"), s.is("refuses in error"):
		out["error"] = map[string]any{"code": 200, "message": "Odoo Server Error", "data": map[string]any{
			"name": "odoo.exceptions.UserError", "debug": "Traceback (most recent call last):", "message": string(said)}}
	default:
		out["result"] = map[string]any{"error": string(said)}
	}
	if s.is("differently") {
		out["id"] = nil
	}
	if s.Edit != nil {
		s.Edit(name, err == nil, out)
	}
	answer, _ := json.Marshal(out)
	kind := "application/json"
	if s.is("differently") {
		kind = "application/json; charset=utf-8"
		if name == "transfer/stop" && err == nil {
			answer = nil // which is all that is asked of this one
		}
	}
	text(w, kind, http.StatusOK, string(answer))
}

// serveLogs answers with the log from a byte on.
func (s *Script) serveLogs(w http.ResponseWriter, r *http.Request) {
	other := s.is("differently")
	s.mu.Lock()
	j := s.find(r.URL.Query().Get("token"))
	var log string
	switch {
	case j == nil:
	case j.over() && s.is("no log behind the end"):
		j = nil
	case j.state != "new" || s.is("logs in new"):
		log = j.log()
	case other:
		log = "waiting for the dump\n"
	}
	s.mu.Unlock()
	if j == nil && other {
		text(w, "text/plain", http.StatusForbidden, "not yours")
		return
	} else if j == nil {
		http.NotFound(w, r)
		return
	}
	from, err := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"))
	if err != nil || from < 0 {
		from = 0
	}
	switch {
	case other && from >= len(log):
		w.WriteHeader(http.StatusNoContent)
	case from >= len(log):
		text(w, "text/plain; charset=utf-8", http.StatusOK, "")
	case other: // the bytes that were asked for, and no more words about it
		text(w, "application/octet-stream", http.StatusOK, log[from:])
	default:
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(log)-1, len(log)))
		text(w, "text/plain; charset=utf-8", http.StatusPartialContent, log[from:])
	}
}

// find is the request of a token, nil for none.
func (s *Script) find(token string) *job {
	if s.is("tokens open the first request") && len(s.jobs) > 0 {
		return s.jobs[0]
	}
	i := slices.IndexFunc(s.jobs, func(j *job) bool { return j.token == token })
	if i < 0 {
		return nil
	}
	return s.jobs[i]
}

// str is a member of the params that is a string, "" if it is none.
func str(p map[string]any, name string) string {
	v, _ := p[name].(string)
	return v
}
