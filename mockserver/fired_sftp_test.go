package mockserver_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/fixtures"
	"github.com/upgrademock/upgrademock/mockserver"
	"github.com/upgrademock/upgrademock/mockserver/journal"
)

// TestFaults_journalSFTP holds that over SFTP, too, the journal says of each fault which one it was, where it fired,
// and how many bytes really went: when it fired, and again at the end of the file that it met.
func TestFaults_journalSFTP(t *testing.T) {
	t.Parallel()
	const size = 300 << 10
	dump := pattern(size, 1)
	for _, tc := range []struct {
		name, on, fault string
		op              string         // of the event sftp.fault; empty: there is none
		want            string         // its fault
		fired           *journal.Fired // in that event
		end             string         // the event of the file's end
		atEnd           *journal.Fired // in that event
		why             string         // part of that event's
	}{
		{
			"a write is cut off", "sftp.write", "after: 64KiB, disconnect: true", "write",
			"faults[1]: sftp.write disconnect after 65536", &journal.Fired{At: 64 << 10, Received: 64 << 10}, "sftp.abort",
			&journal.Fired{At: 64 << 10, Received: 64 << 10}, "faults[1]",
		},
		{"a write is reset", "sftp.write", "after: 1, reset: true", "write", "faults[1]: sftp.write reset after 1",
			&journal.Fired{At: 1, Received: 1}, "sftp.abort", &journal.Fired{At: 1, Received: 1}, "faults[1]"},
		{
			"a write fails", "sftp.write", `after: 64KiB, error: "no space left on device"`, "write",
			"faults[1]: sftp.write error after 65536", &journal.Fired{At: 64 << 10, Received: 64 << 10}, "sftp.close",
			&journal.Fired{At: 64 << 10, Received: 64 << 10}, "",
		},
		{
			"a write is revoked", "sftp.write", `after: 64KiB, revoke: true`, "write",
			"faults[1]: sftp.write revoke after 65536", &journal.Fired{At: 64 << 10, Received: 64 << 10}, "sftp.abort",
			&journal.Fired{At: 64 << 10, Received: 64 << 10}, "",
		},
		{"a write is slow", "sftp.write", "rate: 100MiB/s", "write", "faults[1]: sftp.write rate 104857600 B/s",
			&journal.Fired{}, "sftp.put", &journal.Fired{Received: size}, ""},
		{"a write is late", "sftp.write", "delay: 1ms", "write", "faults[1]: sftp.write delay 1ms",
			&journal.Fired{}, "sftp.put", &journal.Fired{Received: size}, ""},
		{"a write that ends before the break", "sftp.write", "after: 1MiB, disconnect: true", "", "",
			nil, "sftp.put", nil, "faults[1]: sftp.write disconnect after 1048576 was chosen"},
		{
			"a read is cut off", "sftp.read", "after: 64KiB, disconnect: true", "read",
			"faults[1]: sftp.read disconnect after 65536", &journal.Fired{At: 64 << 10, Sent: 64 << 10}, "sftp.abort",
			&journal.Fired{At: 64 << 10, Sent: 64 << 10}, "faults[1]",
		},
		{"a read fails", "sftp.read", `after: 64KiB, error: "bad sector"`, "read", "faults[1]: sftp.read error after 65536",
			&journal.Fired{At: 64 << 10, Sent: 64 << 10}, "sftp.close", &journal.Fired{At: 64 << 10, Sent: 64 << 10}, ""},
		{"a read that ends before the break", "sftp.read", "after: 1MiB, reset: true", "", "",
			nil, "sftp.get", nil, "was chosen"},
		{
			"an open fails", "sftp.open", `error: "no more inodes"`, "open", "faults[1]: sftp.open error", &journal.Fired{},
			"", nil, "",
		},
		{
			"an open is cut off", "sftp.open", "disconnect: true", "open", "faults[1]: sftp.open disconnect",
			&journal.Fired{}, "", nil, "",
		},
		{"a close fails", "sftp.close", `error: "quota"`, "close", "faults[1]: sftp.close error",
			&journal.Fired{At: size, Received: size}, "sftp.abort", &journal.Fired{At: size, Received: size}, "faults[1]"},
		{"a close is cut off", "sftp.close", "disconnect: true", "close", "faults[1]: sftp.close disconnect",
			&journal.Fired{At: size, Received: size}, "sftp.abort", &journal.Fired{At: size, Received: size}, "faults[1]"},
		{
			"a login is refused", "sftp.login", "refuse: true", "login", "faults[1]: sftp.login refuse", &journal.Fired{},
			"", nil, "",
		},
		{
			"a login is cut off", "sftp.login", "disconnect: true", "login", "faults[1]: sftp.login disconnect",
			&journal.Fired{}, "", nil, "",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := onWire(t, &mockserver.Options{
				Scenarios: scripted(t, "name: one\nfaults:\n  - {on: create, skip: 9, cut: true}\n  - {on: "+tc.on+", times: 1, "+
					tc.fault+"}\n")})
			m := w.create()
			w.grant(m, "ed25519")
			if tc.on == "sftp.read" {
				w.upload(m, dump)
			}
			if c, err := w.dial(m, "ed25519"); err == nil {
				transfer(c, tc.on == "sftp.read", dump)
				c.Close()
				w.cut(c)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			await := func(on string) journal.Event {
				t.Helper()
				e, err := w.srv.Await(ctx, journal.Filter{On: on})
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			await("sftp.disconnect")
			if tc.op == "" {
				if events := w.srv.Events(journal.Filter{On: "sftp.fault"}); len(events) > 0 {
					t.Errorf("a fault is told that did not fire: %+v", events)
				}
			} else {
				e := await("sftp.fault")
				diff(t, "the fault", []any{tc.op, tc.want, tc.fired, m.id, "one"}, []any{e.Op, e.Fault, e.Fired, e.Request,
					e.Scenario})
			}
			if tc.end != "" {
				e := await(tc.end)
				diff(t, "the end", []any{tc.want, tc.atEnd}, []any{e.Fault, e.Fired})
				if !strings.Contains(e.Why, tc.why) {
					t.Errorf("why: %q, want something with %q", e.Why, tc.why)
				}
			}
		})
	}
}

// transfer reads or writes the shared file as far as it can.
func transfer(c *sftp.Client, read bool, dump []byte) {
	flags := os.O_WRONLY
	if read {
		flags = os.O_RDONLY
	}
	f, err := c.OpenFile("/db_name.dump", flags)
	if err != nil {
		return
	}
	for at := 0; err == nil && !read && at < len(dump); at += 30_000 {
		_, err = f.Write(dump[at:min(at+30_000, len(dump))])
	}
	for buf := make([]byte, 30_000); err == nil && read; {
		_, err = f.Read(buf)
	}
	f.Close()
}

// TestFaults_journalHostKey holds that a changed host key is told when it is shown, and what the client made of it.
func TestFaults_journalHostKey(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	w := onWire(t, &mockserver.Options{
		Scenarios: scripted(t, "name: other\nfaults: [{on: sftp.login, times: 2, hostkey: changed}]\n")})
	m := w.create()
	w.grant(m, "ed25519")
	if _, err := w.dial(m, "ed25519"); err == nil {
		t.Fatal("the client took the other key for the known one")
	}
	const fault = "faults[0]: sftp.login hostkey"
	shown, err := w.srv.Await(ctx, journal.Filter{On: "sftp.fault"})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "the fault", []any{"hostkey", fault, &journal.Fired{}, m.id, "other"},
		[]any{shown.Op, shown.Fault, shown.Fired, shown.Request, shown.Scenario})
	last, err := w.srv.Await(ctx, journal.Filter{On: "sftp.disconnect"})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "the end", []any{fault, m.id, shown.Session}, []any{last.Fault, last.Request, last.Session})
	if !strings.HasPrefix(last.Why, "the client refused the host key") {
		t.Errorf("why: %q", last.Why)
	}

	signer, err := gossh.ParsePrivateKey(fixtures.Key("ed25519"))
	if err != nil {
		t.Fatal(err)
	}
	careless, err := gossh.Dial("tcp", w.sftpAddr, &gossh.ClientConfig{
		User: m.user(), Auth: []gossh.AuthMethod{gossh.PublicKeys(signer)}, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		t.Fatal(err)
	}
	careless.Close()
	login, err := w.srv.Await(ctx, journal.Filter{On: "sftp.login"})
	if err != nil {
		t.Fatal(err)
	}
	if login.Fault != fault || !strings.HasPrefix(login.Why, "the client accepted a host key") {
		t.Errorf("the login is told with the fault %q, why %q", login.Fault, login.Why)
	}
}
