package sftpserver_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/sftpserver"
)

// host is a running server with one user, what it has reported, and a directory for the real programs.
type host struct {
	tb     testing.TB
	srv    *sftpserver.Server
	addr   string
	share  *share
	shares *shares
	key    gossh.Signer
	dir    string // holds the private key "id"
	events *journal

	paramikoKey string // the Python expression that loads "id"
}

const user, name = "user_10534", "openchs.70.cdump"

// now is the server's clock in tests.
var now = time.Date(2015, 9, 9, 7, 13, 49, 0, time.UTC)

// keys are made once: RSA takes its time.
var keys = sync.OnceValue(func() map[string]any {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	ec, err2 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	rs, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err := errors.Join(err, err2, err3); err != nil {
		panic(err)
	}
	return map[string]any{"ed25519": &ed, "ecdsa": ec, "rsa": rs}
})

func signer(tb testing.TB, kind string) gossh.Signer {
	tb.Helper()
	s, err := gossh.NewSignerFromKey(keys()[kind])
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// start serves one user whose ed25519 key is known; change may alter the options.
func start(tb testing.TB, change ...func(*sftpserver.Options)) *host {
	tb.Helper()
	h := &host{tb: tb, dir: tb.TempDir(), events: newJournal(), key: signer(tb, "ed25519")}
	h.share = &share{name: name, keys: []gossh.PublicKey{h.key.PublicKey()},
		mtime: time.Date(2015, 8, 30, 15, 58, 0, 0, time.UTC)}
	h.shares = &shares{users: map[string]*share{user: h.share}}
	opts := &sftpserver.Options{
		Shares:  h.shares,
		Observe: h.events.add,
		Now:     func() time.Time { return now },
		Logger:  slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}
	for _, c := range change {
		c(opts)
	}
	srv, err := sftpserver.New(opts)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	tb.Cleanup(func() {
		if err := srv.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
		if err := <-served; !errors.Is(err, sftpserver.ErrServerClosed) {
			tb.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
		if open, _ := h.share.ended(); open != 0 {
			tb.Errorf("%d files are still open after Close", open)
		}
	})
	h.srv, h.addr = srv, l.Addr().String()
	h.writeKey("id", "ed25519")
	return h
}

func (h *host) port() string {
	_, port, err := net.SplitHostPort(h.addr)
	if err != nil {
		h.tb.Fatal(err)
	}
	return port
}

// writeKey puts a private key where programs find it.
func (h *host) writeKey(file, kind string) string {
	h.tb.Helper()
	block, err := gossh.MarshalPrivateKey(keys()[kind], "host@test") // paramiko reads some keys without a comment wrong
	if err != nil {
		h.tb.Fatal(err)
	}
	return h.write(file, pem.EncodeToMemory(block))
}

// write makes a file in the host's directory.
func (h *host) write(file string, data []byte) string {
	h.tb.Helper()
	p := filepath.Join(h.dir, file)
	if err := os.WriteFile(p, data, 0o600); err != nil {
		h.tb.Fatal(err)
	}
	return p
}

func (h *host) read(file string) []byte {
	h.tb.Helper()
	b, err := os.ReadFile(filepath.Join(h.dir, file))
	if err != nil {
		h.tb.Fatal(err)
	}
	return b
}

func clientConfig(login string, auth ...gossh.AuthMethod) *gossh.ClientConfig {
	return &gossh.ClientConfig{User: login, Auth: auth, HostKeyCallback: gossh.InsecureIgnoreHostKey(),
		Timeout: 2 * time.Minute}
}

// dial logs in; the connection is closed at the end of the test.
func (h *host) dial() *gossh.Client {
	h.tb.Helper()
	c, err := gossh.Dial("tcp", h.addr, clientConfig(user, gossh.PublicKeys(h.key)))
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { c.Close() })
	return c
}

// client is a pkg/sftp client.
func (h *host) client(opts ...sftp.ClientOption) *sftp.Client {
	h.tb.Helper()
	c, err := sftp.NewClient(h.dial(), opts...)
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { c.Close() })
	return c
}

// pattern is n bytes that differ at each place within 64 KiB and more.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16 ^ i>>5)
	}
	return b
}

// journal keeps what the server reports.
type journal struct {
	mu      sync.Mutex
	changed *sync.Cond
	events  []sftpserver.Event
}

func newJournal() *journal {
	j := new(journal)
	j.changed = sync.NewCond(&j.mu)
	return j
}

func (j *journal) add(e sftpserver.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = append(j.events, e)
	j.changed.Broadcast()
}

// all returns the events of the kinds, or all of them.
func (j *journal) all(kinds ...sftpserver.EventKind) []sftpserver.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.ofLocked(kinds)
}

func (j *journal) ofLocked(kinds []sftpserver.EventKind) []sftpserver.Event {
	var list []sftpserver.Event
	for _, e := range j.events {
		if len(kinds) == 0 || slices.Contains(kinds, e.Kind) {
			list = append(list, e)
		}
	}
	return list
}

// await returns the events of a kind as soon as there are n.
func (j *journal) await(tb testing.TB, n int, kind sftpserver.EventKind) []sftpserver.Event {
	tb.Helper()
	timer := time.AfterFunc(2*time.Minute, func() { j.changed.Broadcast() })
	defer timer.Stop()
	deadline := time.Now().Add(2 * time.Minute)
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		list := j.ofLocked([]sftpserver.EventKind{kind})
		if len(list) >= n {
			return list
		}
		if !time.Now().Before(deadline) {
			tb.Fatalf("no %d events %q within 20 s; there are:\n%+v", n, kind, j.events)
		}
		j.changed.Wait()
	}
}

// freshKey is a key that is not known.
func freshKey(tb testing.TB) gossh.Signer {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	s, err := gossh.NewSignerFromKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// reset forgets all events.
func (j *journal) reset() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.events = nil
}
