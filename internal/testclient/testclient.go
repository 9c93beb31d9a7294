// Package testclient is a client for tests, which does the same things under the same answers, whatever the time: so
// two runs of it can be compared.
package testclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// driver is a client that does the same things under the same answers, whatever the time.
type driver struct {
	t     testing.TB
	srv   *mockserver.Server
	clock *mockserver.ManualClock
	dump  []byte
	key   ssh.Signer
	id    string
	pass  string
	hold  string // the state that somebody releases
	held  int    // polls in it

	base string // of the database API
	http *http.Client
	tls  string // the base of the script API
	pool *x509.CertPool
}

// A Front stands before an emulator, of which it is given the HTTPS URL and whom to trust. It returns its own URL, and
// whom clients trust then.
type Front func(upstream string, trusted *x509.CertPool) (base string, trust *x509.CertPool)

// A Run has the client make an upgrade under a scenario, and returns the journal. Its HTTP calls go through front; nil:
// directly.
type Run func(t testing.TB, script *scenario.Scenario, front Front) []journal.Event

// Builtins runs a test for each built-in scenario but those that skip leaves out, by their number or for what is in
// them. The test gets the scenario, shortened to what need not be waited for, and a Run of the client as that scenario
// needs it.
func Builtins(t *testing.T, skip func(number int, script *scenario.Scenario) bool,
	test func(*testing.T, *scenario.Scenario, Run)) {
	for i, name := range scenario.Builtins() {
		script, err := scenario.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if skip(i, script) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hasten(script)
			overSFTP, hold := wants(script)
			test(t, script, func(t testing.TB, script *scenario.Scenario, front Front) []journal.Event {
				return drive(t, script, overSFTP, hold, front)
			})
		})
	}
}

// Drive has the client make an upgrade under any scenario, shortened to what need not be waited for, and returns the
// journal. Its dump goes over HTTPS.
func Drive(t testing.TB, script *scenario.Scenario) []journal.Event {
	t.Helper()
	hasten(script)
	return drive(t, script, false, "", nil)
}

// wants says how a built-in scenario is to be driven: over SFTP, and which state is to be left by a release.
func wants(script *scenario.Scenario) (overSFTP bool, hold string) {
	for _, step := range script.Steps {
		if step.For.Released {
			hold = step.State
		}
	}
	return script.Name == "over-sftp" || slices.ContainsFunc(script.Faults, func(f scenario.Fault) bool {
		return strings.HasPrefix(f.On, "sftp.")
	}), hold
}

// hasten shortens what a scenario waits for by a real clock.
func hasten(script *scenario.Scenario) {
	for i := range script.Faults {
		f := &script.Faults[i]
		if f.Delay > 0 {
			f.Delay = time.Millisecond
		}
		if f.Rate > 0 {
			f.Rate = 1 << 30
		}
	}
}

// dumpSize is more than the faults of the built-in scenarios wait for.
const dumpSize = 1<<20 + 64<<10

// drive has the client make an upgrade under a scenario, and returns the journal. Its dump goes over SFTP where
// overSFTP says so. It releases a request that is in the state hold for the second poll.
func drive(t testing.TB, script *scenario.Scenario, overSFTP bool, hold string, front Front) []journal.Event {
	t.Helper()
	d := &driver{t: t, hold: hold, clock: new(mockserver.ManualClock), dump: bytes.Repeat([]byte("dump"), dumpSize/4)}
	var err error
	if d.srv, err = mockserver.New(&mockserver.Options{Clock: d.clock, Scenarios: []*scenario.Scenario{script},
		Logger: slog.New(slog.DiscardHandler)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.srv.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := d.srv.Start(); err != nil {
		t.Fatal(err)
	}
	if d.key, _, err = client.GenerateSSHKey(); err != nil {
		t.Fatal(err)
	}
	d.base, d.http, d.tls, d.pool = d.srv.URL(), d.srv.Client(), d.srv.HTTPSURL(), d.srv.CertPool()
	if front != nil {
		d.tls, d.pool = front(d.tls, d.pool)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.pool, MinVersion: tls.VersionTLS12}}
		defer transport.CloseIdleConnections()
		d.base, d.http = d.tls, &http.Client{Transport: transport}
	}
	if script.When["api"] == scenario.APIScript {
		d.script()
	} else {
		d.database(overSFTP)
	}
	if err := d.srv.Shutdown(t.Context()); err != nil { // what goes on on a connection is in the journal then
		t.Error(err)
	}
	return d.srv.Events(journal.Filter{})
}

// call makes a call of the database API; ok is whether a client would go on.
func (d *driver) call(method, more string, body io.Reader) (answer map[string]any, ok bool) {
	d.clock.Advance(time.Second)
	target := d.base + "/database/v1/" + method + "?request=" + d.id + "&key=" + url.QueryEscape(d.pass) + more
	req, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, target, body)
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, false
	}
	defer resp.Body.Close()
	err = json.NewDecoder(resp.Body).Decode(&answer)
	failures, _ := answer["failures"].([]any)
	return answer, err == nil && len(failures) == 0 && resp.StatusCode == http.StatusOK
}

// again tries so often, and reports whether it went well at last.
func again(times int, try func() bool) bool {
	for range times {
		if try() {
			return true
		}
	}
	return false
}

func (d *driver) database(sftp bool) {
	params := url.Values{"contract": {"M123456-abcdef"}, "email": {"a@example.com"}, "target": {"8.0"}, "aim": {"test"},
		"filename": {"db.dump"}}
	created := again(2, func() bool {
		answer, ok := d.call("create", "&"+params.Encode(), nil)
		if request, _ := answer["request"].(map[string]any); ok {
			d.id, d.pass = fmt.Sprint(request["id"]), request["key"].(string)
		}
		return ok
	})
	put := func() bool { _, ok := d.call("upload", "", bytes.NewReader(d.dump)); return ok }
	if sftp {
		put = func() bool { return d.session(d.put) }
	}
	if !created || !again(6, put) {
		return
	}
	again(3, func() bool { _, ok := d.call("process", "", nil); return ok })
	state, file := d.wait(func() (string, string, bool) {
		answer, ok := d.call("status", "", nil)
		request, _ := answer["request"].(map[string]any)
		state, _ := request["state"].(string)
		file, _ := request["upgraded_dump_url"].(string)
		return state, file, ok
	})
	if state != "done" {
		return
	}
	again(3, func() bool {
		if sftp {
			return d.session(d.get)
		}
		resp, err := d.http.Get(file)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err == nil && resp.StatusCode == http.StatusOK
	})
}

// wait polls until there is nothing to wait for.
func (d *driver) wait(poll func() (state, file string, ok bool)) (state, file string) {
	for range 14 {
		var ok bool
		if state, file, ok = poll(); !ok {
			continue
		}
		switch state {
		case "done", "invalid", "failed", "cancelled", "delivered":
			return state, file
		}
		if state != d.hold {
			continue
		}
		if d.held++; d.held == 2 {
			for _, r := range d.srv.Requests() {
				d.srv.Release(r.ID) // which the scenario that is made may not need
			}
		}
	}
	return state, file
}

// session asks for an SFTP access, logs in, and does something.
func (d *driver) session(do func(*sftp.Client, string) error) bool {
	keys := "&ssh_keys=" + url.QueryEscape(string(ssh.MarshalAuthorizedKey(d.key.PublicKey())))
	answer, ok := d.call("request_sftp_access", keys, nil)
	if !ok {
		return false
	}
	request := answer["request"].(map[string]any)
	conn, err := ssh.Dial("tcp", d.srv.SFTPAddr(), &ssh.ClientConfig{User: request["sftp_user"].(string),
		Auth: []ssh.AuthMethod{ssh.PublicKeys(d.key)},
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if !bytes.Equal(key.Marshal(), d.srv.HostKeys()[0].Marshal()) {
				return errors.New("another host key")
			}
			return nil
		}})
	if err != nil {
		return false
	}
	defer conn.Close()
	c, err := sftp.NewClient(conn)
	if err != nil {
		return false
	}
	defer c.Close()
	return do(c, request["shared_file"].(string)) == nil
}

func (d *driver) put(c *sftp.Client, name string) error {
	file, err := c.OpenFile("/"+name, os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	for rest := d.dump; len(rest) > 0 && err == nil; {
		var n int
		n, err = file.Write(rest[:min(len(rest), 32<<10)])
		rest = rest[n:]
	}
	if err != nil {
		return err // and the file is not closed, as by a client that gives up
	}
	return file.Close()
}

func (d *driver) get(c *sftp.Client, _ string) error {
	files, err := c.ReadDir("/")
	if err != nil || len(files) != 1 {
		return fmt.Errorf("%d files: %w", len(files), err)
	}
	file, err := c.Open("/" + files[0].Name())
	if err != nil {
		return err
	}
	buf := make([]byte, 32<<10)
	for err == nil {
		_, err = file.Read(buf)
	}
	if err != io.EOF {
		return err
	}
	return file.Close()
}

// script does the same over the script API.
func (d *driver) script() {
	dump := filepath.Join(d.t.TempDir(), "db.dump")
	if err := os.WriteFile(dump, d.dump, 0o600); err != nil {
		d.t.Fatal(err)
	}
	c, err := client.New(d.tls, &client.Options{RootCAs: d.pool})
	if err != nil {
		d.t.Fatal(err)
	}
	defer c.Close()
	api, err := c.Script()
	if err != nil {
		d.t.Fatal(err)
	}
	opened, err := client.OpenScriptDump(dump)
	if err != nil {
		d.t.Fatal(err)
	}
	ctx := d.t.Context()
	var ref client.ScriptRef
	params := client.ScriptParams{Contract: "M123456-abcdef", Target: "17.0", Aim: "test", SSHKey: d.key.PublicKey()}
	if !again(2, func() bool {
		made, err := api.Create(ctx, params, nil)
		if err == nil {
			ref = made.Ref()
		}
		return err == nil
	}) {
		return
	}
	patient := func(do func(context.Context, *client.ScriptTransferOptions) error) bool {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		tries := 0
		return do(ctx, &client.ScriptTransferOptions{Signers: []ssh.Signer{d.key},
			Retry: &client.RetryOptions{Min: time.Millisecond, Max: time.Millisecond, OnRetry: func(error, time.Duration) {
				if tries++; tries == 3 {
					cancel()
				}
			}}}) == nil
	}
	if !patient(func(ctx context.Context, opts *client.ScriptTransferOptions) error {
		_, err := api.Upload(ctx, ref, opened, opts)
		return err
	}) {
		return
	}
	again(3, func() bool { _, err := api.Process(ctx, ref); return err == nil })
	state, _ := d.wait(func() (string, string, bool) {
		d.clock.Advance(time.Second)
		status, err := api.Status(ctx, ref)
		if err != nil {
			return "", "", false
		}
		if status.State == client.ScriptProgress {
			api.Logs(ctx, ref, 0, io.Discard) // which may fail
		}
		return string(status.State), "", true
	})
	if state == "done" {
		patient(func(ctx context.Context, opts *client.ScriptTransferOptions) error {
			_, err := api.Download(ctx, ref, d.t.TempDir(), opts)
			return err
		})
	}
}
