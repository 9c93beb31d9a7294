package livepage_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
)

// A page that is open connects again to an emulator that was started again, at the same address, with what was kept.
func TestPage_restart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := started(t, &mockserver.Options{DataDir: dir})
	c := newClient(t, srv, "M1")
	p := newTab(t, 1400, 900)
	p.open(srv, "#"+c.id+"/Journal")
	p.says(".row", "create")
	p.allow("net::ERR_") // the connection is refused meanwhile
	addr := strings.TrimPrefix(srv.URL(), "http://")
	if err := srv.Close(); err != nil {
		t.Fatal(err)
	}
	p.says(".lost", "Connection lost")
	srv = started(t, &mockserver.Options{DataDir: dir, HTTPAddr: addr})
	p.await(`!document.querySelector(".lost")`)
	p.says("h2", c.id)
	c.do("status", "")
	p.says(".row", "status")
	next := newClient(t, srv, "M2")
	p.says(".requests .item", next.id)
}

// The page works at every width in both themes, without anything wider than it.
func TestPage_looks(t *testing.T) {
	t.Parallel()
	srv, c := eventful(t)
	for _, width := range []int64{400, 1000, 1400} {
		for _, theme := range []string{"light", "dark"} {
			if testprog.Sample() && (width == 1400) != (theme == "light") {
				continue
			}
			t.Run(fmt.Sprintf("%s at %d", theme, width), func(t *testing.T) {
				t.Parallel()
				p := newTab(t, width, 900)
				p.run(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
					_, err := cdp.Call(ctx, target, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
						Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
					})
					return err
				}))
				for _, hash := range []string{"#0/Journal", "#" + c.id + "/Timeline", "#" + c.id + "/Transfer"} {
					p.run(chromedp.Navigate("about:blank"))
					p.open(srv, hash)
					p.await(`document.querySelector(".row, .steps, .attempt")`)
					if wide := script[float64](p, `document.scrollingElement.scrollWidth`); wide > float64(width) {
						t.Errorf("%s is %v wide", hash, wide)
					}
					p.accessible(hash)
					p.picture(fmt.Sprintf("%s-%d%s", theme, width, strings.ReplaceAll(hash[strings.IndexByte(hash, '/'):], "/", "-")))
				}
			})
		}
	}
}

// eventful is an emulator that has seen a good deal, the most of it of one client.
func eventful(t *testing.T) (*mockserver.Server, *client) {
	t.Helper()
	clock := new(mockserver.ManualClock)
	srv := started(t, &mockserver.Options{Clock: clock, Scenarios: parsed(t, `
name: flaky-production
when: {contract: "M1*"}
steps:
  - {state: pending, for: 1 poll}
  - {state: processing, for: 3 polls, set: {estimated_time: "00:30"}}
  - {state: testing, for: released}
  - {state: done}
faults:
  - {on: sftp.write, times: 1, after: 600KiB, disconnect: true}
  - {on: status, times: 2, failure: {reason: "SERVER:ERROR", message: "try again"}}
  - {on: status, skip: 20, http: {status: 502}}
expect:
  calls: {process: 1, status: ">=8"}
  resumed: true
`)})
	c := newClient(t, srv, "M123456-abcdef")
	dump := []byte(strings.Repeat("a dump, line by line\n", 70_000))
	for range 2 {
		sent, conn := login(t, srv, c)
		clock.Advance(7 * time.Second)
		f, err := sent.OpenFile("/db.dump", os.O_WRONLY)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt(dump[info.Size():], info.Size())
		f.Close()
		sent.Close()
		conn.Close()
		ends(t, conn)
	}
	for i, contract := range []string{"M200417-kbrzqw", "M118820-invoic", "M300001-warehs", "M123456-abcdef"} {
		another := newClient(t, srv, contract)
		another.do("upload", strings.Repeat("x", 90_000*(i+1)))
		another.do("process", "")
		for range i {
			clock.Advance(3 * time.Second)
			another.do("status", "")
		}
	}
	c.do("process", "")
	for range 5 {
		clock.Advance(11 * time.Second)
		c.do("status", "")
	}
	return srv, c
}

// Sessions are seen while they are there, cut, and dropped.
func TestPage_sessions(t *testing.T) {
	t.Parallel()
	inFull(t)
	srv := started(t, nil)
	c := newClient(t, srv, "M1")
	client, conn := login(t, srv, c)
	f, err := client.OpenFile("/db.dump", os.O_WRONLY)
	if err != nil {
		t.Fatal(err)
	}
	f.Write(make([]byte, 2000))
	p := newTab(t, 1400, 900)
	p.open(srv, "#"+c.id)
	p.click("footer", "Sessions")
	p.says("footer tr", "user_"+c.id)
	p.says("footer tr", "SHA256:")
	p.says("footer tr", "upload /db.dump")
	p.says("footer tr", "2.0 KiB")
	p.accessible("Sessions")
	p.picture("sessions")
	p.fill("footer td input", "4000")
	p.click("footer", "Cut")
	p.says(".said", "will be cut at 4000")
	if _, err := f.Write(make([]byte, 4000)); err == nil {
		t.Error("nothing was cut")
	}
	ends(t, conn)
	p.click(".tabs", "Transfer")
	p.says(".attempt .note", "by hand: sftp.write disconnect after 4000")
	_, conn = login(t, srv, c)
	p.says("footer tr", "sftp 2")
	p.await(`document.querySelectorAll("footer tbody tr").length === 1`)
	p.click("footer", "Disconnect")
	p.click("footer", "Disconnect?")
	ends(t, conn)
	p.says("footer", "No client is connected over SSH")
	_, conn = login(t, srv, c)
	p.says("footer tr", "sftp 3")
	p.click(".actions", "End SFTP access")
	ends(t, conn)
	p.says(".said", "The access has ended")
}

// ends waits for the end of a connection.
func ends(t *testing.T, conn *gossh.Client) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		conn.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(patience / 3):
		t.Fatal("the connection goes on")
	}
}

// login opens an SFTP session for the client's request.
func login(t *testing.T, srv *mockserver.Server, c *client) (*sftp.Client, *gossh.Client) {
	t.Helper()
	key, err := gossh.ParsePrivateKey(fixtures.Key("ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.PostForm(c.base+"request_sftp_access",
		map[string][]string{"request": {c.id}, "key": {c.key}, "ssh_keys": {string(fixtures.PublicKey("ed25519"))}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	conn, err := gossh.Dial("tcp", srv.SFTPAddr(), &gossh.ClientConfig{
		User: "user_" + c.id, Auth: []gossh.AuthMethod{gossh.PublicKeys(key)}, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	client, err := sftp.NewClient(conn)
	if err != nil {
		t.Fatal(err)
	}
	return client, conn
}

// The page is as protected as the control API: no other site's page gets it, and it loads nothing from elsewhere.
func TestPage_protection(t *testing.T) {
	t.Parallel()
	srv := started(t, nil)
	own, err := mockserver.New(&mockserver.Options{ControlAddr: "127.0.0.1:0", HTTPAddr: "127.0.0.1:0",
		HTTPSAddr: mockserver.Off, SFTPAddr: mockserver.Off})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		url, host string
		status    int
		says      string
	}{
		{srv.URL() + "/_mock/", "", 200, `src="page/app.js"`},
		{srv.URL() + "/_mock", "", 200, `src="page/app.js"`},
		{srv.URL() + "/_mock/page/app.js", "", 200, "import"},
		{srv.URL() + "/_mock/page/vendor/LICENSES.txt", "", 200, "Preact"},
		{srv.URL() + "/_mock/page/../../etc/passwd", "", 404, ""},
		{srv.URL() + "/_mock/page/none.js", "", 404, ""},
		{srv.URL() + "/_mock/", "rebound.example", 403, "does not answer as"},
		{srv.URL() + "/_mock/page/app.js", "rebound.example", 403, "does not answer as"},
		{own.URL() + "/_mock/", "", 404, ""},
		{own.AdminURL() + "/", "", 200, `src="page/app.js"`},
		{srv.URL() + "/", "", 200, `href="/_mock/"`},
		{own.URL() + "/", "", 200, `href="` + own.AdminURL() + `/"`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "GET", tc.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tc.host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status || !strings.Contains(string(body), tc.says) {
			t.Errorf("%s as %q: %s, want %d and %q\n%s", tc.url, tc.host, resp.Status, tc.status, tc.says, body)
		}
		policy := resp.Header.Get("Content-Security-Policy")
		if tc.status == 200 && strings.Contains(tc.url, "_mock") &&
			(!strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "unsafe")) {
			t.Errorf("%s: Content-Security-Policy %q", tc.url, policy)
		}
	}
}
