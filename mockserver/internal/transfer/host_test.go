package transfer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/rsync"
	"github.com/upgrademock/upgrademock/mockserver/internal/datadir"
	"github.com/upgrademock/upgrademock/mockserver/internal/platform"
	"github.com/upgrademock/upgrademock/mockserver/internal/transfer"
	"github.com/upgrademock/upgrademock/mockserver/journal"
	"github.com/upgrademock/upgrademock/mockserver/scenario"
)

// guard is how long a test waits for what must come.
const guard = 60 * time.Second

// bed is a host with its platform.
type bed struct {
	*transfer.Host
	tb       testing.TB
	platform *platform.Platform
	journal  events
	hostKey  gossh.Signer
	clock    clock
}

// setting is what a test may alter before a bed is made.
type setting struct {
	transfer.Options
	script *scenario.Scenario
}

// newBed makes a host that the test's end closes. Its clock stands still.
func newBed(tb testing.TB, change ...func(*setting)) *bed {
	tb.Helper()
	b := &bed{tb: tb, hostKey: newHostKey(tb), clock: clock{now: time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)}}
	b.journal.changed = sync.NewCond(&b.journal.mu)
	s := setting{script: &scenario.Scenario{Steps: []scenario.Step{{State: "done"}}}, Options: transfer.Options{
		HostKeys: []gossh.Signer{b.hostKey}, Record: b.journal.add, Now: b.clock.Now, Engine: rsync.InProcess(),
		OtherKeys: func() ([]gossh.Signer, error) { return []gossh.Signer{newHostKey(tb)}, nil },
		Logger:    slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}}
	for _, c := range change {
		c(&s)
	}
	dir, err := datadir.Temp(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	b.platform, err = platform.New(platform.Options{
		Dir: dir, Now: b.clock.Now, Virtual: true,
		Script:        func(platform.CreateParams) *scenario.Scenario { return s.script },
		TransferEnded: func(id int64) { b.Host.End(id) },
	})
	if err != nil {
		tb.Fatal(err)
	}
	if b.Host, err = transfer.New(s.Options); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		b.Close()
		if err := errors.Join(b.platform.Close(), dir.Close()); err != nil {
			tb.Error(err)
		}
	})
	if err := b.Listen(); err != nil {
		tb.Fatal(err)
	}
	return b
}

// with has the bed's requests meet the faults.
func with(faults ...scenario.Fault) func(*setting) {
	return func(s *setting) { s.script.Faults = faults }
}

// clock is one that stands still until it is advanced.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// events keeps what a host has journalled.
type events struct {
	mu      sync.Mutex
	changed *sync.Cond
	list    []journal.Event
}

func (j *events) add(e *journal.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, *e)
	j.changed.Broadcast()
}

// of returns the events with one of these Ons.
func (j *events) of(on ...string) []journal.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(j.list), func(e journal.Event) bool { return !slices.Contains(on, e.On) })
}

// await returns the events with that On as soon as there are n.
func (j *events) await(tb testing.TB, n int, on string) []journal.Event {
	tb.Helper()
	j.awaitThat(tb, func(list []journal.Event) bool {
		seen := 0
		for _, e := range list {
			if e.On == on {
				seen++
			}
		}
		return seen >= n
	})
	return j.of(on)
}

// awaitThat waits until it is true of the events.
func (j *events) awaitThat(tb testing.TB, is func([]journal.Event) bool) {
	tb.Helper()
	late := time.Now().Add(guard)
	defer time.AfterFunc(guard, j.changed.Broadcast).Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for !is(j.list) {
		if time.Now().After(late) {
			tb.Fatalf("what was awaited has not come after %v: %+v", guard, j.list)
		}
		j.changed.Wait()
	}
}

func newHostKey(tb testing.TB) gossh.Signer {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return signer(tb, key)
}

func signer(tb testing.TB, key any) gossh.Signer {
	tb.Helper()
	s, err := gossh.NewSignerFromKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// identity is a client's key.
type identity struct {
	gossh.Signer
	file string // of the private key, as OpenSSH's client reads it
}

func newIdentity(tb testing.TB) identity {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	block, err := gossh.MarshalPrivateKey(key, "")
	if err != nil {
		tb.Fatal(err)
	}
	file := filepath.Join(tb.TempDir(), "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		tb.Fatal(err)
	}
	return identity{signer(tb, key), file}
}

// request makes a request in state new.
func (b *bed) request(key identity) *platform.Request {
	b.tb.Helper()
	created, fails := b.platform.CreateScript(platform.ScriptParams{
		Contract: "M123456-abcdef", Target: "17.0", Aim: "test", Actuator: "cli", APIVersion: "0.2",
		SSHKey: string(gossh.MarshalAuthorizedKey(key.PublicKey())),
	})
	if fails != nil {
		b.tb.Fatal(fails)
	}
	r, ok := b.platform.Get(created.ID)
	if !ok {
		b.tb.Fatal("the new request is not there")
	}
	return r
}

// start begins a transfer and returns its port.
func (b *bed) start(r *platform.Request, kind string) transfer.Transfer {
	b.tb.Helper()
	t, err := b.Start(r, kind)
	if err != nil {
		b.tb.Fatal(err)
	}
	return t
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// dial logs in, as odoo unless change says otherwise.
func (b *bed) dial(port int, key identity, change ...func(*gossh.ClientConfig)) (*gossh.Client, error) {
	config := &gossh.ClientConfig{
		User: "odoo", Auth: []gossh.AuthMethod{gossh.PublicKeys(key)}, Timeout: guard,
		HostKeyCallback: gossh.FixedHostKey(b.hostKey.PublicKey()),
	}
	for _, c := range change {
		c(config)
	}
	client, err := gossh.Dial("tcp", address(port), config)
	if err == nil {
		b.tb.Cleanup(func() { client.Close() })
	}
	return client, err
}

func (b *bed) mustDial(port int, key identity) *gossh.Client {
	b.tb.Helper()
	client, err := b.dial(port, key)
	if err != nil {
		b.tb.Fatal(err)
	}
	return client
}

// wantRefused waits until the port refuses connections.
func wantRefused(tb testing.TB, port int) {
	tb.Helper()
	for late := time.Now().Add(guard); ; {
		c, err := net.Dial("tcp", address(port))
		if err != nil {
			return
		}
		c.Close()
		if time.Now().After(late) {
			tb.Fatalf("port %d still takes connections", port)
		}
	}
}

// serving is an engine of the tests' own: a function.
type serving func(context.Context, rsync.Stream, *rsync.Command, *rsync.Job) (uint8, error)

func (f serving) Serve(ctx context.Context, s rsync.Stream, c *rsync.Command, j *rsync.Job) (uint8, error) {
	return f(ctx, s, c, j)
}

// echo answers what comes.
func echo(_ context.Context, s rsync.Stream, _ *rsync.Command, _ *rsync.Job) (uint8, error) {
	_, err := io.Copy(s.Out, s.In)
	return 0, err
}

// upload and download are command lines of the script.
const (
	upload   = "rsync --server -logDtpre.iLsfxC --delete-after . /data/origin.dump"
	download = "rsync --server --sender -logDtpre.iLsfxC --ignore-missing-args . /data/upgraded.dump /data/filestore " +
		"/data/upgrade-report.html /data/upgrade.log"
)

// run runs a command with what comes on its standard input, and returns what it writes to both outputs.
func run(tb testing.TB, c *gossh.Client, command, input string) (stdout, stderr string, err error) {
	tb.Helper()
	s, err := c.NewSession()
	if err != nil {
		tb.Fatal(err)
	}
	defer s.Close()
	var out, errs strings.Builder
	s.Stdin, s.Stdout, s.Stderr = strings.NewReader(input), &out, &errs
	err = s.Run(command)
	return out.String(), errs.String(), err
}

func withEngine(f serving) func(*setting) { return func(s *setting) { s.Engine = f } }
