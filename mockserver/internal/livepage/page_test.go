package livepage_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

const flaky = `
name: flaky
description: Two refused polls, then a human.
steps:
  - {state: pending, for: 1 poll}
  - {state: processing, for: 3 polls, set: {estimated_time: "00:30"}}
  - {state: testing, for: released}
  - {state: done}
faults:
  - {on: upload, times: 1, after: 3KiB, reset: true}
  - {on: status, times: 2, failure: {reason: "SERVER:ERROR", message: "try again"}}
expect:
  calls: {status: ">=9"}
  resumed: true
`

// upTo processing has the client do what a client does, and meet the faults on the way.
func (c *client) upToProcessing() {
	c.Helper()
	http.Post(c.base+"upload?request="+c.id+"&key="+c.key, "application/octet-stream",
		strings.NewReader(strings.Repeat("x", 8<<10))) // which a fault resets
	c.do("upload", strings.Repeat("x", 8<<10))
	c.do("process", "")
	for range 4 {
		c.do("status", "")
	}
}

// An empty page says how to begin, and shows requests as soon as there are any, two at once. Its title counts.
func TestPage_firstRequests(t *testing.T) {
	t.Parallel()
	srv := started(t, nil)
	p := newTab(t, 1400, 900)
	p.open(srv, "")
	for _, command := range []string{
		"upgrademock exec --", "UPGRADE_SERVER_NAME=" + srv.HTTPSURL(), "curl -sS \"" + srv.URL(),
	} {
		p.says(".welcome pre", command)
	}
	p.await(`document.title === "0 requests · upgrademock"`)
	p.accessible("the empty page")
	p.picture("empty")
	one, two := newClient(t, srv, "M1-one"), newClient(t, srv, "M2-%3Cimg%20src=x%3E")
	p.says(".requests .item", "M2-<img src=x>") // as text
	for _, c := range []*client{one, two} {
		p.says(".requests .item", c.id)
	}
	p.await(`document.title === "2 requests · upgrademock"`)
	p.says(".journal .row", "create")
	p.click(".middle", "Download capsule")
	p.says(".said", "upgrademock replay upgrademock.capsule")
	one.do("upload", "a dump")
	one.do("process", "")
	p.says(".requests .item", "pending")
	p.click(".requests", two.id)
	p.says("h2", two.id)
	p.says(".heading .pill", "draft")
	two.do("upload", "a dump")
	two.do("process", "")
	two.do("status", "")
	p.says(".heading .pill", "pending")
	two.do("status", "")
	p.says(".heading .pill", "processing")
}

// The views of a request show what a client met, and keep its key until it is asked for.
func TestPage_views(t *testing.T) {
	t.Parallel()
	srv := started(t, &mockserver.Options{Scenarios: parsed(t, flaky), Clock: new(mockserver.ManualClock)})
	c := newClient(t, srv, "M123456-abcdef")
	c.upToProcessing()
	p := newTab(t, 1400, 900)
	p.open(srv, "#"+c.id+"/Timeline")
	p.says(".steps .past", "pending")
	p.says(".steps .present", "poll 1 of 3")
	p.says(".steps", "until it is released")
	p.says("tr.spent", "upload reset after 3072")
	p.says(".trouble", "2 expectations are not met so far")
	p.says(".trouble", "faults[1]: status failure")
	p.accessible("Timeline")
	p.picture("timeline")

	p.click(".trouble", "Show the event")
	p.says(".row.wrong", "SERVER:ERROR")
	p.says(".details", "faults[1]: status failure")
	p.says(".details", "key")
	p.accessible("Journal")
	p.picture("journal")
	p.fill(".search input", "on:process")
	p.await(`document.querySelectorAll(".row").length === 1`)
	p.fill(".search input", "foo:bar")
	p.says(".hint", "There is no filter foo:")
	p.fill(".search input", "")

	p.click(".tabs", "Transfer")
	p.says(".attempt", "broke off")
	p.await(`document.querySelectorAll(".attempt .fresh").length === 2 && document.querySelector(".bar .strike")`)
	p.accessible("Transfer")

	p.click(".tabs", "Files")
	p.says("td", "8.0 KiB")
	p.says("td code", "crc32c:")
	if got := script[string](p, `fetch(document.querySelector(".files td a").href).then((r) => r.text())`); len(got) != 8<<10 {
		t.Errorf("the file has %d bytes", len(got))
	}
	p.accessible("Files")

	p.click(".tabs", "Expect")
	p.says(".verdicts .fail", `calls.status`)
	p.accessible("Expect")
	p.picture("expect")

	p.click(".tabs", "Raw")
	p.says(".raw", "It appears when a poll is answered otherwise")
	p.says(".raw pre", `"estimated_time": "00:30"`)
	for range 3 {
		c.do("status", "")
	}
	p.says(".diff del", "processing")
	p.says(".diff ins", "testing")
	p.accessible("Raw")

	text := script[string](p, `document.documentElement.outerHTML`)
	if strings.Contains(text, c.key) {
		t.Error("the page has the key in it, which nobody asked for")
	}
	p.click(".heading", c.key[:4]+"…")
	p.says(".heading code", c.key)
}

// Each action does what it says.
func TestPage_actions(t *testing.T) {
	t.Parallel()
	inFull(t)
	srv := started(t, &mockserver.Options{Scenarios: parsed(t, flaky), Clock: new(mockserver.ManualClock)})
	c := newClient(t, srv, "M123456-abcdef")
	c.upToProcessing()
	p := newTab(t, 1400, 900)
	p.open(srv, "#"+c.id)
	for range 3 {
		c.do("status", "")
	}
	p.click(".actions", "Release")
	p.says(".heading .pill", "done")
	p.says(".said", "was released")
	p.click(".actions", "Download upgraded")

	p.fill(".actions form input[list]", "invalid")
	p.fill(".actions form input:not([list])", "your dump is odd")
	p.click(".actions", "Set state")
	p.says(".heading .pill", "invalid")
	if request, _ := c.do("status", "")["request"].(map[string]any); request["customer_message"] != "your dump is odd" {
		t.Errorf("the message did not arrive: %v", request)
	}
	p.fill(".actions form input[list]", "draft") // which no request goes back to
	p.allow("409 (Conflict)")
	p.click(".actions", "Set state")
	p.says(".said .bad", "no request goes back to draft")

	p.fill(".actions select", "own:1")
	p.click(".actions", "Trigger")
	p.says("tbody tr", "by hand")
	if failures, _ := c.do("status", "")["failures"].([]any); len(failures) != 1 {
		t.Errorf("no fault was triggered: %v", failures)
	}
	p.fill(".actions select", "other:1")
	p.click(".actions", "Trigger")
	p.says("tbody tr", "status http")

	c.do("request_sftp_access", "") // without keys, which is refused
	for button, want := range map[string]string{
		"curl": c.key[:8], "pytest": "a test for pytest", "Go": "a test in Go",
	} {
		p.click(".copies", button)
		p.says(".said", want)
	}
	for button, want := range map[string]string{"Export as scenario": "Saved request-" + c.id, "Download journal": "",
		"Download capsule": "upgrademock replay request-" + c.id + ".capsule"} {
		p.click(".actions", button)
		p.says(".said", want)
	}
	p.click(".actions", "Forget")
	p.allow("404 (Not Found)") // by a look at it that is under way
	p.click(".actions", "Really forget?")
	p.await(`document.querySelector(".middle") && !document.querySelector(".actions")`)
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("%d requests are there still", n)
	}
}

// The top and the bottom: the clock, the pause, scenarios with their mistakes, and all is forgotten in the end.
func TestPage_steersTheEmulator(t *testing.T) {
	t.Parallel()
	inFull(t)
	srv := started(t, &mockserver.Options{
		Clock:     new(mockserver.ManualClock),
		Scenarios: parsed(t, "name: slow\nsteps: [{state: pending, for: 3h}, {state: done}]\n"),
	})
	c := newClient(t, srv, "M1")
	c.do("upload", "x")
	c.do("process", "")
	p := newTab(t, 1400, 900)
	p.open(srv, "#"+c.id)
	p.click(".clock", "+1m")
	p.says(".clock time", "07:14:49")
	p.click(".clock", "+1h")
	p.says(".clock time", "08:14:49")
	p.click(".clock", "next change")
	p.says(".clock time", "10:13:49")
	p.says(".heading .pill", "done")
	p.click(".clock", "+8h")
	p.says(".clock time", "18:13:49")

	p.click("header", "Pause")
	c.do("status", "")
	p.click("header", "Go on")
	p.click(".tabs", "Journal")
	p.says(".row", "status")

	p.click("footer", "Scenarios")
	p.click("footer", "New scenario")
	p.allow("400 (Bad Request)")
	p.fill("textarea", "name: mine\nsteps:\n  - {stat: done}\n")
	p.says(".mistakes", "did you mean state?")
	p.click(".mistakes", "3:6")
	p.click("footer", "Put into use")
	p.says(".said .bad", "stat")
	p.accessible("the editor")
	p.picture("editor")
	p.fill("textarea", "name: mine\nsteps:\n  - {state: done}\n")
	p.says(".mistakes", "Nothing is wrong with it.")
	p.click("footer", "Put into use")
	p.says(".scenarios li b", "mine")
	p.fill(".scenarios select", "server-error-for-a-while")
	p.says(".scenarios li b", "server-error-for-a-while")
	p.click(".scenarios li", "Edit")
	p.await(`(document.querySelector("textarea") || {value: ""}).value.includes("SERVER:ERROR")`)
	p.click(".scenarios li", "Remove")
	p.click(".scenarios li", "Remove?")
	p.await(`document.querySelectorAll(".scenarios li b").length === 2`)
	if names := len(srv.Scenarios()); names != 2 {
		t.Errorf("%d scenarios are in use", names)
	}
	p.click("header", "Auto")
	p.await(`document.documentElement.dataset.theme === "light"`)
	p.click("header", "Reset")
	p.click("header", "Forget everything?")
	p.says(".welcome", "Waiting for the first request")
	p.await(`!document.querySelector(".requests ol .item")`)
}

// Keys move between requests, release, export and search.
func TestPage_keys(t *testing.T) {
	t.Parallel()
	inFull(t)
	srv := started(t, nil)
	one, two := newClient(t, srv, "M1"), newClient(t, srv, "M2")
	p := newTab(t, 1400, 900)
	p.open(srv, "")
	p.says(".requests .item", one.id)
	for _, step := range []struct{ key, heading string }{{"j", two.id}, {"j", one.id}, {"j", one.id}, {"k", two.id}} {
		p.run(chromedp.KeyEvent(step.key))
		p.await(fmt.Sprintf(`document.querySelector("h2").textContent === %q && document.querySelector(".actions")`, step.heading))
	}
	p.run(chromedp.KeyEvent("e"))
	p.says(".said", "Saved request-"+two.id)
	p.allow("409 (Conflict)")
	p.run(chromedp.KeyEvent("r"))
	p.says(".said", "no step of its script holds it")
	p.run(chromedp.KeyEvent("/"))
	p.await(`document.activeElement.type === "search"`)
	p.fill(".search input", "contract:M1")
	p.await(`document.querySelectorAll(".requests ol .item").length === 1`)
}

// A page that is open goes on when requests are forgotten elsewhere.
func TestPage_resetElsewhere(t *testing.T) {
	t.Parallel()
	inFull(t)
	srv := started(t, nil)
	c := newClient(t, srv, "M1")
	p := newTab(t, 1400, 900)
	p.open(srv, "#"+c.id+"/Journal")
	p.says(".row", "create")
	p.allow("404 (Not Found)")
	if err := srv.Reset(mockserver.Scope{}); err != nil {
		t.Fatal(err)
	}
	p.says(".welcome", "Waiting for the first request")
	next := newClient(t, srv, "M2")
	p.says(".requests .item", next.id)
}

// Ten thousand events are a list of which the page has what is seen, whatever is scrolled to.
func TestPage_tenThousandEvents(t *testing.T) {
	t.Parallel()
	srv := started(t, nil)
	c := newClient(t, srv, "M1")
	call := "/database/v1/status?request=" + c.id + "&key=" + c.key
	for range 10_000 {
		r, _ := http.NewRequest("GET", call, nil)
		srv.ServeHTTP(discard{}, r)
	}
	p := newTab(t, 1400, 900)
	p.open(srv, "#0/Journal")
	p.says("header", "event")
	last := len(srv.Events(journal.Filter{}))
	p.await(fmt.Sprintf(`document.querySelector(".heading").textContent.includes("%d events")`, last))
	// Each frame of a scroll from end to end draws its rows, and no more than those.
	most := script[float64](p, `(async () => {
		const box = document.querySelector("div.journal"), frame = () => new Promise(requestAnimationFrame);
		let most = 0;
		for (let i = 0; i <= 40; i++) {
			box.scrollTop = box.scrollHeight * i / 40;
			await frame(); await frame();
			most = Math.max(most, document.querySelectorAll(".row").length);
			const seen = [...document.querySelectorAll(".row")].map((r) => r.getBoundingClientRect());
			const view = box.getBoundingClientRect();
			if (!seen.some((r) => r.top <= view.top + 30) || !seen.some((r) => r.bottom >= view.bottom - 30)) return -i;
		}
		return most;
	})()`)
	if most <= 0 || most > 60 {
		t.Errorf("%v rows at most in the page, of %d", most, last)
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
