package certify_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/upgrademock/upgrademock/internal/certify"
	"github.com/upgrademock/upgrademock/internal/testbed"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// everything is the variable with which the good clients run the full pack, and not only what a change is likely to
// break.
const everything = "UPGRADEMOCK_CERTIFY_EVERYTHING"

// sample are the scenarios of a sample run: one for each way of sending, and one for the download.
var sample = []string{"upload-cut", "sftp-cut", "download-error-page"}

// likely are the scenarios in which a good client may do what a judge could take for a bug.
var likely = []string{
	"happy-path", "over-sftp", "polite-polling", "service-unavailable", "upload-cut", "sftp-cut",
	"process-answer-lost", "unknown-state",
	"several-failures", "download-error-page",
}

func testdata(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// program is a client's command, run with little patience. It trusts the emulator's authority alone: most of the time
// that curl, Python and Node take is for reading the hundred and more that a system trusts.
func program(args ...string) certify.Options {
	return certify.Options{
		Args: append([]string{"env", "PATIENCE=4"}, args...), Parallel: 8,
		Testbed: testbed.Options{
			Server: &mockserver.Options{}, Environ: append(os.Environ(), "SSL_CERT_FILE="+os.DevNull),
		},
	}
}

// Good clients of every style pass.
func TestRun_goodClients(t *testing.T) {
	t.Parallel()
	for _, tool := range [][2]string{{"curl", "curl"}, {"jq", "jq"}, {"sftp", "openssh-client"}, {"wget", "wget"}} {
		testprog.Need(t, tool[0], tool[1])
	}
	testprog.NeedPython(t, "requests", "python3-requests")
	testprog.NeedPython(t, "pycurl", "python3-pycurl")
	python, node := testprog.NeedPython(t, "paramiko", "python3-paramiko"), testprog.Need(t, "node", "nodejs")
	names := likely
	if testprog.Sample() {
		names = sample
	}
	if testing.Short() {
		names = sample[:2]
	}
	if os.Getenv(everything) != "" {
		files, err := filepath.Glob("../../fixtures/scenarios/*.yaml")
		if err != nil {
			t.Fatal(err)
		}
		names = nil
		for _, file := range files {
			name := strings.TrimSuffix(filepath.Base(file), ".yaml")
			// The one expects nothing, the others are for other clients.
			if name != "human-tests" && !strings.HasPrefix(name, "script-") {
				names = append(names, name)
			}
		}
	}
	scripts := builtIn(t, names...)
	for _, s := range scripts {
		s.Expect.Within = certify.Limit // a busy machine is no reason for an alarm
	}
	for _, tc := range []struct {
		name string
		via  certify.Via
		args []string
	}{
		{"shell", certify.Both, []string{"sh", testdata(t, "client.sh")}},
		{"requests", certify.Both, []string{python, testdata(t, "client.py"), "--style", "requests"}},
		{"pycurl", certify.HTTPS, []string{python, testdata(t, "client.py"), "--style", "pycurl"}},
		{"node", certify.HTTPS, []string{node, testdata(t, "client.mjs")}},
		{"shell over SFTP", certify.SFTP, []string{"sh", testdata(t, "client.sh")}},
		{"paramiko", certify.SFTP, []string{python, testdata(t, "client.py"), "--style", "pycurl"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && tc.name != "node" && tc.name != "shell over SFTP" {
				t.Skip("-short: one client for each way")
			}
			opts := program(tc.args...)
			opts.Via, opts.Scenarios = tc.via, scripts
			report, err := certify.Run(t.Context(), opts)
			if err != nil {
				t.Fatal(err)
			}
			if report.Failed > 0 {
				var table strings.Builder
				report.WriteTable(&table)
				t.Errorf("false alarms:\n%s", table.String())
			}
		})
	}
}

// Each buggy client is named, by the expectation that is about its bug.
func TestRun_buggyClients(t *testing.T) {
	t.Parallel()
	testprog.NeedPython(t, "pycurl", "python3-pycurl") // which is imported faster than requests
	python := testprog.NeedPython(t, "paramiko", "python3-paramiko")
	type buggy struct {
		bug, scenario string
		expect        string // the expectation that is not met
		saw           string // part of what it says
	}
	cases := []buggy{
		{"form", "happy-path", "dump", `a multipart form with the dump in its field "file"`},
		{"urlencoded", "happy-path", "dump", "the dump as an urlencoded form"},
		{"base64", "happy-path", "dump", "the dump as base64"},
		{"half", "happy-path", "dump", "only the first "},
		{"crlf", "happy-path", "dump", "every LF became CRLF"},
		{"text", "happy-path", "dump", "what is no UTF-8 is lost"},
		{"latin-1", "happy-path", "dump", "decoded as Latin-1 and encoded as UTF-8"},
		{"line-ends", "happy-path", "dump", "its line ends stripped"},
		{"nul", "happy-path", "dump", "it was cut at a NUL"},
		{"twice", "happy-path", "dump", "2 times, one behind the other"},
		{"select", "happy-path", "dump", "something else of 9 bytes"},
		{"no-rewind", "upload-cut", "dump", "only the last "},
		{"whole-again", "sftp-cut", "dump", "the whole of the dump again behind its first 1048576 bytes"},
		{"hole", "sftp-cut", "resumed", "a hole of 1000 bytes"},
		{"other-aim", "happy-path", "params", `aim "production" in place of "test"`},
		{"other-target", "happy-path", "params", `target "7.0" in place of "8.0"`},
		{"other-email", "happy-path", "params", `email "root@example.com" in place of`},
		{"other-contract", "happy-path", "params", `contract "M1-abc" in place of`},
		{"other-filename", "happy-path", "params", `filename "dump.sql" in place of`},
		{"goes-on", "unknown-contract", "requests", `upload with request "None"`},
		{"key-in-agent", "happy-path", "hides", "is in the header User-Agent of "},
		{"key-in-header", "happy-path", "hides", "is in the header X-Upgrade-Key of "},
		{"hammers-logins", "sftp-login-refused-often", "interval.sftp.login", " on average over 6 calls"},
		{"ignores-login", "sftp-login-refused-often", "exit", "exit status 0 and no file"},
		{"upload-for-ever", "upload-never-works", "gives_up", ", and was ended"},
		{"poll-for-ever", "server-error-for-ever", "gives_up", ", and was ended"},
		{"ignores-upload", "upload-never-works", "exit", "exit status 0"},
		{"ignores-upload", "upload-refused", "calls.process", "1 process"},
		{"ignores-process", "process-refused", "exit", "exit status 0"},
		{"ignores-status", "status-refused", "exit", "exit status 0"},
		{"ignores-status", "server-error-for-ever", "exit", "exit status 0"},
		{"error-page", "download-error-page", "exit", "an HTML page"},
		{"unknown-state", "unknown-state", "interval.status", " on average over "},
		{"hammers-errors", "server-error-for-ever", "interval.status", " on average over 20 calls"},
		{"create-again", "create-answer-lost", "calls.create", "2 create"},
		{"first-failure", "several-failures", "shows", "Can not find contract"},
		{"killed", "invalid-dump", "exit", "it was ended by signal 9"},
	}
	if testprog.Sample() { // one bug for each expectation
		seen := make(map[string]bool)
		cases = slices.DeleteFunc(cases, func(c buggy) bool {
			again := seen[c.expect]
			seen[c.expect] = true
			return again
		})
	}
	if testing.Short() {
		cases = cases[:4]
	}
	var running sync.WaitGroup
	atOnce := make(chan struct{}, 12) // they mostly wait
	missed := make([]string, len(cases))
	for i, tc := range cases {
		running.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			opts := program(python, testdata(t, "client.py"), "--style", "pycurl", "--bug", tc.bug)
			script := *builtIn(t, tc.scenario)[0]
			expect := *script.Expect
			script.Expect = &expect
			switch tc.expect {
			case "gives_up": // there is no need to wait for so long
				expect.Within = 6 * time.Second
			case "interval.sftp.login", "interval.status": // on a busy machine what is no pause takes its time, too
				event := strings.TrimPrefix(tc.expect, "interval.")
				if _, given := expect.Interval[event]; given {
					expect.Interval = map[string]scenario.Interval{event: {Op: ">=", D: time.Minute, Average: true}}
				}
			}
			opts.Scenarios = []*scenario.Scenario{&script}
			report, err := certify.Run(t.Context(), opts)
			if err != nil {
				missed[i] = err.Error()
				return
			}
			named := func(f certify.Failure) bool { return f.Expect == tc.expect && strings.Contains(f.Saw, tc.saw) }
			if len(report.Results) != 1 || !slices.ContainsFunc(report.Results[0].Failed, named) {
				var table strings.Builder
				report.WriteTable(&table)
				missed[i] = table.String()
			}
		})
	}
	running.Wait()
	for i, tc := range cases {
		t.Run(tc.bug+" in "+tc.scenario, func(t *testing.T) {
			if missed[i] != "" {
				t.Errorf("%s does not say %q:\n%s", tc.expect, tc.saw, missed[i])
			}
		})
	}
}
