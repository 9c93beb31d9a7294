//go:build unix

package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/internal/testprog"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// testBreaks kills what is running in the middle of an upload, and while it waits, and goes on.
func (p *platform) testBreaks(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{"rsync", "ssh", "everything"} {
		for _, way := range []string{"V8", "V11"} {
			if testprog.Sample() && way == "V8" || testing.Short() && victim != "everything" {
				continue
			}
			t.Run(victim+" "+way, func(t *testing.T) {
				t.Parallel()
				p.testBrokenUpload(t, way, victim)
			})
		}
	}
	t.Run("no stop", func(t *testing.T) {
		t.Parallel()
		m := p.machine(t)
		m.file("db.zip", fixtures.Dump("openchs.zip"))
		contract := p.scenario(t, "faults: [{on: script.transfer_stop, times: 1, reset: true}]")
		args := []string{"test", "-i", "db.zip", "-c", contract, "-t", "17.0"}
		if out := m.run("V11", "", args...); !strings.Contains(out.stderr, "transfer/stop: communication error") {
			t.Fatalf("exit status %d\n%s", out.exit, out.stderr)
		}
		m.succeed("V11", "y\n", args...)
		if events := p.events(t, m.request, "rsync.upload"); len(events) != 2 || events[1].Rsync.Skipped != 1 {
			t.Errorf("the second upload did not skip the file that was there: %+v", events)
		}
	})
	for _, way := range someWays() {
		t.Run("while waiting "+way, func(t *testing.T) {
			t.Parallel()
			p.testStoppedWaiting(t, way)
		})
	}
}

// testBrokenUpload kills the victim when much of the last file has passed. The next run asks whether to resume, sends
// that file anew, and none of the others.
func (p *platform) testBrokenUpload(t *testing.T, way, victim string) {
	m := p.machine(t)
	m.dump()
	big := make([]byte, 12<<20)
	rand.NewChaCha8([32]byte{}).Read(big)
	m.file("tree/zz.dat", big)
	files := readTree(t, filepath.Join(m.work, "tree"))

	said := m.killed(way, victim, 8<<20, "test", "-i", "tree", "-c", p.scenario(t, ""), "-t", "17.0")
	if m.request == "" {
		t.Fatalf("no request was made:\n%s", said)
	}
	p.control(t, "GET", "/wait?on=rsync.upload&request="+m.request, "", nil)
	out := m.succeed(way, "y\n", "test", "-i", "tree", "-c", "M000000-abcdef", "-t", "17.0")
	if !strings.Contains(out.stderr, "in the state new") {
		t.Errorf("the second run said:\n%s", out.stderr)
	}
	if diff := cmp.Diff(files, readTree(t, filepath.Join(m.work, "upgraded.dump"))); diff != "" {
		t.Errorf("what came back is not what was sent: %.1000s", diff)
	}
	type session struct {
		Count, Skipped int
	}
	var got []session
	events := p.events(t, m.request, "rsync.upload")
	for _, e := range events {
		if e.Rsync == nil {
			t.Fatalf("an event without a session: %+v", e)
		}
		got = append(got, session{e.Rsync.Count, e.Rsync.Skipped})
	}
	if diff := cmp.Diff([]session{{len(files) - 1, 0}, {len(files), len(files) - 1}}, got); diff != "" {
		t.Fatalf("files of the sessions (-want +got):\n%s", diff)
	}
	if last := events[1]; last.Rsync.Exit != 0 || last.Received != int64(len(big)) {
		t.Errorf("the second session: %+v", last)
	}
}

// passOn copies so many bytes from standard input to standard output, says so on standard error, and loses the rest.
const passOn = `
import os, sys
left = int(sys.argv[1])
while left:
    data = os.read(0, min(left, 65536))
    if not data:
        sys.exit()
    left -= len(data)
    while data:
        data = data[os.write(1, data):]
print("the bytes are passed", file=sys.stderr, flush=True)
while os.read(0, 65536):
    pass
`

// killed runs the stand-in and kills rsync, ssh, or everything when so many bytes have passed to ssh, no more of which
// do: what lies in buffers on the way must be less than the last file has. It returns what was said on standard error.
func (m *machine) killed(way, victim string, passes int, args ...string) string {
	m.t.Helper()
	pids, plain := m.t.TempDir(), slices.Clone(m.env)
	m.program("rsync", fmt.Sprintf("echo $$ > %s/rsync\nexec %s \"$@\"\n", pids, m.p.rsync))
	m.program("ssh", fmt.Sprintf("exec 3<&0\nmkfifo %[1]s/fifo\n%[2]s %[3]s %[4]d <&3 > %[1]s/fifo &\n"+
		"echo $$ > %[1]s/ssh\nexec %[5]s \"$@\" < %[1]s/fifo 3<&-\n",
		pids, m.p.script[0], m.file("pass.py", []byte(passOn)), passes, pathOf(m.t, "ssh")))
	cmd := m.standin(way, args...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	said := ""
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said += lines.Text() + "\n"
		if !strings.Contains(lines.Text(), "the bytes are passed") {
			continue
		}
		if victim == "everything" {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			continue
		}
		text, err := os.ReadFile(filepath.Join(pids, victim))
		if err != nil {
			m.t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			m.t.Fatal(err)
		}
		syscall.Kill(pid, syscall.SIGKILL)
	}
	cmd.Wait()
	m.remember(said)
	m.program("rsync", fmt.Sprintf("exec %s \"$@\"\n", m.p.rsync))
	m.program("ssh", fmt.Sprintf("exec %s \"$@\"\n", pathOf(m.t, "ssh")))
	m.env = plain
	return said
}

// testStoppedWaiting stops runs that wait for the upgrade, one by a kill and one by an interrupt, and goes on.
func (p *platform) testStoppedWaiting(t *testing.T, way string) {
	m := p.machine(t, "UPGRADE_STANDIN_POLL=0.01")
	m.file("db.zip", fixtures.Dump("openchs.zip"))
	contract := p.scenario(t,
		"steps: [{state: pending, for: released}, {state: progress, for: released}, {state: done}]")
	args := []string{"test", "-i", "db.zip", "-c", contract, "-t", "17.0"}
	var last journal.Event
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGINT} {
		cmd := m.standin(way, args...)
		cmd.Stdin = strings.NewReader("y\n")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for range 3 { // it asks for the state, and then again and again
			p.control(t, "GET", fmt.Sprintf("/wait?on=script.status&contract=%s&since=%d", contract, last.Seq), "", &last)
		}
		cmd.Process.Signal(signal)
		err := cmd.Wait()
		m.remember(stderr.String())
		if signal == syscall.SIGINT && err != nil {
			t.Errorf("after an interrupt: %v, want exit status 0 (row S13.6)\n%s", err, stderr.String())
		}
		p.control(t, "POST", "/requests/"+m.request+"/release", "", nil)
		events := p.events(t, m.request, "state")
		last = events[len(events)-1]
	}
	m.succeed(way, "y\n", args...)
	if got := left(t, m.work, "*"); !slices.Contains(got, "upgraded.zip") {
		t.Errorf("in the working directory: %v, want upgraded.zip", got)
	}
}

// pathOf returns the path of a program.
func pathOf(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	return path
}
