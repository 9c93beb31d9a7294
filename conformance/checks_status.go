package conformance

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// statusKey is one key of a request's status.
type statusKey struct {
	name  string
	judge func(v any) string // what is wrong with the value, as `as a string`; "" for nothing
}

func isString(v any) string {
	if _, ok := v.(string); !ok {
		return "as a string"
	}
	return ""
}

func isStringOrNull(v any) string {
	if v == nil {
		return ""
	}
	if isString(v) != "" {
		return "as a string or null"
	}
	return ""
}

func isInt(v any) string {
	if !isInteger(v) {
		return "as an integer"
	}
	return ""
}

func isBool(v any) string {
	if _, ok := v.(bool); !ok {
		return "as a boolean"
	}
	return ""
}

func isURL(v any) string {
	if s := text(v); !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") {
		return "as a URL"
	}
	return ""
}

var timeForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$`)

func isTime(v any) string {
	s := text(v)
	if _, err := time.Parse(time.DateTime, s); err != nil || !timeForm.MatchString(s) {
		return "in the form 2015-09-09 07:13:49"
	}
	return ""
}

func isTimeOrNull(v any) string {
	if v == nil {
		return ""
	}
	if s := isTime(v); s != "" {
		return s + " or null"
	}
	return ""
}

var clockForm = regexp.MustCompile(`^\d{2,}:[0-5]\d$`)

func isClock(v any) string {
	if !clockForm.MatchString(text(v)) {
		return "in the form 00:00"
	}
	return ""
}

func isStrings(v any) string {
	list, ok := v.([]any)
	for _, e := range list {
		if _, is := e.(string); !is {
			ok = false
		}
	}
	if !ok {
		return "as a list of strings"
	}
	return ""
}

var versionForm = regexp.MustCompile(`^\d+(\.\d+)*$`)

func isVersionOrNull(v any) string {
	if v != nil && !versionForm.MatchString(text(v)) {
		return "as a string like 9.4 or null"
	}
	return ""
}

var sizeForm = regexp.MustCompile(`^\d+\.\d\d \pL+$`)

func isSizeOrNull(v any) string {
	if v != nil && !sizeForm.MatchString(text(v)) {
		return "in the form 912.99 Kb or null"
	}
	return ""
}

// unknownYet reports whether the value of a key may be null because nothing was uploaded yet. That it is [] instead is
// an assumption.
func unknownYet(key string, m map[string]any) bool {
	return key == "compressions" && m[key] == nil && m["filesize"] == nil
}

// statusKeys are the keys of the documented sample, in its order.
var statusKeys = []statusKey{
	{"id", isInt}, {"key", isString}, {"email", isString}, {"target", isString}, {"aim", isString},
	{"filename", isString},
	{"timezone", isStringOrNull}, {"state", isString}, {"issue_stage", isString}, {"issue", isInt},
	{"status_url", isURL}, {"notes_url", isURL}, {"original_sql_url", isURL}, {"original_dump_url", isURL},
	{"upgraded_sql_url", isURL}, {"upgraded_dump_url", isURL}, {"modules_url", isURL},
	{"filesize", isSizeOrNull}, {"database_uuid", isStringOrNull}, {"created_at", isTime},
	{"estimated_time", isStringOrNull},
	{"processed_at", isTimeOrNull}, {"elapsed", isClock}, {"filestore", isBool}, {"customer_message", isStringOrNull},
	{"database_version", isStringOrNull}, {"postgresql", isVersionOrNull}, {"compressions", isStrings},
}

// lifecycleStatus is the status of a draft directly after create.
func (c *checker) lifecycleStatus(req request) reply {
	if c.opts.Production {
		return c.lifecycle("main").atDraft
	}
	return c.status(req)
}

func statusChecks() []check {
	checks := []check{
		{id: "status/answer", rows: rows("7"), evidence: EvidenceDocumented, gentle: true,
			says: "status answers the request.",
			run:  checkStatusAnswer},
		{id: "status/same-twice", rows: rows("7"), evidence: EvidenceDocumented, gentle: true,
			says: "In draft nothing changes by itself: two status calls show the same.",
			run:  checkStatusSameTwice},
		{id: "status/own-request", rows: rows("7"), evidence: EvidenceDocumented, needs: needsWrites,
			says: "Each request's status shows that request, with its own values.",
			run:  checkStatusOwnRequest},
	}
	for _, k := range statusKeys {
		checks = append(checks, check{id: "status/" + k.name, rows: rows("7"), evidence: EvidenceDocumented,
			gentle: true, needs: needsWrites | needsProcess | needsWait,
			says: "status always has " + k.name + ", with a value of its type, from draft to the end.",
			run:  func(c *checker) { checkStatusKey(c, k) }})
	}
	return append(checks,
		check{id: "status/unchanging", rows: rows("7"), evidence: EvidenceDocumented, gentle: true,
			needs: needsWrites | needsProcess | needsWait,
			says: "id, key, email, target, aim, filename, timezone, created_at and the URLs stay the same from " +
				"create to the end.",
			run: checkStatusUnchanging})
}

func checkStatusAnswer(c *checker) {
	req := c.draft()
	r := c.accepted(c.api("status", c.way("status"), req.auth()))
	if r.request() == nil {
		c.wrong(r.What, "the object request", r.Summary())
	}
	if got := number(r.request()["id"]); got != "" && got != req.id {
		c.wrong(r.What, "request "+req.id, "request "+got)
	}
}

func checkStatusSameTwice(c *checker) {
	req := c.draft()
	x, y := c.api("status", c.way("status"), req.auth()), c.api("status", c.way("status"), req.auth())
	for _, k := range statusKeys {
		if k.name != "elapsed" && show(x.request()[k.name]) != show(y.request()[k.name]) {
			c.wrong(y.What+" again", k.name+" as before: "+show(x.request()[k.name]), show(y.request()[k.name]))
		}
	}
}

func checkStatusOwnRequest(c *checker) {
	first, second := c.create("filename", "first.dump"), c.create("filename", "second.dump")
	for _, req := range []request{first, second, first} {
		r := c.status(req)
		if got := text(r.request()["filename"]); got != req.filename() {
			c.wrong(r.What, "filename "+req.filename(), show(r.request()["filename"]))
		}
	}
}

func checkStatusKey(c *checker, k statusKey) {
	j := c.lifecycle("main")
	if c.opts.Resume == nil {
		j.draft(c)
		c.keyIs(k, "in draft", j.atDraft)
		j.uploaded(c)
		c.keyIs(k, "after the upload", j.atUpload)
	}
	j.finished(c)
	for _, r := range j.polls {
		c.keyIs(k, "in state "+text(r.request()["state"]), r)
	}
	c.keyIs(k, "in state "+text(j.field("state")), j.last)
}

func checkStatusUnchanging(c *checker) {
	j := c.lifecycle("main")
	j.finished(c)
	first := j.atDraft.request()
	if saved := c.opts.Resume; saved != nil {
		first = saved.Status
	}
	for _, r := range append([]reply{j.atUpload}, j.polls...) {
		for _, key := range []string{"id", "key", "email", "target", "aim", "filename", "timezone", "created_at",
			"issue", "status_url", "notes_url", "original_sql_url", "original_dump_url", "upgraded_sql_url",
			"upgraded_dump_url", "modules_url"} {
			if x, y := show(first[key]), show(r.request()[key]); r.object != nil && x != y {
				c.wrong(fmt.Sprintf("status in state %s", text(r.request()["state"])), key+" unchanged: "+x, y)
			}
		}
	}
}

// keyIs ends the check unless the status has the key with a value of its type.
func (c *checker) keyIs(k statusKey, when string, r reply) {
	if r.request() == nil {
		c.blocked("status/answer", "status answered no request %s", when)
	}
	v, there := r.request()[k.name]
	if !there {
		c.wrong("status "+when, "the key "+k.name, "a request without it")
	}
	if problem := k.judge(v); problem != "" && !unknownYet(k.name, r.request()) {
		c.wrong("status "+when, k.name+" "+problem, show(v))
	}
}

// createdNow ends the check when created_at is off from the server's own clock by what a time zone is off. A
// server whose clock is another one altogether (an emulator's virtual clock) is not judged.
func (c *checker) createdNow(req request) {
	r := req.reply
	if r.object == nil {
		c.skipf("the request was created in an earlier run")
	}
	created, err := time.Parse(time.DateTime, text(r.request()["created_at"]))
	if err != nil {
		c.blocked("status/created_at", "created_at is %s", show(r.request()["created_at"]))
	}
	clocks := []time.Time{r.At}
	if date, err := time.Parse(time.RFC1123, r.Header.Get("Date")); err == nil {
		clocks = append(clocks, date)
	}
	var off []time.Duration
	for _, now := range clocks {
		off = append(off, created.Sub(now.UTC()).Abs())
	}
	if least := slices.Min(off); least > 5*time.Minute {
		if least < 15*time.Hour {
			c.wrong(r.What, "created_at as the present time in UTC, "+r.At.UTC().Format(time.DateTime),
				show(r.request()["created_at"]))
		}
		c.skipf("the server's clock is another one: created_at is %s", created.Format(time.DateTime))
	}
}

// urlForm is a URL of a request and the end of its path.
type urlForm struct{ key, path string }

// urlForms are the URLs of a request.
var urlForms = []urlForm{
	{"status_url", "status"}, {"notes_url", "upgraded/notes"}, {"original_sql_url", "original/sql"},
	{"original_dump_url", "original/archive"},
	{"upgraded_sql_url", "upgraded/sql"}, {"upgraded_dump_url", "upgraded/archive"},
	{"modules_url", "modules/archive"},
}

// requestURL is the form of a request's URLs: base, region, id, key, path.
var requestURL = regexp.MustCompile(`^(https?://[^/]+(?:/.*)?)/database/([^/]*)/([^/]*)/([^/]*)/(.+)$`)

// urlPart makes the check of one part of the URLs.
func urlPart(id, says string, wrong func(c *checker, req request, m []string) string) check {
	return check{id: "url-form/" + id, rows: rows("7"), evidence: EvidenceDocumented, gentle: true, says: says,
		run: func(c *checker) {
			req := c.draft()
			r := c.lifecycleStatus(req)
			for _, f := range urlForms {
				if m := requestURL.FindStringSubmatch(text(r.request()[f.key])); m != nil {
					if want := wrong(c, req, m); want != "" {
						c.wrong(r.What, f.key+" with "+want, m[0])
					}
				}
			}
		}}
}

func urlFormChecks() []check {
	var checks []check
	for _, f := range urlForms {
		checks = append(checks, check{id: "url-form/" + f.key, rows: rows("7"), evidence: EvidenceDocumented,
			gentle: true,
			says:   f.key + " is <base>/database/<region>/<id>/<key>/" + f.path + ".",
			run:    func(c *checker) { checkURLForm(c, f) }})
	}
	return append(checks,
		urlPart("base", "The URLs lead to the server that was asked, by its public base.", checkURLFormBase),
		urlPart("region", "The region in the URLs is eu1.", checkURLFormRegion),
		urlPart("key", "The key stands in the URLs as it is, its = unescaped.", checkURLFormKey))
}

func checkURLForm(c *checker, f urlForm) {
	req := c.draft()
	r := c.lifecycleStatus(req)
	got := text(r.request()[f.key])
	m := requestURL.FindStringSubmatch(got)
	if m == nil || m[3] != req.id || m[5] != f.path || m[4] != req.key && !sameEscaped(m[4], req.key) {
		c.wrong(r.What, fmt.Sprintf("%s in the form %s/database/%s/%s/%s/%s",
			f.key, c.public, c.target.Region, req.id, req.key, f.path), show(r.request()[f.key]))
	}
}

func checkURLFormBase(c *checker, _ request, m []string) string {
	if m[1] == c.public {
		return ""
	}
	return "the base " + c.public
}

func checkURLFormRegion(c *checker, _ request, m []string) string {
	if m[2] == c.target.Region {
		return ""
	}
	return "the region " + c.target.Region
}

func checkURLFormKey(c *checker, req request, m []string) string {
	if m[4] == req.key || !sameEscaped(m[4], req.key) {
		return ""
	}
	return "the key unescaped"
}

// sameEscaped reports whether text is the key with escapes.
func sameEscaped(text, key string) bool {
	plain, err := url.PathUnescape(text)
	return err == nil && plain == key && text != key
}
