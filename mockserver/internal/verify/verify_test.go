package verify_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/upgrademock/upgrademock/mockserver/internal/journal"
	"github.com/upgrademock/upgrademock/mockserver/internal/verify"
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

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, expect string
		events       []journal.Event
		verdict      string
		saw, hint    string
	}{
		{name: "as often as wanted", expect: "calls: {status: '>=2'}", events: []journal.Event{on(0, "status"), on(1, "status")}, verdict: "pass", saw: "2 status"},
		{name: "too seldom", expect: "calls: {status: '>=2'}", events: []journal.Event{on(0, "status")}, verdict: "fail",
			saw: "1 status; the last was status at 12:00:00.000", hint: "a good client does not give up after one status"},
		{name: "too often", expect: "calls: {create: 1}", events: []journal.Event{on(0, "create"), on(5, "create")}, verdict: "fail",
			saw: "2 create; the last was create at 12:00:00.005", hint: "a good client does not call create again"},
		{name: "never", expect: "calls: {process: 1}", events: []journal.Event{on(0, "create")}, verdict: "fail",
			saw: "0 process; the last thing that happened was create at 12:00:00.000", hint: "a good client calls process here"},
		{name: "never, as wanted", expect: "calls: {process: 0}", verdict: "pass", saw: "0 process"},
		{name: "a dump over SFTP is an upload", expect: "calls: {upload: 1}", events: []journal.Event{on(0, "sftp.login"), on(1, "sftp.put")}, verdict: "pass", saw: "1 upload"},
		{name: "a login that met a fault is a login", expect: "calls: {sftp.login: 2}",
			events: []journal.Event{at(0, journal.Event{On: "sftp.fault", Op: "login"}), on(1, "sftp.login")}, verdict: "pass", saw: "2 sftp.login"},
		{name: "in order", expect: "order: [create, upload, process, status]",
			events: []journal.Event{on(0, "create"), on(1, "upload"), on(2, "process"), on(3, "status")}, verdict: "pass", saw: "create → upload → process → status"},
		{name: "out of order", expect: "order: [create, sftp.put, process]",
			events: []journal.Event{on(0, "create"), on(10, "sftp.login"), on(20, "process"), on(60, "sftp.put")}, verdict: "fail",
			saw: "process 40ms before sftp.put", hint: "a good client waits for the end of sftp.put before it calls process"},
		{name: "the order of SFTP, met over HTTPS", expect: "order: [create, request_sftp_access, sftp.put, process]",
			events: []journal.Event{on(0, "create"), on(1, "upload"), on(2, "process")}, verdict: "pass", saw: "create → request_sftp_access → sftp.put → process"},
		{name: "order cut short", expect: "order: [create, upload]", events: []journal.Event{on(0, "create")}, verdict: "fail",
			saw: "no upload after create at 12:00:00.000", hint: "a good client goes on with upload"},
		{name: "polite", expect: "interval: {status: '>=1s'}", events: []journal.Event{on(0, "status"), on(1000, "status"), on(2500, "status")}, verdict: "pass", saw: "1s to 1.5s"},
		{name: "impatient", expect: "interval: {status: '>=1s'}", events: []journal.Event{on(0, "status"), on(250, "status")}, verdict: "fail",
			saw: "status at 12:00:00.250 after 250ms", hint: "a good client leaves that time between its calls"},
		{name: "two requests are polled apart", expect: "interval: {status: '>=1s'}",
			events: []journal.Event{on(0, "status"), at(1, journal.Event{On: "status", Request: 2})}, verdict: "pass", saw: "no two calls"},
		{name: "resumed", expect: "resumed: true", events: []journal.Event{wrote(0, "sftp.abort", 0, 1000), wrote(9, "sftp.close", 1000, 3000)}, verdict: "pass",
			saw: "1000 bytes were there, and the next transfer began at offset 1000"},
		{name: "resumed a little before the break", expect: "resumed: true", events: []journal.Event{wrote(0, "sftp.abort", 0, 1000), wrote(9, "sftp.close", 900, 3000)}, verdict: "pass",
			saw: "1000 bytes were there, and the next transfer began at offset 900"},
		{name: "begun again", expect: "resumed: true", events: []journal.Event{wrote(0, "sftp.abort", 0, 1000), wrote(9, "sftp.close", 0, 3000)}, verdict: "fail",
			saw:  "1000 bytes were there, and the next transfer began at offset 0: everything was sent again",
			hint: "a good client asks for the size of the file and continues there (put -a, get -a)"},
		{name: "left a hole", expect: "resumed: true", events: []journal.Event{wrote(0, "sftp.abort", 0, 1000), wrote(9, "sftp.close", 1500, 3000)}, verdict: "fail",
			saw:  "1000 bytes were there, and the next transfer began at offset 1500: a hole of 500 bytes",
			hint: "a good client asks for the size of the file and continues there"},
		{name: "gave up", expect: "resumed: true", events: []journal.Event{wrote(0, "sftp.abort", 0, 1000)}, verdict: "fail",
			saw: "the transfer broke after 1000 bytes, and no other followed", hint: "a good client connects again and continues"},
		{name: "a download resumed with Range", expect: "resumed: true",
			events: []journal.Event{at(0, journal.Event{On: "download", Method: "GET", Status: 200}), at(5, journal.Event{On: "download", Method: "GET", Status: 206})}, verdict: "pass",
			saw: "download (GET) answered 206 at 12:00:00.005 asked for the rest only"},
		{name: "no download was resumed", expect: "resumed: true", events: []journal.Event{on(0, "download")}, verdict: "fail", saw: "no transfer was continued",
			hint: "a good client continues a broken transfer where it broke: by size over SFTP, with Range over HTTP"},
		{name: "the exit status", expect: "exit: success", verdict: "unjudged"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			script, err := scenario.Parse("x.yaml", []byte("name: x\nexpect: {"+tc.expect+"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range tc.events {
				tc.events[i].Seq = uint64(i + 1)
			}
			results := verify.Judge(script, tc.events)
			if len(results) != 1 {
				t.Fatalf("%d results: %+v", len(results), results)
			}
			got := results[0]
			want := verify.Result{Scenario: "x", Expect: got.Expect, Wanted: got.Wanted, Nearest: got.Nearest, Verdict: tc.verdict, Saw: tc.saw, Hint: tc.hint}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestJudge_withoutExpectations(t *testing.T) {
	t.Parallel()
	if got := verify.Judge(scenario.Default(), []journal.Event{on(0, "create")}); got != nil {
		t.Errorf("verdicts on nothing: %+v", got)
	}
}
