package refserver

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshServer is the SFTP server, written packet by packet so that every answer can be changed.
type sshServer struct {
	s    *Server
	l    net.Listener
	dead net.Listener // accepts and says nothing
	keys []ssh.Signer

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]int // and the request whose they are; 0 before the login
}

func newSSHServer(t testing.TB, s *Server) *sshServer {
	h := &sshServer{s: s, conns: map[net.Conn]int{}}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	h.l, h.dead = listen(), listen()
	for range 2 {
		ec, err1 := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		_, ed, err2 := ed25519.GenerateKey(rand.Reader)
		k1, err3 := ssh.NewSignerFromKey(ec)
		k2, err4 := ssh.NewSignerFromKey(ed)
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			t.Fatal(err)
		}
		if s.is("sftp/host-key") {
			h.keys = append(h.keys, k2)
		} else {
			h.keys = append(h.keys, k1)
		}
	}
	serve := func(l net.Listener, f func(net.Conn)) {
		h.wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				h.mu.Lock()
				h.conns[c] = 0
				h.mu.Unlock()
				h.wg.Go(func() {
					f(c)
					c.Close()
					h.mu.Lock()
					delete(h.conns, c)
					h.mu.Unlock()
				})
			}
		})
	}
	serve(h.l, h.serve)
	serve(h.dead, func(c net.Conn) { io.WriteString(c, "220 this is FTP\r\n") })
	t.Cleanup(func() {
		h.l.Close()
		h.dead.Close()
		h.mu.Lock()
		for c := range h.conns {
			c.Close()
		}
		h.mu.Unlock()
		h.wg.Wait()
	})
	return h
}

func (h *sshServer) addr() string { return h.l.Addr().String() }

// deadPort is a port at which no SSH server is.
func (h *sshServer) deadPort() int { return h.dead.Addr().(*net.TCPAddr).Port }

// close ends the sessions of a request.
func (h *sshServer) close(id int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c, of := range h.conns {
		if of == id {
			c.Close()
		}
	}
}

var errNotLetIn = errors.New("not let in")

// serve serves a connection.
func (h *sshServer) serve(raw net.Conn) {
	s := h.s
	h.mu.Lock()
	hostKey := h.keys[0]
	if s.is("sftp/host-key-stable") {
		fresh, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		hostKey, _ = ssh.NewSignerFromKey(fresh)
	}
	h.mu.Unlock()
	config := h.loginConfig()
	config.AddHostKey(hostKey)
	raw.SetDeadline(time.Now().Add(20 * time.Second))
	conn, chans, reqs, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	raw.SetDeadline(time.Time{})
	id, _ := strconv.Atoi(conn.Permissions.Extensions["id"])
	h.mu.Lock()
	h.conns[raw] = id
	h.mu.Unlock()
	s.mu.Lock()
	req := s.reqs[id]
	s.mu.Unlock()
	go func() {
		for r := range reqs {
			r.Reply(r.Type == "tcpip-forward" && s.is("sftp/forwarding-refused"), nil)
		}
	}()
	for nc := range chans {
		if nc.ChannelType() != "session" {
			nc.Reject(ssh.Prohibited, "no")
			continue
		}
		ch, chReqs, err := nc.Accept()
		if err != nil {
			return
		}
		h.wg.Go(func() { h.session(conn, ch, chReqs, req) })
	}
	conn.Wait()
}

// loginConfig says who is let in.
func (h *sshServer) loginConfig() *ssh.ServerConfig {
	s := h.s
	var offered []byte // the first key offered, for the mutation that trusts it
	config := &ssh.ServerConfig{
		Config:       ssh.Config{KeyExchanges: []string{ssh.KeyExchangeCurve25519}}, // the quickest
		MaxAuthTries: 10,
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			id := s.keyOpens(meta.User(), key, offered)
			if offered == nil {
				offered = key.Marshal()
			}
			if id == 0 {
				return nil, errNotLetIn
			}
			return permissions(id), nil
		},
	}
	in := func(meta ssh.ConnMetadata) (*ssh.Permissions, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if req := s.requestOf(meta.User()); req != nil {
			return permissions(req.id), nil
		}
		return nil, errNotLetIn
	}
	if s.is("sftp/password") || s.is("sftp/password-key") || s.is("empty password") {
		config.PasswordCallback = func(meta ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if n := len(password); s.is("sftp/password") && n != 24 || s.is("sftp/password-key") && n == 24 ||
				s.is("empty password") && n == 0 {
				return in(meta)
			}
			return nil, errNotLetIn
		}
	}
	if s.is("sftp/keyboard-interactive") {
		config.KeyboardInteractiveCallback = func(meta ssh.ConnMetadata,
			_ ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			return in(meta)
		}
	}
	if s.is("sftp/no-authentication") {
		config.NoClientAuth = true
		config.NoClientAuthCallback = func(meta ssh.ConnMetadata) (*ssh.Permissions, error) {
			return in(meta)
		}
	}
	return config
}

// find is the request of a user, nil for none.
func (s *Server) requestOf(user string) *Request {
	id, err := strconv.Atoi(strings.TrimPrefix(user, "user_"))
	if err != nil || !strings.HasPrefix(user, "user_") {
		return nil
	}
	return s.reqs[id]
}

// keyOpens is the id of the request that the user's key opens, 0 for none. Offered is the first key that was offered
// on the connection, nil for the first.
func (s *Server) keyOpens(user string, key ssh.PublicKey, offered []byte) int {
	req := s.requestOf(user)
	var from []*Request
	switch {
	case s.is("sftp/cross-request"), s.is("sftp/no-access-asked") && (req == nil || len(req.keys) == 0):
		for _, r := range s.reqs {
			from = append(from, r)
		}
	case req != nil:
		from = append(from, req)
	}
	blob := key.Marshal()
	listed := func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), blob) }
	for _, r := range from {
		if !slices.ContainsFunc(r.keys, listed) {
			continue
		}
		if s.is("sftp/login-"+keyType(key.Type())) ||
			s.is("sftp/login-among-others") && offered != nil && !bytes.Equal(offered, blob) {
			return 0
		}
		if req == nil {
			return r.id
		}
		return req.id
	}
	if s.is("sftp/foreign-key") && req != nil && len(req.keys) > 0 && user == "user_"+strconv.Itoa(req.id) &&
		s.isForeign(key) {
		return req.id
	}
	return 0
}

// permissions are what a login for a request is given.
func permissions(id int) *ssh.Permissions {
	return &ssh.Permissions{Extensions: map[string]string{"id": strconv.Itoa(id)}}
}

// keyType is the type of a key in the names of mutations.
func keyType(t string) string {
	switch {
	case strings.Contains(t, "rsa"):
		return "rsa"
	case strings.Contains(t, "ecdsa"):
		return "ecdsa"
	}
	return "ed25519"
}

// isForeign reports whether no request lists the key.
func (s *Server) isForeign(key ssh.PublicKey) bool {
	for _, r := range s.reqs {
		if slices.ContainsFunc(r.keys, func(k ssh.PublicKey) bool { return bytes.Equal(k.Marshal(), key.Marshal()) }) {
			return false
		}
	}
	return true
}

// session serves a channel.
func (h *sshServer) session(conn ssh.Conn, ch ssh.Channel, reqs <-chan *ssh.Request, req *Request) {
	defer ch.Close()
	s := h.s
	for r := range reqs {
		var ok bool
		name := ""
		if r.Type == "subsystem" && len(r.Payload) > 4 {
			name = string(r.Payload[4:])
		}
		switch {
		case r.Type == "subsystem" && name == "sftp":
			ok = !s.is("sftp/session")
		case r.Type == "subsystem":
			ok = s.is("sftp/other-subsystem")
		case r.Type == "exec":
			ok = s.is("sftp/exec-refused")
		case r.Type == "shell":
			ok = s.is("sftp/shell-refused")
		case r.Type == "pty-req":
			ok = s.is("sftp/pty-refused")
		}
		if s.is("sftp hangs") {
			continue // never an answer
		}
		if r.WantReply {
			r.Reply(ok, nil)
		}
		if !ok {
			continue
		}
		if r.Type == "pty-req" {
			continue
		}
		go ssh.DiscardRequests(reqs)
		if name == "sftp" {
			f := &Session{s: s, Request: req, Handles: map[string]*Handle{}, rw: ch}
			f.serve()
			if s.is("sftp/exit-status") {
				return
			}
		}
		status := byte(0)
		if s.is("exit status 1") {
			status = 1
		}
		ch.SendRequest("exit-status", false, []byte{0, 0, 0, status})
		return
	}
}
