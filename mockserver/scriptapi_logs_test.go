package mockserver_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/mockserver"
)

// Rows S8.1, S8.2, S8.5 to S8.7 and S8.10.
func TestScriptAPI_logs(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t, "when: {api: script}\nsteps: [{state: progress, log: \"zero\\nöne\\n\"}]\n"),
		Requests:  []mockserver.NewRequest{{API: mockserver.APIScript, Dump: []byte("-- a dump\n"), Process: true}},
	})
	if _, token := w.scriptRequest(); token != "" {
		if resp, body := w.log(token, "bytes=0-"); resp.StatusCode != 200 || body != "" {
			t.Errorf("before the upgrade: %s %q", resp.Status, body)
		}
	}
	token := w.srv.Requests()[0].Key
	_, whole := w.log(token, "")
	size := len(whole)
	if whole != "zero\nöne\n" {
		t.Fatalf("the log is %q", whole)
	}
	for _, tc := range []struct {
		header   string
		from, to int // -1: the whole, with status 200
	}{
		{"", -1, 0}, {"bytes=0-", 0, size}, {"bytes=1-", 1, size}, {fmt.Sprintf("bytes=%d-", size-1), size - 1, size},
		{fmt.Sprintf("bytes=%d-", size), size, size}, {"bytes=999999-", size, size},
		{"bytes=99999999999999999999999999-", size, size},
		{"bytes=2-4", 2, 5}, {"bytes=2-2", 2, 3}, {"bytes=0-999999", 0, size},
		{"bytes=7-99999999999999999999999999", 7, size}, {"Bytes = 3 - 4 ", 3, 5},
		{"bytes=-4", size - 4, size}, {"bytes=-999999", 0, size}, {"bytes=-0", size, size},
		{"bytes=4-2", -1, 0}, {"bytes=", -1, 0}, {"bytes=-", -1, 0}, {"bytes=x-", -1, 0},
		{"bytes=+1-", -1, 0}, {"bytes=1-x", -1, 0},
		{"bytes=1", -1, 0}, {"lines=0-", -1, 0}, {"bytes=0-1,3-4", -1, 0},
		{"bytes=0x1-", -1, 0}, {"0-", -1, 0}, {"bytes=--1", -1, 0},
	} {
		resp, body := w.log(token, tc.header)
		status, want, contentRange := 206, "", ""
		switch {
		case tc.from < 0:
			status, want = 200, whole
		case tc.from == tc.to:
			status = 200
		default:
			want, contentRange = whole[tc.from:tc.to], fmt.Sprintf("bytes %d-%d/%d", tc.from, tc.to-1, size)
		}
		if resp.StatusCode != status || body != want || resp.Header.Get("Content-Range") != contentRange {
			t.Errorf(
				"Range %q: %s, Content-Range %q, %q; want %d, %q, %q",
				tc.header,
				resp.Status,
				resp.Header.Get("Content-Range"),
				body,
				status,
				contentRange,
				want,
			)
		}
		if got := resp.Header.Get("Content-Type"); got != "text/plain; charset=utf-8" {
			t.Errorf("Content-Type %q", got)
		}
	}
	for _, query := range []string{"", "?token=", "?token=x", "?token=" + token + "x", "?Token=" + token, "?token=%zz&x"} {
		resp, body := w.do("GET", w.base+"/upgrade/request/logs"+query, http.Header{"Range": {"bytes=0-"}}, nil)
		if resp.StatusCode != 404 || strings.Contains(string(body), token) {
			t.Errorf("logs%s: %s\n%s", query, resp.Status, body)
		}
	}
	resp, _ := w.do("HEAD", w.base+"/upgrade/request/logs?token="+token, nil, nil)
	if resp.StatusCode != 200 || resp.ContentLength != int64(size) {
		t.Errorf("HEAD: %s, Content-Length %d", resp.Status, resp.ContentLength)
	}
}

// Rows S9.1 to S9.4.
func TestScriptAPI_wipe(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	first, token := w.scriptRequest()
	second, other := w.scriptRequest()
	w.scriptRequest("contract", "M999999-other")
	a := w.rpc("wipe", "token", token, "contract", "M123456-abcdef")
	want := map[string]any{"wiped": []any{float64(first), float64(second)}, "failed": []any{}}
	if diff := cmp.Diff(want, a.Result); diff != "" {
		t.Errorf("wipe (-want +got):\n%s", diff)
	}
	if a := w.rpc("status", "token", other); a.Result["archived"] != true {
		t.Error(a.Body)
	}
	a = w.rpc("wipe", "token", other, "contract", "M123456-abcdef")
	if diff := cmp.Diff(map[string]any{"wiped": []any{}, "failed": []any{}}, a.Result); diff != "" {
		t.Errorf("wipe (-want +got):\n%s", diff)
	}
}

// A body that is too long takes no memory, and its client gets an answer when it has sent it (row S1.13); also one that
// waited to be asked for it.
func TestScriptAPI_endlessBody(t *testing.T) {
	t.Parallel()
	w := onWire(t, nil)
	w.http.Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
	for _, expect := range []string{"", "100-continue"} {
		header := http.Header{"Content-Type": {"application/json"}}
		if expect != "" {
			header.Set("Expect", expect)
		}
		body := &io.LimitedReader{R: endlessBlanks{}, N: 64 << 20}
		resp, data := w.do("POST", w.base+"/upgrade/request/create", header, body)
		if a := decodeRPC(t, resp, data); !strings.Contains(a.Failure, "more than 1048576 bytes") {
			t.Error(a.Body)
		}
		if body.N > 0 {
			t.Errorf("Expect %q: the answer came when %d bytes were not sent yet", expect, body.N)
		}
	}
}

// endlessBlanks is white space without end.
type endlessBlanks struct{}

func (endlessBlanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
