package narrate_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/internal/narrate"
	"github.com/upgrademock/upgrademock/internal/tty"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/mockservertest"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// patience is a guard against hanging.
const patience = 2 * time.Minute

const slow = `
name: slow
steps:
  - {state: pending, for: 2 polls}
  - {state: processing, for: 8h}
  - {state: testing, for: released}
  - {state: done}
faults:
  - {on: status, times: 1, skip: 1, http: {status: 502, body: no}}
  - {on: process, times: 1, delay: 1ms}
`

// A narrated emulator, with what is called.
type narrated struct {
	*testing.T
	*mockserver.Server
	n       *narrate.Narrator
	out     *bytes.Buffer
	id, key string
}

func start(t *testing.T, w io.Writer, paint tty.Paint, opts mockserver.Options) *narrated {
	script, err := scenario.Parse("slow.yaml", []byte(slow))
	if err != nil {
		t.Fatal(err)
	}
	n := narrate.New(w, paint)
	opts.Scenarios, opts.OnControl = []*scenario.Scenario{script}, n.Called
	clock := &mockserver.ManualClock{}
	opts.Clock = clock
	e := &narrated{T: t, Server: mockservertest.New(t, &opts, mockservertest.AllowUnknownCalls), n: n}
	e.out, _ = w.(*bytes.Buffer)
	n.Start(e, clock.Now(), true)
	return e
}

// call makes a call, such as "GET /path", with ID and KEY for those of the request.
func (e *narrated) call(what, body string) string {
	e.Helper()
	fill := strings.NewReplacer("ID", e.id, "KEY", e.key)
	method, target, _ := strings.Cut(fill.Replace(what), " ")
	u, err := url.ParseRequestURI(strings.ReplaceAll(target, "\x1b", "%1b"))
	if err != nil {
		e.Fatal(err)
	}
	req := httptest.NewRequest(method, u.String(), strings.NewReader(fill.Replace(body)))
	req.Host = "127.0.0.1"
	req.Header.Set("Content-Type", "application/octet-stream")
	w := httptest.NewRecorder()
	e.ServeHTTP(w, req)
	return w.Body.String()
}

// create creates the request that the other calls are for.
func (e *narrated) create() {
	answer := e.call("GET /database/v1/create?contract=M1&aim=test&target=8.0&email=a@b.cd&filename=db.sql", "")
	find := func(key string) string {
		return regexp.MustCompile(`"` + key + `": *"?([^",]+)`).FindStringSubmatch(answer)[1]
	}
	e.id, e.key = find("id"), find("key")
}

func TestNarrator(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	t.Cleanup(func() { r.Close() })
	lines := bufio.NewScanner(r)
	e := start(t, w, false, mockserver.Options{})
	control := func(what, body string) func() { return func() { e.call(what, body) } }
	call := func(method, body string) func() {
		return control("POST /database/v1/"+method+"?request=ID&key=KEY", body)
	}
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{e.create, []string{"07:13:49 #10534 create → draft  M1 8.0 test  scenario slow"}},
		{control("GET /database/v1/create?contract=M123456-abcxyz&aim=test&target=5.0&email=a@b.cd&filename=db.sql", ""),
			[]string{"07:13:49        create → TARGET:INVALID, CONTRACT:NOT_FOUND  M123456-abcxyz 5.0 test  the target is not " +
				"in the list of valid targets; the contract matches none that this emulator was told to know"}},
		{call("upload", "SELECT 1;"), []string{"07:13:49 #10534 upload → 9 B"}},
		{call("process", ""), []string{"07:13:49 #10534 state draft → pending  next: processing after 2 polls",
			"07:13:49 #10534 process → pending  ⚡ slow: delay 1ms"}},
		{call("status", ""), []string{"07:13:49 #10534 status → pending"}},
		{call("status", ""), []string{"07:13:49 #10534 status → 502  ⚡ slow"}},
		{call("status", ""), []string{"07:13:49 #10534 status → pending"}},
		{call("status", ""), []string{"07:13:49 #10534 state pending → processing  next: testing in 8h, at 15:13:49",
			"07:13:49 #10534 status → processing"}},
		{control("GET /database/v1/\x1b[31mred", ""),
			[]string{"07:13:49        GET /database/v1/ [31mred → 404  there is no such method"}},
		{control("POST /_mock/clock/advance", `{"by": "8h"}`),
			[]string{`15:13:49        control POST clock/advance {"by": "8h"}`,
				"15:13:49 #10534 state processing → testing  held until it is released, then done"}},
		{control("POST /_mock/requests/ID/release", ""), []string{"15:13:49        control POST requests/10534/release",
			"15:13:49 #10534 state testing → done"}},
		{control("POST /_mock/requests/77/release", ""),
			[]string{"15:13:49        control POST requests/77/release → no such request: 77"}},
		{control("POST /_mock/clock/advance", `{"by": "24h"}`), []string{"2015-09-10 UTC",
			`15:13:49        control POST clock/advance {"by": "24h"}`}},
		{control("GET /_mock/requests", ""), nil},
		{control("POST /_mock/reset", ""), []string{"15:13:49        control POST reset"}},
		{func() { go e.n.Stop("the end\n", patience) }, []string{"the end"}},
	} {
		step.do()
		for _, want := range step.want {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("the line is\n%s, want\n%s", lines.Text(), want)
			}
		}
	}
}

// Ten thousand polls are a handful of lines, calls that are all different are counted beyond a limit, and none is lost.
func TestNarrator_many(t *testing.T) {
	t.Parallel()
	const polls, others = 10_000, 500
	e := start(t, new(bytes.Buffer), false, mockserver.Options{JournalSize: 1000})
	e.create()
	for range polls {
		e.call("GET /database/v1/status?request=ID&key=KEY", "")
	}
	for i := range others {
		e.call(fmt.Sprintf("GET /database/v1/other%d", i), "")
	}
	e.n.Stop("", patience)
	lines := strings.Split(strings.TrimSpace(e.out.String()), "\n")
	counted := 0
	for _, line := range lines {
		if m := regexp.MustCompile(`^ +… (\d+) more: |→ draft ×(\d+)$`).FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1] + m[2])
			counted += n
		} else {
			counted++
		}
	}
	if want := 1 + polls + others; counted != want {
		t.Errorf("%d events are counted, want %d:\n%s", counted, want, e.out)
	}
	if len(lines) > 300 { // more than 20 a second, on a machine that takes ten seconds
		t.Errorf("%d lines", len(lines))
	}
}

// Nobody reads what is written: the emulator answers all the same, and Stop returns.
func TestNarrator_stuck(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	e := start(t, w, false, mockserver.Options{})
	for range 1000 {
		e.create()
	}
	e.n.Stop("the end", time.Millisecond)
	r.Close() // which ends what is writing
}

// No key, token or private key is shown, whatever it is part of.
func TestNarrator_secrets(t *testing.T) {
	t.Parallel()
	e := start(t, new(bytes.Buffer), true, mockserver.Options{})
	e.create()
	e.call("GET /database/v1/no/KEY/such?x=KEY", "")
	e.call("GET /database/eu1/ID/KEY/upgraded/archive", "")
	e.call("POST /_mock/requests/ID/state", `{"state": "KEY", "set": {"reason": "KEY"}}`)
	e.call("POST /_mock/requests/ID/nothing?key=KEY", `{}`)
	e.call("DELETE /_mock/journal?contract=KEY", "")
	e.n.Stop("", patience)
	if out := e.out.String(); strings.Contains(out, e.key) || strings.Count(out, "\n") < 5 {
		t.Errorf("with the key %s:\n%s", e.key, out)
	}
}
