package verify_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var noon = time.Date(2015, 9, 9, 12, 0, 0, 0, time.UTC)

// at makes an event so many milliseconds after noon.
func at(ms int, e journal.Event) journal.Event {
	e.At = noon.Add(time.Duration(ms) * time.Millisecond)
	if e.Request == 0 {
		e.Request = 10534
	}
	return e
}

func on(ms int, name string) journal.Event { return at(ms, journal.Event{On: name}) }

func wrote(ms int, name string, from, to int64) journal.Event {
	return at(ms, journal.Event{On: name, Written: []journal.Range{{From: from, To: to}}})
}

func login(ms int, session uint64) journal.Event {
	return at(ms, journal.Event{On: "sftp.fault", Op: "login", Session: session})
}

func unavailable(ms int) journal.Event {
	return at(ms, journal.Event{On: "status", Status: 503, RetryAfter: 2 * time.Second})
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, expect string
		events       []journal.Event
		verdict      string
		saw, hint    string
	}{
		{
			name: "as often as wanted", expect: "calls: {status: '>=2'}",
			events: []journal.Event{on(0, "status"), on(1, "status")}, verdict: "pass", saw: "2 status",
		},
		{name: "too seldom", expect: "calls: {status: '>=2'}", events: []journal.Event{on(0, "status")}, verdict: "fail",
			saw: "1 status; the last was status at 12:00:00.000", hint: "a good client does not give up after one status"},
		{
			name: "too often", expect: "calls: {create: 1}", events: []journal.Event{on(0, "create"), on(5, "create")},
			verdict: "fail", saw: "2 create; the last was create at 12:00:00.005",
			hint: "a good client does not call create again",
		},
		{name: "never", expect: "calls: {process: 1}", events: []journal.Event{on(0, "create")}, verdict: "fail",
			saw: "0 process; the last thing that happened was create at 12:00:00.000", hint: "a good client calls process here"},
		{name: "never, as wanted", expect: "calls: {process: 0}", verdict: "pass", saw: "0 process"},
		{
			name: "a dump over SFTP is an upload", expect: "calls: {upload: 1}",
			events: []journal.Event{on(0, "sftp.login"), on(1, "sftp.put")}, verdict: "pass", saw: "1 upload",
		},
		{
			name: "a login that met a fault is a login", expect: "calls: {sftp.login: 2}",
			events:  []journal.Event{at(0, journal.Event{On: "sftp.fault", Op: "login"}), on(1, "sftp.login")},
			verdict: "pass", saw: "2 sftp.login",
		},
		{
			name: "in order", expect: "order: [create, upload, process, status]",
			events: []journal.Event{on(0, "create"), on(1, "upload"), on(2, "process"), on(3, "status")}, verdict: "pass",
			saw: "create → upload → process → status",
		},
		{
			name: "out of order", expect: "order: [create, sftp.put, process]",
			events:  []journal.Event{on(0, "create"), on(10, "sftp.login"), on(20, "process"), on(60, "sftp.put")},
			verdict: "fail", saw: "process 40ms before sftp.put",
			hint: "a good client waits for the end of sftp.put before it calls process",
		},
		{
			name: "the order of SFTP, met over HTTPS", expect: "order: [create, request_sftp_access, sftp.put, process]",
			events: []journal.Event{on(0, "create"), on(1, "upload"), on(2, "process")}, verdict: "pass",
			saw: "create → request_sftp_access → sftp.put → process",
		},
		{
			name: "a status before its turn, and another at its turn", expect: "order: [create, upload, process, status]",
			events: []journal.Event{
				on(0, "create"), on(1, "status"), on(2, "upload"), on(3, "status"), on(4, "process"), on(5, "status"),
			},
			verdict: "pass", saw: "create → upload → process → status",
		},
		{name: "a status only before its turn", expect: "order: [create, process, status]",
			events: []journal.Event{on(0, "create"), on(1, "status"), on(4, "process")}, verdict: "fail",
			saw: "no status after process at 12:00:00.004", hint: "a good client goes on with status"},
		{
			name: "a download between", expect: "order: [process, download, skip_test]",
			events:  []journal.Event{on(0, "download"), on(1, "process"), on(2, "download"), on(3, "skip_test")},
			verdict: "pass", saw: "process → download → skip_test",
		},
		{
			name: "twice in the order", expect: "order: [upload, process, upload]",
			events: []journal.Event{on(0, "upload"), on(1, "process"), on(2, "upload")}, verdict: "pass",
			saw: "upload → process → upload",
		},
		{
			name: "twice in the order, once there", expect: "order: [upload, process, upload]",
			events: []journal.Event{on(0, "upload"), on(1, "process")}, verdict: "fail",
			saw: "no upload after process at 12:00:00.001", hint: "a good client goes on with upload",
		},
		{
			name: "SFTP only to download", expect: "order: [create, request_sftp_access, sftp.put, process]",
			events: []journal.Event{
				on(0, "create"), on(1, "upload"), on(2, "process"), on(3, "request_sftp_access"), on(4, "sftp.login"),
				on(5, "sftp.get"),
			},
			verdict: "pass", saw: "create → request_sftp_access → sftp.put → process",
		},
		{
			name: "order cut short", expect: "order: [create, upload]", events: []journal.Event{on(0, "create")},
			verdict: "fail", saw: "no upload after create at 12:00:00.000", hint: "a good client goes on with upload",
		},
		{
			name: "polite", expect: "interval: {status: '>=1s'}",
			events: []journal.Event{on(0, "status"), on(1000, "status"), on(2500, "status")}, verdict: "pass",
			saw: "1s to 1.5s",
		},
		{
			name: "impatient", expect: "interval: {status: '>=1s'}",
			events: []journal.Event{on(0, "status"), on(250, "status")}, verdict: "fail",
			saw: "status at 12:00:00.250 after 250ms", hint: "a good client leaves that time between its calls",
		},
		{
			name: "another call in between", expect: "interval: {status: '>=1s'}",
			events: []journal.Event{on(0, "status"), on(10, "process"), on(20, "status")}, verdict: "pass",
			saw: "no two calls",
		},
		{
			name: "a change of state in between", expect: "interval: {status: '>=1s'}",
			events: []journal.Event{on(0, "status"), on(10, "state"), on(20, "status")}, verdict: "fail",
			saw: "status at 12:00:00.020 after 20ms", hint: "a good client leaves that time between its calls",
		},
		{
			name: "it is done, and asked once more", expect: "interval: {status: '>=1s'}", events: []journal.Event{
				at(0, journal.Event{On: "status", State: "pending"}), at(1000, journal.Event{On: "status", State: "done"}),
				on(1001, "status"),
			},
			verdict: "pass", saw: "1s to 1s",
		},
		{
			name: "not yet begun", expect: "interval: {status: '>=1s'}",
			events: []journal.Event{at(0, journal.Event{On: "status", State: "draft"}), on(1, "status")}, verdict: "pass",
			saw: "no two calls",
		},
		{
			name: "on average", expect: "interval: {status: '>=1s on average'}", events: []journal.Event{
				on(0, "status"), on(1, "status"), on(2000, "status"), on(4000, "status"), on(6000, "status"),
				on(8000, "status"),
			},
			verdict: "pass", saw: "1.6s on average over 6 calls",
		},
		{
			name: "too fast on average", expect: "interval: {status: '>=1s on average'}", events: []journal.Event{
				on(0, "status"), on(10, "status"), on(20, "status"), on(30, "status"), on(40, "status"), on(50, "status"),
			},
			verdict: "fail", saw: "10ms on average over 6 calls", hint: "a good client leaves some time between its calls",
		},
		{
			name: "too few to say", expect: "interval: {status: '>=1s on average'}",
			events: []journal.Event{on(0, "status"), on(10, "status"), on(20, "status")}, verdict: "pass",
			saw: "10ms to 10ms",
		},
		{name: "several keys in one connection", expect: "interval: {sftp.login: '>=1s'}",
			events: []journal.Event{login(0, 1), login(5, 1), login(1000, 2), login(1005, 2)}, verdict: "pass", saw: "1s to 1s"},
		{
			name: "logins that take long", expect: "interval: {sftp.login: '>=1s'}",
			events:  []journal.Event{login(0, 1), at(100, journal.Event{On: "sftp.connect", Session: 2}), login(3000, 2)},
			verdict: "fail", saw: "sftp.fault at 12:00:03.000 after 100ms",
			hint: "a good client leaves that time between its calls",
		},
		{
			name: "hammered logins", expect: "interval: {sftp.login: '>=1s on average'}", events: []journal.Event{
				login(0, 1), login(5, 2), on(7, "request_sftp_access"), login(10, 3), login(15, 4), login(20, 5), login(25, 6),
			},
			verdict: "fail", saw: "5ms on average over 6 calls", hint: "a good client leaves some time between its calls",
		},
		{
			name: "a pause as asked", expect: "retry_after: kept",
			events: []journal.Event{unavailable(0), on(2000, "status")}, verdict: "pass",
			saw: "status asked for 2s, and the next came after 2s",
		},
		{
			name: "a pause as asked, but for one", expect: "retry_after: kept",
			events: []journal.Event{unavailable(0), unavailable(500), on(2500, "status")}, verdict: "pass",
			saw: "status asked for 2s, and the next came after 2s",
		},
		{
			name: "no pause", expect: "retry_after: kept",
			events:  []journal.Event{unavailable(0), on(10, "process"), unavailable(1000), on(2000, "status")},
			verdict: "fail", saw: "status answered 503 at 12:00:01.000 asked for 2s, and the next came after 1s",
			hint: "a good client reads the header Retry-After, and asks again when that time has passed",
		},
		{
			name: "no pause wanted", expect: "retry_after: kept", events: []journal.Event{on(0, "status")}, verdict: "pass",
			saw: "no answer asked for a pause",
		},
		{
			name: "the key in a header", expect: "hides: key",
			events: []journal.Event{at(0, journal.Event{On: "status", KeyIn: "User-Agent"})}, verdict: "fail",
			saw:  "the key of request 10534 is in the header User-Agent of status at 12:00:00.000",
			hint: "a good client sends the key as a parameter only: headers are written to the logs of every server on the way",
		},
		{
			name: "two requests are polled apart", expect: "interval: {status: '>=1s'}",
			events: []journal.Event{on(0, "status"), at(1, journal.Event{On: "status", Request: 2})}, verdict: "pass",
			saw: "no two calls",
		},
		{
			name: "resumed", expect: "resumed: true",
			events: []journal.Event{wrote(0, "sftp.abort", 0, 1000), wrote(9, "sftp.close", 1000, 3000)}, verdict: "pass",
			saw: "1000 bytes were there, and the next transfer began at offset 1000",
		},
		{
			name: "resumed a little before the break", expect: "resumed: true",
			events: []journal.Event{wrote(0, "sftp.abort", 0, 1000), wrote(9, "sftp.close", 900, 3000)}, verdict: "pass",
			saw: "1000 bytes were there, and the next transfer began at offset 900",
		},
		{
			name: "begun again", expect: "resumed: true",
			events: []journal.Event{wrote(0, "sftp.abort", 0, 1000), wrote(9, "sftp.close", 0, 3000)}, verdict: "fail",
			saw:  "1000 bytes were there, and the next transfer began at offset 0: everything was sent again",
			hint: "a good client asks for the size of the file and continues there (put -a, get -a)",
		},
		{
			name: "left a hole", expect: "resumed: true",
			events: []journal.Event{wrote(0, "sftp.abort", 0, 1000), wrote(9, "sftp.close", 1500, 3000)}, verdict: "fail",
			saw:  "1000 bytes were there, and the next transfer began at offset 1500: a hole of 500 bytes",
			hint: "a good client asks for the size of the file and continues there",
		},
		{
			name: "gave up", expect: "resumed: true", events: []journal.Event{wrote(0, "sftp.abort", 0, 1000)},
			verdict: "fail", saw: "the transfer broke after 1000 bytes, and no other followed",
			hint: "a good client connects again and continues",
		},
		{
			name: "a download resumed with Range", expect: "resumed: true", events: []journal.Event{
				at(0, journal.Event{On: "download", Method: "GET", Status: 200}),
				at(5, journal.Event{On: "download", Method: "GET", Status: 206}),
			},
			verdict: "pass", saw: "download (GET) answered 206 at 12:00:00.005 asked for the rest only",
		},
		{
			name: "no download was resumed", expect: "resumed: true", events: []journal.Event{on(0, "download")},
			verdict: "fail", saw: "no transfer was continued",
			hint: "a good client continues a broken transfer where it broke: by size over SFTP, with Range over HTTP",
		},
		{name: "the exit status", expect: "exit: success", verdict: "unjudged"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			script, err := scenario.Parse("x.yaml", []byte("name: x\nexpect: {"+tc.expect+"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			judges(t, script, tc.events, verify.Result{Verdict: tc.verdict, Saw: tc.saw, Hint: tc.hint})
		})
	}
}

// judges fails unless the one expectation of the scenario x is judged with the verdict and the texts of want.
func judges(t *testing.T, script *scenario.Scenario, events []journal.Event, want verify.Result) {
	t.Helper()
	for i := range events {
		events[i].Seq = uint64(i + 1)
	}
	results := verify.Judge(script, verify.Evidence{Events: events})
	if len(results) != 1 {
		t.Fatalf("%d results: %+v", len(results), results)
	}
	got := results[0]
	want.Scenario, want.Expect, want.Wanted, want.Nearest = "x", got.Expect, got.Wanted, got.Nearest
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestJudge_withoutExpectations(t *testing.T) {
	t.Parallel()
	if got := verify.Judge(scenario.Default(), verify.Evidence{Events: []journal.Event{on(0, "create")}}); got != nil {
		t.Errorf("verdicts on nothing: %+v", got)
	}
}
