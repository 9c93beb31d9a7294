package conformance

import "fmt"

func scriptStatusChecks() []check {
	return []check{
		{id: "script/status-answer", rows: rows("S1.16", "S7.1"), evidence: EvidenceObserved, needs: needsWrites,
			gentle: true,
			says:   "status, called with nothing but the token, answers status, a text, and host_uri.",
			run:    checkScriptStatusAnswer},
		{id: "script/host-uri", rows: rows("S7.6"), evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "host_uri is a host, or host:port, without a scheme, as assigned_host_uri is.",
			run:  checkScriptHostURI},
		{id: "script/state-new", rows: rows("S2.14", "S6.4"), evidence: EvidenceObserved, needs: needsWrites,
			gentle: true,
			says:   "A request is in the state new until process is called.",
			run:    checkScriptStateNew},
		{id: "script/status-reason", rows: rows("S7.7"), evidence: EvidenceObserved, needs: needsWrites, gentle: true,
			says: "status's reason is a text or null, if it is there.",
			run:  checkScriptStatusReason},
		{id: "script/status-archived", rows: rows("S7.8"), evidence: EvidenceObserved, needs: needsWrites,
			gentle: true,
			says:   "status's archived is a boolean, if it is there, and false for a new request.",
			run:    checkScriptStatusArchived},
		{id: "script/own-token", rows: rows("S1.16"), evidence: EvidenceObserved,
			needs: needsWrites | needsRsync | needsProcess,
			says:  "Each token opens its own request, with neither a cookie nor a login.",
			run:   checkScriptOwnToken},
	}
}

// jobStatusReply is the answer to status of a request in new.
func (c *checker) jobStatusReply() rpcReply {
	if c.opts.Production {
		u := c.upgrade(theDirectory)
		u.job(c)
		return u.atNew
	}
	return c.jobStatus(c.newJob())
}

func checkScriptStatusAnswer(c *checker) {
	r := c.result(c.rpc("status", c.job().auth()))
	if text(r.result["status"]) == "" {
		c.wrong(r.What, "status, a text", r.Summary())
	}
	if r.result["host_uri"] == nil {
		c.wrong(r.What, "host_uri", r.Summary())
	}
}

func checkScriptHostURI(c *checker) {
	r := c.jobStatusReply()
	if problem := badHost(r.result["host_uri"]); problem != "" {
		c.wrong(r.What, "host_uri as "+problem, show(r.result["host_uri"]))
	}
}

func checkScriptStateNew(c *checker) {
	if r := c.jobStatusReply(); r.result["status"] != "new" {
		c.wrong(r.What+" behind create", `the state "new"`, show(r.result["status"]))
	}
	if c.opts.Production {
		return
	}
	j := c.newJob()
	for range 3 {
		if state := c.state(j); state != "new" {
			c.wrong("status again and again, without process", `the state "new"`, show(state))
		}
	}
}

func checkScriptStatusReason(c *checker) {
	r := c.jobStatusReply()
	if v := r.result["reason"]; isStringOrNull(v) != "" {
		c.wrong(r.What, "reason "+isStringOrNull(v), show(v))
	}
}

func checkScriptStatusArchived(c *checker) {
	r := c.jobStatusReply()
	switch v, there := r.result["archived"]; {
	case there && isBool(v) != "":
		c.wrong(r.What, "archived "+isBool(v), show(v))
	case v == true:
		c.wrong(r.What, "archived false, since the request is new", show(v))
	}
}

func checkScriptOwnToken(c *checker) {
	first, second := c.newJob(), c.newJob()
	before := c.state(first)
	c.dumped(second, formV11, directoryDump())
	c.mustRPC("script/process-answer", "process", second.auth())
	if state := c.state(first); state != before {
		c.wrong(fmt.Sprintf("process of another request, and status of request %s", first.id), show(before)+" as before",
			show(state))
	}
}
