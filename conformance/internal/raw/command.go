package raw

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// mostOutput bounds what is kept of a command's standard error, in bytes.
const mostOutput = 4096

// Run runs a command by one exec request, and has speak talk to its standard input and output. When speak returns, the
// input ends, and Run waits for the exit status. Closing the stream breaks the connection off. The output in the
// outcome is that of standard error. Run is for use within an exchange: it is not recorded by itself.
func (c *Conn) Run(command string, speak func(io.ReadWriteCloser)) Outcome {
	s := &stream{conn: c}
	s.timer = time.AfterFunc(c.link.CallTime(), s.expire)
	defer s.timer.Stop()
	ch, reqs, err := c.client.OpenChannel("session", nil)
	if err != nil {
		return Outcome{Status: -1, Closed: true, Err: err.Error()}
	}
	s.ch = ch
	status := watchExit(reqs)
	granted, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{command}))
	out := Outcome{Granted: granted, Status: -1}
	if err != nil {
		out.Err = err.Error()
	}
	if !granted {
		ch.Close()
		return out
	}
	said := make(chan string, 1)
	go func() {
		text := make([]byte, mostOutput)
		n, _ := io.ReadFull(ch.Stderr(), text)
		io.Copy(io.Discard, ch.Stderr())
		said <- string(text[:n])
	}()
	speak(s)
	ch.CloseWrite()
	io.Copy(io.Discard, io.LimitReader(s, KeptBody)) // what comes behind the end is nothing to the client
	select {
	case out.Status = <-status:
		out.Closed = true
	case <-quarter(c.link):
	}
	ch.Close()
	if out.Output = <-said; s.expired.Load() {
		out.Err = fmt.Sprintf("%v within %v", ErrNoAnswer, c.link.CallTime())
	}
	return out
}

// stream is a command's input and output. Each read and each write has the time of a call.
type stream struct {
	conn    *Conn
	ch      ssh.Channel
	timer   *time.Timer
	expired atomic.Bool
}

func (s *stream) expire() {
	s.expired.Store(true)
	s.conn.link.Hung()
	s.conn.raw.Close()
}

// extend gives the next step its time, unless the one before took too long.
func (s *stream) extend() {
	if s.timer.Stop() {
		s.timer.Reset(s.conn.link.CallTime())
	}
}

func (s *stream) Read(p []byte) (int, error) {
	s.extend()
	return s.ch.Read(p)
}

func (s *stream) Write(p []byte) (int, error) {
	s.extend()
	return s.ch.Write(p)
}

// Close breaks the connection off.
func (s *stream) Close() error { return s.conn.raw.Close() }
