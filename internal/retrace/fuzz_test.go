package retrace_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// FuzzExchange: whatever a server answers, what is made of it is a scenario.
func FuzzExchange(f *testing.F) {
	f.Add("/database/v1/status?request=7", 200, "", "", []byte(`{"failures":[],"request":{"state":"pending"}}`), 0)
	f.Add("/database/v1/status?request=7", 200, "", "", []byte(`{"failures":[{"reason":"A","message":"b","c":[1]}]}`), 1)
	f.Add("/database/v1/create?contract=M1", 502, "text/html", "", []byte("<html>\n x\n</html>\n"), 3)
	f.Add("/upgrade/request/status", 200, "", "closed", []byte(`{"result":{"status":"progress","reason":"x"}}`), 9)
	f.Add("/upgrade/request/create", 200, "", "", []byte(`{"result":{"request_id":1,"token":"abcdefgh"}}`), 2)
	f.Add("/upgrade/request/logs?token=abcdefgh", 206, "", "", []byte("a\nb\t\n"), 4)
	f.Fuzz(func(t *testing.T, url string, status int, kind, broken string, body []byte, minutes int) {
		c := retrace.New("", nil)
		at := time.Date(2026, 3, 11, 10, 0, 0, 0, time.UTC)
		for i := range 3 {
			c.Exchange(&retrace.Exchange{At: at.Add(time.Duration(i*minutes) * time.Minute), Method: "POST", URL: url, Sent: -1,
				Status: status, Header: http.Header{"Content-Type": {kind}}, Body: body, Size: int64(len(body)), Broken: broken})
			c.Exchange(&retrace.Exchange{At: at.Add(time.Duration(i*minutes) * time.Minute), Method: "POST",
				URL: "/database/v1/status?request=7", Sent: -1, Status: 200,
				Body: []byte(`{"request":{"state":"state` + string(rune('a'+i)) + `"}}`), Size: -1})
		}
		scripts(t, c)
	})
}

// FuzzEvent: whatever a journal says, what is made of it is a scenario.
func FuzzEvent(f *testing.F) {
	f.Add("status", "faults[0]: status http", "pending", "why", int64(7), 502, int64(3))
	f.Add("sftp.fault", "faults[0]: sftp.write disconnect after 5 rate 3 B/s", "", "", int64(7), 0, int64(9))
	f.Add("rsync.upload", "faults[1]: rsync.upload reset at the file *.gz delay 3s", "a b", "", int64(7), 0, int64(9))
	f.Add("create", "faults[0]: create failure", "draft", "", int64(0), 200, int64(0))
	f.Fuzz(func(t *testing.T, on, fault, state, why string, request int64, status int, offset int64) {
		c := retrace.New("", nil)
		for i, e := range []journal.Event{
			{On: "create", Request: 7, Contract: why, Status: 200},
			{On: "sftp.open", Request: 7, Session: 1, Flags: "write|create"},
			{On: journal.OnState, From: "draft", To: state, Request: request},
			{On: on, Fault: fault, State: state, Why: why, Request: request, Status: status, Offset: offset, Session: 1,
				Op: "write", Sent: offset, Received: offset, Rsync: &journal.Rsync{Exit: status},
				Written: []journal.Range{{To: offset}}},
			{On: "status", State: state, Request: request, Status: 200},
			{On: "sftp.abort", Request: 7, Session: 1, Written: []journal.Range{{To: offset}}},
		} {
			e.Seq = uint64(i + 1)
			c.Event(&e)
		}
		scripts(t, c)
	})
}

// scripts makes a scenario of each request.
func scripts(t *testing.T, c *retrace.Collector) {
	t.Helper()
	list, _ := c.Requests()
	for _, r := range list {
		if _, err := c.Script(r.Request, retrace.Options{}); err != nil {
			t.Errorf("%q: %v", r.Request, err)
		}
	}
}
