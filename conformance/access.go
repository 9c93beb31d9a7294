package conformance

import (
	"net"
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
	a := access{host: text(m["hostname"]), port: number(m["sftp_port"]), user: text(m["sftp_user"]), file: text(m["shared_file"]), reply: r}
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
	c.ContentType, c.Body = multipartBody(nil, &filePart{field: "ssh_keys", filename: "authorized_keys", ctype: "text/plain", data: []byte(keys)})
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
	c := b.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login with the listed " + key.PublicKey().Type() + " key"})
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
