package conformance

import (
	"fmt"
	"net/http"

	"github.com/upgrademock/upgrademock/conformance/internal/raw"
)

func scriptLogsChecks() []check {
	return []check{
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
