package client

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// execChannel is a command that runs at an SSH server. What it writes to standard error is kept.
type execChannel struct {
	ssh.Channel
	ended  chan struct{} // closed when the server has closed the channel
	status int           // the command's exit status, -1 if none came; valid when ended is closed

	reading sync.WaitGroup // of standard error
	mu      sync.Mutex
	stderr  []byte // the end of it
}

// execSSH runs a command.
func execSSH(client *ssh.Client, command string) (*execChannel, error) {
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		return nil, err
	}
	c := &execChannel{Channel: channel, ended: make(chan struct{}), status: -1}
	c.reading.Go(c.keepErrors)
	go func() {
		defer close(c.ended)
		for r := range requests {
			if r.Type == "exit-status" && len(r.Payload) >= 4 {
				c.status = int(binary.BigEndian.Uint32(r.Payload))
			}
			if r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	}()
	ok, err := channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
	if err == nil && !ok {
		err = errors.New("the server refuses the command")
	}
	if err != nil {
		_ = channel.Close()
		return nil, err
	}
	return c, nil
}

const maxStderr = 4 << 10

func (c *execChannel) keepErrors() {
	buf := make([]byte, 1<<10)
	r := c.Stderr()
	for {
		n, err := r.Read(buf)
		c.mu.Lock()
		c.stderr = append(c.stderr, buf[:n]...)
		if extra := len(c.stderr) - maxStderr; extra > 0 {
			c.stderr = append(c.stderr[:0], c.stderr[extra:]...)
		}
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// said returns what the command wrote to standard error, when it has ended or after the given time.
func (c *execChannel) said(within time.Duration) string {
	t := time.NewTimer(within)
	defer t.Stop()
	select {
	case <-c.ended:
		c.reading.Wait()
	case <-t.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return printable(strings.Join(strings.Fields(string(c.stderr)), " "), 500)
}

// end waits for the command, which has nothing more to say or hear, to end.
func (c *execChannel) end() error {
	_ = c.CloseWrite()
	if _, err := io.Copy(io.Discard, io.LimitReader(c, 1<<20)); err != nil {
		return err
	}
	t := time.NewTimer(30 * time.Second)
	defer t.Stop()
	select {
	case <-c.ended:
	case <-t.C:
		return errors.New("the command at the server does not end")
	}
	switch said := c.said(0); {
	case c.status == 0:
		return nil
	case c.status < 0:
		return explainSaid(errors.New("the connection ended without the command's exit status"), said)
	default:
		return explainSaid(fmt.Errorf("the command ended with exit status %d", c.status), said)
	}
}
