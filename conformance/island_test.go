package conformance_test

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// island is a server of its own, written from the wire contract and knowing nothing of the emulator: small, in memory,
// and easy to bend. Each bend is a name that the code asks for with is; by habit the id of the check that must notice.
type island struct {
	bends map[string]bool
	edit  func(method string, ok bool, answer map[string]any)             // changes an answer on its way out; nil: none
	file  func(w http.ResponseWriter, r *http.Request) bool               // serves a download instead; nil: none
	front func(w http.ResponseWriter, r *http.Request, next http.Handler) // stands before every call; nil: nothing does
	// packet answers an SFTP request instead; with the type 0 it leaves it to the island. nil: none
	packet func(f *islandFiles, kind byte, p *islandPacket) (byte, []byte)
	steps  []string // the states after process
	skip   bool     // has skip_test
	web    *httptest.Server
	ssh    *islandSSH

	mu   sync.Mutex
	next int
	reqs map[int]*islandRequest
}

type islandRequest struct {
	id              int
	key             string
	params          map[string]string
	created         time.Time
	processed       time.Time
	state           string
	polls           int // since process
	dump            []byte
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

func newIsland(t testing.TB, bends ...string) *island {
	s := &island{bends: map[string]bool{}, next: 10533, reqs: map[int]*islandRequest{}, steps: []string{"pending", "processing", "done"}, skip: true}
	for _, b := range bends {
		s.bends[b] = true
	}
	s.ssh = newIslandSSH(t, s)
	s.web = httptest.NewServer(s)
	t.Cleanup(s.web.Close)
	return s
}

func (s *island) is(bend string) bool { return s.bends[bend] }

func (s *island) URL() string { return s.web.URL }

// failure is one object of the list.
type islandFailure map[string]any

func (s *island) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.front != nil {
		s.front(w, r, http.HandlerFunc(s.serve))
		return
	}
	s.serve(w, r)
}

func (s *island) serve(w http.ResponseWriter, r *http.Request) {
	if s.is("hang") {
		<-r.Context().Done()
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/database/v1/"); ok {
		s.serveMethod(w, r, rest)
		return
	}
	if s.file != nil && s.file(w, r) {
		return
	}
	s.serveFile(w, r)
}

func (s *island) serveMethod(w http.ResponseWriter, r *http.Request, method string) {
	if trimmed := strings.TrimSuffix(method, "/"); !s.is("answers/trailing-slash") {
		method = trimmed
	}
	switch method {
	case "create", "upload", "request_sftp_access", "process", "status", "upgrade":
	case "skip_test":
		if !s.skip {
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
				fails = []islandFailure{{"reason": "DUMP:INCOMPLETE", "message": "The upload ended early", "received": len(body), "expected_size": expected}}
				if s.is("upload/broken-refused") {
					fails[0]["reason"] = "DUMP:BROKEN"
				}
				if s.is("upload/broken-keeps-earlier") {
					s.mu.Lock()
					if req, _ := s.find(p); req != nil {
						req.dump = body
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

func (s *island) answer(w http.ResponseWriter, method string, out map[string]any) {
	list, _ := out["failures"].([]any)
	ok := len(list) == 0
	if out["failures"] == nil {
		out["failures"] = []any{}
	}
	if s.edit != nil {
		s.edit(method, ok, out)
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
func (s *island) find(p map[string]string) (*islandRequest, []islandFailure) {
	var missing []islandFailure
	for _, name := range []string{"request", "key"} {
		if p[name] == "" {
			missing = append(missing, missingFailure(name))
		}
	}
	if missing != nil && s.is("differently") {
		return nil, []islandFailure{notFoundFailure(p["request"])}
	}
	if missing != nil {
		return nil, missing
	}
	id, _ := strconv.Atoi(p["request"])
	req := s.reqs[id]
	if req == nil || req.key != p["key"] || strconv.Itoa(id) != p["request"] {
		return nil, []islandFailure{notFoundFailure(p["request"])}
	}
	return req, nil
}

func missingFailure(name string) islandFailure {
	return islandFailure{"reason": strings.ToUpper(name) + ":MISSING", "message": fmt.Sprintf("Missing parameter %q", name)}
}

func notFoundFailure(id string) islandFailure {
	return islandFailure{"reason": "REQUEST:NOT_FOUND", "message": "Can not find request " + id, "code": id}
}

func stateFailure(req *islandRequest, expected ...string) []islandFailure {
	return []islandFailure{{"reason": "STATE:INVALID", "message": "not in state " + req.state, "value": req.state, "expected": expected}}
}

// open is find with the bends of one method.
func (s *island) open(method string, p map[string]string) (*islandRequest, []islandFailure) {
	g := islandGroup(method)
	id, _ := strconv.Atoi(p["request"])
	known := s.reqs[id]
	switch {
	case s.is(g+"/wrong-key") && known != nil && len(p["key"]) > 2 && strings.EqualFold(known.key[:2], p["key"][:2]):
		return known, nil
	case s.is(g+"/other-key") && known != nil && slices.ContainsFunc(slices.Collect(maps.Values(s.reqs)), func(r *islandRequest) bool { return r.key == p["key"] }):
		return known, nil
	case s.is(g+"/requires-key") && known != nil && p["key"] == "":
		return known, nil
	case s.is(g+"/unknown-request") && known == nil && p["request"] != "" && p["key"] != "":
		return nil, []islandFailure{}
	case s.is(g+"/not-found") && known == nil && p["request"] != "" && p["key"] != "":
		return nil, []islandFailure{{"reason": "REQUEST:UNKNOWN", "message": "no"}}
	case s.is(g+"/all-problems") && p["request"] == "" && p["key"] == "":
		return nil, []islandFailure{missingFailure("request")}
	case s.is(g+"/missing") && (p["request"] == "" || p["key"] == ""):
		return nil, []islandFailure{notFoundFailure(p["request"])}
	}
	return s.find(p)
}

func islandGroup(method string) string {
	if method == "request_sftp_access" {
		return "sftp-access"
	}
	return strings.ReplaceAll(method, "_", "-")
}

func (s *island) call(r *http.Request, method string, p map[string]string, body []byte) (map[string]any, []islandFailure) {
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
		if req.state != "draft" && !s.is("upload/only-draft") {
			return nil, stateFailure(req, "draft")
		}
		to := req
		if s.is("upload/own-request") {
			for _, other := range s.reqs {
				if other.name == "bystander.dump" {
					other.dump, other.uploaded = body, true
				}
			}
		}
		switch {
		case s.is("upload/replaces") && len(to.dump) > len(body) && !bytes.Contains(body, []byte("intruder")):
			to.dump = append(slices.Clone(body), to.dump[len(body):]...)
		case s.is("upload/describes-the-last") && to.uploaded:
			to.guessPostgresql = describe(to.dump).postgresql
			to.dump = body
		default:
			to.dump = body
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
			return nil, []islandFailure{{"reason": "SERVER:ERROR", "message": "no"}}
		}
		return map[string]any{}, nil
	case "request_sftp_access":
		return s.access(r, req, p)
	case "process":
		if s.is("process/answer") {
			return nil, []islandFailure{{"reason": "SERVER:ERROR", "message": "no"}}
		}
		if req.state != "draft" && !s.is("process/twice") {
			return nil, stateFailure(req, "draft")
		}
		if len(req.dump) == 0 && !s.is("process/needs-dump") {
			return nil, []islandFailure{{"reason": "DUMP:MISSING", "message": "there is no dump"}}
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
	case "status":
		s.poll(req)
		return map[string]any{"request": s.show(req)}, nil
	case "skip_test":
		if s.is("skip-test/state-invalid") && req.state == "draft" {
			return nil, []islandFailure{{"reason": "STATE:WRONG", "message": "no"}}
		}
		if req.state != "testing" {
			if s.is("skip-test/refused-in-draft") && req.state == "draft" || s.is("skip-test/only-in-testing") && req.state != "draft" && req.state != "delivered" {
				return map[string]any{}, nil
			}
			return nil, stateFailure(req, "testing")
		}
		req.state, req.polls = "delivered", len(s.steps)+1
		if s.is("skip-test/delivers") {
			req.state = "done"
		}
		return map[string]any{}, nil
	}
	return nil, nil
}

func (s *island) process(req *islandRequest) {
	req.original = req.dump
	if s.is("process/sftp-dump") && bytes.Contains(req.dump, []byte("by SFTP")) {
		req.original = bytes.TrimSpace(req.dump)
	}
	req.state, req.polls, req.processed = s.steps[0], 0, time.Now()
	if !s.is("sftp-access/ends") {
		s.ssh.close(req.id)
		req.keys = nil
	}
}

// poll moves a request on: each state is answered by one poll.
func (s *island) poll(req *islandRequest) {
	req.statusCalls++
	if req.original == nil || req.state == "delivered" {
		return
	}
	if req.state == "testing" {
		return
	}
	i := min(req.polls, len(s.steps)-1)
	req.state = s.steps[i]
	req.polls++
	if s.is("process/stays-done") && req.state == "done" && req.polls > len(s.steps)+1 {
		req.state = "processing"
	}
}

func (s *island) create(method string, p map[string]string, body []byte) (map[string]any, []islandFailure) {
	var fails []islandFailure
	add := func(f islandFailure) { fails = append(fails, f) }
	targets := []string{"6.0", "6.1", "7.0", "8.0"}
	if s.is("edition 13.0") {
		targets = []string{"11.0", "12.0", "13.0"}
	}
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
			add(f)
		}
	}
	if t := p["target"]; t != "" && !slices.Contains(targets, t) && !(s.is("create/target-exact") && (t == "8" || t == "8.0x")) && !(method == "upgrade" && s.is("upgrade/refusals")) {
		expected := []any{}
		for _, v := range targets {
			expected = append(expected, v)
		}
		f := islandFailure{"reason": "TARGET:INVALID", "message": fmt.Sprintf("Invalid value %q", t), "value": t, "expected": expected}
		if s.is("create/target-expected") {
			slices.Reverse(expected)
		}
		if s.is("create/target-invalid") {
			f["message"] = "Invalid target"
		}
		add(f)
	}
	if s.is("accepts 9.0") {
		fails = slices.DeleteFunc(fails, func(f islandFailure) bool { return f["value"] == "9.0" })
	}
	if s.is("create/targets") && p["target"] == "6.1" {
		add(islandFailure{"reason": "TARGET:INVALID", "message": "no"})
	}
	if c := p["contract"]; c == "M123456-abcxyz" {
		f := islandFailure{"reason": "CONTRACT:NOT_FOUND", "message": "Can not find contract " + c, "code": c}
		if s.is("create/contract-unknown") {
			delete(f, "code")
			f["value"] = c
		}
		if !(s.is("create/all-problems") && len(fails) > 0) {
			add(f)
		}
	}
	if c := p["contract"]; s.is("create/contract-forms") && len(c) > 13 && c != "M123456-abcxyz" && c != contract {
		add(islandFailure{"reason": "CONTRACT:INVALID", "message": "no"})
	}
	if c := p["contract"]; s.is("create/contracts-known") && c != "" && c != contract && c != "M123456-abcxyz" {
		add(islandFailure{"reason": "CONTRACT:NOT_FOUND", "message": "Can not find contract " + c, "code": c})
	}
	if a := p["aim"]; a != "" && a != "test" && a != "production" && !(s.is("create/aim-checked") && a == "tests") {
		f := islandFailure{"reason": "AIM:INVALID", "message": fmt.Sprintf("Invalid value %q", a), "value": a, "expected": []string{"test", "production"}}
		if s.is("create/aim-invalid") {
			f["reason"] = "AIM:WRONG"
		}
		if s.is("create/all-problems-assumed") && len(fails) > 1 {
			f = nil
		}
		if f != nil {
			add(f)
		}
	}
	if s.is("create/aims") && p["aim"] == "production" {
		add(islandFailure{"reason": "AIM:INVALID", "message": "no"})
	}
	if e := p["email"]; e != "" && !s.is("create/email-invalid") {
		if _, err := mail.ParseAddress(e); err != nil || s.is("create/email-blank") && strings.TrimSpace(e) != e {
			add(islandFailure{"reason": "EMAIL:INVALID", "message": fmt.Sprintf("Invalid value %q", e), "value": e})
		}
	}
	if n := p["filename"]; n == "." || n == ".." || len(n) > 255 || strings.ContainsAny(n, "/\\") || strings.ContainsFunc(n, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		if !s.is("create/filename-invalid") || n != `a\b.dump` {
			add(islandFailure{"reason": "FILENAME:INVALID", "message": "no", "value": n})
		}
	}
	if z := p["timezone"]; z != "" && !s.is("create/timezone-invalid") {
		if _, err := time.LoadLocation(z); err != nil || strings.Contains(z, "..") {
			add(islandFailure{"reason": "TIMEZONE:INVALID", "message": "no", "value": z})
		}
	}
	if s.is("differently") {
		for _, f := range fails {
			if r := f["reason"].(string); r != "TARGET:INVALID" && r != "CONTRACT:NOT_FOUND" {
				f["reason"], f["message"] = "PARAMETER", "wrong parameter"
			}
		}
	}
	missing := func(f islandFailure) bool { return strings.HasSuffix(f["reason"].(string), ":MISSING") }
	if s.is("create/all-problems-counted") && method == "create" {
		if i := slices.IndexFunc(fails, missing); i >= 0 {
			fails = slices.Concat(fails[:i+1], slices.DeleteFunc(slices.Clone(fails[i+1:]), missing))
		}
	}
	if s.is("invalid only when nothing is missing") && slices.ContainsFunc(fails, missing) {
		fails = slices.DeleteFunc(fails, func(f islandFailure) bool { return !missing(f) })
	}
	if s.is("upgrade/all-problems") && method == "upgrade" && len(fails) > 1 {
		fails = fails[:1]
	}
	if s.is("create/succeeds") {
		add(islandFailure{"reason": "SERVER:ERROR", "message": "no"})
	}
	if fails != nil {
		return nil, fails
	}
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
	req := &islandRequest{id: id, key: base64.URLEncoding.EncodeToString(raw), params: maps.Clone(p), created: time.Now(), state: "draft", mtime: time.Now(), name: p["filename"]}
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
	if method == "upgrade" {
		req.viaUpgrade = true
		if req.name == "" {
			req.name = p["contract"] + ".sql"
			if s.is("upgrade/filename") {
				req.name = "upgrade.sql"
			}
		}
		req.params["filename"] = req.name
		req.dump, req.uploaded = body, true
		if s.is("upgrade/bytes") {
			req.dump = bytes.TrimSpace(body)
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

func (s *island) access(r *http.Request, req *islandRequest, p map[string]string) (map[string]any, []islandFailure) {
	lines, given := p["ssh_keys"]
	if !given || lines == "" {
		if s.is("sftp-access/requires-keys") {
			lines = "# none"
		} else {
			f := missingFailure("ssh_keys")
			if s.is("sftp-access/missing-keys") {
				f["reason"] = "KEYS:MISSING"
			}
			return nil, []islandFailure{f}
		}
	}
	switch {
	case req.state == "draft" || req.state == "done" || req.state == "delivered":
	case s.is("sftp-access/only-draft-and-done"):
	case s.is("sftp-access/state-invalid") || s.is("differently"):
		return nil, []islandFailure{{"reason": "SFTP:NOT_NOW", "message": "no"}}
	default:
		return nil, stateFailure(req, "draft", "done", "delivered")
	}
	if s.is("sftp/done-access") && req.state == "done" || s.is("skip-test/sftp-delivered") && req.state == "delivered" {
		return nil, stateFailure(req, "draft")
	}
	var keys []ssh.PublicKey
	for i, line := range strings.Split(lines, "\n") {
		if !s.is("sftp-access/keys-crlf") {
			line = strings.TrimSuffix(line, "\r")
		}
		if s.is("sftp-access/no-key-in-comments") && strings.HasPrefix(line, "#ssh") {
			line = line[1:]
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") && !s.is("sftp-access/keys-with-comments") {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if strings.HasSuffix(line, "\r") {
			continue
		}
		if err != nil {
			value := line
			if len(value) > 80 {
				value = value[:80]
			}
			f := islandFailure{"reason": "SSH_KEYS:INVALID", "message": "no key", "line": i + 1, "value": value}
			if s.is("sftp-access/keys-invalid") {
				f["line"] = i
			}
			return nil, []islandFailure{f}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 && !s.is("sftp-access/requires-keys") && !s.is("sftp-access/keys-crlf") {
		return nil, []islandFailure{{"reason": "SSH_KEYS:INVALID", "message": "no key"}}
	}
	if s.is("sftp-access/several-keys") {
		keys = keys[:1]
	}
	if s.is("sftp-access/replaces-keys") && req.state == "draft" || s.is("sftp/done-old-keys") && req.state == "done" {
		keys = append(keys, req.keys...)
	}
	req.keys = keys
	host, portText, _ := net.SplitHostPort(s.ssh.addr())
	port, _ := strconv.Atoi(portText)
	if s.is("sftp/port") {
		port = s.ssh.deadPort()
	}
	user := "user_" + strconv.Itoa(req.id)
	out := map[string]any{"hostname": host, "sftp_port": port, "sftp_user": user, "shared_file": req.name, "request_id": req.id,
		"sample_command": fmt.Sprintf("sftp -P %d %s@%s", port, user, host)}
	if s.is("sftp-access/number-types") || s.is("differently") {
		out["sftp_port"], out["request_id"] = strconv.Itoa(port), strconv.Itoa(req.id)
	}
	return map[string]any{"request": out}, nil
}

// show is the request as status shows it.
func (s *island) show(req *islandRequest) map[string]any {
	base := fmt.Sprintf("%s/database/eu1/%d/%s/", s.web.URL, req.id, req.key)
	var timezone, filesize, postgresql, version, uuid, processed, estimated, message any
	if z := req.params["timezone"]; z != "" {
		timezone = z
	}
	compressions := []string{}
	if len(req.dump) > 0 || req.uploaded {
		d := describe(req.dump)
		unit := 1024.0
		if s.is("upload/filesize-units") || s.is("differently") {
			unit = 1000
		}
		filesize = size(len(req.dump), unit)
		if s.is("sftp/same-dump") && req.viaSFTP {
			filesize = nil
		} else if s.is("upload/filesize") {
			filesize = strings.ToUpper(filesize.(string))
		}
		if d.postgresql != "" && !s.is("upload/postgresql") {
			postgresql = d.postgresql
		}
		if s.is("upload/postgresql-custom") && bytes.HasPrefix(req.dump, []byte("PGDMP")) {
			postgresql = "9.4"
		}
		compressions = d.compressions
		if s.is("upload/compressions") && req.name != "backup.zip" && req.name != "backup.sql" && len(compressions) > 1 {
			slices.Reverse(compressions)
		}
		if s.is("upload/compressions-by-content") && (strings.HasSuffix(req.name, ".zip") || strings.HasSuffix(req.name, ".sql")) {
			compressions = []string{strings.TrimPrefix(req.name[strings.LastIndex(req.name, "."):], "."), "sql"}
		}
		if s.is("upload/compressions-others") && compressions[0] == "gzip" {
			compressions = []string{"gz", "sql"}
		}
		if d.uuid != "" && !s.is("upload/database-read") && !s.is("differently") {
			version, uuid = d.version, d.uuid
			if s.is("upload/database") {
				uuid = "00000000-0000-0000-0000-000000000000"
			}
		}
		if req.guessPostgresql != "" {
			postgresql = req.guessPostgresql
		}
	} else if s.is("differently") {
		compressions = nil
	}
	if s.is("create/no-dump-yet") && filesize == nil {
		filesize = "0.00 b"
	}
	if !req.processed.IsZero() && !s.is("process/processed-at") && !(s.is("process/processed-at-begins") && req.state != "done") {
		at := req.processed.UTC()
		if s.is("process/processed-at-stays") {
			at = at.Add(time.Duration(req.statusCalls) * time.Second)
		}
		processed = at.Format(time.DateTime)
		estimated = "00:30"
		if s.is("process/estimated-time") || s.is("differently") {
			estimated = "30 min"
		}
	}
	stage := req.state
	if req.state == "draft" || s.is("process/stage-follows") {
		stage = "new"
	}
	created := req.created.UTC()
	if s.is("create/created-now") {
		created = created.Add(2 * time.Hour)
	}
	m := map[string]any{
		"id": req.id, "key": req.key, "email": req.params["email"], "target": req.params["target"], "aim": req.params["aim"], "filename": req.name,
		"timezone": timezone, "state": req.state, "issue_stage": stage, "issue": 648398 + req.id,
		"status_url": base + "status", "notes_url": base + "upgraded/notes", "original_sql_url": base + "original/sql", "original_dump_url": base + "original/archive",
		"upgraded_sql_url": base + "upgraded/sql", "upgraded_dump_url": base + "upgraded/archive", "modules_url": base + "modules/archive",
		"filesize": filesize, "database_uuid": uuid, "created_at": created.Format(time.DateTime), "estimated_time": estimated, "processed_at": processed,
		"elapsed": "00:00", "filestore": s.is("filestore") && (req.state == "done" || s.is("edition 13.0")), "customer_message": message,
		"database_version": version, "postgresql": postgresql, "compressions": compressions,
	}
	if req.viaUpgrade || s.is("upgrade/plain-status") {
		if !s.is("upgrade/migrated-sql-url") {
			m["migrated_sql_url"] = m["upgraded_sql_url"]
		}
		if postgresql == nil && !s.is("upgrade/postgresql") {
			m["postgresql"] = req.params["postgresql"]
		}
	}
	if s.is("differently") {
		m["priority"], m["links"] = 3, map[string]any{}
	}
	return m
}
