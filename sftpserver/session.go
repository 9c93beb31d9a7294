package sftpserver

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"
)

// maxChannels bounds the SSH channels that one connection has open at a time, as OpenSSH's MaxSessions does.
const maxChannels = 10

// session is one SFTP session: an SSH channel on which the subsystem runs.
type session struct {
	conn   *conn
	share  Share
	filter *filter
	ending atomic.Pointer[ending] // set before the answer with which the connection ends

	mu       sync.Mutex
	handles  int  // open files
	listings int  // open directories
	orderly  bool // the client ended its input between two messages, on a whole connection
}

// session serves an SSH channel of type "session": the sftp subsystem, or a polite refusal.
func (c *conn) session(newChannel gossh.NewChannel) {
	if !c.channelBegins() {
		newChannel.Reject(gossh.ResourceShortage, "too many channels")
		return
	}
	defer c.channelEnded()
	ch, requests, err := newChannel.Accept()
	if err != nil {
		return
	}
	var serving sync.WaitGroup
	busy := false
	for req := range requests {
		switch req.Type {
		case "subsystem":
			if name := payloadString(req.Payload); name != "sftp" || busy {
				c.deny("subsystem", name, "only sftp, and only once for a channel")
				req.Reply(false, nil)
				continue
			}
			busy = true
			req.Reply(true, nil)
			c.sessionBegins()
			serving.Go(func() { c.sftp(ch) })
		case "exec", "shell":
			c.deny(req.Type, payloadString(req.Payload), "only the sftp subsystem is served")
			if busy {
				req.Reply(false, nil)
				continue
			}
			// Accepted and ended at once: the client prints the reason, which it would not if the request itself failed.
			busy = true
			req.Reply(true, nil)
			fmt.Fprintf(ch.Stderr(), "%s refused: this is a temporary SFTP server, it serves only the sftp subsystem\r\n", req.Type)
			leave(ch, 1)
		case "env":
			req.Reply(false, nil) // clients send their locale unasked
		case "pty-req", "x11-req", "auth-agent-req@openssh.com":
			c.deny(req.Type, "", "only the sftp subsystem is served")
			req.Reply(false, nil)
		default: // window-change, signal, keepalive@openssh.com, …
			req.Reply(false, nil)
		}
	}
	serving.Wait()
}

// leave ends a channel with an exit status: it must come before the close, and once.
func leave(ch gossh.Channel, code uint32) {
	ch.SendRequest("exit-status", false, gossh.Marshal(struct{ Status uint32 }{code}))
	ch.CloseWrite()
	ch.Close()
}

// payloadString reads the one string that is a request's payload; what is broken reads as empty.
func payloadString(payload []byte) string {
	var p struct{ Value string }
	if gossh.Unmarshal(payload, &p) != nil {
		return ""
	}
	return p.Value
}

func (c *conn) channelBegins() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended || c.channels >= maxChannels {
		return false
	}
	c.channels++
	c.running.Add(1)
	return true
}

func (c *conn) channelEnded() {
	c.mu.Lock()
	c.channels--
	c.mu.Unlock()
	c.running.Done()
}

// refuseChannel refuses direct-tcpip, x11, auth-agent and whatever else is not a session.
func (c *conn) refuseChannel(ch gossh.NewChannel) {
	c.deny(ch.ChannelType(), "", "only sessions are served")
	ch.Reject(gossh.Prohibited, "only the sftp subsystem is served")
}

// refuseGlobal tells of requests such as tcpip-forward; keep-alives are refused, too, which is the answer they expect.
func (c *conn) refuseGlobal(req *gossh.Request) {
	if strings.Contains(req.Type, "forward") {
		c.deny(req.Type, "", "only the sftp subsystem is served")
	}
}

func (c *conn) deny(op, path, reason string) {
	c.emit(Event{Kind: EventDenied, Op: op, Path: path, Reason: reason})
}

func (c *conn) nextHandle() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handles++
	return c.handles
}

// brokenBy is why the connection is broken, or else: what the session says.
func (c *conn) brokenBy(otherwise error) error {
	if b := c.broken.Load(); b != nil {
		return b.cause
	}
	return otherwise
}

// sftp runs the subsystem to its end.
func (c *conn) sftp(ch gossh.Channel) {
	c.mu.Lock()
	s := &session{conn: c, share: c.share}
	c.mu.Unlock()
	s.filter = newFilter(s, ch)
	f := files{s}
	// The allocator saves an allocation of 256 KiB for each message. It asks of the storage what io.WriterAt does: to
	// keep nothing of what it got.
	server := sftp.NewRequestServer(s.filter, sftp.Handlers{FileGet: f, FilePut: f, FileCmd: f, FileList: f},
		sftp.WithRSMaxTxPacket(maxTransfer), sftp.WithRSAllocator())
	err := server.Serve()
	s.filter.finish()
	if e := s.ending.Load(); e != nil {
		e.end(c) // the client has left before its answer's turn
	}
	code := uint32(0)
	if err != nil && !errors.Is(err, io.EOF) && !s.clean() {
		code = 1
		if c.broken.Load() == nil {
			c.deny("message", "", "the client broke the protocol: "+err.Error())
		}
	}
	leave(ch, code)
}

// ended notes the end of the client's input; err is io.EOF if it came between two messages.
func (s *session) ended(err error) {
	s.mu.Lock()
	s.orderly = err == io.EOF && s.conn.broken.Load() == nil
	s.mu.Unlock()
	s.conn.sessionEnded()
}

// clean says that the client ended the session in order.
func (s *session) clean() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orderly
}

// statusEnding is what a handler answers when the connection ends with its answer; see filter.endNow.
var statusEnding = &status{"Failure", sftp.ErrSSHFxFailure}

// endWith makes the connection end as the fault says, when the answer to the present request is due.
func (s *session) endWith(f *Fault) error {
	s.ending.CompareAndSwap(nil, &ending{fault: f})
	return statusEnding
}

// ending is a fault that is to end the connection; nil: the access has ended.
type ending struct {
	fault *Fault
	once  sync.Once
}

// end ends the connection, once.
func (e *ending) end(c *conn) {
	e.once.Do(func() {
		if e.fault == nil {
			c.finish(ErrRevoked, false, nil)
		} else {
			c.end(e.fault)
		}
	})
}

// answer is what the client is answered for err. If the access has ended, the connection ends after this answer.
func (s *session) answer(err error) error {
	if errors.Is(err, ErrRevoked) {
		s.ending.CompareAndSwap(nil, new(ending))
	}
	return toStatus(err)
}

// refuse journals a failed operation and returns what the client is answered.
func (s *session) refuse(op, path string, err error) error {
	if !errors.Is(err, statusEnding) {
		s.conn.deny(op, path, err.Error())
	}
	return s.answer(err)
}

func (s *session) roomForHandle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handles+s.listings < maxHandles
}

func (s *session) listing(change int) {
	s.mu.Lock()
	s.listings += change
	s.mu.Unlock()
}

// opened and closed count the files that are open.
func (s *session) opened(h *handle) {
	s.mu.Lock()
	s.handles++
	s.mu.Unlock()
	s.filter.opened(h)
}

func (s *session) closed(h *handle) {
	s.mu.Lock()
	s.handles--
	s.mu.Unlock()
	s.filter.closed(h)
}
