package conformance

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// stored is what the server holds as the uploaded dump, and "", or why nothing of it is to be had. It is asked for in
// draft; a server that hands out the original only later is asked to process the dump first.
func (c *checker) stored(req request) (raw.Answer, string) {
	u := text(c.status(req).request()["original_dump_url"])
	if u == "" {
		c.blocked("url-form/original_dump_url", "there is no original_dump_url")
	}
	a := c.fetch(c.reachable(u))
	if a.OK() {
		return a, ""
	}
	first := a.Summary()
	if c.status(req).request()["state"] == "draft" {
		r, err := c.tryAPI("process", req.auth())
		if err != nil || !r.fine() {
			return a, fmt.Sprintf("nothing at original_dump_url (%s), and process answered %s", first, r.Summary())
		}
	}
	j := &lifecycle{phases: phases{checker: c}, req: req}
	j.follow()
	if a = c.fetch(c.reachable(u)); !a.OK() {
		return a, fmt.Sprintf("nothing at original_dump_url, neither in draft (%s) nor in state %s (%s)",
			first, text(j.field("state")), a.Summary())
	}
	return a, ""
}

// reachable is a URL of an answer as it can be fetched: one that leads to another host is never followed there.
func (c *checker) reachable(u string) string {
	if strings.HasPrefix(u, c.public+"/") {
		return u
	}
	if i := strings.Index(u, "/database/"); i >= 0 {
		return c.public + u[i:]
	}
	c.blocked("url-form/base", "the URL %q leads away from the server", u)
	return ""
}

// holds ends the check unless the server has exactly the dump.
func (c *checker) holds(req request, sent string, dump []byte) {
	a, nothing := c.stored(req)
	if nothing != "" {
		c.wrong(sent, "the server to have the dump byte for byte", nothing)
	}
	if !a.Is(dump) {
		c.wrong(sent, "the server to have the dump byte for byte", "original_dump_url has "+a.Diff(dump))
	}
}

// exact makes the check of one dump that goes up in one way and must arrive byte for byte.
func exact(id, row string, evidence Evidence, says string, dump func(c *checker) []byte,
	change func(c *raw.Call)) check {
	return check{id: "upload/" + id, rows: rows(row), evidence: evidence, says: says, needs: needsWrites,
		run: func(c *checker) {
			req := c.create()
			data := dump(c)
			call := c.composeUpload(req, data)
			if change != nil {
				change(&call)
			}
			c.accepted(readReply(c.must(call)))
			c.holds(req, call.What, data)
		}}
}

// smallDump is a small dump that has every byte.
func smallDump(*checker) []byte { return sqlDump("9.4.5", everyByte()) }

// withContentType changes the Content-Type of a call.
func withContentType(ctype string) func(c *raw.Call) {
	return func(c *raw.Call) {
		c.ContentType = ctype
		c.What += ", Content-Type " + cmp.Or(ctype, "none")
	}
}

func uploadChecks() []check {
	return []check{
		{id: "upload/answer", rows: rows("4.1", "4.6"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "upload of a dump, with key and request in the query, succeeds.",
			run:  checkUploadAnswer},
		exact("bytes", "4.1", EvidenceDocumented, "The body is the dump, byte for byte, whatever bytes it has.",
			smallDump, nil),
		exact("custom-format", "4.1", EvidenceDocumented, "A dump made by pg_dump -Fc arrives byte for byte.",
			(*checker).dump, nil),
		exact("line-ends", "4.1", EvidenceDocumented, "Line ends are kept: CRLF, CR, and the last one.",
			func(*checker) []byte {
				return sqlDump("9.4.5", []byte("-- one\r\n-- two\r-- three\n\r\n-- four\r\n\r\n"))
			}, nil),
		exact("first-and-last-bytes", "4.1", EvidenceDocumented,
			"Nothing is cut from the beginning or the end: spaces, line ends, NUL bytes.",
			func(*checker) []byte {
				return append(append([]byte(" \t\r\n\n"), sqlDump("9.4.5", nil)...),
					"-- end \x00\x00 \t\r\n\r\n \n\x00\x1a"...)
			}, nil),
		exact("no-last-line-end", "4.1", EvidenceDocumented, "No line end is added at the end.",
			func(*checker) []byte { return sqlDump("9.4.5", []byte("-- no line end")) }, nil),
		exact("large", "4.1", EvidenceDocumented, "A dump of some megabytes arrives whole.",
			func(*checker) []byte { return manyMiB(33) }, nil),
		exact("form-looking", "4.2", EvidenceDocumented,
			"A body that looks like a form, sent as one, is still the dump.",
			func(*checker) []byte {
				return append([]byte("request=1&key=x&a=%41+b&"),
					sqlDump("9.4.5", []byte("&request=2&key=y%3D%3D&c=+%2B"))...)
			}, withContentType(formType)),
		exact("form-type", "4.2", EvidenceDocumented,
			"A dump with the Content-Type of a form (curl's default) is taken as it is.",
			smallDump, withContentType(formType)),
		exact("no-type", "4.2", EvidenceDocumented, "A dump without Content-Type is taken as it is.",
			smallDump, withContentType("")),
		exact("odd-type", "4.2", EvidenceDocumented, "A dump with some other Content-Type is taken as it is.",
			smallDump, withContentType("application/x-gzip; charset=binary")),
		exact("json-type", "4.2", EvidenceDocumented, "A dump with the Content-Type of JSON is taken as it is.",
			smallDump, withContentType("application/json")),
		exact("multipart-type", "4.2", EvidenceDocumented,
			"A dump with the Content-Type of a multipart body is taken as it is.",
			smallDump, withContentType("multipart/form-data; boundary=dump")),
		{id: "upload/wrapped", rows: rows("4.1", "4.2"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "A body that looks like a wrapping of something, or that a Content-Type calls one, is stored as it came: " +
				"a multipart form, gzip, zip, a form, base64, a text behind a byte order mark.",
			run: checkUploadWrapped},
		exact("chunked", "4.3", EvidenceObserved, "A dump sent in chunks, without Content-Length, arrives whole.",
			func(c *checker) []byte { return sqlDump("9.4.5", c.random(300<<10)) },
			func(c *raw.Call) { c.Chunked = true; c.What += " in chunks" }),
		exact("expect-continue", "4.3", EvidenceDocumented, "A dump announced with Expect: 100-continue is taken.",
			func(c *checker) []byte { return sqlDump("9.4.5", c.random(100<<10)) },
			func(c *raw.Call) {
				c.Header = map[string][]string{"Expect": {"100-continue"}}
				c.What += " with Expect: 100-continue"
			}),
		exact("put", "1.5", EvidenceAssumed, "A dump sent with PUT (curl -T) is taken.",
			smallDump, func(c *raw.Call) { c.Method = "PUT"; c.What = strings.Replace(c.What, "POST", "PUT", 1) }),
		{id: "upload/http-1.0", rows: rows("4.3"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "A dump sent with HTTP/1.0 is taken.",
			run:  checkUploadHTTP10},
		{id: "upload/still-draft", rows: rows("4.7", "6.1"), evidence: EvidenceDocumented, gentle: true,
			needs: needsWrites,
			says:  "After an upload the state is still draft.",
			run:   checkUploadStillDraft},
		{id: "upload/own-request", rows: rows("4.1"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "A dump belongs to its request: another request's upload doesn't touch it.",
			run:  checkUploadOwnRequest},
		{id: "upload/replaces", rows: rows("4.4"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "A later upload replaces an earlier one, also when it is shorter.",
			run:  checkUploadReplaces},
		{id: "upload/only-draft", rows: rows("4.4", "2"), evidence: EvidenceAssumed, needs: needsWrites | needsProcess,
			says: "After process an upload is refused with STATE:INVALID, and the dump stays.",
			run:  checkUploadOnlyDraft},
		{id: "upload/broken-refused", rows: rows("2", "4.5"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "A body that ends early is refused with DUMP:INCOMPLETE, received and expected_size.",
			run:  checkUploadBrokenRefused},
		{id: "upload/broken-keeps-earlier", rows: rows("4.5"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "A broken upload leaves the dump that was there before, whole.",
			run:  checkUploadBrokenKeepsEarlier},
		{id: "upload/empty", rows: rows("4.6"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "An upload of nothing is answered in order, by a JSON object with failures.",
			run:  checkUploadEmpty},
	}
}

func checkUploadAnswer(c *checker) {
	r := readReply(c.must(c.composeUpload(c.create(), c.dump())))
	c.accepted(r)
}

func checkUploadWrapped(c *checker) {
	dump := sqlDump("9.4.5", []byte("-- wrapped\n"))
	file, field := raw.Call{}, raw.Call{}
	file.ContentType, file.Body = multipartBody(nil,
		&filePart{field: "dump", filename: "backup.sql", ctype: "application/octet-stream", data: dump})
	field.ContentType, field.Body = multipartBody(params{"dump", string(dump)}, nil)
	for _, call := range []raw.Call{file, field,
		{ContentType: "application/gzip", Body: fixture("openchs.sql.gz")},
		{ContentType: "application/zip", Body: fixture("openchs.zip")},
		{ContentType: formType, Body: []byte(params{"dump", string(dump)}.encode())},
		{ContentType: "text/plain", Body: base64.StdEncoding.AppendEncode(nil, dump)},
		{ContentType: "text/plain; charset=utf-8", Body: append([]byte("\uFEFF"), dump...)},
	} {
		req := c.create()
		up := c.composeUpload(req, call.Body)
		up.ContentType = call.ContentType
		up.What += ", Content-Type " + call.ContentType
		c.accepted(readReply(c.must(up)))
		c.holds(req, up.What, call.Body)
	}
}

func checkUploadHTTP10(c *checker) {
	req := c.create()
	data := smallDump(c)
	call := c.composeUpload(req, data)
	call.What += " with HTTP/1.0"
	r := readReply(c.mustRaw(call, c.rawUpload(call, "1.0", fmt.Sprintf("Content-Length: %d", len(data)), data),
		false))
	c.accepted(r)
	c.holds(req, call.What, data)
}

func checkUploadStillDraft(c *checker) {
	req, _ := c.uploaded()
	if r := c.status(req); r.request()["state"] != "draft" {
		c.wrong("upload and then status", `state "draft"`, show(r.request()["state"]))
	}
}

func checkUploadOwnRequest(c *checker) {
	first, second := c.create("filename", "bystander.dump"), c.create()
	x, y := sqlDump("9.4.5", []byte("-- first\n")), sqlDump("9.6.1", []byte("-- the second\n"))
	c.put(first, x)
	c.put(second, y)
	c.holds(first, "two uploads to two requests", x)
	c.holds(second, "two uploads to two requests", y)
}

func checkUploadReplaces(c *checker) {
	req := c.create()
	for _, n := range []int{60000, 100, 70000} {
		dump := sqlDump("9.4.5", bytes.Repeat([]byte("-- x\n"), n/5))
		c.accepted(readReply(c.must(c.composeUpload(req, dump))))
		c.holds(req, "an upload after another", dump)
	}
}

func checkUploadOnlyDraft(c *checker) {
	req, dump := c.uploaded()
	c.mustProcess(req)
	r := readReply(c.must(c.composeUpload(req, sqlDump("9.4.5", nil))))
	f := c.reasoned(r, "STATE:INVALID")
	c.stateInvalid(r, f, "draft")
	c.holds(req, "an upload after process", dump)
}

func checkUploadBrokenRefused(c *checker) {
	req := c.create()
	data := smallDump(c)
	call := c.composeUpload(req, data)
	call.What += ", of which only 200 bytes are sent"
	r := readReply(c.mustRaw(call, c.rawUpload(call, "1.1", fmt.Sprintf("Content-Length: %d", len(data)), data[:200]),
		true))
	f := c.reasoned(r, "DUMP:INCOMPLETE")
	if number(f["received"]) != "200" || number(f["expected_size"]) != fmt.Sprint(len(data)) {
		c.wrong(call.What, fmt.Sprintf("received 200 and expected_size %d", len(data)), show(map[string]any(f)))
	}
}

func checkUploadBrokenKeepsEarlier(c *checker) {
	req := c.create()
	before := sqlDump("9.4.5", []byte("-- before\n"))
	c.put(req, before)
	data := smallDump(c)
	for _, header := range []string{fmt.Sprintf("Content-Length: %d", len(data)), "Transfer-Encoding: chunked"} {
		sent := data[:200]
		if strings.HasPrefix(header, "T") {
			sent = []byte("c8\r\n" + string(sent) + "\r\n")
		}
		call := c.composeUpload(req, data)
		c.tryRaw(call, c.rawUpload(call, "1.1", header, sent), true)
		c.holds(req, "an upload that breaks off, after a whole one", before)
	}
}

func checkUploadEmpty(c *checker) {
	r := readReply(c.must(c.composeUpload(c.create(), []byte{})))
	c.object(r)
	v, there := r.object["failures"]
	if _, ok := v.([]any); there && !ok || r.Status >= 500 {
		c.wrong(r.What, "a JSON object with the list failures", r.Summary())
	}
}

// mustRaw makes a call of bytes that has to be answered.
func (c *checker) mustRaw(call raw.Call, data []byte, half bool) raw.Answer {
	a, err := c.tryRaw(call, data, half)
	if err != nil {
		c.wrong(call.What, "an answer", err.Error())
	}
	return a
}

// rawUpload writes an upload by hand.
func (c *checker) rawUpload(call raw.Call, version, header string, sent []byte) []byte {
	_, rest, _ := strings.Cut(call.URL, "://")
	host, path, _ := strings.Cut(rest, "/")
	head := fmt.Sprintf("POST /%s HTTP/%s\r\nHost: %s\r\nContent-Type: application/octet-stream\r\n%s\r\n"+
		"Connection: close\r\n\r\n", path, version, host, header)
	return append([]byte(head), sent...)
}

// mustProcess processes a request for a step before the one judged.
func (c *checker) mustProcess(req request) {
	r, err := c.tryAPI("process", req.auth())
	if err != nil || !r.fine() {
		c.blocked("process/answer", "process answered %s", r.Summary())
	}
}

// stateInvalid ends the check unless the failure has a state as value and expects the states given.
func (c *checker) stateInvalid(r reply, f failure, expected ...string) {
	if text(f["value"]) == "" {
		c.wrong(r.What, "STATE:INVALID with the state as value", show(map[string]any(f)))
	}
	list := show(f["expected"])
	for _, state := range expected {
		if isStrings(f["expected"]) != "" || !strings.Contains(list, `"`+state+`"`) {
			c.wrong(r.What, "STATE:INVALID with the state "+state+" in the list expected", show(map[string]any(f)))
		}
	}
}
