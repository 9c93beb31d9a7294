package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// A fault of rsync.login holds for all logins of one transfer, and stands in the event of each.
func TestFault_login(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault scenario.Fault
		login bool
		why   string
	}{
		"refuse":     {scenario.Fault{Refuse: true}, false, "refuses"},
		"disconnect": {scenario.Fault{Disconnect: true}, false, "fault"},
		"reset":      {scenario.Fault{Reset: true}, false, "fault"},
		"delay":      {scenario.Fault{Delay: 10 * time.Millisecond}, true, ""},
		"hostkey":    {scenario.Fault{HostKey: "changed"}, false, "the client refused the host key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.fault.On, test.fault.Times = scenario.OnRsyncLogin, 1
			b := newBed(t, withEngine(echo), with(test.fault))
			key := newIdentity(t)
			r := b.request(key)
			port := b.start(r, platform.Uploading).Port
			for n := range 2 {
				client, err := b.dial(port, key)
				if (err == nil) != test.login {
					t.Errorf("login: %v", err)
				}
				if err == nil {
					client.Close()
				}
				b.journal.await(t, n+1, "rsync.disconnect")
				logins := b.journal.of("rsync.login")
				if len(logins) != n+1 {
					t.Fatalf("%d events rsync.login after %d connections: %+v", len(logins), n+1, logins)
				}
				e := logins[n]
				if !strings.HasPrefix(e.Fault, "faults[0]: rsync.login") || !strings.Contains(e.Why, test.why) ||
					e.Request != r.ID() {
					t.Errorf("the event: %+v", e)
				}
			}
			for _, e := range b.journal.of("rsync.refused", "rsync.disconnect", "rsync.offered") {
				if e.Fault != "" {
					t.Errorf("the fault stands in another event, too: %+v", e)
				}
			}
			if client, err := b.dial(b.start(r, platform.Uploading).Port, key); err != nil {
				t.Errorf("the next transfer: %v", err)
			} else {
				client.Close()
			}
		})
	}
}

// At one port for all, the first connection after the start sees another host key.
func TestFault_hostKeyAtSharedPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	fault := scenario.Fault{On: scenario.OnRsyncLogin, HostKey: "changed", Times: 1}
	b := newBed(t, withEngine(echo), with(fault), func(s *setting) { s.Addr = addr })
	key := newIdentity(t)
	r := b.request(key)
	port := b.start(r, platform.Uploading).Port
	if _, err := b.dial(port, key); err == nil {
		t.Error("the first connection has seen the host's key")
	}
	b.journal.await(t, 1, "rsync.disconnect")
	if e := b.journal.of("rsync.login"); len(e) != 1 || e[0].Request != r.ID() || e[0].Fault == "" {
		t.Errorf("the events of the login: %+v", e)
	}
	if _, err := b.dial(port, key); err != nil {
		t.Errorf("the second connection: %v", err)
	}
}

// What goes wrong in the answer to transfer/start is there, and in the journal.
func TestFault_start(t *testing.T) {
	t.Parallel()
	wrong, null := "[127.0.0.1]:1 ssh-ed25519 AAAA\n", ""
	for name, test := range map[string]struct {
		fault scenario.Fault
		want  *string
		opens bool
	}{
		"known_hosts null": {scenario.Fault{KnownHosts: &null}, nil, true},
		"known_hosts text": {scenario.Fault{KnownHosts: &wrong}, &wrong, true},
		"unreachable":      {scenario.Fault{Unreachable: true}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.fault.On = scenario.OnRsyncLogin
			b := newBed(t, withEngine(echo), with(test.fault))
			key := newIdentity(t)
			r := b.request(key)
			started := b.start(r, platform.Uploading)
			if started.Port == 0 {
				t.Error("no port")
			}
			if test.opens {
				if d := cmp.Diff(test.want, started.KnownHosts); d != "" {
					t.Errorf("known_hosts (-want +got):\n%s", d)
				}
			} else if started.KnownHosts == nil || *started.KnownHosts == "" {
				t.Error("there is no known_hosts for the port that never opens")
			}
			if _, err := b.dial(started.Port, key); (err == nil) != test.opens {
				t.Errorf("a login: %v", err)
			}
			e := b.journal.of("rsync.fault")
			if len(e) != 1 || e[0].Request != r.ID() || !strings.HasPrefix(e[0].Fault, "faults[0]: rsync.login") {
				t.Errorf("events rsync.fault: %+v", e)
			}
			for _, e := range b.journal.of("rsync.login") {
				if e.Fault != "" {
					t.Errorf("the fault stands in the login's event, too: %+v", e)
				}
			}
		})
	}
}

// sends is an engine that takes files of 100 bytes, as many as their names.
func sends(names ...string) serving {
	return func(_ context.Context, s rsync.Stream, _ *rsync.Command, j *rsync.Job) (uint8, error) {
		j.Root.MkdirAll("origin.dump/sub", 0o700)
		for _, name := range append(names, "origin.dump/there") {
			if err := j.Root.WriteFile(name, make([]byte, 100), 0o600); err != nil {
				return 11, err
			}
		}
		for _, name := range names {
			for offset := int64(0); offset < 100; {
				n, err := j.Data(name, offset, 30)
				io.WriteString(s.Out, strings.Repeat("x", n))
				offset += int64(n)
				if err != nil {
					return 12, err
				}
				if offset > 70 {
					break
				}
			}
			j.Done(rsync.File{Name: name, Size: 100, Literal: 90, Matched: 10})
		}
		j.Done(rsync.File{Name: "origin.dump/there", Size: 7, Skipped: true})
		return 0, nil
	}
}

// A fault of a session fires at its byte or before its file, whatever the pieces, and stands in the session's event.
func TestFault_session(t *testing.T) {
	t.Parallel()
	ends := cmpopts.IgnoreFields(journal.Rsync{}, "Command", "Files")
	whole := journal.Rsync{Count: 3, Skipped: 1, Saved: 27}
	broken := func(files int) journal.Rsync {
		return journal.Rsync{Exit: journal.NoExit, Count: files, Saved: 10 * int64(files)}
	}
	for name, test := range map[string]struct {
		fault scenario.Fault
		sent  int // what the client gets
		fired *journal.Fired
		rsync journal.Rsync
	}{
		"after": {
			scenario.Fault{Disconnect: true, After: 100}, 100, &journal.Fired{At: 100, Received: 100}, broken(1),
		},
		"at a piece": {scenario.Fault{Reset: true, After: 60}, 60, &journal.Fired{At: 60, Received: 60}, broken(0)},
		"at once":    {scenario.Fault{Disconnect: true}, 0, &journal.Fired{}, broken(0)},
		"a file": {
			scenario.Fault{Disconnect: true, File: "b.*"}, 90, &journal.Fired{At: 90, Received: 90}, broken(1),
		},
		"a delay": {scenario.Fault{Delay: time.Millisecond, After: 5}, 180, &journal.Fired{At: 5, Received: 5}, whole},
		"a rate":  {scenario.Fault{Rate: 1 << 30}, 180, &journal.Fired{}, whole},
		"refused": {scenario.Fault{Refuse: true}, 0, &journal.Fired{}, journal.Rsync{Exit: 1}},
		"a slow end": {
			scenario.Fault{Rate: 1 << 30, Disconnect: true, After: 50}, 50, &journal.Fired{At: 50, Received: 50}, broken(0),
		},
		"slow, whole": {scenario.Fault{Rate: 1 << 30, Disconnect: true, After: 200}, 180, &journal.Fired{}, whole},
		"too late":    {scenario.Fault{Disconnect: true, After: 180}, 180, nil, whole},
		"no such one": {scenario.Fault{Disconnect: true, File: "c.*"}, 180, nil, whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.fault.On = scenario.OnRsyncUpload
			b := newBed(t, withEngine(sends("origin.dump/a.dat", "origin.dump/sub/b.dat")), with(test.fault))
			key := newIdentity(t)
			r := b.request(key)
			out, stderr, err := run(t, b.mustDial(b.start(r, platform.Uploading).Port, key), upload, "")
			_, exited := errors.AsType[*gossh.ExitError](err)
			if whole := test.rsync.Exit == 0; (err == nil) != whole || exited != test.fault.Refuse {
				t.Errorf("the session ended with %v", err)
			}
			if strings.Contains(stderr, "rsync: refused") != test.fault.Refuse {
				t.Errorf("the client was told %q", stderr)
			}
			if len(out) != test.sent && !test.fault.Reset {
				t.Errorf("%d bytes have passed, want %d", len(out), test.sent)
			}
			e := b.journal.await(t, 1, "rsync.upload")[0]
			if d := cmp.Diff(&test.rsync, e.Rsync, ends); d != "" {
				t.Errorf("the session's event (-want +got):\n%s", d)
			}
			if d := cmp.Diff(test.fired, e.Fired); d != "" {
				t.Errorf("where the fault fired (-want +got):\n%s", d)
			}
			if fired := test.fired != nil; (e.Fault != "") != fired || strings.Contains(e.Why, "was chosen") == fired {
				t.Errorf("the event: fault %q, why %q", e.Fault, e.Why)
			}
			if e.Received != int64(test.sent) || e.Sent != 0 || e.Request != r.ID() {
				t.Errorf("the event: %+v", e)
			}
		})
	}
}

// The event of a session counts all files, and names no more than a hundred.
func TestSession_manyFiles(t *testing.T) {
	t.Parallel()
	var names []string
	for i := range 250 {
		names = append(names, fmt.Sprintf("origin.dump/%03d.dat", i))
	}
	b := newBed(t, withEngine(sends(names...)))
	key := newIdentity(t)
	if _, _, err := run(t, b.mustDial(b.start(b.request(key), platform.Uploading).Port, key), upload, ""); err != nil {
		t.Fatal(err)
	}
	e := b.journal.await(t, 1, "rsync.upload")[0]
	if e.Rsync.Count != 251 || e.Rsync.Skipped != 1 || len(e.Rsync.Files) != journal.MaxFiles || e.Size != 25_007 {
		t.Errorf("the event: %d files, %d of them skipped, %d named, %d bytes; want 251, 1, %d, 25007", e.Rsync.Count,
			e.Rsync.Skipped, len(e.Rsync.Files), e.Size, journal.MaxFiles)
	}
	want := journal.File{Name: names[99], Size: 100, Sent: 90, Checksum: "crc32c:07cb9ff6"}
	if d := cmp.Diff(want, e.Rsync.Files[99]); d != "" {
		t.Errorf("the last file named (-want +got):\n%s", d)
	}
}
