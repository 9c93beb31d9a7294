package conformance

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
	"github.com/upgrademock/upgrademock/conformance/internal/rsync"
)

func scriptSSHChecks() []check {
	const up = needsWrites | needsRsync
	return []check{
		{id: "script/login-rsa", rows: rows("S4.2", "S4.6", "S4.7"), evidence: EvidenceObserved, needs: up, gentle: true,
			says: "The user odoo logs in with the RSA key that create got, by signatures rsa-sha2-256 and rsa-sha2-512.",
			run:  checkScriptLoginRSA},
		{id: "script/login-ed25519", rows: rows("S2.6", "S4.6"), evidence: EvidenceObserved, needs: up,
			says: "… or with a key of the type ed25519.",
			run:  func(c *checker) { checkScriptLogin(c, "ed25519") }},
		{id: "script/login-ecdsa", rows: rows("S2.6", "S4.6"), evidence: EvidenceObserved, needs: up,
			says: "… or with a key of the type ecdsa.",
			run:  func(c *checker) { checkScriptLogin(c, "ecdsa") }},
		{id: "script/login-foreign-key", rows: rows("S4.6"), evidence: EvidenceAssumed, needs: up,
			says: "Another key is refused, also one of another request.",
			run:  checkScriptLoginForeignKey},
		{id: "script/login-user", rows: rows("S4.2"), evidence: EvidenceAssumed, needs: up,
			says: "Other users than odoo are refused.",
			run:  checkScriptLoginUser},
		{id: "script/login-without-key", rows: rows("S4.6"), evidence: EvidenceAssumed, needs: up,
			says: "A login without a key is refused, by a password or by answers as well.",
			run:  checkScriptLoginWithoutKey},
		{id: "script/only-exec", rows: rows("S4.5", "S4.8"), evidence: EvidenceAssumed, needs: up,
			says: "Shells, subsystems, terminals and ways to elsewhere are refused.",
			run:  checkScriptOnlyExec},
		{id: "script/only-rsync", rows: rows("S4.8", "S4.10"), evidence: EvidenceAssumed, needs: up,
			says: "Other commands than rsync --server are refused, in words and with an exit status other than 0.",
			run:  checkScriptOnlyRsync},
		{id: "script/exit-status", rows: rows("S4.5", "S4.10"), evidence: EvidenceObserved,
			needs:  up | needsProcess | needsWait,
			gentle: true,
			says:   "The exit status of rsync is sent: 0 for an upload, and a download, that went well.",
			run:    checkScriptExitStatus},
	}
}

func checkScriptLoginRSA(c *checker) {
	u := c.upgrade(theDirectory)
	u.started(c)
	for _, algorithm := range rsaSignatures {
		if login, made := u.limited[algorithm]; made {
			c.judgeLogin(u.starts[0], login, "a signature "+algorithm)
		}
	}
	if c.opts.Production {
		st := c.guard(func() { u.uploaded(c) })
		if st.verdict == blocked && st.by == "script/login-rsa" {
			c.wrong("a login as "+scriptUser+" with the request's key, of the type rsa", "to be let in", st.message)
		}
	}
}

// judgeLogin ends the check unless the login succeeded.
func (c *checker) judgeLogin(t transfer, login raw.LoginResult, with string) {
	switch {
	case login.OK:
	case login.HostKey == "":
		c.blocked("script/port-open", "no SSH server at %s: %s", t.addr(), login.Err)
	default:
		c.wrong("a login as "+scriptUser+" with the request's key and "+with, "to be let in", login.Err)
	}
}

func checkScriptLogin(c *checker, kind string) {
	t := c.start(c.newJobWith(raw.NewKey(kind)))
	conn := c.enterTransfer(t, scriptUser, raw.WithKey(t.job.key), "the request's key")
	c.judgeLogin(t, conn.Login, "a key of the type "+kind)
}

// shutOut ends the check if the login succeeds, or if no server is there to refuse it.
func (c *checker) shutOut(t transfer, user string, auth []ssh.AuthMethod, who string) {
	conn := c.enterTransfer(t, user, auth, who)
	c.transferReached(t, conn)
	switch {
	case conn.Login.OK:
		c.wrong("a login as "+user+" with "+who, "to be refused", "the server let it in")
	case !conn.Login.Refused:
		c.wrong("a login as "+user+" with "+who, "a refusal in order", conn.Login.Err)
	}
}

func checkScriptLoginForeignKey(c *checker) {
	t := c.start(c.newJob())
	c.shutOut(t, scriptUser, raw.WithKey(raw.NewKey("ed25519")), "a key of its own")
	other := c.start(c.newJob())
	c.shutOut(t, scriptUser, raw.WithKey(other.job.key), "another request's key")
}

func checkScriptLoginUser(c *checker) {
	t := c.start(c.newJob())
	for _, user := range []string{"root", "user_" + t.job.id, ""} {
		c.shutOut(t, user, raw.WithKey(t.job.key), "the request's key")
	}
}

func checkScriptLoginWithoutKey(c *checker) {
	t := c.start(c.newJob())
	c.shutOut(t, scriptUser, nil, "no key")
	for _, password := range []string{t.job.token, "odoo", ""} {
		c.shutOut(t, scriptUser, []ssh.AuthMethod{ssh.Password(password)}, fmt.Sprintf("the password %.4q", password))
	}
	answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
		return make([]string, len(questions)), nil
	}
	c.shutOut(t, scriptUser, []ssh.AuthMethod{ssh.KeyboardInteractive(answer)}, "empty answers to all questions")
}

func checkScriptOnlyExec(c *checker) {
	t := c.start(c.newJob())
	for _, kind := range []string{"shell", "subsystem", "pty-req"} {
		var payload []byte
		switch kind {
		case "subsystem":
			payload = ssh.Marshal(struct{ Name string }{"sftp"})
		case "pty-req":
			payload = ssh.Marshal(struct {
				Term                         string
				Columns, Rows, Width, Height uint32
				Modes                        string
			}{"xterm", 80, 24, 0, 0, "\x00"})
		}
		conn := c.openTransfer(t)
		out := conn.Request(kind, payload)
		conn.Drop()
		// A server may also take a request and end at once with a status that says no.
		if out.Granted && (out.Status <= 0 || kind == "pty-req") {
			c.wrong(kind, "to be refused", fmt.Sprintf("granted, exit status %d, %q", out.Status, out.Output))
		}
	}
	conn := c.openTransfer(t)
	if conn.Forward().Granted || conn.Listen().Granted {
		c.wrong("direct-tcpip and tcpip-forward", "to be refused", "granted")
	}
}

func checkScriptOnlyRsync(c *checker) {
	t := c.start(c.newJob())
	for _, command := range []string{"id", "sh -c id", "rsync --daemon .", "rsync --server -logDtpre.iLsfxC . /etc",
		"rsync --server -logDtpre.iLsfxC . /data/../../etc", "rsync --server -ltre.iLsfxC . /data/x; id"} {
		conn := c.openTransfer(t)
		out := c.send(conn, command, rsync.Upload{Files: directoryDump()[:1]})
		conn.Drop()
		if out.Whole || out.Outcome.Status == 0 {
			c.wrong("the command "+command, "a refusal", out.String())
		}
		if out.Granted && (out.Outcome.Status < 0 || strings.TrimSpace(out.Output) == "") {
			c.wrong("the command "+command, "a refusal in words on standard error, and an exit status", out.String())
		}
	}
}

func checkScriptExitStatus(c *checker) {
	u := c.upgrade(theDirectory)
	u.uploaded(c)
	if u.up.Outcome.Status != 0 {
		c.wrong("an upload by rsync that went well", "the exit status 0", u.up.String())
	}
	if r := u.fetched(c); r.Outcome.Status != 0 {
		c.wrong("a download by rsync that went well", "the exit status 0", r.String())
	}
}
