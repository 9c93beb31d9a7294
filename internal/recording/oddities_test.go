package recording_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/text/encoding/unicode"

	"github.com/upgrademock/upgrademock/internal/recording"
	"github.com/upgrademock/upgrademock/internal/retrace"
)

// TestRead_encodings: whichever way a shell or an editor has written the file, it is the same file.
func TestRead_encodings(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("testdata/firefox.har")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/firefox.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name, encode := range map[string]func(string) (string, error){
		"UTF-8 with a mark":        unicode.UTF8BOM.NewEncoder().String,
		"UTF-16, as of PowerShell": unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String,
		"UTF-16, big end first":    unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder().String,
		"UTF-16 without a mark":    unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder().String,
		"line ends of Windows":     func(s string) (string, error) { return strings.ReplaceAll(s, "\n", "\r\n"), nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := encode(string(src))
			if err != nil {
				t.Fatal(err)
			}
			got := scenarioOf(t, text, "firefox.har")
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// scenarioOf is the scenario of the only request in a recording.
func scenarioOf(t *testing.T, text, from string) string {
	t.Helper()
	c := retrace.New("", nil)
	if read, err := recording.Read(strings.NewReader(text), c); err != nil || read.Cut != "" {
		t.Fatalf("%+v, %v", read, err)
	}
	made, err := c.Script("", retrace.Options{From: from})
	if err != nil {
		t.Fatal(err)
	}
	return string(made.YAML)
}

// object is one of JSON.
type object = map[string]any

// entry is an entry of a HAR file: a call of the database API, so many seconds after the first one.
func entry(at int, call string, answer object) object {
	if call != "create" {
		call += "?request=7&key=EFGH1234ijkl"
	}
	return object{
		"startedDateTime": time.Date(2026, 3, 11, 10, 0, at, 0, time.UTC).Format(time.RFC3339), "time": 20,
		"request":  object{"method": "GET", "url": "https://upgrade.odoo.com/database/v1/" + call},
		"response": answer,
	}
}

// status is the answer to status; header is a header that goes with it.
func status(state string, header ...string) object {
	text := fmt.Sprintf(`{"failures": [], "request": {"id": 7, "key": "EFGH1234ijkl", "state": %q}}`, state)
	answer := object{"status": 200, "content": object{"size": len(text), "text": text}}
	if len(header) > 0 {
		answer["headers"] = []object{{"name": header[0], "value": header[1]}}
	}
	return answer
}

// packed is the answer to status as it came over the wire.
func packed(t *testing.T, coding, state string) object {
	text := status(state)["content"].(object)["text"].(string)
	var b bytes.Buffer
	switch coding {
	case "gzip":
		z := gzip.NewWriter(&b)
		z.Write([]byte(text))
		z.Close()
	case "zstd":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		z.Write([]byte(text))
		z.Close()
	default: // of which only the first byte is of account here
		b.WriteString("\x1b\x51\x00\xf8\x8d\x94\x6e\xde")
	}
	return object{"status": 200, "headers": []object{{"name": "content-encoding", "value": coding}}, "content": object{
		"size": b.Len(), "text": base64.StdEncoding.EncodeToString(b.Bytes()), "encoding": "base64"}}
}

// TestRead_oddities: what programs write that is not in the format, or that it leaves open.
func TestRead_oddities(t *testing.T) {
	t.Parallel()
	draft := entry(0, "create", status("draft"))
	process := entry(1, "process", object{"status": 200, "content": object{"text": `{"failures": []}`}})
	first, last := entry(2, "status", status("pending")), entry(9, "status", status("done"))
	first["request"].(object)["headers"] = object{"Accept": "*/*", "X": 7}
	seen := func(answer object) object { return entry(4, "status", answer) }
	failed := func(key string, value any) object { // a 502, with another key
		e := seen(object{"status": 502})
		e[key] = value
		return e
	}
	called := func(method, url string, post object) object {
		return failed("request", object{"method": method, "url": url, "postData": post})
	}
	const url = "https://upgrade.odoo.com/database/v1/status"
	const lost = "the answers of some calls are not in the recording"
	for name, tc := range map[string]struct {
		entry object
		want  string // in the scenario
		not   string
	}{
		"nothing":       {nil, "state: done", "faults:"},
		"null":          {object{}, "state: done", "faults:"},
		"no answer":     {failed("response", nil), "reset: true", ""},
		"status null":   {seen(object{"status": nil}), "reset: true", ""},
		"status quoted": {seen(object{"status": "502"}), "http: {status: 502}", ""},
		"sizes are texts": {seen(object{"status": 200, "bodySize": "x", "content": object{"size": "", "text": "no"}}),
			"body: \"no\"", ""},
		"time is a text":   {failed("time", "12 ms"), "status: 502", ""},
		"no time":          {failed("time", nil), "status: 502", ""},
		"another zone":     {failed("startedDateTime", "2026-03-11T15:30:04.1234567+05:30"), "seen at call 2 of 3", ""},
		"no zone":          {failed("startedDateTime", "2026-03-11T10:00:04"), "seen at call 2 of 3", ""},
		"Unix time":        {failed("startedDateTime", 1773223204.5), "seen at call 2 of 3", ""},
		"milliseconds":     {failed("startedDateTime", 1773223204500), "seen at call 2 of 3", ""},
		"not in its order": {entry(1, "status", object{"status": 502}), "seen at call 1 of 3", ""},
		"no start":         {failed("startedDateTime", nil), "some calls have no times", ""},
		"a file":           {called("GET", "file:///database/v1/status", nil), "state: done", "faults:"},
		"a socket":         {called("GET", "wss://x/database/v1/status", nil), "state: done", "faults:"},
		"a preflight":      {called("OPTIONS", url+"?request=7", nil), "state: done", "faults:"},
		"another host":     {called("GET", "https://api.example.com/v1/status", nil), "state: done", "faults:"},
		"blocked":          {seen(object{"status": 0, "_error": "net::ERR_BLOCKED_BY_CLIENT"}), "state: done", "faults:"},
		"of the cache":     {failed("_fromCache", "disk"), "state: done", "faults:"},
		"reset": {seen(object{"status": 0, "_error": "net::ERR_CONNECTION_RESET"}), "reset: true",
			"reset is a guess"},
		"reset, of Playwright": {seen(object{"status": -1, "_failureText": "net::ERR_CONNECTION_RESET"}),
			"reset: true", "reset is a guess"},
		"another failure": {seen(object{"status": 0, "_error": "getaddrinfo ENOTFOUND"}),
			`# there is no answer, for the recording says: "getaddrinfo ENOTFOUND"; a reset is a guess`, ""},
		"no bodies, of BrowserMob": {seen(object{"status": 200, "bodySize": 300, "content": object{"size": 0}}),
			lost, "faults:"},
		"no bodies, of Firefox": {seen(object{"status": 200, "bodySize": -1, "content": object{"size": 300,
			"comment": "Response bodies are not included."}}), lost, "faults:"},
		"packed by gzip": {seen(packed(t, "gzip", "testing")), "state: testing", "faults:"},
		"packed by zstd": {seen(packed(t, "zstd", "testing")), "state: testing", "faults:"},
		"packed by br":   {seen(packed(t, "br", "testing")), lost, "faults:"},
		"unpacked":       {seen(status("testing", "Content-Encoding", "br")), "state: testing", "faults:"},
		"a form": {called("POST", url, object{"mimeType": "application/x-www-form-urlencoded",
			"text": "request=7&key=EFGH1234ijkl"}), "status: 502", ""},
		"a form, and its parameters as they stand": {called("POST", url, object{
			"mimeType": "application/x-www-form-urlencoded", "text": "request=%37",
			"params": []object{{"name": "request", "value": "%37"}}}), "status: 502", ""},
		"a form in parts": {called("POST", url, object{"mimeType": "multipart/form-data; boundary=b",
			"text": "--b\r\nContent-Disposition: form-data; name=\"request\"\r\n\r\n7\r\n--b--\r\n"}), "status: 502", ""},
		"by way of a proxy": {called("GET", "http://localhost:3000/odoo/database/v1/status/?request=7", nil),
			"status: 502", ""},
		"the key, not decoded": {object{"startedDateTime": "2026-03-11T10:00:04Z",
			"request": object{"method": "POST", "url": url, "postData": object{
				"mimeType": "application/x-www-form-urlencoded", "params": []object{{"name": "request", "value": "7"},
					{"name": "key", "value": "EFGH1234%2Bjkl%3D"}}}},
			"response": object{"status": 500, "content": object{"text": "EFGH1234+jkl="}}}, "body: KEY", "EFGH1234"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			entries := []object{draft, process, first, last}
			if tc.entry != nil {
				entries = append(entries, tc.entry)
			}
			text, err := json.Marshal(object{"log": object{"version": "1.2", "entries": entries}})
			if err != nil {
				t.Fatal(err)
			}
			got := scenarioOf(t, string(text), "")
			if !strings.Contains(got, tc.want) || tc.not != "" && strings.Contains(got, tc.not) {
				t.Errorf("wanted %q, and not %q:\n%s", tc.want, tc.not, got)
			}
		})
	}
}

// TestRead_runs: of two runs in one file, each is a request of its own, whatever ids the platform gave.
func TestRead_runs(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(object{"log": object{"entries": []object{
		entry(0, "create", status("draft")), entry(1, "status", status("pending")), entry(2, "status", status("done")),
		entry(30, "create", status("draft")), entry(31, "status", status("invalid")),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	c := retrace.New("", nil)
	if _, err := recording.Read(bytes.NewReader(text), c); err != nil {
		t.Fatal(err)
	}
	list, _ := c.Requests()
	var got []string
	for _, r := range list {
		got = append(got, fmt.Sprint(r.Request, " ", r.State, " ", r.Calls))
	}
	if diff := cmp.Diff([]string{"7 done 3", "7/2 invalid 2"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestRead_twice: two exports of one story, of which the second one has all that the first one has, are one story.
func TestRead_twice(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/playwright.har")
	if err != nil {
		t.Fatal(err)
	}
	c := retrace.New("", nil)
	for range 2 {
		if _, err := recording.Read(bytes.NewReader(text), c); err != nil {
			t.Fatal(err)
		}
	}
	made, err := c.Script("", retrace.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const says = "# Note: some calls stand there twice, to a fraction of a second: they are taken once.\n"
	if once := strings.Replace(string(made.YAML), says, "", 1); once != scenarioOf(t, string(text), "") ||
		once == string(made.YAML) {
		t.Errorf("%s", made.YAML)
	}
}
