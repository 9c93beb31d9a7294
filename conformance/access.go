package conformance

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// access is what request_sftp_access answered, read as tolerantly as a client that only wants to get in.
type access struct {
	host, port, user, file string
	reply                  reply
}

func (a access) addr() string { return net.JoinHostPort(a.host, a.port) }

// readAccess takes the way in out of an answer; where a key is broken that another check judges, what the
// contract says it must be is taken.
func (c *checker) readAccess(r reply, req request) (access, bool) {
	m := r.request()
	a := access{host: text(m["hostname"]), port: number(m["sftp_port"]), user: text(m["sftp_user"]),
		file: text(m["shared_file"]), reply: r}
	if c.target.SFTPAddr != "" {
		a.host, a.port, _ = net.SplitHostPort(c.target.SFTPAddr)
	}
	if !strings.HasPrefix(a.user, "user_") {
		a.user = "user_" + req.id
	}
	a.file = req.filename()
	return a, m != nil && a.host != "" && a.port != ""
}

// access asks for SFTP access with the keys, in the documented way: a multipart file.
func (c *checker) access(req request, keys ...ssh.Signer) access {
	return c.accessBy("sftp-access/answer", req, keys...)
}

// accessBy is access, for checks that are blocked by another one than sftp-access/answer.
func (c *checker) accessBy(by string, req request, keys ...ssh.Signer) access {
	var lines []string
	for _, k := range keys {
		lines = append(lines, raw.KeyLine(k))
	}
	a, err := c.try(c.composeAccess(req.auth(), strings.Join(lines, "\n")+"\n"))
	if err != nil {
		c.blocked(by, "request_sftp_access: %v", err)
	}
	r := readReply(a)
	acc, ok := c.readAccess(r, req)
	if !ok {
		c.blocked(by, "request_sftp_access answered %s", r.Summary())
	}
	return acc
}

// composeAccess is the call of the documented samples: request and key in the query, the keys a file.
func (c *checker) composeAccess(auth params, keys string) raw.Call {
	call := raw.Call{Method: "POST", URL: c.methodURL("request_sftp_access") + "?" + auth.encode(),
		What: "POST request_sftp_access " + auth.String() + " with ssh_keys as a multipart file"}
	call.ContentType, call.Body = multipartBody(nil,
		&filePart{field: "ssh_keys", filename: "authorized_keys", ctype: "text/plain", data: []byte(keys)})
	return call
}

// enter tries to log in.
func (c *checker) enter(l raw.Login) *raw.Conn {
	c.waitTurn()
	return raw.Dial(c, l)
}

// session is an SFTP session of a check.
type session struct {
	*raw.Session
	checker *checker
}

// sftp logs in with a fresh key and begins a session, for a step before the one judged.
func (c *checker) sftp(req request) *session {
	key := raw.NewKey("ed25519")
	return c.session(c.access(req, key), key)
}

// session logs in with the key and begins a session, for a step before the one judged.
func (c *checker) session(a access, key ssh.Signer) *session {
	conn := c.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key),
		Who: "login with the listed " + key.PublicKey().Type() + " key"})
	c.reached(a.addr(), conn)
	if !conn.Login.OK {
		c.blocked("sftp/login-"+shortKeyType(key), "login: %s", conn.Login.Err)
	}
	s, err := conn.StartSFTP()
	if err != nil {
		c.blocked("sftp/session", "%v", err)
	}
	return &session{s, c}
}

func shortKeyType(s ssh.Signer) string {
	switch s.PublicKey().Type() {
	case ssh.KeyAlgoRSA:
		return "rsa"
	case ssh.KeyAlgoED25519:
		return "ed25519"
	}
	return "ecdsa"
}

// mustPut is put for a step before the one judged.
func (s *session) mustPut(name string, data []byte) {
	if err := s.Put(name, raw.OpenPut, raw.Blocks(data, 0)); err != nil {
		s.checker.blocked("sftp/put", "put: %v", err)
	}
}

// whileUpgrading has a request processed, after before, and does f in a state between draft and the end. The check is
// skipped if the server is never seen in such a state.
func (c *checker) whileUpgrading(before, f func(req request)) {
	between := func(req request) bool {
		state := text(c.status(req).request()["state"])
		return state != "" && state != "draft" && !slices.Contains(finalStates, state)
	}
	// The state may move on with every status call, or with time: f counts when the state is still one between
	// afterwards. Where each call moves it on, that is so only if none was made before.
	for _, look := range []bool{false, true} {
		req, _ := c.uploaded()
		before(req)
		c.mustProcess(req)
		if look && !between(req) {
			continue
		}
		if f(req); between(req) {
			return
		}
	}
	c.skipf("the upgrade is over at once: the server is never seen between draft and the end")
}

// entrance ends the check unless the login succeeds or is refused, as it should.
func (c *checker) entrance(a access, user string, key ssh.Signer, what string, in bool) {
	if problem := c.entranceProblem(a, user, key, what, in); problem != "" {
		c.failf("%s", problem)
	}
}

func (c *checker) entranceProblem(a access, user string, key ssh.Signer, what string, in bool) string {
	conn := c.enter(raw.Login{Addr: a.addr(), User: user, Auth: raw.WithKey(key), Who: "login with " + what})
	c.reached(a.addr(), conn)
	switch {
	case in && !conn.Login.OK:
		return fmt.Sprintf("sent a login as %s with %s; expected to be let in; came %s", user, what, conn.Login.Err)
	case !in && conn.Login.OK:
		return fmt.Sprintf("sent a login as %s with %s; expected to be refused; came the server let it in", user, what)
	case !in && !conn.Login.Refused:
		return fmt.Sprintf("sent a login as %s with %s; expected a refusal in order; came %s",
			user, what, conn.Login.Err)
	}
	return ""
}

// reached ends the check if there is no server to log in to.
func (c *checker) reached(addr string, conn *raw.Conn) {
	if !conn.Login.OK && conn.Login.HostKey == "" {
		c.blocked("sftp/port", "no SSH server at %s: %s", addr, conn.Login.Err)
	}
}
