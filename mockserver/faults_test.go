package mockserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// curl's exit codes, from its manual page.
const (
	curlOK           = 0
	curlPartialFile  = 18
	curlRecvError    = 56
	curlSendError    = 55
	curlEmptyAnswer  = 52
	curlHTTPReturned = 22
	curlKilled       = -1 // not one of curl's
)

// runCurl runs the real curl and returns its exit code, and what it printed.
func runCurl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runCurlUntil(t, nil, args...)
}

// runCurlUntil is runCurl of somebody who gives up: it kills curl as soon as the condition holds. A nil one never does.
func runCurlUntil(t *testing.T, condition func() bool, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	curl := testprog.Need(t, "curl", "curl")
	var out, errs bytes.Buffer
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	cmd := exec.CommandContext(ctx, curl, append([]string{"-sS"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for condition != nil && len(ended) == 0 && !condition() {
		runtime.Gosched()
	}
	if condition != nil {
		kill()
	}
	err := <-ended
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// faultsUsed is how often a fault was used on a call of the request.
func (w *wire) faultsUsed(m made) int {
	w.Helper()
	recorder := httptest.NewRecorder()
	path := fmt.Sprintf("http://localhost/_mock/requests/%d", m.id)
	w.srv.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	var request struct {
		Used int `json:"faults_used"`
	}
	if err := json.Unmarshal(recorder.Body.Bytes(), &request); err != nil {
		w.Fatalf("%s: %v", recorder.Body, err)
	}
	return request.Used
}

// TestFaults_asCurlSeesThem holds that each fault is to a real client program what it claims to be, and that
// the call after it goes well.
func TestFaults_asCurlSeesThem(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fault string
		code  []int
		args  []string
		out   string // part of curl's standard output
		not   string // no part of it
	}{
		{
			name: "failure", fault: `failure: {reason: "SERVER:ERROR", message: "try again", retry: 7}`,
			out: `{"failures":[{"message":"try again","reason":"SERVER:ERROR","retry":7}]}`,
		},
		{
			name: "http", fault: `http: {status: 503, headers: {Retry-After: "7"}, body: "<h1>busy</h1>"}`,
			args: []string{"-i"}, out: "Retry-After: 7",
		},
		{
			name: "http error for curl -f", fault: `http: {status: 502, body: "<html>"}`, args: []string{"-f"},
			code: []int{curlHTTPReturned},
		},
		{name: "reset", fault: `reset: true`, code: []int{curlRecvError}},
		{name: "cut", fault: `cut: true`, code: []int{curlPartialFile}},
		{name: "truncate", fault: `truncate: true`, out: `{"failures":[]`, not: "compressions"},
		{name: "garbage", fault: `garbage: true`, out: "nobody understands", not: "failures"},
		{name: "delay", fault: `delay: 1h`, code: []int{curlKilled}},
		{name: "rate", fault: `rate: 1B/s`, code: []int{curlKilled}},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(tc.name+" over "+scheme, func(t *testing.T) {
				t.Parallel()
				w := onWire(t, &mockserver.Options{
					Scenarios: scripted(t, "name: one\nfaults: [{on: status, times: 1, "+tc.fault+"}]\n")})
				m := w.create()
				base := w.srv.URL()
				if scheme == "https" {
					base = w.srv.HTTPSURL()
				}
				call := append([]string{"--cacert", w.caFile, base + "/database/v1/status?" + m.params().Encode()}, tc.args...)
				run := runCurl
				if slices.Contains(tc.code, curlKilled) {
					run = func(t *testing.T, args ...string) (int, string, string) {
						return runCurlUntil(t, func() bool { return w.faultsUsed(m) > 0 }, args...)
					}
				}
				code, stdout, stderr := run(t, call...)
				if want := tc.code; want == nil && code != curlOK || want != nil && code != want[0] {
					t.Errorf("curl ended with %d, want %v: %s", code, tc.code, stderr)
				}
				if !strings.Contains(stdout, tc.out) || tc.not != "" && strings.Contains(stdout, tc.not) {
					t.Errorf("curl printed %q, want it to have %q and not %q", stdout, tc.out, tc.not)
				}
				if state := w.status(m)["state"]; state != "draft" {
					t.Errorf("after the fault: state %v", state)
				}
				// A client that gave up is done before its call is, and so may the call after it be.
				for after := uint64(0); len(w.srv.Events(journal.Filter{On: "status"})) < 2; {
					e, err := w.srv.Await(t.Context(), journal.Filter{On: "status", After: after})
					if err != nil {
						t.Fatal(err)
					}
					after = e.Seq
				}
				var faults []string
				for _, e := range w.srv.Events(journal.Filter{}) {
					if e.Fault != "" {
						faults = append(faults, e.On)
					}
				}
				diff(t, "calls that met a fault, by the journal", []string{"status"}, faults)
			})
		}
	}
}

// TestFaults_inAnUpload holds that an upload is broken off at the byte the script says, and that nothing is
// lost by it.
func TestFaults_inAnUpload(t *testing.T) {
	t.Parallel()
	dump := pattern(300<<10, 1)
	for _, tc := range []struct {
		name, fault string
		code        int
	}{
		{"reset after 64 KiB", "after: 64KiB, reset: true", curlRecvError},
		{"cut after 64 KiB", "after: 64KiB, cut: true", curlEmptyAnswer},
		{"failure after 64 KiB", `after: 64KiB, failure: {reason: "SERVER:ERROR", message: "disk full"}`, curlOK},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &mockserver.Options{
				Scenarios: scripted(t, "name: cut\nfaults: [{on: upload, skip: 1, times: 1, "+tc.fault+"}]\n")})
			m := w.create()
			w.upload(m, pattern(1000, 2))
			url := w.base + "/database/v1/upload?" + m.params().Encode()
			code, _, stderr := runCurl(t, "--data-binary", "@"+file(t, "dump", dump), "-H",
				"Content-Type: application/octet-stream", "-H", "Expect:", url)
			if code != tc.code && !(tc.code != curlOK && code == curlSendError) { // the break may be seen while sending
				t.Errorf("curl ended with %d, want %d: %s", code, tc.code, stderr)
			}
			e, err := w.srv.Await(t.Context(), journal.Filter{On: "upload", After: 2})
			if err != nil {
				t.Fatal(err)
			}
			if e.Received != 64<<10 {
				t.Errorf("%d bytes were received before the break, want exactly 65536", e.Received)
			}
			same(t, "the dump from before", w.fetch(w.status(m)["original_dump_url"]), pattern(1000, 2))
			w.upload(m, dump)
			same(t, "the dump from after", w.fetch(w.status(m)["original_dump_url"]), dump)
		})
	}
}

// TestFaults_inADownload holds that a download breaks at its byte, and that a real client continues it.
func TestFaults_inADownload(t *testing.T) {
	t.Parallel()
	dump := pattern(300<<10, 3)
	for _, tc := range []struct {
		name, fault string
		code        int
		size        int
	}{
		{"cut", "after: 64KiB, cut: true", curlPartialFile, 64 << 10},
		{"reset", "after: 64KiB, reset: true", curlRecvError, 64 << 10},
		{"truncate", "after: 64KiB, truncate: true", curlOK, 64 << 10},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &mockserver.Options{
				Scenarios: scripted(t, "name: cut\nfaults: [{on: download, times: 1, "+tc.fault+"}]\n")})
			m := w.create()
			w.upload(m, dump)
			out := filepath.Join(t.TempDir(), "out")
			url := w.finish(m)["upgraded_dump_url"].(string)
			if code, _, stderr := runCurl(t, "-o", out, url); code != tc.code {
				t.Errorf("curl ended with %d, want %d: %s", code, tc.code, stderr)
			}
			got, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "what arrived before the break", got, dump[:tc.size])
			if code, _, stderr := runCurl(t, "-C", "-", "-o", out, url); code != curlOK {
				t.Errorf("curl -C - ended with %d: %s", code, stderr)
			}
			got, err = os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "the continued download", got, dump)
		})
	}
}

// TestFaults_asSFTPSeesThem drives OpenSSH's sftp through a break at an exact offset, and lets it continue.
func TestFaults_asSFTPSeesThem(t *testing.T) {
	t.Parallel()
	sftp := testprog.Need(t, "sftp", "openssh-client")
	const breakAt = 1 << 20
	dump := pattern(3<<20+123, 4)
	for _, fault := range []string{"disconnect: true", "reset: true", "revoke: true", `error: "no space left on device"`} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &mockserver.Options{
				Scenarios: scripted(t, "name: cut\nfaults: [{on: sftp.write, times: 1, after: 1MiB, "+fault+
					"}]\nexpect: {resumed: true}\n")})
			m := w.create()
			w.grant(m, "ed25519")
			run := func(batch string) (string, error) {
				cmd := exec.CommandContext(t.Context(), sftp, "-b", "-", "-i", keyFile(t), "-o", "UserKnownHostsFile="+w.knownHosts,
					"-o", "IdentitiesOnly=yes",
					"-P", portOf(w.sftpAddr), m.user()+"@127.0.0.1")
				cmd.Stdin = strings.NewReader(batch)
				out, err := cmd.CombinedOutput()
				return string(out), err
			}
			local := file(t, "dump", dump)
			out, err := run("put " + local + " db_name.dump\n")
			if err == nil {
				t.Fatalf("sftp did not notice:\n%s", out)
			}
			// OpenSSH shows its own text for the status
			if strings.HasPrefix(fault, "error") && !strings.Contains(out, "Failure") {
				t.Errorf("sftp does not show the scripted error:\n%s", out)
			}
			if strings.HasPrefix(fault, "revoke") {
				if out, err := run("ls\n"); err == nil {
					t.Errorf("the revoked access still lets in:\n%s", out)
				}
				w.grant(m, "ed25519")
			}
			r, err := w.srv.Request(m.id)
			if err != nil {
				t.Fatal(err)
			}
			if r.Contiguous != breakAt || r.SharedSize != breakAt {
				t.Errorf("after the break the file has %d bytes, %d without a hole; want exactly %d", r.SharedSize, r.Contiguous,
					breakAt)
			}
			if out, err := run("put -a " + local + " db_name.dump\n"); err != nil {
				t.Fatalf("put -a: %v\n%s", err, out)
			}
			same(t, "the continued dump", w.fetch(w.status(m)["original_dump_url"]), dump)
			if !strings.HasPrefix(fault, "error") { // there, sftp closed its handle in order
				for _, v := range w.srv.Verify(journal.Filter{}) {
					if v.Verdict != mockserver.Pass {
						t.Errorf("verdict %+v", v)
					}
				}
			}
		})
	}
}

func TestFaults_loginAndHostKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, fault, want string }{
		{"refused", "refuse: true", "unable to authenticate"},
		{"host key changed", "hostkey: changed", "knownhosts: key mismatch"},
		{"disconnected", "disconnect: true", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &mockserver.Options{
				Scenarios: scripted(t, "name: login\nfaults: [{on: sftp.login, times: 1, "+tc.fault+"}]\n")})
			m := w.create()
			w.grant(m, "ed25519")
			if _, err := w.dial(m, "ed25519"); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("first login: %v, want %q", err, tc.want)
			}
			w.login(m, "ed25519")
		})
	}
}

// TestFaults_arePerRequest holds that parallel clients never use up each other's faults.
func TestFaults_arePerRequest(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t, `
name: twice
faults:
  - {on: create, times: 1, failure: {reason: "SERVER:ERROR", message: "create"}}
  - {on: status, times: 2, failure: {reason: "SERVER:ERROR", message: "status"}}
`)})
	for i := range 3 {
		contract := fmt.Sprintf("M%d", i)
		if a := w.call("create", sample("contract", contract)); len(a.Failures) != 1 {
			t.Errorf("first create of %s: %s", contract, a.Body)
		}
	}
	var ms []made
	for i := range 3 {
		ms = append(ms, w.create("contract", fmt.Sprintf("M%d", i)))
	}
	for range 2 {
		for _, m := range ms {
			if a := w.call("status", m.params()); len(a.Failures) != 1 {
				t.Errorf("status of %d met no fault: %s", m.id, a.Body)
			}
		}
	}
	for _, m := range ms {
		w.status(m)
		// A wrong key uses up nothing and learns nothing.
		if a := w.call("status", pairs("request", fmt.Sprint(m.id), "key", "x")); a.reasons()[0] != "REQUEST:NOT_FOUND" {
			t.Errorf("wrong key: %s", a.Body)
		}
	}
}

// TestFaults_closeEndsThem holds that a server being closed does not wait for a call that a scenario holds up.
func TestFaults_closeEndsThem(t *testing.T) {
	t.Parallel()
	w := onWire(t, &mockserver.Options{Scenarios: scripted(t, "name: never\nfaults: [{on: status, delay: 1000h}]\n")})
	m := w.create()
	// The server says "100 Continue" when it reads the parameters: from then on it has the call in hand.
	inHand := make(chan struct{})
	trace := &httptrace.ClientTrace{Got100Continue: func() { close(inHand) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST",
		w.base+"/database/v1/status", strings.NewReader(m.params().Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Expect", "100-continue")
	w.http.Transport.(*http.Transport).ExpectContinueTimeout = time.Hour
	ended := make(chan error, 1)
	go func() {
		resp, err := w.http.Do(req)
		if err == nil {
			resp.Body.Close()
			err = fmt.Errorf("answered %s", resp.Status)
		}
		ended <- err
	}()
	<-inHand
	if err := w.srv.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; strings.HasPrefix(err.Error(), "answered") {
		t.Errorf("the held call ended with %v", err)
	}
}

func keyFile(t *testing.T) string {
	t.Helper()
	return file(t, "id", fixtures.Key("ed25519"))
}

func portOf(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }
