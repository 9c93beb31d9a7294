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
func (b *checker) success(method string) reply {
	switch method {
	case "create":
		p := b.createParams()
		r := b.api("create", b.way("create"), p)
		b.readRequest(r, p)
		return r
	case "upload":
		return readReply(b.must(b.composeUpload(b.create(), b.dump())))
	case "request_sftp_access":
		return readReply(b.must(b.composeAccess(b.create().auth(), raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	case "process":
		req := b.create()
		b.put(req, b.dump())
		return b.api("process", b.way("process"), req.auth())
	}
	return b.api(method, b.way(method), b.create().auth())
}

// refused calls a method so that it must be refused: create with a target that is none, the others without a
// request and key.
func (b *checker) refusedCall(method string) reply {
	switch method {
	case "create":
		return b.api("create", b.way("create"), b.createParams().set("target", "5.0"))
	case "upload":
		return readReply(b.must(raw.Call{Method: "POST", URL: b.methodURL("upload"),
			ContentType: "application/octet-stream", Body: []byte("--\n"),
			What: "POST upload without request and key"}))
	case "request_sftp_access":
		return readReply(b.must(b.composeAccess(nil, raw.KeyLine(raw.NewKey("ed25519"))+"\n")))
	}
	return b.api(method, b.way(method), nil)
}

// failureList ends the check unless the reply has the list `failures` as the contract describes it.
func (b *checker) failureList(r reply, empty bool) {
	b.object(r)
	v, there := r.object["failures"]
	if !there {
		b.wrong(r.What, "the key failures", r.Summary())
	}
	list, ok := v.([]any)
	if !ok {
		b.wrong(r.What, "failures as a list", kind(v)+": "+r.Summary())
	}
	if empty && len(list) > 0 {
		b.wrong(r.What, "failures empty, since nothing is wrong", r.Summary())
	}
	if !empty && len(list) == 0 {
		b.wrong(r.What, "a failure in the list", r.Summary())
	}
}

// failureFields ends the check unless each failure is an object with the strings reason and message, and
// what else it may have is of its type.
func (b *checker) failureFields(r reply) {
	b.object(r)
	list, _ := r.object["failures"].([]any)
	for _, v := range list {
		f, ok := v.(map[string]any)
		if !ok {
			b.wrong(r.What, "each failure as an object", kind(v)+": "+show(v))
		}
		for _, key := range []string{"reason", "message"} {
			if s, ok := f[key].(string); !ok || strings.TrimSpace(s) == "" {
				b.wrong(r.What, "each failure with the string "+key, show(v))
			}
		}
		if e, there := f["expected"]; there {
			if _, ok := e.([]any); !ok {
				b.wrong(r.What, "expected as a list", show(v))
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
				run:  func(b *checker) { checkFailuresList(b, m) }},
			check{id: group(m) + "/failure-object", rows: rows("1.9"), evidence: EvidenceDocumented, gentle: true,
				says: "A refused " + m + " lists failures as objects with a reason and a message.",
				run:  func(b *checker) { checkFailureObject(b, m) }})
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

func checkFailuresList(b *checker, m string) { b.failureList(b.success(m), true) }

func checkFailureObject(b *checker, m string) {
	r := b.refusedCall(m)
	b.failureList(r, false)
	b.failureFields(r)
}

func checkAnswersSuccessStatus(b *checker) {
	for _, m := range pageMethods {
		if r := b.success(m); r.Status >= 300 {
			b.wrong(r.What, "an HTTP status of success", r.Summary())
		}
	}
}

func checkAnswersSuccess200(b *checker) {
	for _, m := range pageMethods {
		if r := b.success(m); r.Status != 200 {
			b.wrong(r.What, "HTTP 200", r.Summary())
		}
	}
}

func checkAnswersFailure200(b *checker) {
	for _, m := range pageMethods {
		if r := b.refusedCall(m); r.Status != 200 {
			b.wrong(r.What, "HTTP 200 with failures", r.Summary())
		}
	}
}

func checkAnswersContentType(b *checker) {
	for _, m := range pageMethods {
		for _, r := range []reply{b.success(m), b.refusedCall(m)} {
			got := r.Header.Get("Content-Type")
			if t, _, _ := mime.ParseMediaType(got); t != "application/json" {
				b.wrong(r.What, "Content-Type: application/json", fmt.Sprintf("%q", got))
			}
		}
	}
}

func checkAnswersFailureWithoutRequest(b *checker) {
	for _, m := range pageMethods {
		r := b.refusedCall(m)
		if _, there := r.object["request"]; there {
			b.wrong(r.What, "no key request beside failures", r.Summary())
		}
	}
}

func checkAnswersTrailingSlash(b *checker) {
	auth := b.create().auth()
	for _, m := range pageMethods {
		if m == "upload" || m == "request_sftp_access" {
			continue // refused below, since they need more than parameters
		}
		p := auth
		if m == "create" {
			p = b.createParams()
		}
		r := b.api(m+"/", b.way(m), p)
		b.object(r)
		if m == "process" {
			b.reasoned(r, "DUMP:MISSING")
			continue
		}
		if _, ok := b.readRequest(b.accepted(r), p); !ok {
			b.wrong(r.What, "the same answer as without the slash", r.Summary())
		}
	}
	for _, m := range []string{"upload", "request_sftp_access"} {
		r := readReply(b.must(raw.Call{Method: "POST", URL: b.methodURL(m) + "/",
			What: "POST " + m + "/ without parameters", Body: []byte{}}))
		b.reasoned(r, "REQUEST:MISSING")
	}
}

func checkAnswersUnknownMethod(b *checker) {
	for _, m := range []string{"no_such_method", "", "create/more"} {
		a := b.must(b.compose(m, byQuery, b.createParams()))
		if a.Status != 404 {
			b.wrong(a.What, "HTTP 404", a.Summary())
		}
	}
}

func checkAnswersHTTPMethods(b *checker) {
	req := b.create()
	want := b.api("status", byQuery, req.auth())
	for _, w := range []way{byPostQuery, byPutQuery} {
		r := b.accepted(b.api("status", w, req.auth()))
		if got := number(r.request()["id"]); got != req.id {
			b.wrong(r.What, "the same answer as to GET", r.Summary())
		}
	}
	a := b.must(b.compose("status", byHead, req.auth()))
	if a.Status != want.Status || a.Header.Get("Content-Type") != want.Header.Get("Content-Type") || a.Size != 0 {
		b.wrong(a.What, fmt.Sprintf("HTTP %d, %s as to GET, and no body",
			want.Status, want.Header.Get("Content-Type")),
			fmt.Sprintf("HTTP %d, %s, %d bytes", a.Status, a.Header.Get("Content-Type"), a.Size))
	}
}

func checkAnswersHTTPMethodRefused(b *checker) {
	req := b.create()
	for _, verb := range []string{"DELETE", "PATCH"} {
		c := b.compose("status", byQuery, req.auth())
		c.Method, c.What = verb, verb+" status"
		a := b.must(c)
		if a.Status != 405 || !strings.Contains(a.Header.Get("Allow"), "GET") ||
			!strings.Contains(a.Header.Get("Allow"), "POST") {
			b.wrong(c.What, "HTTP 405 with Allow naming GET and POST",
				fmt.Sprintf("%s, Allow: %q", a.Summary(), a.Header.Get("Allow")))
		}
	}
}
