package conformance

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// refusedLogin ends the check unless the server refuses the login, in order.
func (c *checker) refusedLogin(l raw.Login) {
	conn := c.enter(l)
	c.reached(l.Addr, conn)
	if conn.Login.OK {
		c.wrong(l.Who+" as "+l.User, "the login refused", "the server let it in")
	}
	if !conn.Login.Refused {
		c.wrong(l.Who+" as "+l.User, "the login refused in order", conn.Login.Err)
	}
}

func sftpLoginChecks() []check {
	return []check{
		{id: "sftp/foreign-key", rows: rows("5.10"), evidence: EvidenceDocumented, needs: needsSFTP, gentle: true,
			says: "A key that was not listed is refused.",
			run:  checkSFTPForeignKey},
		{id: "sftp/cross-request", rows: rows("5.10"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "One request's key never opens another's share.",
			run:  checkSFTPCrossRequest},
		{id: "sftp/no-access-asked", rows: rows("5.10"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "A request for which no access was asked, or no such user, lets no login in.",
			run:  checkSFTPNoAccessAsked},
		{id: "sftp/password", rows: rows("5.10"), evidence: EvidenceDocumented, needs: needsSFTP, gentle: true,
			says: "Passwords are refused.",
			run:  checkSFTPPassword},
		{id: "sftp/password-key", rows: rows("5.10"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "The request's key is no password for SFTP.",
			run:  checkSFTPPasswordKey},
		{id: "sftp/keyboard-interactive", rows: rows("5.10"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "keyboard-interactive is refused.",
			run:  checkSFTPKeyboardInteractive},
		{id: "sftp/no-authentication", rows: rows("5.10"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "No login succeeds without authentication.",
			run:  checkSFTPNoAuthentication},
		{id: "sftp/login-among-others", rows: rows("5.10"), evidence: EvidenceObserved, needs: needsSFTP,
			says: "A listed key gets in also when other keys were offered before, as agents do.",
			run:  checkSFTPLoginAmongOthers},
		{id: "sftp/host-key", rows: rows("5.9"), evidence: EvidenceObserved, needs: needsSFTP, gentle: true,
			says: "The host key is ECDSA P-256 (ecdsa-sha2-nistp256): known clients pin that type.",
			run:  checkSFTPHostKey},
		{id: "sftp/host-key-stable", rows: rows("5.9"), evidence: EvidenceObserved, needs: needsSFTP, gentle: true,
			says: "The host key is always the same.",
			run:  checkSFTPHostKeyStable},
		{id: "sftp/port", rows: rows("5.8"), evidence: EvidenceDocumented, needs: needsSFTP, gentle: true,
			says: "The port of the answer is the one that serves SFTP.",
			run:  checkSFTPPort},
	}
}

func checkSFTPForeignKey(c *checker) {
	a := c.access(c.draft(), raw.NewKey("ed25519"))
	c.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(raw.NewKey("ed25519")),
		Who: "login with a key that was not listed"})
}

func checkSFTPCrossRequest(c *checker) {
	mine, theirs := raw.NewKey("ed25519"), raw.NewKey("ed25519")
	a, other := c.access(c.create(), mine), c.access(c.create(), theirs)
	c.session(a, mine)
	c.entrance(a, other.user, mine, "the key of another request", false)
	c.entrance(a, a.user, theirs, "the key of another request", false)
}

func checkSFTPNoAccessAsked(c *checker) {
	key := raw.NewKey("ed25519")
	a := c.access(c.create(), key)
	quiet := c.create()
	for _, user := range []string{"user_" + quiet.id, "user_999999999", "root", a.user + "0", "user_", ""} {
		c.refusedLogin(raw.Login{Addr: a.addr(), User: user, Auth: raw.WithKey(key),
			Who: "login with another request's key"})
	}
}

func checkSFTPPassword(c *checker) {
	a := c.access(c.draft(), raw.NewKey("ed25519"))
	c.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: []ssh.AuthMethod{ssh.Password("conformance")},
		Who: "login with a password"})
	c.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: []ssh.AuthMethod{ssh.Password("")},
		Who: "login with an empty password"})
}

func checkSFTPPasswordKey(c *checker) {
	req := c.create()
	a := c.access(req, raw.NewKey("ed25519"))
	c.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: []ssh.AuthMethod{ssh.Password(req.key)},
		Who: "login with the request's key as password"})
}

func checkSFTPKeyboardInteractive(c *checker) {
	a := c.access(c.create(), raw.NewKey("ed25519"))
	answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
		return make([]string, len(questions)), nil
	}
	c.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: []ssh.AuthMethod{ssh.KeyboardInteractive(answer)},
		Who: "keyboard-interactive login"})
}

func checkSFTPNoAuthentication(c *checker) {
	a := c.access(c.create(), raw.NewKey("ed25519"))
	c.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Who: "login with nothing"})
}

func checkSFTPLoginAmongOthers(c *checker) {
	key := raw.NewKey("ed25519")
	a := c.access(c.create(), key)
	auth := []ssh.AuthMethod{ssh.PublicKeys(raw.NewKey("ecdsa"), raw.NewKey("ed25519"), key)}
	conn := c.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: auth, Who: "login offering two other keys first"})
	c.reached(a.addr(), conn)
	if !conn.Login.OK {
		c.session(a, key) // blocked if the key alone does not get in either
		c.wrong("a login offering two other keys before the listed one", "to be let in", conn.Login.Err)
	}
}

func checkSFTPHostKey(c *checker) {
	key := raw.NewKey("ed25519")
	a := c.access(c.draft(), key)
	conn := c.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key),
		HostKeys: []string{ssh.KeyAlgoECDSA256}, Who: "login accepting ecdsa-sha2-nistp256 only"})
	if !conn.Login.OK || conn.Login.KeyType != ssh.KeyAlgoECDSA256 {
		c.session(a, key) // blocked if nothing gets in
		c.wrong("a connection that accepts host keys of type ecdsa-sha2-nistp256 only", "such a host key",
			strings.TrimSpace(conn.Login.KeyType+" "+conn.Login.Err))
	}
}

func checkSFTPHostKeyStable(c *checker) {
	key := raw.NewKey("ed25519")
	req := c.draft()
	a := c.access(req, key)
	var first string
	for i := range 3 {
		if i == 2 {
			a = c.access(req, key)
		}
		conn := c.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login"})
		if !conn.Login.OK {
			c.blocked("sftp/login-ed25519", "login: %s", conn.Login.Err)
		}
		if first == "" {
			first = conn.Login.HostKey
		}
		if conn.Login.HostKey != first {
			c.wrong(fmt.Sprintf("connection %d", i+1), "the host key of the first, "+first, conn.Login.HostKey)
		}
	}
}

func checkSFTPPort(c *checker) {
	key := raw.NewKey("ed25519")
	req := c.draft()
	a := c.access(req, key)
	conn := c.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login"})
	if !conn.Login.OK && !conn.Login.Refused {
		c.wrong("a connection to "+a.addr(), "an SSH server", conn.Login.Err)
	}
}
