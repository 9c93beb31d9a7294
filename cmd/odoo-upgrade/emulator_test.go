package main

import (
	"archive/zip"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// TestRun_builtInScenarios does an upgrade under every built-in scenario of the emulator, over each wire that
// the scenario's faults leave open, and asks the scenario whether that is what a good client does.
//
// All runs go on at once, since they mostly wait.
func TestRun_builtInScenarios(t *testing.T) {
	t.Parallel()
	type job struct {
		script *scenario.Scenario
		via    string
		err    []string
		log    string
	}
	var jobs []*job
	names := scenario.Builtins()
	if len(names) < 20 {
		t.Fatalf("%d scenarios", len(names))
	}
	for _, name := range names {
		s, err := scenario.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Expect == nil || s.When["api"] == scenario.APIScript {
			continue // there is nothing that a client could do better or worse, or it is about the other API
		}
		https, sftp := ways(s)
		if https {
			jobs = append(jobs, &job{script: s, via: "https"})
		}
		if sftp {
			jobs = append(jobs, &job{script: s, via: "sftp"})
		}
	}
	if testing.Short() {
		jobs = everyFifth(jobs)
	}
	dump := noise(t, t.TempDir(), "db.dump", 2<<20+77)
	var all errgroup.Group
	all.SetLimit(16) // mostly they wait; but a client must not take a busy machine for a silent platform
	for _, j := range jobs {
		all.Go(func() error {
			// Most need no more than a short limit for what hangs. Where a busy machine was late, the long one counts.
			for _, limits := range [][]string{
				{"--call-timeout", "1s", "--max-outage", "5s"}, {"--call-timeout", "10s", "--max-outage", "20s"},
			} {
				if j.err, j.log = underScenario(t, j.script, j.via, dump, limits); len(j.err) == 0 {
					break
				}
			}
			return nil
		})
	}
	all.Wait()
	for _, j := range jobs {
		t.Run(j.script.Name+"/"+j.via, func(t *testing.T) {
			for _, e := range j.err {
				t.Error(e)
			}
			if t.Failed() {
				t.Log(j.log)
			}
		})
	}
}

// everyFifth returns a sample, for -short.
func everyFifth[T any](list []T) (sample []T) {
	for i := 0; i < len(list); i += 5 {
		sample = append(sample, list[i])
	}
	return sample
}

// ways returns over which protocols a dump can go so that the scenario's faults are triggered and its expectations
// met.
func ways(s *scenario.Scenario) (https, sftp bool) {
	https, sftp = true, true
	on := map[string]bool{}
	for _, f := range s.Faults {
		on[f.On] = true
	}
	for name := range on {
		// A fault of the download is triggered over either protocol.
		if strings.HasPrefix(name, "sftp.") && !on["download"] {
			https = false
		}
		if name == "upload" {
			sftp = false
		}
	}
	if b, ok := s.Expect.Calls["request_sftp_access"]; ok && !b.Holds(0) {
		https = false
	}
	return https, sftp
}

func underScenario(
	t *testing.T, s *scenario.Scenario, via, dump string, limits []string,
) (problems []string, log string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	srv, err := mockserver.New(&mockserver.Options{Scenarios: []*scenario.Scenario{s},
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return []string{err.Error()}, ""
	}
	defer srv.Close()
	if err := srv.Start(); err != nil {
		return []string{err.Error()}, ""
	}
	dir := t.TempDir()
	out := filepath.Join(dir, "upgraded")
	interval := "100ms"
	if _, wanted := s.Expect.Interval["status"]; wanted {
		interval = "1s"
	}
	args := append([]string{"run", "--ca-file", srv.CAFile(), "--known-hosts", srv.KnownHostsFile(), "--target", "8.0",
		"--aim", "test", "--dump", dump, "--out", out, "--via", via, "--interval", interval}, limits...)
	r := command(t, map[string]string{"UPGRADE_URL": srv.HTTPSURL(), "UPGRADE_CONTRACT": "M123456-abcdef",
		"UPGRADE_EMAIL": "a@b.cd"}, "", args...)
	log = r.stdout + r.stderr
	var key, message string
	for _, req := range srv.Requests() {
		key = req.Key
		message, _ = req.Status["customer_message"].(string)
	}
	for _, v := range srv.Verify(journal.Filter{}) {
		if v.Verdict == "fail" {
			bad("%s: wanted %s, saw %s (%s)", v.Expect, v.Wanted, v.Saw, v.Hint)
		}
	}
	if want := s.Expect.Exit; want != scenario.ExitHonest && (r.code == 0) != (want == scenario.ExitSuccess) {
		bad("exit code %d, wanted %s", r.code, want)
	}
	if key != "" && (strings.Contains(log, key) || strings.Contains(log, url.QueryEscape(key))) {
		bad("the request's key was printed")
	}
	switch _, err := os.Stat(out); {
	case s.Expect.Out == scenario.OutAbsent && err == nil:
		bad("there is an upgraded dump")
	case s.Expect.Out == scenario.OutUpgraded && s.Upgraded.Built:
		if z, err := zip.OpenReader(out); err != nil {
			bad("the upgraded archive: %v", err)
		} else {
			z.Close()
		}
	case s.Expect.Out == scenario.OutUpgraded && !sameFiles(t, dump, out):
		bad("the upgraded dump is not what the platform has")
	}
	for _, want := range s.Expect.Shows {
		text := want.Literal
		if want.Key == "customer_message" {
			text = message
		}
		if text == "" || !strings.Contains(log, text) {
			bad("%q was not shown", text)
		}
	}
	return problems, log
}
