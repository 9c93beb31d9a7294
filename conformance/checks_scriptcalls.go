package conformance

import (
	"fmt"
	"net/http"
	"strings"
)

// The calls that open a request by its token.
var tokenCalls = []string{"status", "process", "transfer/start", "transfer/stop"}

// noTokenCall calls with a token that is none's.
func (c *checker) noTokenCall(name string) rpcReply {
	p := members{{"token", noToken}}
	if name == "transfer/start" {
		p = p.with(member{"transfer_type", "upload"})
	}
	return c.rpc(name, p)
}

// everyReply judges answers to calls of every kind: refusals, and what an upgrade saw.
func (c *checker) everyReply(judge func(r rpcReply)) {
	for _, name := range tokenCalls {
		judge(c.noTokenCall(name))
	}
	for _, r := range c.upgrade(theDirectory).answers(c) {
		judge(r)
	}
}

func rpcChecks() []check {
	const all = needsWrites | needsProcess | needsRsync | needsWait
	return []check{
		{id: "script/jsonrpc", rows: rows("S1.4", "S1.9"), evidence: EvidenceObserved, needs: all, gentle: true,
			says: `A call is a POST of JSON-RPC; its answer is a JSON object with jsonrpc "2.0".`,
			run:  checkScriptJSONRPC},
		{id: "script/result-object", rows: rows("S1.9"), evidence: EvidenceObserved, needs: all, gentle: true,
			says: "A success answers result, an object: the script looks keys up in it, and crashes on anything else.",
			run:  checkScriptResultObject},
		{id: "script/content-length", rows: rows("S1.6", "S16.1"), evidence: EvidenceObserved, needs: all,
			gentle: true,
			says: "Every answer but that of transfer/stop has a Content-Length above 0: the script takes the body for " +
				"empty without it.",
			run: checkScriptContentLength},
		{id: "script/content-type", rows: rows("S1.7"), evidence: EvidenceObserved, needs: all, gentle: true,
			says: "Every answer has the Content-Type application/json: the script misses keys or crashes on others.",
			run:  checkScriptContentType},
		{id: "script/not-encoded", rows: rows("S1.8"), evidence: EvidenceObserved, needs: all, gentle: true,
			says: "No answer is compressed: the script does not decode it.",
			run:  checkScriptNotEncoded},
		{id: "script/success-status", rows: rows("S1.7", "S1.13"), evidence: EvidenceObserved, needs: all, gentle: true,
			says: "A success has an HTTP status of success: a redirect, and 400 and above, are errors to the script.",
			run:  checkScriptSuccessStatus},
		{id: "script/failure-form", rows: rows("S1.10", "S1.11", "S1.13"), evidence: EvidenceObserved, gentle: true,
			says: "What is refused is so with an HTTP status of success and a text, in result.error or in " +
				"error.data.message: the script shows it.",
			run: checkScriptFailureForm},
		{id: "script/failure-200", rows: rows("S1.13"), evidence: EvidenceAssumed,
			says: "Failures have the HTTP status 200.",
			run:  checkScriptFailure200},
		{id: "script/error-object", rows: rows("S1.12"), evidence: EvidenceAssumed,
			says: "A failure in error has code 200, message, and data with name and debug, as Odoo answers.",
			run:  checkScriptErrorObject},
		{id: "script/id-echo", rows: rows("S1.9"), evidence: EvidenceAssumed,
			says: "The id of a call comes back.",
			run:  checkScriptIDEcho},
		{id: "script/params-unknown", rows: rows("S1.18"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "Parameters that nobody knows change nothing.",
			run:  checkScriptParamsUnknown},
		{id: "script/path-unknown", rows: rows("S1.18"), evidence: EvidenceAssumed,
			says: "Anything else under /upgrade/request/ is 404.",
			run:  checkScriptPathUnknown},
		{id: "script/http-method", rows: rows("S1.18"), evidence: EvidenceAssumed,
			says: "Other HTTP methods than a call's own are 405.",
			run:  checkScriptHTTPMethod},
		{id: "script/token-unknown", rows: rows("S7.10"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "A token that is not known is refused by every call, in the same words.",
			run:  checkScriptTokenUnknown},
		{id: "script/file", rows: rows("S1.19"), evidence: EvidenceDocumented, gentle: true,
			says: "GET /upgrade hands out the script, a text, without a login.",
			run:  checkScriptFile},
		{id: "script/file-instead", rows: rows("S16.7"), evidence: EvidenceAssumed,
			says: "Where there is no script to hand out, GET /upgrade is 404, with a program in its place.",
			run:  checkScriptFileInstead},
	}
}

func checkScriptJSONRPC(c *checker) {
	c.everyReply(func(r rpcReply) {
		if isStop(r) && r.Size == 0 {
			return
		}
		if v := c.object(r.reply).object["jsonrpc"]; v != "2.0" {
			c.wrong(r.What, `jsonrpc: "2.0"`, r.Summary())
		}
	})
}

// isStop reports whether this is the answer of transfer/stop, which the script hardly looks at (row S3.8).
func isStop(r rpcReply) bool { return strings.HasPrefix(r.What, "POST transfer/stop") }

func checkScriptResultObject(c *checker) {
	if !c.opts.Production {
		r := c.createJob()
		c.object(r.reply)
		if r.result == nil && r.refusal == "" {
			c.wrong(r.What, "result, an object", r.Summary())
		}
	}
	for _, r := range c.upgrade(theDirectory).answers(c) {
		if r.result == nil && !isStop(r) {
			c.wrong(r.What, "result, an object", r.Summary())
		}
	}
}

func checkScriptContentLength(c *checker) {
	c.everyReply(func(r rpcReply) {
		if isStop(r) || r.Length > 0 {
			return
		}
		came := "none: " + r.Summary()
		if r.Length == 0 {
			came = "0"
		}
		c.wrong(r.What, "a Content-Length above 0", came)
	})
}

func checkScriptContentType(c *checker) {
	c.everyReply(func(r rpcReply) {
		if got := r.Header.Get("Content-Type"); !strings.Contains(got, "application/json") {
			c.wrong(r.What, "a Content-Type with application/json in it", fmt.Sprintf("%q", got))
		}
	})
}

func checkScriptNotEncoded(c *checker) {
	c.everyReply(func(r rpcReply) {
		if got := r.Header.Get("Content-Encoding"); got != "" && got != "identity" {
			c.wrong(r.What+" with Accept-Encoding: identity", "no Content-Encoding", got)
		}
	})
}

func checkScriptSuccessStatus(c *checker) {
	if !c.opts.Production {
		r := c.createJob()
		if r.form == 0 && !r.OK() {
			c.wrong(r.What, "an HTTP status of success", r.Summary())
		}
	}
	for _, r := range c.upgrade(theDirectory).answers(c) {
		if !r.OK() {
			c.wrong(r.What, "an HTTP status of success", r.Summary())
		}
	}
}

func checkScriptFailureForm(c *checker) {
	refused := 0
	var replies []rpcReply
	for _, name := range tokenCalls {
		replies = append(replies, c.noTokenCall(name))
	}
	if !c.opts.Production {
		replies = append(replies, c.createJob(member{"contract", c.target.UnknownContract}),
			c.rpc("transfer/start", startParams(c.newJob(), "download")),
			c.rpc("wipe", members{{"contract", c.target.Contract}, {"token", noToken}}))
	}
	for _, r := range replies {
		if e, both := r.object["error"]; both && r.fine() && e != nil {
			c.wrong(r.What, "either result or error: the script looks at result alone", r.Summary())
		}
		if r.fine() {
			continue // that it is refused is assumed
		}
		refused++
		if !r.OK() {
			c.wrong(r.What, "a failure with an HTTP status of success", r.Summary())
		}
		c.object(r.reply)
		c.refuses(r, "there is a reason")
	}
	if refused == 0 {
		c.skipf("the server refuses nothing")
	}
}

func checkScriptFailure200(c *checker) {
	for _, name := range tokenCalls {
		if r := c.noTokenCall(name); r.Status != http.StatusOK {
			c.wrong(r.What, "HTTP 200 with a failure", r.Summary())
		}
	}
}

func checkScriptErrorObject(c *checker) {
	replies := []rpcReply{c.rpc("status", nil), c.rpc("status", members{{"token", 5}})}
	for _, name := range tokenCalls {
		replies = append(replies, c.noTokenCall(name))
	}
	inError := 0
	for _, r := range replies {
		e, is := r.object["error"].(map[string]any)
		if !is {
			continue
		}
		inError++
		data, _ := e["data"].(map[string]any)
		if number(e["code"]) != "200" || text(e["message"]) == "" || text(data["name"]) == "" ||
			isString(data["debug"]) != "" || text(data["message"]) == "" {
			c.wrong(r.What, "error with code 200, message, and data with name, debug and message", r.Summary())
		}
	}
	if inError == 0 {
		c.skipf("the server refuses in result.error alone")
	}
}

func checkScriptIDEcho(c *checker) {
	c.everyReply(func(r rpcReply) {
		if v := r.object["id"]; v != "not_used" && !(isStop(r) && r.Size == 0) {
			c.wrong(r.What, `the call's id, "not_used"`, r.Summary())
		}
	})
}

func checkScriptParamsUnknown(c *checker) {
	j := c.newJob(member{"no_such_parameter", []int{1}})
	if r := c.result(c.rpc("status", j.auth().with(member{"no_such_parameter", nil}))); text(r.result["status"]) == "" {
		c.wrong(r.What, "the status as without it", r.Summary())
	}
}

func checkScriptPathUnknown(c *checker) {
	for _, name := range []string{"no_such_call", "create/more", "transfer", "transfer/pause"} {
		if a := c.must(c.composeRPC(name, members{{"token", noToken}})); a.Status != http.StatusNotFound {
			c.wrong(a.What, "HTTP 404", a.Summary())
		}
	}
}

func checkScriptHTTPMethod(c *checker) {
	for _, name := range []string{"create", "status", "process", "transfer/start", "logs"} {
		verbs := []string{http.MethodPut, http.MethodDelete, http.MethodGet}
		if name == "logs" {
			verbs = []string{http.MethodPut, http.MethodDelete, http.MethodPost}
		}
		for _, verb := range verbs {
			call := c.composeRPC(name, members{{"token", noToken}})
			call.Method, call.What = verb, verb+" "+name
			if a := c.must(call); a.Status != http.StatusMethodNotAllowed {
				c.wrong(a.What, "HTTP 405", a.Summary())
			}
		}
	}
}

func checkScriptTokenUnknown(c *checker) {
	c.newJob() // so that there is one to be opened
	said := ""
	for _, name := range tokenCalls {
		for _, token := range []any{noToken, "x", "", strings.Repeat("A", 4000)} {
			p := members{{"token", token}, {"transfer_type", "upload"}}
			r := c.refuses(c.rpc(name, p), "the token is none's")
			if token == "" {
				continue // it may be said to be missing
			}
			if said == "" {
				said = r.refusal
			}
			if r.refusal != said {
				c.wrong(r.What, fmt.Sprintf("the words of every such refusal: %q", said), r.Summary())
			}
		}
	}
}

func checkScriptFile(c *checker) {
	a := c.fetch(c.base + "/upgrade")
	switch {
	case a.Status == http.StatusNotFound:
		c.skipf("the server has no script to hand out: nobody but its publisher may")
	case !a.OK():
		c.wrong(a.What, "the script", a.Summary())
	case a.Size == 0 || strings.HasPrefix(strings.TrimSpace(string(a.Body[:min(len(a.Body), 100)])), "<"):
		c.wrong(a.What, "the script, a text that is no HTML", a.Summary())
	}
}

func checkScriptFileInstead(c *checker) {
	a := c.fetch(c.base + "/upgrade")
	if a.OK() {
		c.skipf("the server has a script to hand out")
	}
	if a.Status != http.StatusNotFound || !strings.Contains(string(a.Body), "import sys") {
		c.wrong(a.What, "HTTP 404 with a program for Python that says what to do", a.Summary())
	}
}
