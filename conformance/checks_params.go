package conformance

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// paramWay is a way of passing parameters.
type paramWay struct {
	name     string
	way      way
	rows     []string
	evidence Evidence
	says     string
}

// paramWays are the ways that the contract has for any method that takes nothing but parameters.
var paramWays = []paramWay{
	{"query", byQuery, rows("1.1"), EvidenceDocumented, "in the query of a GET"},
	{"form", byForm, rows("1.1"), EvidenceDocumented, "in an urlencoded form"},
	{"post-query", byPostQuery, rows("1.2"), EvidenceDocumented, "in the query of a POST"},
	{"multipart", byMultipart, rows("1.1"), EvidenceDocumented, "in multipart/form-data fields"},
	{"get-body", byGetBody, rows("1.2"), EvidenceDocumentedLater, "in an urlencoded body of a GET"},
}

// splitParams makes a call of create whose parameters are in two places.
func splitParams(c *checker, way string, compose func(query, rest params) raw.Call) {
	p := c.createParams()
	r := readReply(c.must(compose(p[:4], p[4:])))
	c.accepted(r)
	if _, ok := c.readRequest(r, p); !ok {
		c.wrong(r.What, "a request made from the parameters of "+way, r.Summary())
	}
}

func paramChecks() []check {
	var checks []check
	for _, w := range paramWays {
		checks = append(checks,
			check{id: "create/" + w.name, rows: w.rows, evidence: w.evidence, needs: needsWrites,
				says: "create takes its parameters " + w.says + ".",
				run:  func(c *checker) { checkCreateByWay(c, w) }},
			check{id: "status/" + w.name, rows: w.rows, evidence: w.evidence, gentle: true,
				says: "status takes its parameters " + w.says + ".",
				run:  func(c *checker) { checkStatusByWay(c, w) }},
			check{id: "process/" + w.name, rows: w.rows, evidence: w.evidence, needs: needsWrites | needsProcess,
				says: "process takes its parameters " + w.says + ".",
				run:  func(c *checker) { checkProcessByWay(c, w) }})
	}
	return append(checks,
		check{id: "params/query-and-form", rows: rows("1.1"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "Parameters may come partly in the query and partly in the form.",
			run:  checkParamsQueryAndForm},
		check{id: "params/query-and-multipart", rows: rows("1.1"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "Parameters may come partly in the query and partly in multipart fields.",
			run:  checkParamsQueryAndMultipart},
		check{id: "params/form-charset", rows: rows("1.1"), evidence: EvidenceDocumented, gentle: true,
			says: "A form is one also when its Content-Type names a charset.",
			run:  checkParamsFormCharset},
		check{id: "params/key-unescaped", rows: rows("1.1"), evidence: EvidenceDocumented, gentle: true,
			says: "The key may stand in the query as it is, with its == unescaped, as in the shell samples.",
			run:  checkParamsKeyUnescaped},
		check{id: "params/escapes", rows: rows("1.1", "7"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "Percent escapes and + are decoded: what was sent is what status shows.",
			run:  checkParamsEscapes},
		check{id: "params/extra-ignored", rows: rows("1.4"), evidence: EvidenceObserved, needs: needsWrites,
			says: "Unknown extra parameters are ignored: known clients send dbname, backup, run and others.",
			run:  checkParamsExtraIgnored},
		check{id: "params/extra-ignored-upload", rows: rows("1.4"), evidence: EvidenceObserved, needs: needsWrites,
			says: "upload, request_sftp_access and process ignore unknown extra parameters.",
			run:  checkParamsExtraIgnoredUpload},
		check{id: "params/body-beats-query", rows: rows("1.3"), evidence: EvidenceAssumed,
			says: "A parameter given in the query and in the body: the body's counts.",
			run:  checkParamsBodyBeatsQuery},
		check{id: "params/first-counts", rows: rows("1.3"), evidence: EvidenceAssumed,
			says: "A parameter given twice in one place: the first counts.",
			run:  checkParamsFirstCounts},
		check{id: "params/bad-multipart", rows: rows("1.1"), evidence: EvidenceAssumed,
			says: "A broken multipart body is refused with a failure, and the server goes on.",
			run:  checkParamsBadMultipart},
		check{id: "params/large-value", rows: rows("1.1"), evidence: EvidenceAssumed,
			says: "A parameter of a megabyte is refused, and the server goes on.",
			run:  checkParamsLargeValue},
	)
}

func checkCreateByWay(c *checker, w paramWay) {
	p := c.createParams().set("email", "john+"+w.name+"@example.com")
	r := c.accepted(c.api("create", w.way, p))
	c.readRequest(r, p)
	if got := text(r.request()["email"]); got != "john+"+w.name+"@example.com" {
		c.wrong(r.What, "a request with the email sent", show(r.request()["email"]))
	}
}

func checkStatusByWay(c *checker, w paramWay) {
	req := c.draft()
	r := c.accepted(c.api("status", w.way, req.auth()))
	if number(r.request()["id"]) != req.id {
		c.wrong(r.What, "the request "+req.id, r.Summary())
	}
}

func checkProcessByWay(c *checker, w paramWay) {
	req, _ := c.uploaded()
	c.accepted(c.api("process", w.way, req.auth()))
}

func checkParamsQueryAndForm(c *checker) {
	splitParams(c, "query and form", func(q, rest params) raw.Call {
		return raw.Call{Method: "POST", URL: c.methodURL("create") + "?" + q.encode(), ContentType: formType,
			Body: []byte(rest.encode()),
			What: "POST create " + q.String() + " in the query and " + rest.String() + " as a form"}
	})
}

func checkParamsQueryAndMultipart(c *checker) {
	splitParams(c, "query and multipart", func(q, rest params) raw.Call {
		call := raw.Call{Method: "POST", URL: c.methodURL("create") + "?" + q.encode(),
			What: "POST create " + q.String() + " in the query and " + rest.String() + " as multipart fields"}
		call.ContentType, call.Body = multipartBody(rest, nil)
		return call
	})
}

func checkParamsFormCharset(c *checker) {
	req := c.draft()
	call := c.compose("status", byForm, req.auth())
	call.ContentType += "; charset=UTF-8"
	call.What += " with a charset"
	r := c.accepted(readReply(c.must(call)))
	if number(r.request()["id"]) != req.id {
		c.wrong(r.What, "the request "+req.id, r.Summary())
	}
}

func checkParamsKeyUnescaped(c *checker) {
	req := c.draft()
	call := raw.Call{Method: "GET", URL: c.methodURL("status") + "?key=" + req.key + "&request=" + req.id,
		What: "GET status?key=" + req.key + "&request=" + req.id}
	r := c.accepted(readReply(c.must(call)))
	if number(r.request()["id"]) != req.id {
		c.wrong(r.What, "the request "+req.id, r.Summary())
	}
}

func checkParamsEscapes(c *checker) {
	name := "my db+v1 (100%) & more=ü.dump"
	for _, w := range []way{byQuery, byForm} {
		p := c.createParams().set("filename", name).set("email", "john.doe+odoo@example.com")
		r := c.accepted(c.api("create", w, p))
		c.readRequest(r, p)
		for key, want := range map[string]string{"filename": name, "email": "john.doe+odoo@example.com"} {
			if got := text(r.request()[key]); got != want {
				c.wrong(r.What, fmt.Sprintf("%s %q", key, want), show(r.request()[key]))
			}
		}
	}
}

func checkParamsExtraIgnored(c *checker) {
	extra := params{"dbname", "prod", "backup", "/tmp/x.dump", "run", "False", "version", "2", "database", "eu9"}
	for _, w := range []way{byQuery, byForm} {
		p := c.createParams().with(extra...)
		r := c.accepted(c.api("create", w, p))
		req, ok := c.readRequest(r, p)
		if !ok {
			c.wrong(r.What, "a request", r.Summary())
		}
		c.accepted(c.api("status", w, req.auth().with(extra...)))
	}
}

func checkParamsExtraIgnoredUpload(c *checker) {
	req := c.create()
	auth := req.auth().with("dbname", "prod", "run", "False")
	call := c.composeUpload(req, c.dump())
	call.URL = c.methodURL("upload") + "?" + auth.encode()
	call.What += " and the extra parameters dbname and run"
	c.accepted(readReply(c.must(call)))
	c.accepted(readReply(c.must(c.composeAccess(auth, raw.KeyLine(raw.NewKey("ed25519"))+"\n"))))
	c.accepted(c.api("process", c.way("process"), auth))
}

func checkParamsBodyBeatsQuery(c *checker) {
	p := c.createParams()
	r := readReply(c.must(raw.Call{Method: "POST", URL: c.methodURL("create") + "?email=query%40example.com",
		ContentType: formType, Body: []byte(p.set("email", "body@example.com").encode()),
		What: "POST create with email=query@example.com in the query and email=body@example.com in the form"}))
	c.readRequest(c.accepted(r), p)
	if got := text(r.request()["email"]); got != "body@example.com" {
		c.wrong(r.What, "the email body@example.com", show(r.request()["email"]))
	}
}

func checkParamsFirstCounts(c *checker) {
	for _, w := range []way{byQuery, byForm, byMultipart} {
		p := c.createParams().without("email").with("email", "first@example.com", "email", "second@example.com")
		r := c.accepted(c.api("create", w, p))
		c.readRequest(r, p)
		if got := text(r.request()["email"]); got != "first@example.com" {
			c.wrong(r.What, "the email first@example.com", show(r.request()["email"]))
		}
	}
}

func checkParamsBadMultipart(c *checker) {
	r := readReply(c.must(raw.Call{Method: "POST", URL: c.methodURL("create"),
		ContentType: "multipart/form-data; boundary=x",
		Body:        []byte("--x\r\nContent-Disposition: form-data; name=\"email\"\r\n\r\njohn"),
		What:        "POST create with a multipart body that breaks off"}))
	if r.object == nil || !r.refused() {
		c.wrong(r.What, "a JSON object with failures", r.Summary())
	}
}

func checkParamsLargeValue(c *checker) {
	p := c.createParams().set("timezone", strings.Repeat("x", 1<<20))
	a, err := c.try(c.compose("create", byForm, p))
	if err == nil && a.Status != http.StatusRequestEntityTooLarge {
		if r := readReply(a); !r.refused() {
			c.wrong(a.What, "a refusal", a.Summary())
		}
	}
	c.create()
}
