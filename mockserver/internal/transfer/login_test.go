package transfer_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
)

// Only the user odoo with the key of create logs in, and only by that key.
func TestLogin(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key, other := newIdentity(t), newIdentity(t)
	r := b.request(key)
	b.request(other) // a key of another request is none of this one's
	port := b.start(r, platform.Uploading).Port
	nothing := func(*gossh.ClientConfig) {}
	password := func(c *gossh.ClientConfig) { c.Auth = []gossh.AuthMethod{gossh.Password("odoo")} }
	connections := 0
	for name, test := range map[string]struct {
		key    identity
		change func(*gossh.ClientConfig)
		why    string // "" for a login
	}{
		"the key":           {key, nothing, ""},
		"another key":       {other, nothing, "the key is not the one"},
		"another user":      {key, func(c *gossh.ClientConfig) { c.User = "root" }, "the user of a transfer is odoo"},
		"a password":        {key, password, "only public keys"},
		"no authentication": {key, func(c *gossh.ClientConfig) { c.Auth = nil }, "no key to offer"},
	} {
		client, err := b.dial(port, test.key, test.change)
		connections++
		if (err == nil) != (test.why == "") {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			client.Close()
		}
		b.journal.await(t, connections, "rsync.disconnect")
		if test.why == "" {
			continue
		}
		refused := false
		for _, e := range b.journal.of("rsync.refused") {
			refused = refused || strings.Contains(e.Why, test.why) && e.Request == r.ID()
		}
		if !refused {
			t.Errorf("%s: no event of request %d says %q: %+v", name, r.ID(), test.why, b.journal.of("rsync.refused"))
		}
	}
	e := b.journal.await(t, 1, "rsync.login")[0]
	want := gossh.FingerprintSHA256(key.PublicKey())
	if e.Request != r.ID() || e.User != "odoo" || e.PubKey != want || e.Auth != "publickey" || e.Session == 0 ||
		e.Contract != "M123456-abcdef" || !strings.HasPrefix(e.Client, "SSH-2.0-") {
		t.Errorf("the login's event: %+v", e)
	}
}

// Nothing but rsync is served, and the client is told.
func TestSession_onlyRsync(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key := newIdentity(t)
	client := b.mustDial(b.start(b.request(key), platform.Uploading).Port, key)
	for _, command := range []string{"ls /", "rsync --daemon", "rsync --server -e 'sh -c id' . /data/x", "", download} {
		_, stderr, err := run(t, client, command, "")
		exit, ok := errors.AsType[*gossh.ExitError](err)
		if !ok || exit.ExitStatus() != 1 {
			t.Errorf("%q: %v, want exit status 1", command, err)
		}
		if strings.TrimSpace(stderr) == "" || strings.Count(strings.TrimSpace(stderr), "\n") > 0 {
			t.Errorf("%q: %q on stderr, want one line", command, stderr)
		}
	}
	for name, try := range map[string]func(*gossh.Session) error{
		"a subsystem": func(s *gossh.Session) error { return s.RequestSubsystem("sftp") },
		"a terminal":  func(s *gossh.Session) error { return s.RequestPty("xterm", 24, 80, nil) },
	} {
		s, err := client.NewSession()
		if err != nil {
			t.Fatal(err)
		}
		if try(s) == nil {
			t.Errorf("%s was served", name)
		}
		s.Close()
	}
	if c, err := client.Dial("tcp", "127.0.0.1:1"); err == nil {
		c.Close()
		t.Error("a connection was forwarded")
	}
	if l, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
		t.Error("a listener was forwarded")
	}
	if out, _, err := run(t, client, upload, "hello"); err != nil || out != "hello" {
		t.Errorf("rsync after all that: %q, %v", out, err)
	}
	var denied []string
	for _, e := range b.journal.of("rsync.denied") {
		denied = append(denied, e.Op)
	}
	want := map[string]int{"exec": 5, "subsystem": 1, "pty-req": 1, "direct-tcpip": 1, "tcpip-forward": 1}
	got := map[string]int{}
	for _, op := range denied {
		got[op]++
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("events of what was refused (-want +got):\n%s", d)
	}
}

// The text of known_hosts holds for the port, under each name, and for no other.
func TestStart_knownHosts(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(s *setting) {
		s.Names = func() []string { return []string{"upgrade.example.com", "", "127.0.0.1"} }
	})
	started := b.start(b.request(newIdentity(t)), platform.Uploading)
	p := started.Port
	names := []string{
		fmt.Sprintf("[127.0.0.1]:%d", p), fmt.Sprintf("[localhost]:%d", p), fmt.Sprintf("[::1]:%d", p),
		fmt.Sprintf("[upgrade.example.com]:%d", p),
	}
	if want := knownhosts.Line(names, b.hostKey.PublicKey()) + "\n"; *started.KnownHosts != want {
		t.Errorf("known_hosts is %q, want %q", *started.KnownHosts, want)
	}
	if p < 32768 || p > 60999 {
		t.Errorf("port %d, want one from 32768 to 60999 (row S3.4)", p)
	}
}

// A second start replaces the first: another port, and the first one is gone with what ran there. Stop ends a
// transfer, and one that is not there is no failure.
func TestStart_replaces(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key := newIdentity(t)
	r := b.request(key)
	b.Stop(r.ID())
	first := b.start(r, platform.Uploading)
	session := b.hold(first.Port, key)
	second := b.start(r, platform.Uploading)
	if first.Port == second.Port {
		t.Fatal("the second transfer has the port of the first")
	}
	wantRefused(t, first.Port)
	if err := session.Wait(); err == nil {
		t.Error("the session of the first transfer has ended well")
	}
	if e := b.journal.await(t, 1, "rsync.upload")[0]; !strings.Contains(e.Why, transfer.ErrReplaced.Error()) {
		t.Errorf("the session of the first transfer: %+v", e)
	}
	client := b.mustDial(second.Port, key)
	if out, _, err := run(t, client, upload, "hello"); err != nil || out != "hello" {
		t.Errorf("the second transfer: %q, %v", out, err)
	}
	b.Stop(r.ID())
	wantRefused(t, second.Port)
	b.journal.await(t, 2, "rsync.disconnect")
	b.Stop(r.ID())
}

// A connection that has not logged in ends with the port.
func TestStop_silent(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	r := b.request(newIdentity(t))
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(b.start(r, platform.Uploading).Port)))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Read(make([]byte, 1)); err != nil { // it was accepted
		t.Fatal(err)
	}
	b.Stop(r.ID())
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a silent connection stays when its port is closed")
	}
}

// held is a session that runs, and its connection.
type held struct {
	*gossh.Session
	client *gossh.Client
}

// hold begins a session that runs until its transfer ends.
func (b *bed) hold(port int, key identity) held {
	b.tb.Helper()
	client := b.mustDial(port, key)
	s, err := client.NewSession()
	if err != nil {
		b.tb.Fatal(err)
	}
	in, err := s.StdinPipe()
	if err != nil {
		b.tb.Fatal(err)
	}
	out, err := s.StdoutPipe()
	if err != nil {
		b.tb.Fatal(err)
	}
	if err := s.Start(upload); err != nil {
		b.tb.Fatal(err)
	}
	in.Write([]byte("x"))
	if _, err := out.Read(make([]byte, 1)); err != nil {
		b.tb.Fatal(err)
	}
	return held{s, client}
}

// A transfer ends when its request leaves the state that allowed it, is wiped, or is forgotten.
func TestEnd_state(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*bed, *platform.Request) error{
		"another state": func(_ *bed, r *platform.Request) error { _, err := r.Force("progress", nil); return err },
		"a reset": func(b *bed, r *platform.Request) error {
			return b.platform.Reset(func(id int64, _ string) bool { return id == r.ID() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, withEngine(echo))
			key := newIdentity(t)
			r, stays := b.request(key), b.request(key)
			port, other := b.start(r, platform.Uploading).Port, b.start(stays, platform.Uploading).Port
			session := b.hold(port, key)
			if err := leave(b, r); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, port)
			if err := session.Wait(); err == nil {
				t.Error("the session has ended well")
			}
			if e := b.journal.await(t, 1, "rsync.upload")[0]; !strings.Contains(e.Why, transfer.ErrState.Error()) {
				t.Errorf("the session: %+v", e)
			}
			b.mustDial(other, key)
		})
	}
}

// Without a session the emulator's clock decides when the time of a transfer is over.
func TestTimeout_clock(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key := newIdentity(t)
	port := b.start(b.request(key), platform.Uploading).Port
	advance := func(d time.Duration) {
		b.clock.advance(d)
		b.Evaluate()
	}
	advance(4 * time.Minute)
	session := b.hold(port, key)
	advance(time.Hour) // traffic takes real time
	in := b.mustDial(port, key)
	in.Close()
	session.client.Close()
	b.journal.await(t, 2, "rsync.disconnect") // the last event of each connection, when its sessions have ended
	advance(4 * time.Minute)
	b.mustDial(port, key).Close()
	advance(time.Minute)
	wantRefused(t, port)
}

// A transfer that is never used ends by itself.
func TestTimeout_unused(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(s *setting) { s.Timeout, s.Now = 300*time.Millisecond, time.Now })
	wantRefused(t, b.start(b.request(newIdentity(t)), platform.Uploading).Port)
}

// A session in which nothing moves ends with its transfer. The clock stands, so that the time before it does not count.
func TestTimeout_session(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo), func(s *setting) { s.Timeout = 300 * time.Millisecond })
	key := newIdentity(t)
	port := b.start(b.request(key), platform.Uploading).Port
	s, err := b.mustDial(port, key).NewSession()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := s.Run(upload); err == nil {
		t.Error("the session has ended well")
	}
	if e := b.journal.await(t, 1, "rsync.upload")[0]; !strings.Contains(e.Why, transfer.ErrTimeout.Error()) {
		t.Errorf("the session: %+v", e)
	}
	wantRefused(t, port)
}

// There are bounds, and nothing begins after Close.
func TestStart_bounds(t *testing.T) {
	t.Parallel()
	b := newBed(t, func(s *setting) { s.Max = 2 })
	key := newIdentity(t)
	first, second, third := b.request(key), b.request(key), b.request(key)
	b.start(first, platform.Uploading)
	b.start(second, platform.Uploading)
	if _, err := b.Start(third, platform.Uploading); !errors.Is(err, transfer.ErrTooMany) {
		t.Errorf("a third transfer: %v, want ErrTooMany", err)
	}
	b.start(second, platform.Uploading)
	b.Stop(first.ID())
	port := b.start(third, platform.Uploading).Port
	b.Close()
	wantRefused(t, port)
	if _, err := b.Start(first, platform.Uploading); !errors.Is(err, transfer.ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

// At one port for all, the key says whose transfer it is; of several with one key, it is the one started last.
func TestSharedPort(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // a port that is free now
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	b := newBed(t, withEngine(echo), func(s *setting) { s.Addr = addr })
	if b.Addr().String() != addr {
		t.Errorf("the host listens at %v, want %s", b.Addr(), addr)
	}
	mine, theirs, stranger := newIdentity(t), newIdentity(t), newIdentity(t)
	old, other, young := b.request(mine), b.request(theirs), b.request(mine)
	var port int
	for _, r := range []*platform.Request{old, other, young} {
		started := b.start(r, platform.Uploading)
		if port == 0 {
			port = started.Port
		}
		if started.Port != port || !strings.HasSuffix(addr, fmt.Sprint(":", port)) {
			t.Errorf("port %d, want that of %s", started.Port, addr)
		}
	}
	logins := 0
	want := func(key identity, id int64) {
		t.Helper()
		b.mustDial(port, key).Close()
		logins++
		if e := b.journal.await(t, logins, "rsync.login")[logins-1]; e.Request != id {
			t.Errorf("the login is that of request %d, want %d", e.Request, id)
		}
	}
	want(theirs, other.ID())
	want(mine, young.ID())
	session := b.hold(port, mine)
	logins++
	b.Stop(other.ID())
	if _, err := b.dial(port, theirs); err == nil {
		t.Error("a login after stop")
	}
	if _, err := b.dial(port, stranger); err == nil {
		t.Error("a login with a key of no request")
	}
	b.start(old, platform.Uploading)
	want(mine, old.ID())
	b.Stop(old.ID())
	want(mine, young.ID())
	b.Stop(young.ID())
	if err := session.Wait(); err == nil {
		t.Error("the session has ended well")
	}
	if _, err := b.dial(port, mine); err == nil {
		t.Error("a login after all transfers have ended")
	}
}

// RSA keys sign with SHA-2 (row S4.7).
func TestLogin_rsa(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	whole := signer(t, private).(gossh.AlgorithmSigner)
	r := b.request(identity{Signer: whole})
	port := b.start(r, platform.Uploading).Port
	for algorithm, accepted := range map[string]bool{
		gossh.KeyAlgoRSASHA256: true, gossh.KeyAlgoRSASHA512: true, gossh.KeyAlgoRSA: false,
	} {
		signs, err := gossh.NewSignerWithAlgorithms(whole, []string{algorithm})
		if err != nil {
			t.Fatal(err)
		}
		with := func(c *gossh.ClientConfig) { c.Auth = []gossh.AuthMethod{gossh.PublicKeys(signs)} }
		if _, err := b.dial(port, identity{}, with); (err == nil) != accepted {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// Uploads of one request follow each other.
func TestSession_oneUploadAtATime(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	b := newBed(t, withEngine(func(ctx context.Context, s rsync.Stream, c *rsync.Command, j *rsync.Job) (uint8, error) {
		n := running.Add(1)
		defer running.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		return echo(ctx, s, c, j)
	}))
	key := newIdentity(t)
	r := b.request(key)
	port := b.start(r, platform.Uploading).Port
	first := b.hold(port, key)
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			c, err := b.dial(port, key)
			if err != nil {
				t.Error(err)
				return
			}
			if out, _, err := run(t, c, upload, "hello"); err != nil || out != "hello" {
				t.Errorf("a session that has waited: %q, %v", out, err)
			}
		})
	}
	first.client.Close()
	others.Wait()
	if most.Load() != 1 {
		t.Errorf("%d sessions have written at one time", most.Load())
	}
}

// Where the platform cannot take an upload now, the client is told so, and the journal why.
func TestSession_platformRefuses(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key := newIdentity(t)
	r := b.request(key)
	other, err := r.BeginUpload() // not by a session
	if err != nil {
		t.Fatal(err)
	}
	defer other.End(false, nil)
	_, stderr, err := run(t, b.mustDial(b.start(r, platform.Uploading).Port, key), upload, "")
	if exit, ok := errors.AsType[*gossh.ExitError](err); !ok || exit.ExitStatus() != 1 {
		t.Errorf("the session: %v, want exit status 1", err)
	}
	if !strings.Contains(stderr, "rsync: refused: ") {
		t.Errorf("the client was told %q", stderr)
	}
	e := b.journal.await(t, 1, "rsync.upload")[0]
	if e.Rsync.Exit != 1 || !strings.Contains(e.Why, "another session of rsync") {
		t.Errorf("the event: %+v, %+v", e, e.Rsync)
	}
}

// A download of what cannot be made of the upload says so, rather than that something went wrong.
func TestSession_unreadableDump(t *testing.T) {
	t.Parallel()
	b := newBed(t, withEngine(echo))
	key := newIdentity(t)
	r := b.request(key)
	forcedWith(t, r, "origin.dump", "PGDMP and no more")
	_, stderr, err := run(t, b.mustDial(b.start(r, platform.Downloading).Port, key), download, "")
	if exit, ok := errors.AsType[*gossh.ExitError](err); !ok || exit.ExitStatus() != 1 {
		t.Errorf("the session: %v, want exit status 1", err)
	}
	if !strings.Contains(stderr, "the uploaded one, which cannot be read") {
		t.Errorf("the client was told %q", stderr)
	}
	b.journal.await(t, 1, "rsync.download")
}
