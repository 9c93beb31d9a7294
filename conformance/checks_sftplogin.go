package conformance

import (
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// refusedLogin ends the check unless the server refuses the login, in order.
func (b *checker) refusedLogin(l raw.Login) {
	c := b.enter(l)
	b.reached(l.Addr, c)
	if c.Login.OK {
		b.wrong(l.Who+" as "+l.User, "the login refused", "the server let it in")
	}
	if !c.Login.Refused {
		b.wrong(l.Who+" as "+l.User, "the login refused in order", c.Login.Err)
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
			says: "A request for which no access was asked, or no such user, opens to nobody.",
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
			says: "Nobody gets in without authentication.",
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

func checkSFTPForeignKey(b *checker) {
	a := b.access(b.draft(), raw.NewKey("ed25519"))
	b.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(raw.NewKey("ed25519")),
		Who: "login with a key that was not listed"})
}

func checkSFTPCrossRequest(b *checker) {
	mine, theirs := raw.NewKey("ed25519"), raw.NewKey("ed25519")
	a, other := b.access(b.create(), mine), b.access(b.create(), theirs)
	b.session(a, mine)
	b.entrance(a, other.user, mine, "the key of another request", false)
	b.entrance(a, a.user, theirs, "the key of another request", false)
}

func checkSFTPNoAccessAsked(b *checker) {
	key := raw.NewKey("ed25519")
	a := b.access(b.create(), key)
	quiet := b.create()
	for _, user := range []string{"user_" + quiet.id, "user_999999999", "root", a.user + "0", "user_", ""} {
		b.refusedLogin(raw.Login{Addr: a.addr(), User: user, Auth: raw.WithKey(key),
			Who: "login with another request's key"})
	}
}

func checkSFTPPassword(b *checker) {
	a := b.access(b.draft(), raw.NewKey("ed25519"))
	b.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: []ssh.AuthMethod{ssh.Password("conformance")},
		Who: "login with a password"})
	b.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: []ssh.AuthMethod{ssh.Password("")},
		Who: "login with an empty password"})
}

func checkSFTPPasswordKey(b *checker) {
	req := b.create()
	a := b.access(req, raw.NewKey("ed25519"))
	b.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: []ssh.AuthMethod{ssh.Password(req.key)},
		Who: "login with the request's key as password"})
}

func checkSFTPKeyboardInteractive(b *checker) {
	a := b.access(b.create(), raw.NewKey("ed25519"))
	answer := func(_, _ string, questions []string, _ []bool) ([]string, error) {
		return make([]string, len(questions)), nil
	}
	b.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Auth: []ssh.AuthMethod{ssh.KeyboardInteractive(answer)},
		Who: "keyboard-interactive login"})
}

func checkSFTPNoAuthentication(b *checker) {
	a := b.access(b.create(), raw.NewKey("ed25519"))
	b.refusedLogin(raw.Login{Addr: a.addr(), User: a.user, Who: "login with nothing"})
}

func checkSFTPLoginAmongOthers(b *checker) {
	key := raw.NewKey("ed25519")
	a := b.access(b.create(), key)
	auth := []ssh.AuthMethod{ssh.PublicKeys(raw.NewKey("ecdsa"), raw.NewKey("ed25519"), key)}
	c := b.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: auth, Who: "login offering two other keys first"})
	b.reached(a.addr(), c)
	if !c.Login.OK {
		b.session(a, key) // blocked if the key alone does not get in either
		b.wrong("a login offering two other keys before the listed one", "to be let in", c.Login.Err)
	}
}

func checkSFTPHostKey(b *checker) {
	key := raw.NewKey("ed25519")
	a := b.access(b.draft(), key)
	c := b.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key),
		HostKeys: []string{ssh.KeyAlgoECDSA256}, Who: "login accepting ecdsa-sha2-nistp256 only"})
	if !c.Login.OK || c.Login.KeyType != ssh.KeyAlgoECDSA256 {
		b.session(a, key) // blocked if nothing gets in
		b.wrong("a connection that accepts host keys of type ecdsa-sha2-nistp256 only", "such a host key",
			strings.TrimSpace(c.Login.KeyType+" "+c.Login.Err))
	}
}

func checkSFTPHostKeyStable(b *checker) {
	key := raw.NewKey("ed25519")
	req := b.draft()
	a := b.access(req, key)
	var first string
	for i := range 3 {
		if i == 2 {
			a = b.access(req, key)
		}
		c := b.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login"})
		if !c.Login.OK {
			b.blocked("sftp/login-ed25519", "login: %s", c.Login.Err)
		}
		if first == "" {
			first = c.Login.HostKey
		}
		if c.Login.HostKey != first {
			b.wrong(fmt.Sprintf("connection %d", i+1), "the host key of the first, "+first, c.Login.HostKey)
		}
	}
}

func checkSFTPPort(b *checker) {
	key := raw.NewKey("ed25519")
	req := b.draft()
	a := b.access(req, key)
	c := b.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login"})
	if !c.Login.OK && !c.Login.Refused {
		b.wrong("a connection to "+a.addr(), "an SSH server", c.Login.Err)
	}
}
