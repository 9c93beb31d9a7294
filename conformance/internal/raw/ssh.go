package raw

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// Login is an attempt to log in.
type Login struct {
	Addr, User string
	Auth       []ssh.AuthMethod
	HostKeys   []string // the host key algorithms asked for; if nil, any
	Who        string   // what is done, in words, for messages
}

// LoginResult is the outcome of a login.
type LoginResult struct {
	OK      bool   `json:"ok"`
	Refused bool   `json:"refused"` // the server said no; otherwise it could not be asked
	KeyType string `json:"key_type"`
	HostKey string `json:"host_key"` // its fingerprint
	Err     string `json:"err,omitempty"`
}

// Conn is an SSH connection. Its client is nil in a replay.
type Conn struct {
	link   Link
	Login  LoginResult
	raw    net.Conn
	client *ssh.Client
}

// Link is what connections have of the check that they are made for.
type Link interface {
	// Context returns a context that ends with the check.
	Context() context.Context

	// CallTime returns how long one call may take.
	CallTime() time.Duration

	// Hung is called when a call was not answered in time.
	Hung()

	// Exchange does one thing with the server: it calls do, which stores in *out what came of it. For a recording that
	// is judged again it stores there what was recorded, and does not call do. It returns the error of do.
	Exchange(kind, what string, out any, do func() error) error

	// OnEnd registers a function to be called when the check ends, the last one first.
	OnEnd(func())
}

// Dial connects to the server and tries to log in. The result says what came of it, also if the server cannot be
// reached.
func Dial(link Link, l Login) *Conn {
	c := &Conn{link: link}
	link.Exchange("login", l.Who+" as "+l.User, &c.Login, func() error {
		c.Login = c.login(l)
		return nil
	})
	return c
}

// login connects and logs in.
func (c *Conn) login(l Login) LoginResult {
	link := c.link
	ctx, cancel := context.WithTimeout(link.Context(), link.CallTime())
	defer cancel()
	var out LoginResult
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", l.Addr)
	if err != nil {
		out.Err = plainError(ctx, err, link.CallTime()).Error()
		return out
	}
	// A hanging handshake ends with the time limit; an open connection, at the latest, with the check.
	disarm := context.AfterFunc(ctx, func() { raw.Close() })
	config := &ssh.ClientConfig{User: l.User, Auth: l.Auth, HostKeyAlgorithms: l.HostKeys,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			out.KeyType, out.HostKey = key.Type(), ssh.FingerprintSHA256(key)
			return nil
		}}
	sc, chans, reqs, err := ssh.NewClientConn(raw, l.Addr, config)
	if err != nil {
		raw.Close()
		if ctx.Err() != nil {
			link.Hung()
		}
		out.Err = plainError(ctx, err, link.CallTime()).Error()
		out.Refused = out.HostKey != "" && ctx.Err() == nil
		return out
	}
	if !disarm() {
		raw.Close()
		out.Err = fmt.Sprintf("no answer within %v", link.CallTime())
		return out
	}
	c.raw, c.client, out.OK = raw, ssh.NewClient(sc, chans, reqs), true
	stopWatch := context.AfterFunc(link.Context(), func() { raw.Close() })
	link.OnEnd(func() { stopWatch(); c.client.Close(); c.client.Wait() })
	return out
}

// watch breaks the connection when what begins now takes longer than a call may. The function that it returns ends
// the watch.
func (c *Conn) watch() func() bool {
	return time.AfterFunc(c.link.CallTime(), func() {
		c.link.Hung()
		c.raw.Close()
	}).Stop
}

// Drop breaks the connection off.
func (c *Conn) Drop() {
	if c.raw != nil {
		c.raw.Close()
		c.client.Wait()
	}
}

// Outcome is what came of a request on the connection.
type Outcome struct {
	Granted bool   `json:"granted"` // the server answered yes
	Status  int    `json:"status"`  // the exit status; -1 without one
	Output  string `json:"output,omitempty"`
	Closed  bool   `json:"closed"` // the channel was closed by the server
	Err     string `json:"err,omitempty"`
}

// Request opens a session and sends one channel request, such as exec, shell or pty-req.
func (c *Conn) Request(kind string, payload []byte) Outcome {
	var out Outcome
	c.link.Exchange("session", kind, &out, func() error {
		defer c.watch()()
		ch, reqs, err := c.client.OpenChannel("session", nil)
		if err != nil {
			out = Outcome{Status: -1, Closed: true, Err: err.Error()}
			return nil
		}
		status := watchExit(reqs)
		granted, err := ch.SendRequest(kind, true, payload)
		out = Outcome{Granted: granted, Status: -1}
		if err != nil {
			out.Err = err.Error()
		}
		if granted && kind != "pty-req" && kind != "auth-agent-req@openssh.com" && kind != "x11-req" {
			ch.CloseWrite()
			out.Output = readSome(c.link.Context(), ch, 4096)
			select {
			case out.Status = <-status:
				out.Closed = true
			case <-quarter(c.link):
			}
		}
		ch.Close()
		return nil
	})
	return out
}

// Forward asks to be connected somewhere else through the server.
func (c *Conn) Forward() Outcome {
	var out Outcome
	c.link.Exchange("forward", "direct-tcpip", &out, func() error {
		defer c.watch()()
		data := ssh.Marshal(struct {
			Host     string
			Port     uint32
			Origin   string
			OrigPort uint32
		}{"127.0.0.1", 22, "127.0.0.1", 40000})
		ch, reqs, err := c.client.OpenChannel("direct-tcpip", data)
		if err != nil {
			out.Err = err.Error()
			return nil
		}
		go ssh.DiscardRequests(reqs)
		ch.Close()
		out.Granted = true
		return nil
	})
	return out
}

// Listen asks the server to listen for us (tcpip-forward).
func (c *Conn) Listen() Outcome {
	var out Outcome
	c.link.Exchange("listen", "tcpip-forward", &out, func() error {
		defer c.watch()()
		ok, _, err := c.client.SendRequest("tcpip-forward", true, ssh.Marshal(struct {
			Addr string
			Port uint32
		}{"127.0.0.1", 0}))
		if err != nil {
			out.Err = err.Error()
			return nil
		}
		out.Granted = ok
		return nil
	})
	return out
}

// quarter returns a channel that is closed after a quarter of a call's time, or when the check is over.
func quarter(link Link) <-chan struct{} {
	ctx, cancel := context.WithTimeout(link.Context(), link.CallTime()/4)
	link.OnEnd(cancel)
	return ctx.Done()
}

// watchExit reads a channel's requests. It sends the exit status, or -1 without one, when the channel is closed.
func watchExit(reqs <-chan *ssh.Request) <-chan int {
	out := make(chan int, 1)
	go func() {
		status := -1
		for r := range reqs {
			if r.Type == "exit-status" && len(r.Payload) == 4 {
				status = int(binary.BigEndian.Uint32(r.Payload))
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
