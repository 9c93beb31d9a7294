package conformance

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// newKey makes a key pair for the occasion: "ed25519", "ecdsa" (P-256) or "rsa" (2048 bits). A key that is printed in
// some repository must not open a share on a real platform.
func newKey(kind string) ssh.Signer {
	var private any
	var err error
	switch kind {
	case "ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "rsa":
		return rsaKey()
	default:
		panic("conformance: no key type " + kind)
	}
	if err != nil {
		panic(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	return signer
}

// rsaKey is made once: it takes long.
var rsaKey = sync.OnceValue(func() ssh.Signer {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		panic(err)
	}
	return signer
})

// keyLine is the key as a line of authorized_keys, with a comment and without the line's end.
func keyLine(s ssh.Signer) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(s.PublicKey()))) + " conformance@example.com"
}

// access is what request_sftp_access answered, read as tolerantly as a client that only wants to get in.
type access struct {
	host, port, user, file string
	reply                  reply
}

func (a access) addr() string { return net.JoinHostPort(a.host, a.port) }

// readAccess takes the way in out of an answer; where a key is broken that another check judges, what the
// contract says it must be is taken.
func (b *checker) readAccess(r reply, req request) (access, bool) {
	m := r.request()
	a := access{host: text(m["hostname"]), port: number(m["sftp_port"]), user: text(m["sftp_user"]), file: text(m["shared_file"]), reply: r}
	if b.target.SFTPAddr != "" {
		a.host, a.port, _ = net.SplitHostPort(b.target.SFTPAddr)
	}
	if !strings.HasPrefix(a.user, "user_") {
		a.user = "user_" + req.id
	}
	a.file = req.filename()
	return a, m != nil && a.host != "" && a.port != ""
}

// access asks for SFTP access with the keys, in the documented way: a multipart file.
func (b *checker) access(req request, keys ...ssh.Signer) access {
	return b.accessBy("sftp-access/answer", req, keys...)
}

// accessBy is access where another check is there to name its trouble.
func (b *checker) accessBy(by string, req request, keys ...ssh.Signer) access {
	var lines []string
	for _, k := range keys {
		lines = append(lines, keyLine(k))
	}
	a, err := b.try(b.composeAccess(req.auth(), strings.Join(lines, "\n")+"\n"))
	if err != nil {
		b.blocked(by, "request_sftp_access: %v", err)
	}
	r := readReply(a)
	acc, ok := b.readAccess(r, req)
	if !ok {
		b.blocked(by, "request_sftp_access answered %s", r.came())
	}
	return acc
}

// composeAccess is the call of the documented samples: request and key in the query, the keys a file.
func (b *checker) composeAccess(auth params, keys string) call {
	c := call{method: "POST", url: b.methodURL("request_sftp_access") + "?" + auth.encode(),
		what: "POST request_sftp_access " + auth.String() + " with ssh_keys as a multipart file"}
	c.ctype, c.body = multipartBody(nil, &filePart{field: "ssh_keys", filename: "authorized_keys", ctype: "text/plain", data: []byte(keys)})
	return c
}

// login is an attempt to log in.
type login struct {
	addr, user string
	auth       []ssh.AuthMethod
	hostKeys   []string // the host key algorithms asked for; nil: any
	who        string   // in words, for messages
}

// entered is the outcome of a login.
type entered struct {
	OK      bool   `json:"ok"`
	Refused bool   `json:"refused"` // the server said no; otherwise it could not be asked
	KeyType string `json:"key_type"`
	HostKey string `json:"host_key"` // its fingerprint
	Err     string `json:"err,omitempty"`
}

// conn is an SSH connection. Its client is nil in a replay.
type conn struct {
	b       *checker
	entered entered
	raw     net.Conn
	client  *ssh.Client
}

// enter tries to log in. A server that can't be reached is the outcome of the attempt, too.
func (b *checker) enter(l login) *conn {
	c := &conn{b: b}
	c.entered, _ = exchange(b, "login", l.who+" as "+l.user, func() (entered, error) {
		b.waitTurn()
		return c.dial(l), nil
	})
	return c
}

func (c *conn) dial(l login) entered {
	b := c.b
	ctx, cancel := context.WithTimeout(b.ctx, b.callTime())
	defer cancel()
	var out entered
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", l.addr)
	if err != nil {
		out.Err = plainError(ctx, err, b.callTime()).Error()
		return out
	}
	// A hanging handshake ends with the time limit; an open connection, at the latest, with the check.
	disarm := context.AfterFunc(ctx, func() { raw.Close() })
	config := &ssh.ClientConfig{User: l.user, Auth: l.auth, HostKeyAlgorithms: l.hostKeys,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			out.KeyType, out.HostKey = key.Type(), ssh.FingerprintSHA256(key)
			return nil
		}}
	sc, chans, reqs, err := ssh.NewClientConn(raw, l.addr, config)
	if err != nil {
		raw.Close()
		if ctx.Err() != nil {
			b.hangs.Add(1)
		}
		out.Err = plainError(ctx, err, b.callTime()).Error()
		out.Refused = out.HostKey != "" && ctx.Err() == nil
		return out
	}
	if !disarm() {
		raw.Close()
		out.Err = fmt.Sprintf("no answer within %v", b.callTime())
		return out
	}
	c.raw, c.client, out.OK = raw, ssh.NewClient(sc, chans, reqs), true
	stopWatch := context.AfterFunc(b.ctx, func() { raw.Close() })
	b.closers = append(b.closers, func() { stopWatch(); c.client.Close(); c.client.Wait() })
	return out
}

// watch breaks the connection when what is begun now takes longer than a call may; the result ends the watch.
func (c *conn) watch() (stop func() bool) {
	return time.AfterFunc(c.b.callTime(), func() {
		c.b.hangs.Add(1)
		c.raw.Close()
	}).Stop
}

// drop breaks the connection without a goodbye.
func (c *conn) drop() {
	if c.raw != nil {
		c.raw.Close()
		c.client.Wait()
	}
}

func withKey(s ssh.Signer) []ssh.AuthMethod { return []ssh.AuthMethod{ssh.PublicKeys(s)} }

// outcome of a request on a session channel that is no SFTP.
type outcome struct {
	Granted bool   `json:"granted"` // the server answered yes
	Status  int    `json:"status"`  // the exit status; -1 without one
	Output  string `json:"output,omitempty"`
	Closed  bool   `json:"closed"` // the channel was closed by the server
	Err     string `json:"err,omitempty"`
}

// ask opens a session and sends one channel request (exec, shell, pty-req…), and sees what becomes of it.
func (c *conn) ask(kind string, payload []byte) outcome {
	out, _ := exchange(c.b, "session", kind, func() (outcome, error) {
		defer c.watch()()
		ch, reqs, err := c.client.OpenChannel("session", nil)
		if err != nil {
			return outcome{Status: -1, Closed: true, Err: err.Error()}, nil
		}
		status := watchExit(reqs)
		granted, err := ch.SendRequest(kind, true, payload)
		out := outcome{Granted: granted, Status: -1}
		if err != nil {
			out.Err = err.Error()
		}
		if granted && kind != "pty-req" && kind != "auth-agent-req@openssh.com" && kind != "x11-req" {
			ch.CloseWrite()
			out.Output = readSome(c.b.ctx, ch, 4096)
			select {
			case out.Status = <-status:
				out.Closed = true
			case <-c.b.quarter():
			}
		}
		ch.Close()
		return out, nil
	})
	return out
}

// forward asks to be connected somewhere else through the server.
func (c *conn) forward() outcome {
	out, _ := exchange(c.b, "forward", "direct-tcpip", func() (outcome, error) {
		defer c.watch()()
		data := ssh.Marshal(struct {
			Host     string
			Port     uint32
			Origin   string
			OrigPort uint32
		}{"127.0.0.1", 22, "127.0.0.1", 40000})
		ch, reqs, err := c.client.OpenChannel("direct-tcpip", data)
		if err != nil {
			return outcome{Err: err.Error()}, nil
		}
		go ssh.DiscardRequests(reqs)
		ch.Close()
		return outcome{Granted: true}, nil
	})
	return out
}

// listen asks the server to listen for us (tcpip-forward).
func (c *conn) listen() outcome {
	out, _ := exchange(c.b, "listen", "tcpip-forward", func() (outcome, error) {
		defer c.watch()()
		ok, _, err := c.client.SendRequest("tcpip-forward", true, ssh.Marshal(struct {
			Addr string
			Port uint32
		}{"127.0.0.1", 0}))
		if err != nil {
			return outcome{Err: err.Error()}, nil
		}
		return outcome{Granted: ok}, nil
	})
	return out
}

// quarter is a channel that is ready after a quarter of a call's time, or when the check is over.
func (b *checker) quarter() <-chan struct{} {
	ctx, cancel := context.WithTimeout(b.ctx, b.callTime()/4)
	b.closers = append(b.closers, cancel)
	return ctx.Done()
}

// watchExit reads a channel's requests; the result is the exit status once the channel is closed, -1 without one.
func watchExit(reqs <-chan *ssh.Request) <-chan int {
	out := make(chan int, 1)
	go func() {
		status := -1
		for r := range reqs {
			if r.Type == "exit-status" && len(r.Payload) == 4 {
				status = int(uint32(r.Payload[0])<<24 | uint32(r.Payload[1])<<16 | uint32(r.Payload[2])<<8 | uint32(r.Payload[3]))
			}
			if r.WantReply {
				r.Reply(false, nil)
			}
		}
		out <- status
	}()
	return out
}

// readSome reads up to most bytes of a channel's output, until its end or the check's.
func readSome(ctx context.Context, ch ssh.Channel, most int) string {
	defer context.AfterFunc(ctx, func() { ch.Close() })()
	buf := make([]byte, most)
	n := 0
	for n < most {
		m, err := ch.Read(buf[n:])
		n += m
		if err != nil {
			break
		}
	}
	return string(buf[:n])
}
