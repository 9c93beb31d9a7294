package conformance

import (
	"fmt"
	"maps"
	"slices"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// loggedIn is a connection to a share.
func loggedIn(b *checker) *raw.Conn {
	key := raw.NewKey("ed25519")
	a := b.access(b.create(), key)
	b.session(a, key) // what follows is judged only where SFTP works
	c := b.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login"})
	if !c.Login.OK {
		b.blocked("sftp/login-ed25519", "login: %s", c.Login.Err)
	}
	return c
}

// refusedRun ends the check unless a command or shell was refused cleanly: no, or an end with a status other than 0.
func refusedRun(b *checker, what string, out raw.Outcome) {
	switch {
	case !out.Granted:
	case !out.Closed:
		b.wrong(what, "a clean refusal", fmt.Sprintf("yes, and then nothing (%q)", out.Output))
	case out.Status == 0:
		b.wrong(what, "a refusal", fmt.Sprintf("exit status 0 and %q", out.Output))
	}
}

// The data of requests for a session.
var (
	execRequest = ssh.Marshal(struct{ Command string }{"scp -t /"})
	ptyRequest  = ssh.Marshal(struct {
		Term             string
		Cols, Rows, W, H uint32
		Modes            string
	}{"xterm", 80, 24, 0, 0, ""})
	x11Request = ssh.Marshal(struct {
		Single       bool
		Auth, Cookie string
		Screen       uint32
	}{false, "MIT-MAGIC-COOKIE-1", "00", 0})
)

func sftpSessionChecks() []check {
	return []check{
		{id: "sftp/exit-status", rows: rows("5.20"), evidence: EvidenceObserved, needs: needsSFTP,
			says: "When the SFTP session ends the server sends exit-status 0: some clients report failure without it.",
			run:  checkSFTPExitStatus},
		{id: "sftp/exec-refused", rows: rows("5.20", "5.19"), evidence: EvidenceObserved, needs: needsSFTP,
			says: "exec is refused cleanly, and SFTP goes on afterwards on the same connection: some clients try it " +
				"first.",
			run: checkSFTPExecRefused},
		{id: "sftp/shell-refused", rows: rows("5.19"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "A shell is refused, and the server goes on.",
			run:  checkSFTPShellRefused},
		{id: "sftp/pty-refused", rows: rows("5.19"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "A pty, agent forwarding and X11 are refused.",
			run:  checkSFTPPTYRefused},
		{id: "sftp/forwarding-refused", rows: rows("5.19"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "Port forwarding is refused, in both directions.",
			run:  checkSFTPForwardingRefused},
		{id: "sftp/other-subsystem", rows: rows("5.19"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "Only the subsystem sftp is there.",
			run:  checkSFTPOtherSubsystem},
	}
}

func checkSFTPExitStatus(b *checker) {
	req := b.create()
	c := b.sftp(req)
	c.mustPut(req.filename(), someDump(1000))
	out := c.End()
	if !out.Closed || out.Status != 0 {
		b.wrong("the end of an SFTP session", "exit-status 0 and the channel closed",
			fmt.Sprintf("status %d, closed %v (-1: none was sent)", out.Status, out.Closed))
	}
}

func checkSFTPExecRefused(b *checker) {
	c := loggedIn(b)
	refusedRun(b, "exec scp -t /", c.Request("exec", execRequest))
	s, err := c.StartSFTP()
	if err != nil {
		b.wrong("the subsystem sftp after a refused exec", "SFTP", err.Error())
	}
	if _, err := s.List("/"); err != nil {
		b.wrong("ls / after a refused exec", "a listing", err.Error())
	}
}

func checkSFTPShellRefused(b *checker) {
	c := loggedIn(b)
	refusedRun(b, "shell", c.Request("shell", nil))
	if _, err := c.StartSFTP(); err != nil {
		b.wrong("the subsystem sftp after a refused shell", "SFTP", err.Error())
	}
}

func checkSFTPPTYRefused(b *checker) {
	c := loggedIn(b)
	requests := map[string][]byte{"pty-req": ptyRequest, "auth-agent-req@openssh.com": nil, "x11-req": x11Request}
	for _, kind := range sortedKeys(requests) {
		if out := c.Request(kind, requests[kind]); out.Granted {
			b.wrong(kind, "a refusal", "yes")
		}
	}
}

func checkSFTPForwardingRefused(b *checker) {
	c := loggedIn(b)
	if out := c.Forward(); out.Granted {
		b.wrong("direct-tcpip", "a refusal", "a connection")
	}
	if out := c.Listen(); out.Granted {
		b.wrong("tcpip-forward", "a refusal", "a listening port")
	}
	if _, err := c.StartSFTP(); err != nil {
		b.wrong("the subsystem sftp after refused forwarding", "SFTP", err.Error())
	}
}

func checkSFTPOtherSubsystem(b *checker) {
	refusedRun(b, "the subsystem netconf",
		loggedIn(b).Request("subsystem", ssh.Marshal(struct{ Name string }{"netconf"})))
}
