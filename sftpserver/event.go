package sftpserver

import (
	"strings"
	"time"

	"github.com/upgrademock/upgrademock/internal/sshhost"
)

// EventKind says what happened.
type EventKind string

// Kinds of events. EventOpen, EventClose and EventAbort have Handle, Flags and Size, the last two also Written and
// Read.
const (
	EventConnect    EventKind = "connect"    // a connection was accepted
	EventOffered    EventKind = "offered"    // a key was offered, but not proved; Reason if it is refused
	EventRefused    EventKind = "refused"    // an attempt to log in was refused: Method, Reason
	EventLogin      EventKind = "login"      // the login is complete; Name and Reason if it saw other host keys
	EventOpen       EventKind = "open"       // the file was opened
	EventClose      EventKind = "close"      // a handle ended in order; Reason if the storage failed
	EventAbort      EventKind = "abort"      // a handle ended because the session broke: Reason
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
	Read      bool // the client wants to read
	Write     bool // the client wants to write
	Append    bool // writes go to the end of the file, whatever their offset
	Create    bool // the file is made if it does not exist, which here it always does
	Truncate  bool // the file is emptied
	Exclusive bool // with Create, an existing file is an error
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

// Event is something that happened in a session. Fields that mean nothing for its kind are zero.
type Event struct {
	Kind    EventKind // what happened
	Time    time.Time // by Options.Now
	Session uint64    // numbers the connections of a server from 1
	Remote  string    // the client's address
	Client  string    // the client's version line, once known
	User    string    // who is logged in, or tries to
	Key     string    // SHA256 fingerprint
	Method  string    // the authentication method
	Handle  uint64    // numbers the opens of a session from 1
	Op      string    // the SFTP operation, channel type or request that was refused, or the OpKind of a fault
	Path    string    // as the client gave it, cleaned
	Name    string    // of the fault that fired, on the handle or on the connection
	Flags   Flags     // of the open file
	Size    int64     // the file's size at that moment
	Offset  int64     // in the file, at which the fault fired
	Written []Range   // ascending, and without ranges that touch
	Read    []Range   // likewise
	Reason  string    // for people
	File    File      // of EventClose and EventAbort: what the share had opened

	// Received and Sent are how many bytes of the file came in and went out through the handle: for EventFault until
	// then, for EventClose and EventAbort in all. Bytes that were not stored because of a fault do not count.
	Received, Sent int64

	// Spared, of EventClose and EventAbort, are the names of the faults that did not fire, because the transfer did not
	// reach their offset.
	Spared []string

	// Incomplete, of EventClose, is set if a write to the file was refused: the file is not what the client wanted to
	// send.
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
