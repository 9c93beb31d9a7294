package sshhost_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
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

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

const user = "user_1"

var errStopped = errors.New("stopped")

// host is a running server that serves commands.
type host struct {
	tb     testing.TB
	srv    *sshhost.Server
	addr   string
	key    gossh.Signer // of user
	id     string       // the file with it
	shown  gossh.Signer // of the host
	events *events
	served chan error // what Serve returned
}

func newKey(tb testing.TB) gossh.Signer {
	tb.Helper()
	_, s := newKeyFile(tb)
	return s
}

// newKeyFile is a key that OpenSSH's client finds in a file.
func newKeyFile(tb testing.TB) (string, gossh.Signer) {
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
	s, err := gossh.NewSignerFromKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return file, s
}

// start serves the commands of serveCommand to one user.
func start(tb testing.TB, change ...func(*sshhost.Options)) *host {
	tb.Helper()
	h := &host{tb: tb, shown: newKey(tb), events: newEvents(), served: make(chan error, 1)}
	h.id, h.key = newKeyFile(tb)
	opts := sshhost.Options{
		Name:     "temporary echo server",
		Serves:   "echo",
		HostKeys: func(sshhost.Peer) []gossh.Signer { return []gossh.Signer{h.shown} },
		Login: func(_ sshhost.Peer, name string, key gossh.PublicKey) (sshhost.Grant, error) {
			if name != user || string(key.Marshal()) != string(h.key.PublicKey().Marshal()) {
				return sshhost.Grant{}, errors.New("unknown user or key")
			}
			return sshhost.Grant{Serve: serveCommand}, nil
		},
		Accepts: func(r sshhost.Request) bool {
			return r.Kind == sshhost.Exec && strings.HasPrefix(r.Command, "echo ")
		},
		Observe: h.events.add,
		Logger:  slog.New(slog.NewTextHandler(tb.Output(), nil)),
	}
	for _, c := range change {
		c(&opts)
	}
	h.srv = sshhost.New(opts)
	l := listen(tb)
	h.addr = l.Addr().String()
	go func() { h.served <- h.srv.Serve(l) }()
	tb.Cleanup(func() {
		h.srv.Close(errStopped)
		if err := <-h.served; err != nil {
			tb.Errorf("Serve returned %v after Close", err)
		}
	})
	return h
}

func listen(tb testing.TB) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// serveCommand serves "echo N": it copies stdin to stdout, reports on stderr how the input ended, and exits with N.
// "echo refuse" is refused by the handler.
func serveCommand(s *sshhost.Session) uint32 {
	_, arg, _ := strings.Cut(s.Command, " ")
	status, err := strconv.ParseUint(arg, 10, 32)
	if err != nil {
		fmt.Fprintf(s.Stderr(), "cannot echo %s\n", arg)
		return 1
	}
	if _, err := io.Copy(s, s); err != nil {
		return 255
	}
	fmt.Fprintf(s.Stderr(), "in order: %v\n", s.EndedInOrder())
	return uint32(status)
}

func (h *host) config() *gossh.ClientConfig {
	return &gossh.ClientConfig{
		User: user, Auth: []gossh.AuthMethod{gossh.PublicKeys(h.key)},
		HostKeyCallback: gossh.InsecureIgnoreHostKey(), Timeout: 30 * time.Second,
	}
}

// dial logs in. The connection is closed at the end of the test.
func (h *host) dial() *gossh.Client {
	h.tb.Helper()
	c, err := gossh.Dial("tcp", h.addr, h.config())
	if err != nil {
		h.tb.Fatal(err)
	}
	h.tb.Cleanup(func() { c.Close() })
	return c
}

// event is an Event with the Peer it is about.
type event struct {
	sshhost.Event
	Peer sshhost.Peer
}

// events keeps what the server reports.
type events struct {
	mu      sync.Mutex
	changed *sync.Cond
	list    []event
}

func newEvents() *events {
	e := new(events)
	e.changed = sync.NewCond(&e.mu)
	return e
}

func (j *events) add(p sshhost.Peer, e sshhost.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.list = append(j.list, event{e, p})
	j.changed.Broadcast()
}

// await returns the events of the kinds as soon as there are n.
func (j *events) await(tb testing.TB, n int, kinds ...sshhost.EventKind) []event {
	tb.Helper()
	const guard = 30 * time.Second
	late := time.Now().Add(guard)
	defer time.AfterFunc(guard, j.changed.Broadcast).Stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		var found []event
		for _, e := range j.list {
			if slices.Contains(kinds, e.Kind) {
				found = append(found, e)
			}
		}
		if len(found) >= n {
			return found
		}
		if time.Now().After(late) {
			tb.Fatalf("%d events of %v after %v, want %d: %+v", len(found), kinds, guard, n, j.list)
		}
		j.changed.Wait()
	}
}
