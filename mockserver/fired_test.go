package mockserver_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// TestFaults_journal holds that the event of a call says of its fault which one it was, where it fired, and how
// many bytes really went.
func TestFaults_journal(t *testing.T) {
	t.Parallel()
	const size = 300 << 10
	dump := pattern(size, 1)
	for _, tc := range []struct {
		name, method string
		on, fault    string // on is the call, too
		want         string // the event's fault
		fired        *journal.Fired
		why          string // part of the event's
	}{
		{
			"a download is cut", "GET", "download", "after: 64KiB, cut: true", "faults[1]: download cut after 65536",
			&journal.Fired{At: 64 << 10, Sent: 64 << 10}, "",
		},
		{
			"a download is reset", "GET", "download", "after: 64KiB, reset: true", "faults[1]: download reset after 65536",
			&journal.Fired{At: 64 << 10, Sent: 64 << 10}, "",
		},
		{
			"a download is truncated", "GET", "download", "after: 64KiB, truncate: true",
			"faults[1]: download truncate after 65536", &journal.Fired{At: 64 << 10, Sent: 64 << 10}, "",
		},
		{
			"a download is cut in the middle", "GET", "download", "cut: true", "faults[1]: download cut",
			&journal.Fired{At: size / 2, Sent: size / 2}, "",
		},
		{
			"a download is cut, slowly", "GET", "download", "after: 64KiB, cut: true, rate: 100MiB/s",
			"faults[1]: download cut after 65536 rate 104857600 B/s", &journal.Fired{At: 64 << 10, Sent: 64 << 10}, "",
		},
		{
			"a download is slow", "GET", "download", "rate: 100MiB/s", "faults[1]: download rate 104857600 B/s",
			&journal.Fired{Sent: size}, "",
		},
		{
			"a download is late", "GET", "download", "delay: 1ms", "faults[1]: download delay 1ms",
			&journal.Fired{Sent: size}, "",
		},
		{"a download is reset at once", "GET", "download", "reset: true", "faults[1]: download reset", &journal.Fired{}, ""},
		{
			"a download is garbage", "GET", "download", "garbage: true", "faults[1]: download garbage",
			&journal.Fired{Sent: 54}, "",
		},
		{
			"a download that ends before the break", "GET", "download", "after: 1MiB, cut: true", "", nil,
			"faults[1]: download cut after 1048576 was chosen",
		},
		{
			"a download that ends where it is truncated", "GET", "download", "after: 300KiB, truncate: true", "", nil,
			"was chosen",
		},
		{"a download that has no body", "HEAD", "download", "after: 64KiB, cut: true", "", nil, "was chosen"},
		{
			"an upload is cut", "POST", "upload", "after: 64KiB, cut: true", "faults[1]: upload cut after 65536",
			&journal.Fired{At: 64 << 10, Received: 64 << 10}, "",
		},
		{
			"an upload is reset", "POST", "upload", "after: 64KiB, reset: true", "faults[1]: upload reset after 65536",
			&journal.Fired{At: 64 << 10, Received: 64 << 10}, "",
		},
		{
			"an upload fails in the middle", "POST", "upload", `after: 64KiB, failure: {reason: "SERVER:ERROR", message: x}`,
			"faults[1]: upload failure after 65536", &journal.Fired{At: 64 << 10, Received: size, Sent: 55}, "",
		},
		{
			"an upload fails at once", "POST", "upload", `http: {status: 503, body: busy}`, "faults[1]: upload http",
			&journal.Fired{Received: size, Sent: 4}, "",
		},
		{
			"an upload is slow", "POST", "upload", `rate: 100MiB/s`, "faults[1]: upload rate 104857600 B/s",
			&journal.Fired{Received: size, Sent: 16}, "",
		},
		{
			"an upload that ends before the break", "POST", "upload", "after: 1MiB, reset: true", "", nil,
			"faults[1]: upload reset after 1048576 was chosen",
		},
		{"a poll is reset", "GET", "status", "reset: true", "faults[1]: status reset", &journal.Fired{}, ""},
		{"a poll without a body", "HEAD", "status", "delay: 1ms", "faults[1]: status delay 1ms", &journal.Fired{}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &mockserver.Options{
				Scenarios: scripted(t, "name: one\nfaults:\n  - {on: create, skip: 9, cut: true}\n  - {on: "+tc.on+
					", skip: 1, times: 1, "+tc.fault+"}\n")})
			m := w.create()
			w.upload(m, dump)
			url := w.base + "/database/v1/" + tc.on + "?" + m.params().Encode()
			if tc.on == "download" {
				url = w.status(m)["original_dump_url"].(string)
				w.fetch(url)
			} else if tc.on == "status" {
				w.status(m)
			}
			first, err := w.srv.Await(t.Context(), journal.Filter{On: tc.on}) // a client may be done before its call is
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(t.Context(), tc.method, url, bytes.NewReader(dump))
			if err != nil {
				t.Fatal(err)
			}
			if tc.method != "POST" {
				req.Body, req.ContentLength = nil, 0
			}
			if resp, err := w.http.Do(req); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			e, err := w.srv.Await(t.Context(), journal.Filter{On: tc.on, After: first.Seq})
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "the event's fault", tc.want, e.Fault)
			diff(t, "where it fired", tc.fired, e.Fired)
			if !strings.Contains(e.Why, tc.why) || tc.why == "" && e.Why != "" && tc.fired != nil &&
				!strings.Contains(tc.fault, "failure") {
				t.Errorf("why: %q, want something with %q", e.Why, tc.why)
			}
			if tc.fired != nil && e.Sent != tc.fired.Sent {
				t.Errorf("the event says that %d bytes were sent, want %d", e.Sent, tc.fired.Sent)
			}
		})
	}
}

// TestFaults_rate holds that a rate is exact over HTTP, in both directions.
func TestFaults_rate(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{100, 10 << 10, 1 << 20, 10 << 20} {
		for _, on := range []string{"upload", "download"} {
			t.Run(fmt.Sprintf("%s at %d B per s", on, rate), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					srv, err := mockserver.New(&mockserver.Options{
						Scenarios: scripted(t, fmt.Sprintf("name: slow\nfaults: [{on: %s, rate: %dB/s}]\n", on, rate))})
					if err != nil {
						t.Fatal(err)
					}
					defer srv.Close()
					direct(t, srv, "POST", "/database/v1/create?"+sample().Encode(), "", nil)
					r := srv.Requests()[0]
					call := func(method, path string, body io.Reader) time.Duration {
						began := time.Now()
						rec := httptest.NewRecorder()
						srv.ServeHTTP(rec, httptest.NewRequest(method, path, body))
						if rec.Code != http.StatusOK {
							t.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
						}
						return time.Since(began)
					}
					took := call("POST", fmt.Sprintf("/database/v1/upload?request=%d&key=%s", r.ID, r.Key),
						bytes.NewReader(make([]byte, 3*rate)))
					if on == "download" {
						took = call("GET", fmt.Sprintf("/database/eu1/%d/%s/original/archive", r.ID, r.Key), nil)
					}
					if took < 2990*time.Millisecond || took > 3010*time.Millisecond {
						t.Errorf("3 s worth took %v", took)
					}
				})
			})
		}
	}
}
