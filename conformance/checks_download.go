package conformance

import (
	"encoding/base64"
	"fmt"
	"mime"
	"strings"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

// archiveURLs are the archives of a finished request.
func (j *lifecycle) archiveURLs(c *checker) map[string]string {
	return map[string]string{
		"original_dump_url": c.reachable(text(j.field("original_dump_url"))),
		"upgraded_dump_url": c.reachable(text(j.field("upgraded_dump_url"))),
	}
}

// archive is a whole archive of a finished request, got for a step before the one judged.
func (c *checker) archive(key, u string) raw.Answer {
	a := c.fetch(u)
	if !a.OK() || a.Broken != "" || a.Size == 0 {
		id := "urls/original-archive"
		if strings.HasPrefix(key, "upgraded") {
			id = "urls/upgraded-archive"
		}
		c.blocked(id, "%s answered %s", key, a.Summary())
	}
	if a.Size > raw.KeptBody {
		c.skipf("%s has %d bytes, more than is judged byte by byte", key, a.Size)
	}
	return a
}

// eachArchive makes a check that is asked of both archives of a finished request.
func eachArchive(id string, evidence Evidence, says string,
	judge func(c *checker, j *lifecycle, u string, whole raw.Answer)) check {
	return check{id: "urls/" + id, rows: rows("8.3"), evidence: evidence, says: says,
		gentle: evidence != EvidenceAssumed, needs: needsWrites | needsProcess | needsWait,
		run: func(c *checker) {
			j := c.lifecycle("main")
			j.doneOrStop(c)
			urls := j.archiveURLs(c)
			for _, key := range sortedKeys(urls) {
				judge(c, j, urls[key], c.archive(key, urls[key]))
			}
		}}
}

// part ends the check unless a is HTTP 206 with the bytes from to below to.
func (c *checker) part(a raw.Answer, whole []byte, from, to int) {
	want := fmt.Sprintf("bytes %d-%d/%d", from, to-1, len(whole))
	if a.Status != 206 {
		c.wrong(a.What, "HTTP 206 with "+want, fmt.Sprintf("HTTP %d, %d bytes", a.Status, a.Size))
	}
	if got := a.Header.Get("Content-Range"); got != want {
		c.wrong(a.What, "Content-Range: "+want, fmt.Sprintf("%q", got))
	}
	if !a.Is(whole[from:to]) {
		c.wrong(a.What, fmt.Sprintf("the bytes from %d to %d", from, to-1), a.Diff(whole[from:to]))
	}
}

func downloadChecks() []check {
	const needs = needsWrites | needsProcess | needsWait
	checks := []check{
		{id: "urls/status-page", rows: rows("8.7"), evidence: EvidenceDocumented, gentle: true,
			says: "status_url is an HTML page.",
			run:  checkURLsStatusPage},
		{id: "urls/original-archive", rows: rows("7", "8.2"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "original_dump_url gives the uploaded file as it came, also when the upgrade is done.",
			run:  checkURLsOriginalArchive},
		{id: "urls/original-at-once", rows: rows("8.2"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "original/* is there from the first upload on, and 404 before.",
			run:  checkURLsOriginalAtOnce},
		{id: "urls/upgraded-archive", rows: rows("7", "8.2"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "In done upgraded_dump_url gives the upgraded database.",
			run:  checkURLsUpgradedArchive},
		{id: "urls/upgraded-as-uploaded", rows: rows("9"), evidence: EvidenceAssumed, needs: needs,
			says: "An emulator's upgraded dump is the uploaded one.",
			run:  checkURLsUpgradedAsUploaded},
		{id: "urls/upgraded-only-done", rows: rows("8.2"), evidence: EvidenceDocumented,
			needs: needsWrites | needsProcess,
			says:  "Before done there is nothing under upgraded/*.",
			run:   checkURLsUpgradedOnlyDone},
		{id: "urls/upgraded-404", rows: rows("8.2"), evidence: EvidenceAssumed, needs: needsWrites | needsProcess,
			says: "Before done upgraded/* is 404.",
			run:  checkURLsUpgraded404},
		{id: "urls/notes", rows: rows("7", "8.2"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "In done notes_url gives the notes.",
			run:  checkURLsNotes},
		{id: "urls/modules", rows: rows("7", "8.2"), evidence: EvidenceAssumed, needs: needs,
			says: "In done modules_url gives the custom modules, also where there are none.",
			run:  checkURLsModules},
		{id: "urls/answered", rows: rows("7"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "Each URL of a request is answered in draft and in done, if by a refusal: never by an error of " +
				"the server.",
			run: checkURLsAnswered},
		{id: "urls/sql-is-text", rows: rows("7", "8.6"), evidence: EvidenceDocumented, needs: needs,
			says: "What the two SQL URLs give is plain SQL text, whatever was uploaded.",
			run:  checkURLsSQLIsText},
		{id: "urls/upgraded-whole", rows: rows("7", "8.2"), evidence: EvidenceDocumented, needs: needs,
			says: "What was upgraded is not cut: what is packed with gzip or zip can be unpacked to its end, and " +
				"nothing is just the beginning of what was uploaded.",
			run: checkURLsUpgradedWhole},
		{id: "urls/original-sql", rows: rows("7", "8.6"), evidence: EvidenceDocumented, needs: needs,
			says: "original_sql_url gives a gzip'ed dump's text decompressed.",
			run:  checkURLsOriginalSQL},
		{id: "urls/original-sql-zip", rows: rows("7", "8.6"), evidence: EvidenceDocumented, needs: needs,
			says: "original_sql_url gives the dump.sql of an Odoo zip.",
			run:  checkURLsOriginalSQLZip},
		{id: "urls/original-sql-plain", rows: rows("7", "8.6"), evidence: EvidenceDocumented, needs: needs | needsSFTP,
			says: "original_sql_url gives a plain dump as it is.",
			run:  checkURLsOriginalSQLPlain},
		{id: "urls/original-sql-custom", rows: rows("8.6"), evidence: EvidenceAssumed, needs: needs,
			says: "original_sql_url gives the SQL text of a custom format dump.",
			run:  checkURLsOriginalSQLCustom},
		{id: "urls/upgraded-sql", rows: rows("7", "8.6"), evidence: EvidenceDocumented, needs: needs, gentle: true,
			says: "In done upgraded_sql_url gives the upgraded database as plain SQL text.",
			run:  checkURLsUpgradedSQL},
		{id: "urls/same-over-sftp", rows: rows("8.4"), evidence: EvidenceAssumed, needs: needs | needsSFTP,
			says: "upgraded_dump_url and SFTP give the same bytes.",
			run:  checkURLsSameOverSFTP},
		{id: "urls/filestore-zip", rows: rows("8.5"), evidence: EvidenceObserved, needs: needs, gentle: true,
			says: "With filestore true the upgraded archive is a zip with dump.sql and filestore/.",
			run:  checkURLsFilestoreZip},
		{id: "urls/wrong-key", rows: rows("7", "8.1"), evidence: EvidenceDocumented, needs: needs,
			says: "With a wrong key, or another request's, no URL opens.",
			run:  checkURLsWrongKey},
		{id: "urls/wrong-key-404", rows: rows("8.1"), evidence: EvidenceAssumed, needs: needs,
			says: "A wrong key or id is a plain 404 that explains nothing.",
			run:  checkURLsWrongKey404},
	}
	return append(checks, rangeChecks()...)
}

func checkURLsStatusPage(c *checker) {
	req := c.draft()
	a := c.fetch(c.reachable(text(c.lifecycleStatus(req).request()["status_url"])))
	t, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if !a.OK() || t != "text/html" || !strings.Contains(string(a.Body), "<") {
		c.wrong(a.What, "an HTML page", fmt.Sprintf("%s, Content-Type %q", a.Summary(), a.Header.Get("Content-Type")))
	}
}

func checkURLsOriginalArchive(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	a := c.fetch(c.reachable(text(j.field("original_dump_url"))))
	if !a.OK() || !a.Is(j.dump) {
		c.wrong(a.What, "the uploaded dump byte for byte", a.Summary()+", "+a.Diff(j.dump))
	}
}

func checkURLsOriginalAtOnce(c *checker) {
	req := c.create()
	m := req.reply.request()
	for _, key := range []string{"original_dump_url", "original_sql_url"} {
		if a := c.fetch(c.reachable(text(m[key]))); a.Status != 404 {
			c.wrong(a.What+" before an upload", "HTTP 404", a.Summary())
		}
	}
	dump := sqlDump("9.4.5", nil)
	c.put(req, dump)
	for _, key := range []string{"original_dump_url", "original_sql_url"} {
		if a := c.fetch(c.reachable(text(m[key]))); !a.OK() || !a.Is(dump) {
			c.wrong(a.What+" after an upload", "the dump", a.Summary())
		}
	}
}

func checkURLsUpgradedArchive(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	a := c.fetch(c.reachable(text(j.field("upgraded_dump_url"))))
	if !a.OK() || a.Size == 0 || a.Broken != "" {
		c.wrong(a.What, "the upgraded database as a file", a.Summary())
	}
}

func checkURLsUpgradedAsUploaded(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	if j.field("filestore") == true {
		c.skipf("the server makes another file of it: filestore is true")
	}
	a := c.fetch(c.reachable(text(j.field("upgraded_dump_url"))))
	if !a.Is(j.dump) {
		c.wrong(a.What, "the uploaded dump", a.Diff(j.dump))
	}
}

func checkURLsUpgradedOnlyDone(c *checker) {
	c.upgradedHidden(func(status int) bool { return status >= 300 }, "no success")
}

func checkURLsUpgraded404(c *checker) {
	c.upgradedHidden(func(status int) bool { return status == 404 }, "HTTP 404")
}

func checkURLsNotes(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	if a := c.fetch(c.reachable(text(j.field("notes_url")))); !a.OK() {
		c.wrong(a.What, "the notes", a.Summary())
	}
}

func checkURLsModules(c *checker) {
	j := c.lifecycle("main")
	j.doneOrStop(c)
	if a := c.fetch(c.reachable(text(j.field("modules_url")))); !a.OK() {
		c.wrong(a.What, "the custom modules", a.Summary())
	}
}

func checkURLsAnswered(c *checker) {
	look := func(when string, m map[string]any) {
		for _, f := range urlForms {
			if a := c.fetch(c.reachable(text(m[f.key]))); a.Status >= 500 {
				c.wrong(a.What+" "+when, "an HTTP status below 500", a.Summary())
			}
		}
	}
	if !c.opts.Production {
		look("in draft", c.create().reply.request())
	}
	j := c.lifecycle("main")
	j.doneOrStop(c)
	look("in done", j.last.request())
}

func checkURLsSameOverSFTP(c *checker) {
	s, j, name := c.upgradedFile()
	got, err := s.Get(name, 0)
	if err != nil {
		c.blocked("sftp/done-get", "get: %v", err)
	}
	if a := c.fetch(c.reachable(text(j.field("upgraded_dump_url")))); !a.Is(got) {
		c.wrong(a.What, fmt.Sprintf("the %d bytes of SFTP's %s", len(got), name), a.Diff(got))
	}
}

func checkURLsWrongKey(c *checker) {
	c.closedURLs(func(a raw.Answer) bool { return a.Status >= 300 }, "no success")
}

func checkURLsWrongKey404(c *checker) {
	var first string
	var answers []raw.Answer
	c.closedURLs(func(a raw.Answer) bool { answers = append(answers, a); return a.Status == 404 }, "HTTP 404")
	for _, a := range answers {
		if first == "" {
			first = string(a.Body)
		}
		if string(a.Body) != first {
			c.wrong(a.What, "the same 404 whatever is wrong: "+raw.Snippet([]byte(first)), a.Summary())
		}
	}
}

// upgradedHidden ends the check unless upgraded/* are closed in draft and while the upgrade goes on.
func (c *checker) upgradedHidden(closed func(status int) bool, want string) {
	look := func(req request, when string) {
		m := req.reply.request()
		for _, key := range []string{"upgraded_dump_url", "upgraded_sql_url"} {
			if a := c.fetch(c.reachable(text(m[key]))); !closed(a.Status) {
				c.wrong(a.What+" "+when, want, a.Summary())
			}
		}
	}
	req, _ := c.uploaded()
	look(req, "in draft")
	st := c.guard(func() {
		var last stop
		c.whileUpgrading(func(request) {}, func(req request) {
			last = c.guard(func() { look(req, "while the upgrade goes on") })
		})
		if last.verdict != Pass {
			panic(last)
		}
	})
	if st.verdict != Pass && st.verdict != Skip {
		panic(st)
	}
}

// closedURLs ends the check unless the URLs of a finished request are closed with every wrong key and id.
func (c *checker) closedURLs(closed func(a raw.Answer) bool, want string) {
	j := c.lifecycle("main")
	req := j.doneOrStop(c)
	other := c.create()
	wrong := map[string]string{
		"another well-formed key":     req.id + "/" + base64.URLEncoding.EncodeToString([]byte("sixteen byte key")),
		"the key of another request":  req.id + "/" + other.key,
		"its first character changed": req.id + "/" + wrongKeys(req.key)[1].key,
		"the id of another request":   other.id + "/" + req.key,
		"an unknown id":               "999999999/" + req.key,
	}
	for _, f := range urlForms {
		m := requestURL.FindStringSubmatch(c.reachable(text(j.field(f.key))))
		if m == nil {
			c.blocked("url-form/"+f.key, "%s is %s", f.key, show(j.field(f.key)))
		}
		for _, how := range sortedKeys(wrong) {
			bad := m[1] + "/database/" + m[2] + "/" + wrong[how] + "/" + m[5]
			if a := c.fetch(bad); !closed(a) {
				c.wrong("GET "+f.key+" with "+how, want, a.Summary())
			}
		}
	}
}
