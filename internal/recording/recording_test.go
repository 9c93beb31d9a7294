package recording_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/internal/recording"
	"github.com/upgrademock/upgrademock/internal/retrace"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestRead_har: HAR files of a server that is not the emulator. Those of Playwright, chrome-har-capturer and mitmdump
// were written by them; others are in the manner of Chromium, Firefox, mitmproxy and ZAP: keys in another order, more
// keys, HTTP/2's names of headers, packed bodies, bodies that are missing, calls in no order, zones of time.
func TestRead_har(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.har")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			in, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			c := retrace.New("", nil)
			read, err := recording.Read(in, c)
			if err != nil || read.Form != recording.HAR || read.Cut != "" || read.Calls == 0 {
				t.Fatalf("%+v, %v", read, err)
			}
			got, err := c.Script("", retrace.Options{From: filepath.Base(file)})
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"Zm9vYmFyYmF6cXV4", "EFGH1234ijkl"} {
				if strings.Contains(string(got.YAML), secret) {
					t.Errorf("the request's key is in it:\n%s", got.YAML)
				}
			}
			for _, w := range scenario.Warnings(file, got.YAML) {
				t.Error(w)
			}
			golden := strings.TrimSuffix(file, ".har") + ".yaml"
			if *update {
				if err := os.WriteFile(golden, got.YAML, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got.YAML)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestRead_cut: of a HAR file that breaks off anywhere, what stands before that is read, and the place is said.
func TestRead_cut(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile("testdata/firefox.har")
	if err != nil {
		t.Fatal(err)
	}
	for at := len(whole) / 3; at < len(whole)-2; at += len(whole) / 50 {
		c := retrace.New("", nil)
		read, err := recording.Read(strings.NewReader(string(whole[:at])), c)
		if err != nil || read.Cut == "" || read.Calls == 0 {
			t.Fatalf("at %d: %+v, %v", at, read, err)
		}
		if want := fmt.Sprintf("entry %d, at byte", read.Entries+1); !strings.HasPrefix(read.Cut, want) {
			t.Errorf("at %d: %s, wanted %s", at, read.Cut, want)
		}
		if _, err := c.Script("", retrace.Options{}); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

func TestRead_bad(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want string // in the error
		form bool   // whether it is none of the forms
	}{
		"empty":                {"", "the file is empty", true},
		"no JSON":              {"GET /database/v1/status", "the file is not JSON", true},
		"mitmproxy's own form": {"1234:9:websocket;0:~8:response;", "export them as a HAR file", true},
		"other JSON":           {`{"swagger": "2.0"}`, `its first key is "swagger"`, true},
		"an event without on":  {"{\"seq\":1,\"on\":\"create\"}\n{\"seq\":2}\n", "wrong in line 2", false},
		"an event that is not": {"{\"seq\":1,\"on\":\"create\"}\n{\"seq\":\"x\"}\n", "wrong in line 2", false},
		"a HAR without calls":  {`{"log": {"version": "1.2"}}`, `it has no "entries"`, false},
		"entries that are not": {`{"log": {"entries": 7}}`, `"entries" is no object or list`, false},
		"another version":      {`{"upgrademock_exchanges": 99}`, "it has version 99, and version 1 is read", false},
		"another suite":        {`{"upgrademock_recording": 7, "checks": []}`, "it has version 7, and version 1 is read", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := recording.Read(strings.NewReader(tc.text), retrace.New("", nil))
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, recording.ErrForm) != tc.form {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRead_others: a recording of another API has no call of the platform, and says whose it is.
func TestRead_others(t *testing.T) {
	t.Parallel()
	const text = `{"log": {"entries": [{"request": {"method": "GET", "url": "https://api.example.com/v2/pets"},
		"response": {"status": 200}}]}}`
	c := retrace.New("", nil)
	read, err := recording.Read(strings.NewReader(text), c)
	if err != nil || read.Calls != 0 || read.Entries != 1 {
		t.Fatalf("%+v, %v", read, err)
	}
	if diff := cmp.Diff([]string{"api.example.com"}, read.Hosts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := c.Script("", retrace.Options{}); !errors.Is(err, retrace.ErrNothing) {
		t.Errorf("got %v", err)
	}
}

// TestRead_answer: what the control API answers is a journal, too.
func TestRead_answer(t *testing.T) {
	t.Parallel()
	const event = `{"seq":1,"at":"2026-03-11T10:00:00Z","on":"create","request":7,"contract":"M1-a","status":200}`
	for _, text := range []string{event, "[" + event + "]", `{"dropped": 0, "events": [` + event + `]}`,
		`{"events":[` + event + `],"dropped":3}`, "\n" + event + "\n"} {
		c := retrace.New("", nil)
		read, err := recording.Read(strings.NewReader(text), c)
		if err != nil || read.Form != recording.Journal || read.Entries != 1 || read.Cut != "" {
			t.Errorf("%s: %+v, %v", text, read, err)
		}
		if _, err := c.Script("7", retrace.Options{}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// endless is a journal that does not end for a long time.
type endless struct {
	left int
	line string
	n    int
	rest string
}

func (e *endless) Read(p []byte) (int, error) {
	if e.rest == "" {
		if e.left--; e.left < 0 {
			return 0, io.EOF
		}
		e.n++
		e.rest = fmt.Sprintf(e.line, e.n, e.n%3, e.n)
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

// TestRead_memory: the memory does not grow with the file.
func TestRead_memory(t *testing.T) {
	if testing.Short() {
		t.Skip("the files are long")
	}
	const event = `{"seq":%d,"at":"2026-03-11T10:00:00Z","on":"status","request":7,"status":50%d,` +
		`"user_agent":"%0200d","fault":"faults[0]: status http","fired":{"at":0}}` + "\n"
	const entry = `{"startedDateTime":"2026-03-11T10:00:00Z","time":%d,"request":{"method":"GET","url":` +
		`"https://x/database/v1/status?request=7"},"response":{"status":200,"content":{"text":"{\"request\": ` +
		`{\"state\": \"s%d\", \"customer_message\": \"%01000d\"}}"}}},` + "\n"
	for form, tc := range map[string]struct {
		in   endless
		most int64
	}{
		recording.Journal: {endless{left: 15_000, line: event}, 2 << 20},
		recording.HAR:     {endless{left: 12_000, line: entry, rest: `{"log": {"entries": [`}, 10 << 20},
	} {
		c := retrace.New("", nil)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		left := tc.in.left
		if read, err := recording.Read(&tc.in, c); err != nil || read.Entries != left || read.Form != form {
			t.Fatalf("%+v, %v", read, err)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > tc.most {
			t.Errorf("%s: %d bytes are kept", form, grown)
		}
		if _, err := c.Script("7", retrace.Options{}); err != nil {
			t.Error(err)
		}
	}
}

func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/*.har")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text[:min(len(text), 4<<10)])
	}
	f.Add([]byte(`{"seq":1,"at":"2026-03-11T10:00:00Z","on":"create","request":7,"contract":"M1-a","status":200}`))
	f.Add([]byte(`{"upgrademock_exchanges":1}{"method":"GET","url":"/database/v1/status?request=7","status":200,` +
		`"body":"{\"request\":{\"state\":\"done\"}}"}`))
	f.Add([]byte(`{"upgrademock_recording":1}{"lane":"x","kind":"http","what":"GET status {request=7, key=A}",` +
		`"out":{"status":502,"body":"t:no"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := retrace.New("", nil)
		if _, err := recording.Read(strings.NewReader(string(data)), c); err != nil {
			return
		}
		list, _ := c.Requests()
		for _, r := range list {
			if _, err := c.Script(r.Request, retrace.Options{}); err != nil {
				t.Errorf("%s: %v", r.Request, err)
			}
		}
	})
}
