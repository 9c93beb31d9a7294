package mockserver_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/mockserver"
)

// Time passes from change to change, and stops where the requests have been in the state.
func TestControl_advanceUntil(t *testing.T) {
	t.Parallel()
	clock := new(mockserver.ManualClock)
	w := onWire(t, &mockserver.Options{Clock: clock, Scenarios: slices.Concat(scripted(t, `
name: slow
when: {filename: slow.dump}
steps: [{state: pending, for: 1h}, {state: processing, for: 7h}, {state: done}]
`), scripted(t, `
name: quick
when: {filename: quick.dump}
steps: [{state: pending, for: 2h}, {state: done}]
`), scripted(t, `
name: held
when: {filename: held.dump}
steps: [{state: pending, for: 1h}, {state: testing, for: released}, {state: done}]
`))})
	began := clock.Now()
	until := func(body string, status int, hours float64, says string) {
		t.Helper()
		got, answer := w.control("POST", "/clock/advance", body)
		text, _ := answer["error"].(string)
		if passed := clock.Now().Sub(began).Hours(); got != status || passed != hours || !strings.Contains(text, says) {
			t.Errorf("%s: %d %q after %v hours, want %d %q after %v", body, got, text, passed, status, says, hours)
		}
	}
	begin := func(filename string) int64 {
		t.Helper()
		m := w.create("filename", filename)
		w.upload(m, []byte("PGDMP"))
		w.call("process", m.params())
		return m.id
	}
	until(`{"until": "done"}`, 409, 0, "no request is under way")
	w.create() // a draft is not under way
	slow, quick := begin("slow.dump"), begin("quick.dump")
	until(`{"until": "processing", "request": 1}`, 404, 0, "no such request")
	until(`{"by": "1h", "until": "done"}`, 400, 0, `either "by" or "until"`)
	until(`{"request": 1}`, 400, 0, `either "by" or "until"`)
	until(`{"by": "1h", "request": 1}`, 400, 0, `"request" goes with "until"`)
	until(fmt.Sprintf(`{"until": "processing", "request": %d}`, slow), 200, 1, "")
	until(fmt.Sprintf(`{"until": "done", "request": %d}`, quick), 200, 2, "")
	until(`{"until": "done"}`, 200, 8, "")
	until(`{"until": "done"}`, 200, 8, "")
	held := begin("held.dump")
	until(`{"until": "done"}`, 409, 9, fmt.Sprintf("request %d is testing, and no request changes its state by itself", held))
	if got := clock.Now().Sub(began); got != 9*time.Hour {
		t.Errorf("%v have passed", got)
	}
}
