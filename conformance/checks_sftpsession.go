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
func loggedIn(c *checker) *raw.Conn {
	key := raw.NewKey("ed25519")
	a := c.access(c.create(), key)
	c.session(a, key) // what follows is judged only where SFTP works
	conn := c.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login"})
	if !conn.Login.OK {
		c.blocked("sftp/login-ed25519", "login: %s", conn.Login.Err)
	}
	return conn
}

// refusedRun ends the check unless a command or shell was refused cleanly: no, or an end with a status other than 0.
func refusedRun(c *checker, what string, out raw.Outcome) {
	switch {
	case !out.Granted:
	case !out.Closed:
		c.wrong(what, "a clean refusal", fmt.Sprintf("yes, and then nothing (%q)", out.Output))
	case out.Status == 0:
		c.wrong(what, "a refusal", fmt.Sprintf("exit status 0 and %q", out.Output))
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

func checkSFTPExitStatus(c *checker) {
	req := c.create()
	s := c.sftp(req)
	s.mustPut(req.filename(), someDump(1000))
	out := s.End()
	if !out.Closed || out.Status != 0 {
		c.wrong("the end of an SFTP session", "exit-status 0 and the channel closed",
			fmt.Sprintf("status %d, closed %v (-1: none was sent)", out.Status, out.Closed))
	}
}

func checkSFTPExecRefused(c *checker) {
	conn := loggedIn(c)
	refusedRun(c, "exec scp -t /", conn.Request("exec", execRequest))
	s, err := conn.StartSFTP()
	if err != nil {
		c.wrong("the subsystem sftp after a refused exec", "SFTP", err.Error())
	}
	if _, err := s.List("/"); err != nil {
		c.wrong("ls / after a refused exec", "a listing", err.Error())
	}
}

func checkSFTPShellRefused(c *checker) {
	conn := loggedIn(c)
	refusedRun(c, "shell", conn.Request("shell", nil))
	if _, err := conn.StartSFTP(); err != nil {
		c.wrong("the subsystem sftp after a refused shell", "SFTP", err.Error())
	}
}

func checkSFTPPTYRefused(c *checker) {
	conn := loggedIn(c)
	requests := map[string][]byte{"pty-req": ptyRequest, "auth-agent-req@openssh.com": nil, "x11-req": x11Request}
	for _, kind := range sortedKeys(requests) {
		if out := conn.Request(kind, requests[kind]); out.Granted {
			c.wrong(kind, "a refusal", "yes")
		}
	}
}

func checkSFTPForwardingRefused(c *checker) {
	conn := loggedIn(c)
	if out := conn.Forward(); out.Granted {
		c.wrong("direct-tcpip", "a refusal", "a connection")
	}
	if out := conn.Listen(); out.Granted {
		c.wrong("tcpip-forward", "a refusal", "a listening port")
	}
	if _, err := conn.StartSFTP(); err != nil {
		c.wrong("the subsystem sftp after refused forwarding", "SFTP", err.Error())
	}
}

func checkSFTPOtherSubsystem(c *checker) {
	refusedRun(c, "the subsystem netconf",
		loggedIn(c).Request("subsystem", ssh.Marshal(struct{ Name string }{"netconf"})))
}
