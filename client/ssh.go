package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshServer says how to log in to an SSH server, and how to know it.
type sshServer struct {
	addr       string // host and port
	user       string
	signers    []ssh.Signer
	algorithms []string // of the host keys to ask for; nil if any
	check      ssh.HostKeyCallback
}

// sshConn is a connection to an SSH server.
type sshConn struct {
	*ssh.Client
	raw  net.Conn
	stop func() bool // ends the watch over the context
}

// cut ends the connection at once.
func (c *sshConn) cut() {
	c.stop()
	_ = c.raw.Close()
	_ = c.Close()
}

// dialSSH connects and logs in. If ctx ends, the connection is cut at once.
func (c *Client) dialSSH(ctx context.Context, s sshServer) (_ *sshConn, err error) {
	dialer := net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}
	raw, err := dialer.DialContext(ctx, "tcp", s.addr)
	if err != nil {
		if ctx.Err() == nil && errors.Is(err, syscall.ECONNREFUSED) {
			err = fmt.Errorf("nothing answers at %s: %w", s.addr, err)
		}
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	conn := newStallConn(raw, c.stall)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() {
		if err != nil {
			stop()
			_ = raw.Close()
			err = cause(ctx, err)
		}
	}()

	var refused error // by the check of the host key; the library's own error hides its type
	sc, chans, reqs, err := ssh.NewClientConn(conn, s.addr, &ssh.ClientConfig{
		User:              s.user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(s.signers...)},
		HostKeyAlgorithms: s.algorithms,
		HostKeyCallback: func(host string, remote net.Addr, key ssh.PublicKey) error {
			refused = s.check(host, remote, key)
			return refused
		},
		ClientVersion: "SSH-2.0-odoo-upgrade",
	})
	if err != nil {
		switch {
		case refused != nil:
			return nil, refused
		case strings.Contains(err.Error(), "unable to authenticate"):
			return nil, fmt.Errorf("%w: %s at %s", ErrLoginRefused, s.user, s.addr)
		case len(s.algorithms) > 0 && strings.Contains(err.Error(), "no common algorithm for host key"):
			return nil, fmt.Errorf("%w: %s no longer has a key of the kind that is known (%s)",
				ErrHostKey, s.addr, strings.Join(s.algorithms, ", "))
		}
		return nil, fmt.Errorf("connecting to %s: %w", s.addr, err)
	}
	return &sshConn{Client: ssh.NewClient(sc, chans, reqs), raw: raw, stop: stop}, nil
}

// stallConn is a connection whose reads and writes fail if nothing moves for the time limit. It reads ahead, since the
// SSH library reads each packet in three small reads, which would be three system calls.
type stallConn struct {
	net.Conn
	ahead *bufio.Reader
	limit time.Duration
}

func newStallConn(c net.Conn, limit time.Duration) *stallConn {
	return &stallConn{Conn: c, limit: limit, ahead: bufio.NewReaderSize(deadlineReader{c, limit}, 256<<10)}
}

func (c *stallConn) Read(p []byte) (int, error) { return c.ahead.Read(p) }

func (c *stallConn) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(c.limit))
	return c.Conn.Write(p)
}

type deadlineReader struct {
	net.Conn
	limit time.Duration
}

func (r deadlineReader) Read(p []byte) (int, error) {
	_ = r.SetReadDeadline(time.Now().Add(r.limit))
	return r.Conn.Read(p)
}
