package conformance

import (
	"fmt"
	"mime"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// methods that the 11.0 page has.
var pageMethods = []string{"create", "upload", "request_sftp_access", "process", "status"}

// group is the word that the ids of a method's checks begin with.
func group(method string) string {
	if method == "request_sftp_access" {
		return "sftp-access"
	}
	return strings.ReplaceAll(method, "_", "-")
}

// success calls a method so that it must succeed, on a request of the check's own.
func (c *checker) success(method string) reply {
	switch method {
	case "create":
		p := c.createParams()
		r := c.api("create", c.way("create"), p)
		c.readRequest(r, p)
		return r
	case "upload":
		return readReply(c.must(c.composeUpload(c.create(), c.dump())))
	case "request_sftp_access":
		return readReply(c.must(c.composeAccess(c.create().auth(), raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	case "process":
		req := c.create()
		c.put(req, c.dump())
		return c.api("process", c.way("process"), req.auth())
	}
	return c.api(method, c.way(method), c.create().auth())
}

// refused calls a method so that it must be refused: create with a target that is none, the others without a
// request and key.
func (c *checker) refusedCall(method string) reply {
	switch method {
	case "create":
		return c.api("create", c.way("create"), c.createParams().set("target", "5.0"))
	case "upload":
		return readReply(c.must(raw.Call{Method: "POST", URL: c.methodURL("upload"),
			ContentType: "application/octet-stream", Body: []byte("--\n"),
			What: "POST upload without request and key"}))
	case "request_sftp_access":
		return readReply(c.must(c.composeAccess(nil, raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	}
	return c.api(method, c.way(method), nil)
}

// failureList ends the check unless the reply has the list `failures` as the contract describes it.
func (c *checker) failureList(r reply, empty bool) {
	c.object(r)
	v, there := r.object["failures"]
	if !there {
		c.wrong(r.What, "the key failures", r.Summary())
	}
	list, ok := v.([]any)
	if !ok {
		c.wrong(r.What, "failures as a list", kind(v)+": "+r.Summary())
	}
	if empty && len(list) > 0 {
		c.wrong(r.What, "failures empty, since nothing is wrong", r.Summary())
	}
	if !empty && len(list) == 0 {
		c.wrong(r.What, "a failure in the list", r.Summary())
	}
}

// failureFields ends the check unless each failure is an object with the strings reason and message, and
// what else it may have is of its type.
func (c *checker) failureFields(r reply) {
	c.object(r)
	list, _ := r.object["failures"].([]any)
	for _, v := range list {
		f, ok := v.(map[string]any)
		if !ok {
			c.wrong(r.What, "each failure as an object", kind(v)+": "+show(v))
		}
		for _, key := range []string{"reason", "message"} {
			if s, ok := f[key].(string); !ok || strings.TrimSpace(s) == "" {
				c.wrong(r.What, "each failure with the string "+key, show(v))
			}
		}
		if e, there := f["expected"]; there {
			if _, ok := e.([]any); !ok {
				c.wrong(r.What, "expected as a list", show(v))
			}
		}
	}
}

func answerChecks() []check {
	var checks []check
	for _, m := range pageMethods {
		needs := needsWrites
		switch m {
		case "process":
			needs |= needsProcess
		case "request_sftp_access":
			needs |= needsSFTP
		}
		checks = append(checks,
			check{id: group(m) + "/failures-list", rows: rows("1.6"), evidence: EvidenceDocumented, needs: needs,
				says: "A successful " + m + " answers a JSON object whose list failures is empty.",
				run:  func(c *checker) { checkFailuresList(c, m) }},
			check{id: group(m) + "/failure-object", rows: rows("1.9"), evidence: EvidenceDocumented, gentle: true,
				says: "A refused " + m + " lists failures as objects with a reason and a message.",
				run:  func(c *checker) { checkFailureObject(c, m) }})
	}
	return append(checks,
		check{id: "answers/success-status", rows: rows("1.6", "1.7"), evidence: EvidenceObserved,
			needs: needsWrites | needsProcess | needsSFTP,
			says: "A success answers an HTTP status below 300: known clients take 400 and above for an error, and " +
				"the samples follow no redirect.",
			run: checkAnswersSuccessStatus},
		check{id: "answers/success-200", rows: rows("1.7"), evidence: EvidenceAssumed,
			needs: needsWrites | needsProcess | needsSFTP,
			says:  "A success answers HTTP 200.",
			run:   checkAnswersSuccess200},
		check{id: "answers/failure-200", rows: rows("1.7"), evidence: EvidenceAssumed,
			says: "Failures answer HTTP 200, too.",
			run:  checkAnswersFailure200},
		check{id: "answers/content-type", rows: rows("1.6"), evidence: EvidenceAssumed,
			needs: needsWrites | needsProcess | needsSFTP,
			says:  "Answers have the Content-Type application/json.",
			run:   checkAnswersContentType},
		check{id: "answers/failure-without-request", rows: rows("1.10"), evidence: EvidenceAssumed,
			says: "A refused call's answer does not have the key request.",
			run:  checkAnswersFailureWithoutRequest},
		check{id: "answers/trailing-slash", rows: rows("1.11"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "Each method also answers with a trailing slash.",
			run:  checkAnswersTrailingSlash},
		check{id: "answers/unknown-method", rows: rows("1"), evidence: EvidenceAssumed,
			says: "Anything else under /database/v1/ is 404.",
			run:  checkAnswersUnknownMethod},
		check{id: "answers/http-methods", rows: rows("1.5"), evidence: EvidenceAssumed,
			says: "GET, POST, PUT and HEAD answer alike.",
			run:  checkAnswersHTTPMethods},
		check{id: "answers/http-method-refused", rows: rows("1.5"), evidence: EvidenceAssumed,
			says: "Other HTTP methods get 405 with Allow.",
			run:  checkAnswersHTTPMethodRefused},
	)
}

func checkFailuresList(c *checker, m string) { c.failureList(c.success(m), true) }

func checkFailureObject(c *checker, m string) {
	r := c.refusedCall(m)
	c.failureList(r, false)
	c.failureFields(r)
}

func checkAnswersSuccessStatus(c *checker) {
	for _, m := range pageMethods {
		if r := c.success(m); r.Status >= 300 {
			c.wrong(r.What, "an HTTP status of success", r.Summary())
		}
	}
}

func checkAnswersSuccess200(c *checker) {
	for _, m := range pageMethods {
		if r := c.success(m); r.Status != 200 {
			c.wrong(r.What, "HTTP 200", r.Summary())
		}
	}
}

func checkAnswersFailure200(c *checker) {
	for _, m := range pageMethods {
		if r := c.refusedCall(m); r.Status != 200 {
			c.wrong(r.What, "HTTP 200 with failures", r.Summary())
		}
	}
}

func checkAnswersContentType(c *checker) {
	for _, m := range pageMethods {
		for _, r := range []reply{c.success(m), c.refusedCall(m)} {
			got := r.Header.Get("Content-Type")
			if t, _, _ := mime.ParseMediaType(got); t != "application/json" {
				c.wrong(r.What, "Content-Type: application/json", fmt.Sprintf("%q", got))
			}
		}
	}
}

func checkAnswersFailureWithoutRequest(c *checker) {
	for _, m := range pageMethods {
		r := c.refusedCall(m)
		if _, there := r.object["request"]; there {
			c.wrong(r.What, "no key request beside failures", r.Summary())
		}
	}
}

func checkAnswersTrailingSlash(c *checker) {
	auth := c.create().auth()
	for _, m := range pageMethods {
		if m == "upload" || m == "request_sftp_access" {
			continue // refused below, since they need more than parameters
		}
		p := auth
		if m == "create" {
			p = c.createParams()
		}
		r := c.api(m+"/", c.way(m), p)
		c.object(r)
		if m == "process" {
			c.reasoned(r, "DUMP:MISSING")
			continue
		}
		if _, ok := c.readRequest(c.accepted(r), p); !ok {
			c.wrong(r.What, "the same answer as without the slash", r.Summary())
		}
	}
	for _, m := range []string{"upload", "request_sftp_access"} {
		r := readReply(c.must(raw.Call{Method: "POST", URL: c.methodURL(m) + "/",
			What: "POST " + m + "/ without parameters", Body: []byte{}}))
		c.reasoned(r, "REQUEST:MISSING")
	}
}

func checkAnswersUnknownMethod(c *checker) {
	for _, m := range []string{"no_such_method", "", "create/more"} {
		a := c.must(c.compose(m, byQuery, c.createParams()))
		if a.Status != 404 {
			c.wrong(a.What, "HTTP 404", a.Summary())
		}
	}
}

func checkAnswersHTTPMethods(c *checker) {
	req := c.create()
	want := c.api("status", byQuery, req.auth())
	for _, w := range []way{byPostQuery, byPutQuery} {
		r := c.accepted(c.api("status", w, req.auth()))
		if got := number(r.request()["id"]); got != req.id {
			c.wrong(r.What, "the same answer as to GET", r.Summary())
		}
	}
	a := c.must(c.compose("status", byHead, req.auth()))
	if a.Status != want.Status || a.Header.Get("Content-Type") != want.Header.Get("Content-Type") || a.Size != 0 {
		c.wrong(a.What, fmt.Sprintf("HTTP %d, %s as to GET, and no body",
			want.Status, want.Header.Get("Content-Type")),
			fmt.Sprintf("HTTP %d, %s, %d bytes", a.Status, a.Header.Get("Content-Type"), a.Size))
	}
}

func checkAnswersHTTPMethodRefused(c *checker) {
	req := c.create()
	for _, verb := range []string{"DELETE", "PATCH"} {
		call := c.compose("status", byQuery, req.auth())
		call.Method, call.What = verb, verb+" status"
		a := c.must(call)
		if a.Status != 405 || !strings.Contains(a.Header.Get("Allow"), "GET") ||
			!strings.Contains(a.Header.Get("Allow"), "POST") {
			c.wrong(call.What, "HTTP 405 with Allow naming GET and POST",
				fmt.Sprintf("%s, Allow: %q", a.Summary(), a.Header.Get("Allow")))
		}
	}
}
