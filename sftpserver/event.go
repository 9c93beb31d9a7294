package sftpserver

import (
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// EventKind says what happened.
type EventKind string

const (
	EventConnect    EventKind = "connect"    // a connection was accepted
	EventOffered    EventKind = "offered"    // a key was offered, which proves nothing yet; Reason is set if it is refused
	EventRefused    EventKind = "refused"    // an attempt to log in was refused: Method, Reason
	EventLogin      EventKind = "login"      // the login is complete: User, Key; Name and Reason if it saw other host keys
	EventOpen       EventKind = "open"       // the file was opened: Handle, Flags, Size
	EventClose      EventKind = "close"      // a handle ended in order: as EventOpen, Written, Read; Reason if storage failed
	EventAbort      EventKind = "abort"      // a handle ended because the session broke: as EventClose, Reason is the cause
	EventTruncate   EventKind = "truncate"   // the client set the file's size: Size
	EventDenied     EventKind = "denied"     // an operation was refused or failed: Op, Path, Reason
	EventFault      EventKind = "fault"      // a fault was triggered: Op, Name, Offset, Received, Sent
	EventDisconnect EventKind = "disconnect" // the connection is gone: Reason, Name; the last event of its session
)

// EventKinds returns every kind of event.
func EventKinds() []EventKind {
	return []EventKind{
		EventConnect, EventOffered, EventRefused, EventLogin, EventOpen, EventClose, EventAbort, EventTruncate,
		EventDenied, EventFault, EventDisconnect,
	}
}

// Flags are the open flags of SFTP (draft-ietf-secsh-filexfer-02, section 6.3).
type Flags struct {
	Read, Write, Append, Create, Truncate, Exclusive bool
}

// String names the flags that are set, such as "write|create|truncate".
func (f Flags) String() string {
	var names []string
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"read", f.Read}, {"write", f.Write}, {"append", f.Append},
		{"create", f.Create}, {"truncate", f.Truncate}, {"exclusive", f.Exclusive},
	} {
		if flag.set {
			names = append(names, flag.name)
		}
	}
	return strings.Join(names, "|")
}

// Range is a part of the file, from the offset From up to but not including To.
type Range struct{ From, To int64 }

// Event is one thing that happened in a session. Fields that mean nothing for its kind are zero.
type Event struct {
	Kind    EventKind
	Time    time.Time // by Options.Now
	Session uint64    // numbers the connections of a server from 1
	Remote  string    // the client's address
	Client  string    // the client's version line, once known
	User    string
	Key     string // SHA256 fingerprint
	Method  string // the authentication method
	Handle  uint64 // numbers the opens of a session from 1
	Op      string // the SFTP operation, channel type or request that was refused, or the OpKind that a fault met
	Path    string // as the client gave it, cleaned
	Name    string // of the fault: that fired, that fired the handle, or that showed other host keys
	Flags   Flags
	Size    int64   // the file's size at that moment
	Offset  int64   // where in the file the fault fired
	Written []Range // ascending and merged: one range from 0 is a whole transfer, one from further on a resumed one
	Read    []Range
	Reason  string // for people
	File    File   // of EventClose and EventAbort: what the share opened, closed or aborted by now

	// Received and Sent are how many bytes of the file came in and went out through the handle: of EventFault until it
	// fired, of EventClose and EventAbort in all. What a fault kept from being stored is not among them.
	Received, Sent int64

	// Spared, of EventClose and EventAbort, are the names of the faults that waited for an offset which the transfer did
	// not reach.
	Spared []string

	// Incomplete, of EventClose, says that a write to the file was refused before: what is there is not what the client
	// wanted to send.
	Incomplete bool
}

// by completes an event with what is known of the client.
func (e Event) by(p sshhost.Peer, now time.Time) Event {
	e.Time, e.Session, e.Remote, e.Client, e.Key = now, p.Conn, p.Remote, p.Client, p.Key
	if e.User == "" {
		e.User = p.User
	}
	return e
}

// observe passes on what happens on the way to the login and at the end of a connection.
func (s *Server) observe(p sshhost.Peer, e sshhost.Event) {
	own := Event{Kind: EventKind(e.Kind), Method: e.Method, Op: e.Op, Path: e.Command, Name: e.Name, Reason: e.Reason}
	s.opts.Observe(own.by(p, s.opts.Now()))
}

// emit reports an event of the session.
func (s *session) emit(e Event) {
	s.ssh.Report(func(p sshhost.Peer) { s.server.opts.Observe(e.by(p, s.server.opts.Now())) })
}

// deny reports an operation that was refused or has failed.
func (s *session) deny(op, path, reason string) {
	s.emit(Event{Kind: EventDenied, Op: op, Path: path, Reason: reason})
}
