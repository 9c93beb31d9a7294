package sftpserver

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/pkg/sftp"
	gossh "golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// login is what the sessions of one connection share.
type login struct {
	server *Server
	share  Share
	opens  atomic.Uint64 // numbers the files opened
}

// login returns what serves the sessions of user.
func (s *Server) login(_ sshhost.Peer, user string, key gossh.PublicKey) (sshhost.Grant, error) {
	share, err := s.opts.Shares.Share(user, key)
	if err == nil && share == nil {
		err = ErrDenied
	}
	if err != nil {
		return sshhost.Grant{}, err
	}
	l := &login{server: s, share: share}
	return sshhost.Grant{Serve: func(ssh *sshhost.Session) uint32 { return newSession(l, ssh).serve() }}, nil
}

// session is one SFTP session. The way of a request in it: filter, which sees one packet at a time and corrects what
// pkg/sftp gets wrong → pkg/sftp's RequestServer (several workers, answers in order) → files (what a path leads to) →
// handle (one open file: ranges, append, faults) → the File of the share.
type session struct {
	*login
	ssh    *sshhost.Session
	peer   sshhost.Peer
	filter *filter
	ending atomic.Pointer[ending] // set before the answer with which the connection ends

	mu       sync.Mutex
	handles  int  // open files
	listings int  // open directories
	whole    bool // the client's input ended between two packets
}

func newSession(l *login, ssh *sshhost.Session) *session {
	s := &session{login: l, ssh: ssh, peer: ssh.Peer()}
	s.filter = newFilter(s)
	return s
}

// serve runs the session to its end and returns its exit status.
func (s *session) serve() uint32 {
	f := files{s}
	// The allocator saves an allocation of 256 KiB for each packet, and so a tenth of an upload's CPU time and a sixth of
	// a download's; see bench/README.md. It uses them again, so the storage must not keep what it was given, as with any
	// io.WriterAt.
	server := sftp.NewRequestServer(s.filter, sftp.Handlers{FileGet: f, FilePut: f, FileCmd: f, FileList: f},
		sftp.WithRSMaxTxPacket(maxTransfer), sftp.WithRSAllocator())
	err := server.Serve()
	s.filter.finish()
	if e := s.ending.Load(); e != nil {
		e.end(s) // the client has left before its answer was due
	}
	if err == nil || errors.Is(err, io.EOF) || s.clean() {
		return 0
	}
	if s.ssh.Broken() == nil {
		s.deny("message", "", "the client broke the protocol: "+err.Error())
	}
	return 1
}

// inputEnded notes the end of the client's input; err is io.EOF if it came between two packets.
func (s *session) inputEnded(err error) {
	s.mu.Lock()
	s.whole = err == io.EOF
	s.mu.Unlock()
}

// clean reports whether the client has ended the session in order.
func (s *session) clean() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole && s.ssh.EndedInOrder()
}

// brokenBy is why the connection is broken, or otherwise if it is not.
func (s *session) brokenBy(otherwise error) error {
	if cause := s.ssh.Broken(); cause != nil {
		return cause
	}
	return otherwise
}

// statusEnding is what a handler answers when the connection ends with its answer; see filter.endNow.
var statusEnding = &status{"Failure", sftp.ErrSSHFxFailure}

// endWith makes the connection end as the fault says, when the answer to the present request is due.
func (s *session) endWith(f *Fault) error {
	s.ending.CompareAndSwap(nil, &ending{fault: f})
	return statusEnding
}

// ending is the end of the connection that is to come: because of a fault or, if it is nil, of an access that has
// ended.
type ending struct {
	fault *Fault
	once  sync.Once
}

// end ends the connection, once.
func (e *ending) end(s *session) {
	e.once.Do(func() {
		fault := e.fault.onConn(s.server, "", s.peer.User)
		if fault == nil {
			fault = &sshhost.Fault{Cause: ErrRevoked}
		}
		s.ssh.EndConn(fault)
	})
}

// answer is what the client is answered for err. If the access has ended, the connection ends after this answer.
func (s *session) answer(err error) error {
	if errors.Is(err, ErrRevoked) {
		s.ending.CompareAndSwap(nil, new(ending))
	}
	return toStatus(err)
}

// refuse reports a failed operation and returns what the client is answered.
func (s *session) refuse(op, path string, err error) error {
	if !errors.Is(err, statusEnding) {
		s.deny(op, path, err.Error())
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
	s.server.opened(h)
	s.filter.opened(h)
}

func (s *session) closed(h *handle) {
	s.mu.Lock()
	s.handles--
	s.mu.Unlock()
	s.server.closed(h)
	s.filter.closed(h)
}
