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
	call     func(b *checker, auth params, keys string) raw.Call
}

// keyWays are the ways of passing ssh_keys.
var keyWays = []keyWay{
	{"keys-file", "5.1", EvidenceDocumented, "ssh_keys may be a multipart file, with request and key in the query.",
		func(b *checker, auth params, keys string) raw.Call { return b.composeAccess(auth, keys) }},
	{"keys-file-and-fields", "5.1", EvidenceDocumented,
		"ssh_keys may be a multipart file beside the fields request and key.",
		func(b *checker, auth params, keys string) raw.Call {
			c := raw.Call{Method: "POST", URL: b.methodURL("request_sftp_access"),
				What: "POST request_sftp_access " + auth.String() + " with ssh_keys as a file, all multipart"}
			c.ContentType, c.Body = multipartBody(auth,
				&filePart{field: "ssh_keys", filename: "id.pub", ctype: "application/octet-stream",
					data: []byte(keys)})
			return c
		}},
	{"keys-multipart-field", "5.1", EvidenceObserved, "ssh_keys may be a plain multipart field.",
		func(b *checker, auth params, keys string) raw.Call {
			return b.compose("request_sftp_access", byMultipart, auth.with("ssh_keys", keys))
		}},
	{"keys-form", "5.1", EvidenceObserved, "ssh_keys may be a form field.",
		func(b *checker, auth params, keys string) raw.Call {
			return b.compose("request_sftp_access", byForm, auth.with("ssh_keys", keys))
		}},
	{"keys-query", "5.1", EvidenceDocumentedLater, "ssh_keys may stand in the query.",
		func(b *checker, auth params, keys string) raw.Call {
			return b.compose("request_sftp_access", byQuery, auth.with("ssh_keys", keys))
		}},
	{"keys-get-body", "1.2", EvidenceDocumentedLater, "ssh_keys, request and key may be an urlencoded body of a GET.",
		func(b *checker, auth params, keys string) raw.Call {
			return b.compose("request_sftp_access", byGetBody, auth.with("ssh_keys", keys))
		}},
}

// opens ends the check unless the answer to c gives an access that key opens.
func (b *checker) opens(req request, c raw.Call, key ssh.Signer) {
	b.opensWith(req, c.What, readReply(b.must(c)), key)
}

func (b *checker) opensWith(req request, sent string, r reply, key ssh.Signer) {
	a, ok := b.readAccess(b.accepted(r), req)
	if !ok {
		b.wrong(sent, "hostname and sftp_port", r.Summary())
	}
	conn := b.enter(raw.Login{Addr: a.addr(), User: a.user, Auth: raw.WithKey(key), Who: "login with the key sent"})
	b.reached(a.addr(), conn)
	if !conn.Login.OK {
		b.wrong(sent+" and then a login with the "+key.PublicKey().Type()+" key",
			"the server to let "+a.user+" in at "+a.addr(), conn.Login.Err)
	}
}

// accessReply is the answer to request_sftp_access for a draft, in the documented way.
func (b *checker) accessReply() (request, reply) {
	req := b.draft()
	return req, b.accepted(readReply(b.must(b.composeAccess(req.auth(), raw.KeyLine(raw.NewKey("ed25519"))+"\n"))))
}

// answerKey makes the check of one key of the answer; judge says what is wanted in place of a wrong value.
func answerKey(name, row string, evidence Evidence, says string,
	judge func(v any, req request, m map[string]any) string) check {
	return check{id: "sftp-access/" + strings.ReplaceAll(name, "_", "-"), rows: rows("5.4", row), evidence: evidence,
		says: says, needs: needsSFTP, gentle: evidence != EvidenceAssumed,
		run: func(b *checker) {
			req, r := b.accessReply()
			if want := judge(r.request()[name], req, r.request()); want != "" {
				b.wrong(r.What, name+" "+want, show(r.request()[name]))
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
			run:   func(b *checker) { checkSFTPAccessKeyWay(b, w) }})
	}
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		checks = append(checks, check{id: "sftp/login-" + kind, rows: rows("5.2", "5.10"),
			evidence: EvidenceDocumented, needs: needsSFTP, gentle: kind == "ed25519",
			says: "A listed " + kind + " key opens the share.",
			run:  func(b *checker) { checkSFTPLogin(b, kind) }})
	}
	return checks
}

func checkSFTPAccessAnswer(b *checker) {
	_, r := b.accessReply()
	m := r.request()
	if m == nil {
		b.wrong(r.What, "the object request", r.Summary())
	}
	for _, key := range []string{"hostname", "sftp_port", "sftp_user", "shared_file", "request_id", "sample_command"} {
		if _, there := m[key]; !there {
			b.wrong(r.What, "the key "+key, "a request without it: "+show(m))
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

func checkSFTPAccessNumberTypes(b *checker) {
	_, r := b.accessReply()
	for _, key := range []string{"sftp_port", "request_id"} {
		if v := r.request()[key]; !isInteger(v) {
			b.wrong(r.What, key+" as an integer", show(v))
		}
	}
}

func checkSFTPAccessRequiresKeys(b *checker) {
	r := b.api("request_sftp_access", byPostQuery, b.create().auth())
	b.refusal(r, "ssh_keys is required")
}

func checkSFTPAccessMissingKeys(b *checker) {
	req := b.create()
	b.missing(b.api("request_sftp_access", byPostQuery, req.auth()), "ssh_keys")
	b.missing(b.api("request_sftp_access", byForm, req.auth().with("ssh_keys", "")), "ssh_keys")
}

func checkSFTPAccessKeysInvalid(b *checker) {
	req := b.create()
	long := strings.Repeat("x", 100)
	for _, line := range []string{"not a key", "ssh-ed25519 AAAA", long} {
		r := readReply(b.must(b.composeAccess(req.auth(),
			"# keys\n"+raw.KeyLine(raw.NewKey("ed25519"))+"\n"+line+"\n")))
		f := b.reasoned(r, "SSH_KEYS:INVALID")
		value := text(f["value"])
		if number(f["line"]) != "3" || !strings.HasPrefix(value, line[:min(len(line), 79)]) ||
			len([]rune(value)) > 81 {
			b.wrong(fmt.Sprintf("request_sftp_access with the third line %.20q…", line),
				"SSH_KEYS:INVALID with line 3 and the value", show(map[string]any(f)))
		}
	}
	r := readReply(b.must(b.composeAccess(req.auth(), "# no key at all\n\n")))
	b.reasoned(r, "SSH_KEYS:INVALID")
}

func checkSFTPAccessKeysWithComments(b *checker) {
	req, key := b.create(), raw.NewKey("ed25519")
	b.opens(req, b.composeAccess(req.auth(), "# my keys\n\n"+raw.KeyLine(key)+"\n\n# end\n"), key)
}

func checkSFTPAccessNoKeyInComments(b *checker) {
	req, key, out := b.create(), raw.NewKey("ed25519"), raw.NewKey("ed25519")
	c := b.composeAccess(req.auth(), "#"+raw.KeyLine(out)+"\n"+raw.KeyLine(key)+"\n# "+raw.KeyLine(out)+"\n")
	b.opens(req, c, key)
	a, _ := b.readAccess(b.accepted(readReply(b.must(c))), req)
	b.entrance(a, a.user, out, "a key in a comment", false)
}

func checkSFTPAccessSeveralKeys(b *checker) {
	req := b.create()
	keys := []ssh.Signer{raw.NewKey("ed25519"), raw.NewKey("ecdsa"), raw.NewKey("ed25519")}
	c := b.composeAccess(req.auth(), raw.KeyLine(keys[0])+"\n"+raw.KeyLine(keys[1])+"\n"+raw.KeyLine(keys[2])+"\n")
	c.What += ", three of them"
	for _, k := range keys {
		b.opens(req, c, k)
	}
}

func checkSFTPAccessKeysCRLF(b *checker) {
	req, one, two := b.create(), raw.NewKey("ed25519"), raw.NewKey("ed25519")
	bare := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(two.PublicKey())))
	c := b.composeAccess(req.auth(), "# keys\r\n"+raw.KeyLine(one)+" with spaces\r\n"+bare)
	b.opens(req, c, one)
	b.opens(req, c, two)
}

func checkSFTPAccessReplacesKeys(b *checker) {
	req, first, second := b.create(), raw.NewKey("ed25519"), raw.NewKey("ed25519")
	b.access(req, first)
	a := b.access(req, second)
	b.entrance(a, a.user, second, "a key of the second call", true)
	b.entrance(a, a.user, first, "a key of the first call", false)
}

func checkSFTPAccessOnlyDraftAndDone(b *checker) {
	var r reply
	b.whileUpgrading(func(request) {}, func(req request) {
		r = readReply(b.must(b.composeAccess(req.auth(), raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	})
	if !r.refused() {
		b.wrong("request_sftp_access while the upgrade goes on", "a failure", r.Summary())
	}
}

func checkSFTPAccessStateInvalid(b *checker) {
	var r reply
	b.whileUpgrading(func(request) {}, func(req request) {
		r = readReply(b.must(b.composeAccess(req.auth(), raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	})
	b.stateInvalid(r, b.reasoned(r, "STATE:INVALID"), "draft", "done")
}

func checkSFTPAccessEnds(b *checker) {
	key := raw.NewKey("ed25519")
	var a access
	var s *session
	var alive error
	var entered string
	b.whileUpgrading(func(req request) {
		a = b.access(req, key)
		s = b.session(a, key)
	}, func(req request) {
		for range 20 { // the server may take a moment to close it
			if _, alive = s.Stat(raw.FxpStat, a.file); alive != nil && !raw.IsStatus(alive) {
				break
			}
			b.pause(50 * time.Millisecond)
		}
		entered = b.entranceProblem(a, a.user, key, "the listed key after process", false)
	})
	if alive == nil || raw.IsStatus(alive) {
		b.wrong("stat in a session opened before process", "the session closed by the server",
			fmt.Sprintf("an answer (%v)", alive))
	}
	if entered != "" {
		b.failf("%s", entered)
	}
}

func checkSFTPAccessKeyWay(b *checker, w keyWay) {
	req, key := b.create(), raw.NewKey("ed25519")
	b.opens(req, w.call(b, req.auth(), raw.KeyLine(key)+"\n"), key)
}

func checkSFTPLogin(b *checker, kind string) {
	req, key := b.draft(), raw.NewKey(kind)
	b.opens(req, b.composeAccess(req.auth(), raw.KeyLine(key)+"\n"), key)
}
