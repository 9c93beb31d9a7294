package livepage_test

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// patience only guards against a page that hangs.
const patience = 5 * time.Minute

// chromium is the one browser of all tests.
var chromium struct {
	once   sync.Once
	ctx    context.Context
	cancel context.CancelFunc
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if chromium.cancel != nil {
		chromium.cancel()
	}
	os.Exit(code)
}

// tab is a page in the browser, in which any error of the console fails the test. Its methods fail the test, too.
type tab struct {
	testing.TB
	ctx context.Context

	mu      sync.Mutex
	allowed string // part of the errors that are none
}

func newTab(t testing.TB, width, height int64) *tab {
	t.Helper()
	program := testprog.Need(t, "chromium", "chromium")
	chromium.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox,
			chromedp.WSURLReadTimeout(patience))
		allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
		chromium.ctx, _ = chromedp.NewContext(allocator)
		chromium.err = chromedp.Do(chromium.ctx)
		chromium.cancel = func() {
			chromedp.Cancel(chromium.ctx)
			cancel()
		}
	})
	if chromium.err != nil {
		t.Fatal("chromium does not start: ", chromium.err)
	}
	p := &tab{TB: t}
	listen := func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			text := e.ExceptionDetails.Text
			if thrown := e.ExceptionDetails.Exception; thrown != nil {
				text += " " + thrown.Description
			}
			p.complain(text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				for _, arg := range e.Args {
					p.complain(string(arg.Value) + arg.Description)
				}
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				p.complain(e.Entry.Text + " " + e.Entry.URL)
			}
		}
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(listen))
	t.Cleanup(cancel)
	p.ctx = ctx
	p.run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		if _, err := cdp.Call(ctx, target, log.Enable, cdp.Empty{}); err != nil {
			return err
		}
		// Each tab has the focus: keys go to none without.
		_, err := cdp.Call(ctx, target, emulation.SetFocusEmulationEnabled,
			emulation.SetFocusEmulationEnabledParams{Enabled: true})
		return err
	}), chromedp.EmulateViewport(width, height))
	late, cancelLate := context.WithTimeout(ctx, patience)
	t.Cleanup(cancelLate)
	p.ctx = late
	return p
}

// allow takes errors for none that have the text in them.
func (p *tab) allow(part string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = part
}

func (p *tab) complain(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.allowed == "" || !strings.Contains(what, p.allowed) {
		p.Errorf("the console says: %s", what)
	}
}

func (p *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

func (p *tab) open(srv *mockserver.Server, hash string) {
	p.Helper()
	p.run(chromedp.Navigate(srv.AdminURL() + "/" + hash))
	p.await(`document.querySelector("header")`)
}

// script runs an expression in the page, and returns its value.
func script[T any](p *tab, expression string) T {
	p.Helper()
	value, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatal(err)
	}
	return value
}

// await waits until the expression is true.
func (p *tab) await(expression string) {
	p.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool](`Boolean(`+expression+`)`,
		chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience/3)))
	if err != nil {
		text := script[string](p, `document.body.innerText`)
		p.Fatalf("never true: %s: %v\nThe page says:\n%s", expression, err, text)
	}
}

// says waits until an element has the text in it.
func (p *tab) says(selector, text string) {
	p.Helper()
	p.await(fmt.Sprintf(`[...document.querySelectorAll(%s)].some((e) => (e.innerText || e.textContent).includes(%s))`,
		quoted(selector), quoted(text)))
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// click clicks the first element that can be clicked, whose text begins so, once it is there.
func (p *tab) click(within, text string) {
	p.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll(%s + " button," + %[1]s + " a.button")].find((b) => !b.disabled && `+
		`b.textContent.trim().startsWith(%s))`, quoted(within), quoted(text))
	p.await(find)
	script[chromedp.Void](p, find+`.click()`)
}

// fill types into the first field, as a user does who replaces all that is in it.
func (p *tab) fill(selector, text string) {
	p.Helper()
	p.await(`document.querySelector(` + quoted(selector) + `)`)
	script[chromedp.Void](p, fmt.Sprintf(`(() => { const f = document.querySelector(%s); f.value = %s;
		f.dispatchEvent(new Event(f.tagName === "SELECT" ? "change" : "input", {bubbles: true})) })()`,
		quoted(selector), quoted(text)))
}

//go:embed testdata/axe-core/axe.min.js
var axe string

// accessible holds that axe-core finds nothing serious in the page as it is.
func (p *tab) accessible(what string) {
	p.Helper()
	found := script[[]string](p, axe+`; axe.run({resultTypes: ["violations"]}).then((r) => r.violations
		.filter((v) => ["serious", "critical"].includes(v.impact))
		.map((v) => v.id + ": " + v.help + "\n  " + v.nodes.slice(0, 4).map((n) => n.html.slice(0, 200) + " " +
			((n.any[0] || {}).message || "")).join("\n  ")))`)
	for _, f := range found {
		p.Errorf("%s: %s", what, f)
	}
}

// picture saves what the page looks like where LIVEPAGE_PICTURES names a directory.
func (p *tab) picture(name string) {
	p.Helper()
	dir := os.Getenv("LIVEPAGE_PICTURES")
	if dir == "" {
		return
	}
	p.run(chromedp.Sleep(300 * time.Millisecond))
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600); err != nil {
		p.Fatal(err)
	}
}

// inFull leaves a test out where a sample of them is enough.
func inFull(t *testing.T) {
	t.Helper()
	if testprog.Sample() {
		t.Skip("a sample is enough here")
	}
}

// started is an emulator that listens; nil options are the default ones.
func started(t testing.TB, opts *mockserver.Options) *mockserver.Server {
	t.Helper()
	if opts == nil {
		opts = &mockserver.Options{}
	}
	if opts.HTTPAddr == "" {
		opts.HTTPAddr = "127.0.0.1:0"
	}
	opts.HTTPSAddr, opts.SFTPAddr = "127.0.0.1:0", "127.0.0.1:0"
	srv, err := mockserver.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	return srv
}

func parsed(t testing.TB, text string) []*scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return []*scenario.Scenario{s}
}

// client makes the calls of a client of the database API.
type client struct {
	testing.TB
	base    string
	id, key string
}

func newClient(t testing.TB, srv *mockserver.Server, contract string) *client {
	t.Helper()
	c := &client{TB: t, base: srv.URL() + "/database/v1/"}
	made := c.call("create?contract="+contract+"&aim=test&target=8.0&email=a@example.com&filename=db.dump", "")
	request, _ := made["request"].(map[string]any)
	c.id, c.key = fmt.Sprint(int64(request["id"].(float64))), request["key"].(string)
	return c
}

func (c *client) call(path, body string) map[string]any {
	c.Helper()
	resp, err := http.Post(c.base+path, "application/octet-stream", strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	json.NewDecoder(resp.Body).Decode(&answer) // what a fault has spoilt is none
	return answer
}

func (c *client) do(method, body string) map[string]any {
	c.Helper()
	return c.call(method+"?request="+c.id+"&key="+strings.ReplaceAll(c.key, "=", "%3D"), body)
}
