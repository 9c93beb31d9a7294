package refserver

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// transferTime is how long a transfer is there.
const transferTime = 5 * time.Minute

// transfer is the temporary server of one transfer.
type transfer struct {
	s       *Script
	job     *job
	upload  bool
	hostKey ssh.Signer
	l       net.Listener
	timer   *time.Timer

	mu     sync.Mutex
	conns  map[net.Conn]bool
	closed bool
}

// newTransfer opens a server for the request.
func (s *Script) newTransfer(j *job, upload bool) (*transfer, error) {
	t := &transfer{s: s, job: j, upload: upload, hostKey: s.hostKey, conns: map[net.Conn]bool{}}
	if s.is("differently") {
		t.hostKey = newHostKey()
	}
	if err := t.listen(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.timer = time.AfterFunc(transferTime, t.close)
	t.mu.Unlock()
	s.wg.Go(t.accept)
	return t, nil
}

// listen takes a port that no transfer of the request had. The system's free ports are those of 32768–60999, where
// nobody has changed that.
func (t *transfer) listen() error {
	before := t.job.ports
	if t.s.is("the same port for each") {
		before = nil
		for _, j := range t.s.jobs {
			j.transfer.close() // which frees the port
		}
	}
	for n := range 1000 {
		addr := "127.0.0.1:0"
		switch {
		case t.s.is("the same port for each") && t.s.port != 0:
			addr = fmt.Sprint("127.0.0.1:", t.s.port)
		case t.s.is("ports below the range"):
			addr = fmt.Sprint("127.0.0.1:", 32700-n)
		}
		l, err := net.Listen("tcp", addr)
		if err != nil && addr == "127.0.0.1:0" {
			return err
		}
		if err != nil {
			continue
		}
		t.l = l
		if !slices.Contains(before, t.port()) {
			t.job.ports, t.s.port = append(t.job.ports, t.port()), t.port()
			return nil
		}
		l.Close()
	}
	return errors.New("no port is free")
}

func (t *transfer) port() int { return t.l.Addr().(*net.TCPAddr).Port }

// close ends the server and its sessions.
func (t *transfer) close() {
	if t == nil {
		return
	}
	t.l.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.timer.Stop()
	for c := range t.conns {
		c.Close()
	}
}

// knownHosts is the text for ssh, which reaches the transfer at the host of the call.
func (t *transfer) knownHosts(host string) string {
	key := string(bytes.TrimSpace(ssh.MarshalAuthorizedKey(t.hostKey.PublicKey())))
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	if t.s.is("differently") { // ssh asks for the name without a port as well
		return "# upgrade node 7\n" + name + " " + key + "\n"
	}
	return fmt.Sprintf("[%s]:%d %s upgrade\n", name, t.port(), key)
}

// accept serves connections until the listener is closed.
func (t *transfer) accept() {
	for {
		c, err := t.l.Accept()
		if err != nil {
			return
		}
		t.mu.Lock()
		gone := t.closed
		t.conns[c] = true
		t.mu.Unlock()
		if gone {
			c.Close()
			return
		}
		t.s.wg.Go(func() {
			if t.s.Conn != nil {
				t.s.Conn(c)
			} else {
				t.serve(c)
			}
			c.Close()
			t.mu.Lock()
			delete(t.conns, c)
			t.mu.Unlock()
		})
	}
}

// serve serves one connection.
func (t *transfer) serve(raw net.Conn) {
	s := t.s
	config := &ssh.ServerConfig{
		Config: ssh.Config{KeyExchanges: []string{ssh.KeyExchangeCurve25519}}, // the quickest
		PublicKeyCallback: func(meta ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if meta.User() != "odoo" && !s.is("differently") {
				return nil, errNotLetIn
			}
			if !bytes.Equal(key.Marshal(), t.job.key.Marshal()) && !s.ofAnother(key) {
				return nil, errNotLetIn
			}
			return nil, nil
		},
	}
	if s.is("differently") {
		config.ServerVersion = "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5"
		config.BannerCallback = func(ssh.ConnMetadata) string { return "Odoo upgrade platform\n" }
	}
	config.AddHostKey(t.hostKey)
	if s.Login != nil {
		s.Login(config)
	}
	raw.SetDeadline(time.Now().Add(time.Minute))
	conn, chans, reqs, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	raw.SetDeadline(time.Time{})
	go func() {
		for r := range reqs {
			r.Reply(s.is("forwards"), nil)
		}
	}()
	var sessions sync.WaitGroup
	for nc := range chans {
		if nc.ChannelType() != "session" {
			if !s.is("forwards") {
				nc.Reject(ssh.Prohibited, "sessions only")
				continue
			}
		}
		ch, chReqs, err := nc.Accept()
		if err != nil {
			break
		}
		sessions.Go(func() { t.session(ch, chReqs) })
	}
	conn.Wait()
	sessions.Wait()
}

// ofAnother reports whether a key opens the transfers of other requests, too.
func (s *Script) ofAnother(key ssh.PublicKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.is("keys open every request") && slices.ContainsFunc(s.jobs, func(j *job) bool {
		return bytes.Equal(j.key.Marshal(), key.Marshal())
	})
}

// session serves a channel, which has one command.
func (t *transfer) session(ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	for r := range reqs {
		if t.s.Request != nil && t.s.Request(r, ch) {
			return
		}
		var line struct{ Text string }
		if r.Type != "exec" || ssh.Unmarshal(r.Payload, &line) != nil {
			r.Reply(false, nil)
			continue
		}
		c, err := t.command(line.Text)
		if err != nil && t.s.is("differently") {
			r.Reply(false, nil)
			continue
		}
		r.Reply(true, nil)
		var rest sync.WaitGroup
		rest.Go(func() { ssh.DiscardRequests(reqs) })
		defer rest.Wait()
		defer ch.Close()
		status := 1
		if err == nil && c.protected {
			err = t.protectedArgs(c, ch)
		}
		if err != nil {
			fmt.Fprintln(ch.Stderr(), err)
		} else {
			c.Channel = ch
			status = t.run(c)
		}
		ch.CloseWrite()
		if t.s.is("the exit status is always 0") {
			status = 0
		}
		if !t.s.is("no exit status") {
			ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		}
		return
	}
}

// run runs a command, and remembers whether an upload came to its end.
func (t *transfer) run(c *Command) int {
	s := t.s
	number := 0
	if t.upload {
		s.mu.Lock()
		t.job.whole = false
		t.job.uploads++
		number = t.job.uploads
		s.mu.Unlock()
	}
	next := func() int { return c.run(s.rsync) }
	var status int
	if s.Run != nil {
		status = s.Run(c, next)
	} else {
		status = next()
	}
	if t.upload {
		s.mu.Lock()
		t.job.whole = t.job.whole || status == 0 && number == t.job.uploads
		if status == 0 && s.is("leaves new with the upload") {
			t.job.state = "pending"
		}
		s.mu.Unlock()
	}
	return status
}
