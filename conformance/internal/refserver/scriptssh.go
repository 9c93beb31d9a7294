package refserver

import (
	"bytes"
	"fmt"
	"net"
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
	used := map[int]bool{}
	for _, old := range j.replaced {
		used[old.port()] = true
	}
	// A free port of the system's is one of 32768–60999 where nobody has changed that. It may come again.
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		if t.l = l; !used[t.port()] {
			break
		}
		l.Close()
	}
	t.mu.Lock()
	t.timer = time.AfterFunc(transferTime, t.close)
	t.mu.Unlock()
	s.wg.Go(t.accept)
	return t, nil
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
			if t.s.Conn == nil || !t.s.Conn(c) {
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
			if !bytes.Equal(key.Marshal(), t.job.key.Marshal()) {
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
			r.Reply(false, nil)
		}
	}()
	var sessions sync.WaitGroup
	for nc := range chans {
		if nc.ChannelType() != "session" {
			nc.Reject(ssh.Prohibited, "sessions only")
			continue
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

// session serves a channel, which has one command.
func (t *transfer) session(ch ssh.Channel, reqs <-chan *ssh.Request) {
	defer ch.Close()
	for r := range reqs {
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
		if !t.s.is("no exit status") {
			ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
		}
		return
	}
}

// run runs a command, and remembers whether an upload came to its end.
func (t *transfer) run(c *Command) int {
	s := t.s
	if t.upload {
		s.mu.Lock()
		t.job.whole = false
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
		t.job.whole = status == 0
		s.mu.Unlock()
	}
	return status
}
