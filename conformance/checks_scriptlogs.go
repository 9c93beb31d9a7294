package conformance

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

func scriptLogsChecks() []check {
	const whole = needsWrites | needsRsync | needsProcess | needsWait
	return []check{
		{id: "script/logs-answer", rows: rows("S1.5", "S8.1", "S8.2", "S8.5"), evidence: EvidenceObserved, needs: whole,
			gentle: true,
			says:   "logs is a GET with the token in its query; it answers the log of an upgrade, a text in UTF-8.",
			run:    checkScriptLogsAnswer},
		{id: "script/logs-range", rows: rows("S8.2", "S8.4", "S8.5"), evidence: EvidenceObserved, needs: whole,
			gentle: true,
			says:   "logs answers the bytes from the one on that the Range asks for; the last byte comes again.",
			run:    checkScriptLogsRange},
		{id: "script/logs-past-end", rows: rows("S8.5", "S16.1"), evidence: EvidenceObserved, needs: whole, gentle: true,
			says: "logs never has an HTTP status of 400 or above, also where the Range begins past the end, or the " +
				"log is empty: the script crashes.",
			run: checkScriptLogsPastEnd},
		{id: "script/logs-partial", rows: rows("S8.6"), evidence: EvidenceAssumed, needs: whole,
			says: "A part is 206 with Content-Range; at or past the end, 200 with an empty body.",
			run:  checkScriptLogsPartial},
		{id: "script/logs-database", rows: rows("S8.9"), evidence: EvidenceObserved, needs: whole, gentle: true,
			says: "The log is one of an Odoo server, whose database is called db_ and a number.",
			run:  checkScriptLogsDatabase},
		{id: "script/logs-number", rows: rows("S8.9"), evidence: EvidenceAssumed, needs: whole,
			says: "The number in the database's name is request_id.",
			run:  checkScriptLogsNumber},
		{id: "script/logs-final", rows: rows("S8.7"), evidence: EvidenceAssumed, needs: whole,
			says: "logs is allowed when the upgrade has ended, and has what it had before.",
			run:  checkScriptLogsFinal},
		{id: "script/logs-new", rows: rows("S8.7"), evidence: EvidenceAssumed, needs: needsWrites,
			says: "logs of a request in new is allowed, and empty.",
			run:  checkScriptLogsNew},
		{id: "script/logs-unknown", rows: rows("S8.10"), evidence: EvidenceAssumed,
			says: "logs with a token that is not known is 404.",
			run:  checkScriptLogsUnknown},
	}
}

// logs asks for the log of a request from a byte on.
func (c *checker) logs(token string, from int) raw.Answer { return c.must(c.composeLogs(token, from)) }

// composeLogs is the call of the script (row S8.1).
func (c *checker) composeLogs(token string, from int) raw.Call {
	return raw.Call{Method: http.MethodGet, URL: c.rpcURL("logs") + "?token=" + token, Limit: raw.KeptBody,
		Header: http.Header{"Range": {fmt.Sprintf("bytes=%d-", from)}, "Accept-Encoding": {"identity"}},
		What:   fmt.Sprintf("GET logs with Range: bytes=%d-", from)}
}

func checkScriptLogsNew(c *checker) {
	if a := c.logs(c.newJob().token, 0); !a.OK() || a.Size != 0 {
		c.wrong(a.What+" in new", "an empty log", a.Summary())
	}
}

func checkScriptLogsUnknown(c *checker) {
	if a := c.logs(noToken, 0); a.Status != http.StatusNotFound {
		c.wrong(a.What+" and an unknown token", "HTTP 404", a.Summary())
	}
}

// readLog is the upgrade's log as it was read in progress, or else when it had ended.
func (c *checker) readLog() *upgrade {
	u := c.upgrade(theDirectory)
	u.finished(c)
	if u.log.Status == 0 && u.logErr != nil {
		c.blocked("script/logs-answer", "logs: %v", u.logErr)
	}
	if u.log.Status == 0 {
		c.skipf("the upgrade was never seen in progress, nor did it end: there is no log to be read")
	}
	return u
}

func checkScriptLogsAnswer(c *checker) {
	u := c.readLog()
	switch {
	case !u.log.OK():
		c.wrong(u.log.What, "the log", u.log.Summary())
	case u.log.Size == 0:
		c.wrong(u.log.What+" in progress, and when the upgrade had ended", "the log", "an empty one")
	case !utf8.Valid(u.log.Body) && !u.log.Cut:
		c.wrong(u.log.What, "a text in UTF-8", fmt.Sprintf("%.100q", u.log.Body))
	case strings.HasPrefix(strings.TrimSpace(string(u.log.Body)), "<"), readReply(u.log).object != nil:
		c.wrong(u.log.What, "the log, neither HTML nor JSON", u.log.Summary())
	}
}

func checkScriptLogsRange(c *checker) {
	u := c.readLog()
	if u.log.Size == 0 || u.log.Cut || !u.log.OK() {
		c.blocked("script/logs-answer", "logs answered %s", u.log.Summary())
	}
	// The log may have grown since.
	if !u.logEnd.OK() || u.logEnd.Size == 0 || u.logEnd.Body[0] != u.log.Body[u.log.Size-1] {
		c.wrong(u.logEnd.What+", the last of the log's bytes", fmt.Sprintf("%q and what has come since",
			u.log.Body[u.log.Size-1:]), fmt.Sprintf("%d bytes, %s", u.logEnd.Size, u.logEnd.Summary()))
	}
	if u.logEnd.Size >= u.log.Size && bytes.HasPrefix(u.logEnd.Body, u.log.Body) && u.log.Size > 1 {
		c.wrong(u.logEnd.What, "the last byte and what has come since", "the log from its beginning")
	}
	whole := c.logs(u.its.token, 0)
	middle := int(u.log.Size) / 2
	if a := c.logs(u.its.token, middle); !a.OK() || !bytes.HasPrefix(a.Body, u.log.Body[middle:]) {
		c.wrong(a.What, "the log from that byte on", a.Summary())
	}
	if !whole.OK() || !bytes.HasPrefix(whole.Body, u.log.Body) {
		c.wrong(whole.What+" later", "a log that begins with what was there before", whole.Summary())
	}
}

func checkScriptLogsPastEnd(c *checker) {
	u := c.readLog()
	for _, from := range []int{int(u.log.Size) + 1_000_000, 1 << 40} {
		if a := c.logs(u.its.token, from); !a.OK() || a.Size > u.log.Size && a.Size > 1<<20 {
			c.wrong(a.What+", past the end of the log", "an HTTP status of success", a.Summary())
		}
	}
	if c.opts.Production {
		return
	}
	if a := c.logs(c.newJob().token, 0); a.Status == http.StatusRequestedRangeNotSatisfiable {
		c.wrong(a.What+" in new", "an HTTP status below 400", a.Summary())
	}
}

func checkScriptLogsPartial(c *checker) {
	u := c.upgrade(theDirectory)
	u.doneOrStop(c)
	whole := c.logs(u.its.token, 0)
	n := int(whole.Size)
	for _, from := range []int{0, n / 2, n - 1} {
		a := c.logs(u.its.token, from)
		want := fmt.Sprintf("bytes %d-%d/%d", from, n-1, n)
		if a.Status != http.StatusPartialContent || a.Header.Get("Content-Range") != want {
			c.wrong(a.What+" of a log of "+fmt.Sprint(n), "HTTP 206 with Content-Range: "+want,
				fmt.Sprintf("HTTP %d with Content-Range: %q", a.Status, a.Header.Get("Content-Range")))
		}
	}
	for _, from := range []int{n, n + 1000} {
		if a := c.logs(u.its.token, from); a.Status != http.StatusOK || a.Size != 0 {
			c.wrong(a.What+" of a log of "+fmt.Sprint(n), "HTTP 200 with an empty body", a.Summary())
		}
	}
}

// databaseName is how the platform calls the database of a request.
var databaseName = regexp.MustCompile(`\bdb_(\d+)`)

func checkScriptLogsDatabase(c *checker) {
	if log := c.fullLog(); !databaseName.Match(log.Body) {
		c.wrong(log.What, "lines that name a database db_ and a number", log.Summary())
	}
}

func checkScriptLogsNumber(c *checker) {
	log, id := c.fullLog(), c.upgrade(theDirectory).its.id
	if m := databaseName.FindSubmatch(log.Body); m == nil || string(m[1]) != id {
		c.wrong(log.What, "lines that name the database db_"+id, log.Summary())
	}
}

// fullLog is the upgrade's log, as much of it as there is.
func (c *checker) fullLog() raw.Answer {
	u := c.readLog()
	if u.log.Size == 0 || !u.log.OK() {
		c.blocked("script/logs-answer", "logs answered %s", u.log.Summary())
	}
	if slices.Contains(scriptFinal, u.state()) { // the first lines may not have had all
		return c.logs(u.its.token, 0)
	}
	return u.log
}

func checkScriptLogsFinal(c *checker) {
	u := c.upgrade(theDirectory)
	u.doneOrStop(c)
	if a := c.logs(u.its.token, 0); !a.OK() || a.Size == 0 || !bytes.HasPrefix(a.Body, u.log.Body) {
		c.wrong(a.What+" in done", "the log, with what it had before", a.Summary())
	}
}
