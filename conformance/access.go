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
func (b *checker) readAccess(r reply, req request) (access, bool) {
	m := r.request()
	a := access{host: text(m["hostname"]), port: number(m["sftp_port"]), user: text(m["sftp_user"]),
		file: text(m["shared_file"]), reply: r}
	if b.target.SFTPAddr != "" {
		a.host, a.port, _ = net.SplitHostPort(b.target.SFTPAddr)
	}
	if !strings.HasPrefix(a.user, "user_") {
		a.user = "user_" + req.id
	}
	a.file = req.filename()
	return a, m != nil && a.host != "" && a.port != ""
}

// access asks for SFTP access with the keys, in the documented way: a multipart file.
func (b *checker) access(req request, keys ...ssh.Signer) access {
	return b.accessBy("sftp-access/answer", req, keys...)
}

// accessBy is access where another check is there to name its trouble.
func (b *checker) accessBy(by string, req request, keys ...ssh.Signer) access {
	var lines []string
	for _, k := range keys {
		lines = append(lines, raw.KeyLine(k))
	}
	a, err := b.try(b.composeAccess(req.auth(), strings.Join(lines, "\n")+"\n"))
	if err != nil {
		b.blocked(by, "request_sftp_access: %v", err)
	}
	r := readReply(a)
	acc, ok := b.readAccess(r, req)
	if !ok {
		b.blocked(by, "request_sftp_access answered %s", r.Summary())
	}
	return acc
}

// composeAccess is the call of the documented samples: request and key in the query, the keys a file.
func (b *checker) composeAccess(auth params, keys string) raw.Call {
	c := raw.Call{Method: "POST", URL: b.methodURL("request_sftp_access") + "?" + auth.encode(),
		What: "POST request_sftp_access " + auth.String() + " with ssh_keys as a multipart file"}
	c.ContentType, c.Body = multipartBody(nil,
		&filePart{field: "ssh_keys", filename: "authorized_keys", ctype: "text/plain", data: []byte(keys)})
	return c
}

// enter tries to log in.
func (b *checker) enter(l raw.Login) *raw.Conn {
	b.waitTurn()
	return raw.Dial(b, l)
}

// session is an SFTP session of a check.
type session struct {
	*raw.Session
	b *checker
}

// sftp logs in with a fresh key and begins a session, for a step before the one judged.
func (b *checker) sftp(req request) *session {
	key := raw.NewKey("ed25519")
	return b.session(b.access(req, key), key)
}

// session logs in with the key and begins a session, for a step before the one judged.
func (b *checker) session(a access, key ssh.Signer) *session {
	c := b.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key),
		Who: "login with the listed " + key.PublicKey().Type() + " key"})
	b.reached(a.addr(), c)
	if !c.Login.OK {
		b.blocked("sftp/login-"+shortKeyType(key), "login: %s", c.Login.Err)
	}
	s, err := c.StartSFTP()
	if err != nil {
		b.blocked("sftp/session", "%v", err)
	}
	return &session{s, b}
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
		s.b.blocked("sftp/put", "put: %v", err)
	}
}

// whileUpgrading has a request processed, after before, and does f in a state between draft and the end. The check is
// skipped if the server is never seen in such a state.
func (b *checker) whileUpgrading(before, f func(req request)) {
	between := func(req request) bool {
		state := text(b.status(req).request()["state"])
		return state != "" && state != "draft" && !slices.Contains(finalStates, state)
	}
	// The state may move on with every status call, or with time: f counts when the state is still one between
	// afterwards. Where each call moves it on, that is so only if none was made before.
	for _, look := range []bool{false, true} {
		req, _ := b.uploaded()
		before(req)
		b.mustProcess(req)
		if look && !between(req) {
			continue
		}
		if f(req); between(req) {
			return
		}
	}
	b.skipf("the upgrade is over at once: the server is never seen between draft and the end")
}

// entrance ends the check unless the login succeeds or is refused, as it should.
func (b *checker) entrance(a access, user string, key ssh.Signer, what string, in bool) {
	if problem := b.entranceProblem(a, user, key, what, in); problem != "" {
		b.failf("%s", problem)
	}
}

func (b *checker) entranceProblem(a access, user string, key ssh.Signer, what string, in bool) string {
	c := b.enter(raw.Login{Addr: a.addr(), User: user, Auth: raw.WithKey(key), Who: "login with " + what})
	b.reached(a.addr(), c)
	switch {
	case in && !c.Login.OK:
		return fmt.Sprintf("sent a login as %s with %s; expected to be let in; came %s", user, what, c.Login.Err)
	case !in && c.Login.OK:
		return fmt.Sprintf("sent a login as %s with %s; expected to be refused; came the server let it in", user, what)
	case !in && !c.Login.Refused:
		return fmt.Sprintf("sent a login as %s with %s; expected a refusal in order; came %s", user, what, c.Login.Err)
	}
	return ""
}

// reached ends the check if there is no server to log in to.
func (b *checker) reached(addr string, c *raw.Conn) {
	if !c.Login.OK && c.Login.HostKey == "" {
		b.blocked("sftp/port", "no SSH server at %s: %s", addr, c.Login.Err)
	}
}
