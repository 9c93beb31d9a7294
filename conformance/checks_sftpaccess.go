package conformance

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// keyWay is a way of passing ssh_keys.
type keyWay struct {
	id, row  string
	evidence Evidence
	says     string
	call     func(c *checker, auth params, keys string) raw.Call
}

// keyWays are the ways of passing ssh_keys.
var keyWays = []keyWay{
	{"keys-file", "5.1", EvidenceDocumented, "ssh_keys may be a multipart file, with request and key in the query.",
		func(c *checker, auth params, keys string) raw.Call { return c.composeAccess(auth, keys) }},
	{"keys-file-and-fields", "5.1", EvidenceDocumented,
		"ssh_keys may be a multipart file beside the fields request and key.",
		func(c *checker, auth params, keys string) raw.Call {
			call := raw.Call{Method: "POST", URL: c.methodURL("request_sftp_access"),
				What: "POST request_sftp_access " + auth.String() + " with ssh_keys as a file, all multipart"}
			call.ContentType, call.Body = multipartBody(auth,
				&filePart{field: "ssh_keys", filename: "id.pub", ctype: "application/octet-stream",
					data: []byte(keys)})
			return call
		}},
	{"keys-multipart-field", "5.1", EvidenceObserved, "ssh_keys may be a plain multipart field.",
		func(c *checker, auth params, keys string) raw.Call {
			return c.compose("request_sftp_access", byMultipart, auth.with("ssh_keys", keys))
		}},
	{"keys-form", "5.1", EvidenceObserved, "ssh_keys may be a form field.",
		func(c *checker, auth params, keys string) raw.Call {
			return c.compose("request_sftp_access", byForm, auth.with("ssh_keys", keys))
		}},
	{"keys-query", "5.1", EvidenceDocumentedLater, "ssh_keys may stand in the query.",
		func(c *checker, auth params, keys string) raw.Call {
			return c.compose("request_sftp_access", byQuery, auth.with("ssh_keys", keys))
		}},
	{"keys-get-body", "1.2", EvidenceDocumentedLater, "ssh_keys, request and key may be an urlencoded body of a GET.",
		func(c *checker, auth params, keys string) raw.Call {
			return c.compose("request_sftp_access", byGetBody, auth.with("ssh_keys", keys))
		}},
}

// opens ends the check unless the answer to c gives an access that key opens.
func (c *checker) opens(req request, call raw.Call, key ssh.Signer) {
	c.opensWith(req, call.What, readReply(c.must(call)), key)
}

func (c *checker) opensWith(req request, sent string, r reply, key ssh.Signer) {
	a, ok := c.readAccess(c.accepted(r), req)
	if !ok {
		c.wrong(sent, "hostname and sftp_port", r.Summary())
	}
	conn := c.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login with the key sent"})
	c.reached(a.addr(), conn)
	if !conn.Login.OK {
		c.wrong(sent+" and then a login with the "+key.PublicKey().Type()+" key",
			"the server to let "+a.user+" in at "+a.addr(), conn.Login.Err)
	}
}

// accessReply is the answer to request_sftp_access for a draft, in the documented way.
func (c *checker) accessReply() (request, reply) {
	req := c.draft()
	return req, c.accepted(readReply(c.must(c.composeAccess(req.auth(), raw.KeyLine(raw.NewKey("ed25519"))+"\n"))))
}

// answerKey makes the check of one key of the answer; judge says what is wanted in place of a wrong value.
func answerKey(name, row string, evidence Evidence, says string,
	judge func(v any, req request, m map[string]any) string) check {
	return check{id: "sftp-access/" + strings.ReplaceAll(name, "_", "-"), rows: rows("5.4", row), evidence: evidence,
		says: says, needs: needsSFTP, gentle: evidence != EvidenceAssumed,
		run: func(c *checker) {
			req, r := c.accessReply()
			if want := judge(r.request()[name], req, r.request()); want != "" {
				c.wrong(r.What, name+" "+want, show(r.request()[name]))
			}
		}}
}

func sftpAccessChecks() []check {
	checks := []check{
		{id: "sftp-access/answer", rows: rows("5.3", "5.4"), evidence: EvidenceDocumented, needs: needsSFTP,
			gentle: true,
			says:   "request_sftp_access in draft answers the object request with all that a login needs.",
			run:    checkSFTPAccessAnswer},
		answerKey("hostname", "5.6", EvidenceObserved, "hostname is the host's name or address, without a port.",
			checkSFTPAccessHostname),
		answerKey("sftp_port", "5.6", EvidenceObserved,
			"sftp_port is a port number, or a string of its digits: known clients use int(sftp_port).",
			checkSFTPAccessSFTPPort),
		answerKey("sftp_user", "5.5", EvidenceDocumented, "sftp_user is user_<id>.", checkSFTPAccessSFTPUser),
		answerKey("shared_file", "5.5", EvidenceDocumented, "shared_file is the filename given to create.",
			checkSFTPAccessSharedFile),
		answerKey("request_id", "5.4", EvidenceDocumented, "request_id is the request's id.",
			checkSFTPAccessRequestID),
		answerKey("sample_command", "5.5", EvidenceDocumented,
			"sample_command is sftp -P <port> <user>@<hostname>, with what the answer itself has.",
			checkSFTPAccessSampleCommand),
		{id: "sftp-access/number-types", rows: rows("5.6"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "sftp_port is a number and request_id an integer.",
			run:  checkSFTPAccessNumberTypes},
		{id: "sftp-access/requires-keys", rows: rows("5.1"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "request_sftp_access without ssh_keys is refused.",
			run:  checkSFTPAccessRequiresKeys},
		{id: "sftp-access/missing-keys", rows: rows("2"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "Without ssh_keys, or with nothing in it, the failure is SSH_KEYS:MISSING.",
			run:  checkSFTPAccessMissingKeys},
		{id: "sftp-access/keys-invalid", rows: rows("2"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "A line that is no key is refused with SSH_KEYS:INVALID, its number and itself, cut at 80 " +
				"characters.",
			run: checkSFTPAccessKeysInvalid},
		{id: "sftp-access/keys-with-comments", rows: rows("5.1"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "ssh_keys may have blank lines and lines that begin with #.",
			run:  checkSFTPAccessKeysWithComments},
		{id: "sftp-access/no-key-in-comments", rows: rows("5.1", "5.10"), evidence: EvidenceDocumented,
			needs: needsSFTP,
			says:  "A key in a line that begins with # opens nothing.",
			run:   checkSFTPAccessNoKeyInComments},
		{id: "sftp-access/several-keys", rows: rows("5.1"), evidence: EvidenceDocumented, needs: needsSFTP,
			says: "Each of several keys opens the share.",
			run:  checkSFTPAccessSeveralKeys},
		{id: "sftp-access/keys-crlf", rows: rows("5.2"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "CRLF line ends, a missing last line end and comments behind the key are fine.",
			run:  checkSFTPAccessKeysCRLF},
		{id: "sftp-access/replaces-keys", rows: rows("5.7"), evidence: EvidenceAssumed, needs: needsSFTP,
			says: "A second call replaces the keys: the first ones open nothing any more.",
			run:  checkSFTPAccessReplacesKeys},
		{id: "sftp-access/only-draft-and-done", rows: rows("5.3"), evidence: EvidenceDocumented,
			needs: needsSFTP | needsWrites | needsProcess,
			says:  "While the upgrade goes on, request_sftp_access is refused.",
			run:   checkSFTPAccessOnlyDraftAndDone},
		{id: "sftp-access/state-invalid", rows: rows("2", "5.3"), evidence: EvidenceAssumed,
			needs: needsSFTP | needsWrites | needsProcess,
			says:  "While the upgrade goes on, request_sftp_access is refused with STATE:INVALID.",
			run:   checkSFTPAccessStateInvalid},
		{id: "sftp-access/ends", rows: rows("5.18"), evidence: EvidenceAssumed,
			needs: needsSFTP | needsWrites | needsProcess,
			says:  "When the request leaves draft the access ends: open sessions are closed, and login is refused.",
			run:   checkSFTPAccessEnds},
	}
	for _, w := range keyWays {
		checks = append(checks, check{id: "sftp-access/" + w.id, rows: rows(w.row), evidence: w.evidence, says: w.says,
			needs: needsSFTP,
			run:   func(c *checker) { checkSFTPAccessKeyWay(c, w) }})
	}
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		checks = append(checks, check{id: "sftp/login-" + kind, rows: rows("5.2", "5.10"),
			evidence: EvidenceDocumented, needs: needsSFTP, gentle: kind == "ed25519",
			says: "A listed " + kind + " key opens the share.",
			run:  func(c *checker) { checkSFTPLogin(c, kind) }})
	}
	return checks
}

func checkSFTPAccessAnswer(c *checker) {
	_, r := c.accessReply()
	m := r.request()
	if m == nil {
		c.wrong(r.What, "the object request", r.Summary())
	}
	for _, key := range []string{"hostname", "sftp_port", "sftp_user", "shared_file", "request_id", "sample_command"} {
		if _, there := m[key]; !there {
			c.wrong(r.What, "the key "+key, "a request without it: "+show(m))
		}
	}
}

func checkSFTPAccessHostname(v any, _ request, _ map[string]any) string {
	if s := text(v); s == "" || strings.ContainsAny(s, "/@ ") || strings.Count(s, ":") == 1 {
		return "as the name of a host, a string"
	}
	return ""
}

func checkSFTPAccessSFTPPort(v any, _ request, _ map[string]any) string {
	if n := number(v); n == "" || strings.Trim(n, "0123456789") != "" || len(n) > 5 || n == "0" {
		return "as a port number"
	}
	return ""
}

func checkSFTPAccessSFTPUser(v any, req request, _ map[string]any) string {
	if v != "user_"+req.id {
		return `"user_` + req.id + `"`
	}
	return ""
}

func checkSFTPAccessSharedFile(v any, req request, _ map[string]any) string {
	if v != req.filename() {
		return show(req.filename())
	}
	return ""
}

func checkSFTPAccessRequestID(v any, req request, _ map[string]any) string {
	if number(v) != req.id {
		return req.id
	}
	return ""
}

func checkSFTPAccessSampleCommand(v any, _ request, m map[string]any) string {
	if want := fmt.Sprintf("sftp -P %s %s@%s", number(m["sftp_port"]), text(m["sftp_user"]),
		text(m["hostname"])); v != want {
		return show(want)
	}
	return ""
}

func checkSFTPAccessNumberTypes(c *checker) {
	_, r := c.accessReply()
	for _, key := range []string{"sftp_port", "request_id"} {
		if v := r.request()[key]; !isInteger(v) {
			c.wrong(r.What, key+" as an integer", show(v))
		}
	}
}

func checkSFTPAccessRequiresKeys(c *checker) {
	r := c.api("request_sftp_access", byPostQuery, c.create().auth())
	c.refusal(r, "ssh_keys is required")
}

func checkSFTPAccessMissingKeys(c *checker) {
	req := c.create()
	c.missing(c.api("request_sftp_access", byPostQuery, req.auth()), "ssh_keys")
	c.missing(c.api("request_sftp_access", byForm, req.auth().with("ssh_keys", "")), "ssh_keys")
}

func checkSFTPAccessKeysInvalid(c *checker) {
	req := c.create()
	long := strings.Repeat("x", 100)
	for _, line := range []string{"not a key", "ssh-ed25519 AAAA", long} {
		r := readReply(c.must(c.composeAccess(req.auth(),
			"# keys\n"+raw.KeyLine(raw.NewKey("ed25519"))+"\n"+line+"\n")))
		f := c.reasoned(r, "SSH_KEYS:INVALID")
		value := text(f["value"])
		if number(f["line"]) != "3" || !strings.HasPrefix(value, line[:min(len(line), 79)]) ||
			len([]rune(value)) > 81 {
			c.wrong(fmt.Sprintf("request_sftp_access with the third line %.20q…", line),
				"SSH_KEYS:INVALID with line 3 and the value", show(map[string]any(f)))
		}
	}
	r := readReply(c.must(c.composeAccess(req.auth(), "# no key at all\n\n")))
	c.reasoned(r, "SSH_KEYS:INVALID")
}

func checkSFTPAccessKeysWithComments(c *checker) {
	req, key := c.create(), raw.NewKey("ed25519")
	c.opens(req, c.composeAccess(req.auth(), "# my keys\n\n"+raw.KeyLine(key)+"\n\n# end\n"), key)
}

func checkSFTPAccessNoKeyInComments(c *checker) {
	req, key, out := c.create(), raw.NewKey("ed25519"), raw.NewKey("ed25519")
	call := c.composeAccess(req.auth(), "#"+raw.KeyLine(out)+"\n"+raw.KeyLine(key)+"\n# "+raw.KeyLine(out)+"\n")
	c.opens(req, call, key)
	a, _ := c.readAccess(c.accepted(readReply(c.must(call))), req)
	c.entrance(a, a.user, out, "a key in a comment", false)
}

func checkSFTPAccessSeveralKeys(c *checker) {
	req := c.create()
	keys := []ssh.Signer{raw.NewKey("ed25519"), raw.NewKey("ecdsa"), raw.NewKey("ed25519")}
	call := c.composeAccess(req.auth(), raw.KeyLine(keys[0])+"\n"+raw.KeyLine(keys[1])+"\n"+raw.KeyLine(keys[2])+"\n")
	call.What += ", three of them"
	for _, k := range keys {
		c.opens(req, call, k)
	}
}

func checkSFTPAccessKeysCRLF(c *checker) {
	req, one, two := c.create(), raw.NewKey("ed25519"), raw.NewKey("ed25519")
	bare := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(two.PublicKey())))
	call := c.composeAccess(req.auth(), "# keys\r\n"+raw.KeyLine(one)+" with spaces\r\n"+bare)
	c.opens(req, call, one)
	c.opens(req, call, two)
}

func checkSFTPAccessReplacesKeys(c *checker) {
	req, first, second := c.create(), raw.NewKey("ed25519"), raw.NewKey("ed25519")
	c.access(req, first)
	a := c.access(req, second)
	c.entrance(a, a.user, second, "a key of the second call", true)
	c.entrance(a, a.user, first, "a key of the first call", false)
}

func checkSFTPAccessOnlyDraftAndDone(c *checker) {
	var r reply
	c.whileUpgrading(func(request) {}, func(req request) {
		r = readReply(c.must(c.composeAccess(req.auth(), raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	})
	if !r.refused() {
		c.wrong("request_sftp_access while the upgrade goes on", "a failure", r.Summary())
	}
}

func checkSFTPAccessStateInvalid(c *checker) {
	var r reply
	c.whileUpgrading(func(request) {}, func(req request) {
		r = readReply(c.must(c.composeAccess(req.auth(), raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	})
	c.stateInvalid(r, c.reasoned(r, "STATE:INVALID"), "draft", "done")
}

func checkSFTPAccessEnds(c *checker) {
	key := raw.NewKey("ed25519")
	var a access
	var s *session
	var alive error
	var entered string
	c.whileUpgrading(func(req request) {
		a = c.access(req, key)
		s = c.session(a, key)
	}, func(req request) {
		for range 20 { // the server may take a moment to close it
			if _, alive = s.Stat(raw.FxpStat, a.file); alive != nil && !raw.IsStatus(alive) {
				break
			}
			c.pause(50 * time.Millisecond)
		}
		entered = c.entranceProblem(a, a.user, key, "the listed key after process", false)
	})
	if alive == nil || raw.IsStatus(alive) {
		c.wrong("stat in a session opened before process", "the session closed by the server",
			fmt.Sprintf("an answer (%v)", alive))
	}
	if entered != "" {
		c.failf("%s", entered)
	}
}

func checkSFTPAccessKeyWay(c *checker, w keyWay) {
	req, key := c.create(), raw.NewKey("ed25519")
	c.opens(req, w.call(c, req.auth(), raw.KeyLine(key)+"\n"), key)
}

func checkSFTPLogin(c *checker, kind string) {
	req, key := c.draft(), raw.NewKey(kind)
	c.opens(req, c.composeAccess(req.auth(), raw.KeyLine(key)+"\n"), key)
}
