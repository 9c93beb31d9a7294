package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

func scriptTransferChecks() []check {
	const up = needsWrites | needsRsync
	const whole = up | needsProcess | needsWait
	return []check{
		{id: "script/start-answer", rows: rows("S3.1", "S3.2"), evidence: EvidenceObserved, needs: needsWrites,
			gentle: true,
			says:   "transfer/start for an upload answers ssh_port, and known_hosts, a text.",
			run:    checkScriptStartAnswer},
		{id: "script/start-download", rows: rows("S3.1", "S3.2", "S3.7"), evidence: EvidenceObserved, needs: whole,
			gentle: true,
			says:   "transfer/start for a download also answers dump_name, the name of a file or directory below /data.",
			run:    checkScriptStartDownload},
		{id: "script/ssh-port", rows: rows("S3.3"), evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "ssh_port is the number of a port, or its digits: the script puts it into a command line.",
			run:  checkScriptSSHPort},
		{id: "script/ssh-port-number", rows: rows("S3.3"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "ssh_port is a number.",
			run:  checkScriptSSHPortNumber},
		{id: "script/port-range", rows: rows("S3.4"), evidence: EvidenceDocumented, needs: needsWrites, gentle: true,
			says: "A transfer's port is between 32768 and 60999.",
			run:  checkScriptPortRange},
		{id: "script/port-changes", rows: rows("S3.4"), evidence: EvidenceObserved, needs: needsWrites,
			says: "Each transfer has another port.",
			run:  checkScriptPortChanges},
		{id: "script/port-open", rows: rows("S4.1"), evidence: EvidenceObserved, needs: up, gentle: true,
			says: "An SSH server is at the assigned host and ssh_port.",
			run:  checkScriptPortOpen},
		{id: "script/known-hosts-name", rows: rows("S3.5", "S3.6", "S16.4"), evidence: EvidenceObserved,
			needs: needsWrites, gentle: true,
			says: "A line of known_hosts names the assigned host and the transfer's port, or the host alone: ssh " +
				"trusts nothing else.",
			run: checkScriptKnownHostsName},
		{id: "script/known-hosts-key", rows: rows("S3.5", "S4.3"), evidence: EvidenceObserved, needs: up, gentle: true,
			says: "The key in that line is the one that the transfer's server shows.",
			run:  checkScriptKnownHostsKey},
		{id: "script/stop-answer", rows: rows("S3.8"), evidence: EvidenceObserved, needs: up, gentle: true,
			says: "transfer/stop answers with an HTTP status of success, and no failure; its body may be empty.",
			run:  checkScriptStopAnswer},
		{id: "script/stop-nothing", rows: rows("S3.13"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "transfer/stop without a transfer is no failure.",
			run:  checkScriptStopNothing},
		{id: "script/start-again", rows: rows("S3.9"), evidence: EvidenceObserved, needs: up,
			says: "Behind a transfer that broke off, transfer/start opens another one, without a stop between.",
			run:  checkScriptStartAgain},
		{id: "script/start-replaces", rows: rows("S3.11"), evidence: EvidenceAssumed, needs: up,
			says: "A second transfer/start replaces the first, whose port closes.",
			run:  checkScriptStartReplaces},
		{id: "script/start-kind", rows: rows("S3.1"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "transfer/start refuses a transfer_type that is neither upload nor download.",
			run:  checkScriptStartKind},
		{id: "script/download-early", rows: rows("S3.10"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "A download is refused in new.",
			run:  checkScriptDownloadEarly},
		{id: "script/upload-late", rows: rows("S3.10"), evidence: EvidenceAssumed, needs: whole,
			says: "An upload is refused in done.",
			run:  checkScriptUploadLate},
		{id: "script/port-closed", rows: rows("S4.9"), evidence: EvidenceAssumed, needs: up,
			says: "Behind transfer/stop the port refuses connections.",
			run:  checkScriptPortClosed},
	}
}

// startReply is transfer/start's answer for an upload, as it came: of the shared upgrade in production.
func (c *checker) startReply() transfer {
	if c.opts.Production {
		u := c.upgrade(theDirectory)
		u.started(c)
		return u.starts[0]
	}
	j := c.newJob()
	return readTransfer(c.rpc("transfer/start", startParams(j, "upload")), j)
}

func checkScriptStartAnswer(c *checker) {
	t := c.startReply()
	r := c.result(t.reply)
	if r.result["ssh_port"] == nil {
		c.wrong(r.What, "ssh_port", r.Summary())
	}
	if isString(r.result["known_hosts"]) != "" {
		c.wrong(r.What, "known_hosts, a text", r.Summary())
	}
}

func checkScriptStartDownload(c *checker) {
	r := c.result(c.upgrade(theDirectory).opened(c).reply)
	for _, key := range []string{"ssh_port", "known_hosts"} {
		if r.result[key] == nil {
			c.wrong(r.What, key, r.Summary())
		}
	}
	if name := text(r.result["dump_name"]); name == "" || name == ".." || strings.ContainsAny(name, "/\x00") {
		c.wrong(r.What, "dump_name, the name of a file or directory below /data", show(r.result["dump_name"]))
	}
}

// startedReply is startReply, for checks that need it to be good.
func (c *checker) startedReply() transfer {
	if c.opts.Production {
		return c.startReply()
	}
	return c.start(c.newJob())
}

func checkScriptSSHPort(c *checker) {
	t := c.startReply()
	if v := t.reply.result["ssh_port"]; v != nil && !isPortNumber(t.port) {
		c.wrong(t.reply.What, "ssh_port as the number of a port", show(v))
	} else if v == nil {
		c.blocked("script/start-answer", "transfer/start answered %s", t.reply.Summary())
	}
}

func checkScriptSSHPortNumber(c *checker) {
	t := c.startedReply()
	if v := t.reply.result["ssh_port"]; isInt(v) != "" {
		c.wrong(t.reply.What, "ssh_port as a number", show(v))
	}
}

func checkScriptPortRange(c *checker) {
	t := c.startedReply()
	if n, err := strconv.Atoi(t.port); err != nil || n < 32768 || n > 60999 {
		c.wrong(t.reply.What, "ssh_port from 32768 to 60999", show(t.reply.result["ssh_port"]))
	}
}

func checkScriptPortChanges(c *checker) {
	ports := map[string]bool{}
	j := c.newJob()
	for range 3 { // a port may be drawn twice
		ports[c.start(j).port] = true
		c.stop(j)
		ports[c.start(c.newJob()).port] = true
	}
	if len(ports) == 1 {
		c.wrong("transfer/start six times", "another port each time", fmt.Sprint(sortedKeys(ports)))
	}
}

func checkScriptPortOpen(c *checker) {
	var login raw.LoginResult
	t := c.startedReply()
	if c.opts.Production {
		u := c.upgrade(theDirectory)
		u.uploaded(c)
		login = u.login
	} else {
		conn := c.enterTransfer(t, scriptUser, raw.WithKey(t.job.key), "the request's key")
		login = conn.Login
	}
	if login.HostKey == "" {
		c.wrong("a connection to "+t.addr(), "an SSH server", login.Err)
	}
}

func checkScriptKnownHostsName(c *checker) {
	t := c.startedReply()
	if v := t.reply.result["known_hosts"]; isString(v) != "" {
		c.blocked("script/start-answer", "known_hosts is %s", show(v))
	}
	if len(t.keysFor()) == 0 {
		c.wrong(t.reply.What, fmt.Sprintf("known_hosts with a line for [%s]:%s, or for %s", t.job.hostName(), t.port,
			t.job.hostName()), show(t.reply.result["known_hosts"]))
	}
}

func checkScriptKnownHostsKey(c *checker) {
	t := c.startedReply()
	var login raw.LoginResult
	if c.opts.Production {
		u := c.upgrade(theDirectory)
		u.uploaded(c)
		login = u.login
	}
	keys := t.keysFor()
	if len(keys) == 0 {
		c.blocked("script/known-hosts-name", "known_hosts has no line for the transfer")
	}
	if !c.opts.Production {
		conn := c.enterTransfer(t, scriptUser, raw.WithKey(t.job.key), "the request's key")
		c.transferReached(t, conn)
		login = conn.Login
	}
	if !slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return ssh.FingerprintSHA256(k) == login.HostKey }) {
		c.wrong("a login at "+t.addr(), "the host key "+ssh.FingerprintSHA256(keys[0])+", as known_hosts says",
			login.KeyType+" "+login.HostKey)
	}
}

func checkScriptStopAnswer(c *checker) {
	var r rpcReply
	if c.opts.Production {
		u := c.upgrade(theDirectory)
		u.uploaded(c)
		r = u.stopped
	} else {
		t := c.startedReply()
		r = c.rpc("transfer/stop", t.job.auth())
	}
	switch {
	case !r.OK() || r.form != 0:
		c.wrong(r.What, "an HTTP status of success, and no failure", r.Summary())
	case r.Header.Get("Content-Type") == "":
		c.wrong(r.What, "a Content-Type: the script crashes without one", "none")
	case r.Size > 0 && r.object == nil:
		c.wrong(r.What, "a JSON object, or nothing", r.broken+": "+r.Summary())
	}
	switch v, there := r.object["result"]; v.(type) {
	case map[string]any, []any, string:
	default:
		if there || r.object["error"] != nil {
			c.wrong(r.What, "result as an object, a list or a text, or an empty body", r.Summary())
		}
	}
}

func checkScriptStopNothing(c *checker) {
	j := c.newJob()
	for range 2 {
		if r := c.rpc("transfer/stop", j.auth()); r.Status != http.StatusOK || r.refused() {
			c.wrong(r.What+" without a transfer", "no failure", r.Summary())
		}
	}
}

func checkScriptStartAgain(c *checker) {
	first := c.startedReply()
	c.openTransfer(first).Drop()
	r := c.result(c.rpc("transfer/start", startParams(first.job, "upload")))
	second := readTransfer(r, first.job)
	conn := c.enterTransfer(second, scriptUser, raw.WithKey(first.job.key), "the request's key")
	if !conn.Login.OK {
		c.wrong("transfer/start behind a connection that broke, and a login at "+second.addr(), "to be let in",
			conn.Login.Err)
	}
}

func checkScriptStartReplaces(c *checker) {
	first := c.startedReply()
	if second := c.start(first.job); second.port == first.port {
		c.wrong("transfer/start twice", "another port", second.port)
	}
	c.closes(first, "transfer/start twice")
}

// closes ends the check unless the transfer's port refuses connections, at once or soon.
func (c *checker) closes(t transfer, behind string) {
	for range 10 {
		conn := c.enterTransfer(t, scriptUser, raw.WithKey(t.job.key), "the request's key")
		if !conn.Login.OK && conn.Login.HostKey == "" {
			return
		}
		conn.Drop()
		c.pause(c.CallTime() / 50)
	}
	c.wrong(behind+", and a login at "+t.addr(), "a port that is closed", "an SSH server")
}

func checkScriptStartKind(c *checker) {
	j := c.newJob()
	c.refuses(c.rpc("transfer/start", startParams(j, "sideload")), "there is no such transfer_type")
	c.refuses(c.rpc("transfer/start", j.auth()), "there is no transfer_type")
}

func checkScriptDownloadEarly(c *checker) {
	c.refuses(c.rpc("transfer/start", startParams(c.newJob(), "download")), "the request is in new")
}

func checkScriptUploadLate(c *checker) {
	u := c.upgrade(".sql")
	j := u.doneOrStop(c)
	c.guard(func() { u.fetched(c) }) // before the download could be disturbed
	c.refuses(c.rpc("transfer/start", startParams(j, "upload")), "the request is in done")
}

func checkScriptPortClosed(c *checker) {
	t := c.startedReply()
	c.openTransfer(t).Drop()
	c.stop(t.job)
	c.closes(t, "transfer/stop")
}
