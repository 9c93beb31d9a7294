package sftpserver

import (
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// OpKind is a moment at which [Options.Fault] is asked.
type OpKind string

const (
	OpConnect OpKind = "connect" // a connection was accepted; nothing has been sent, and nobody knows who it is
	OpHostKey OpKind = "hostkey" // the host keys are about to be shown; nobody knows yet to whom. Only HostKeys means something
	OpLogin   OpKind = "login"   // a client proved that it holds an accepted key; asked at most once for a connection
	OpOpen    OpKind = "open"    // the shared file is about to be opened
	OpRead    OpKind = "read"    // the file was opened for reading: asked before the first byte, to arm what strikes later
	OpWrite   OpKind = "write"   // the file was opened for writing: asked before the first byte, to arm what strikes later
	OpClose   OpKind = "close"   // the client closes its handle in order
)

// Op is what is about to happen.
type Op struct {
	Kind    OpKind
	Session uint64 // the connection's number, as in [Event]
	Remote  string // the client's address
	User    string // empty for OpConnect and OpHostKey
	Key     string // SHA256 fingerprint of the key that logged in; likewise
	Flags   Flags  // for OpOpen, OpRead, OpWrite and OpClose
}

// Fault is a trouble that was ordered. All that is set happens together: first Delay, then Error, Refuse or the end of
// the connection. The zero Fault does nothing.
type Fault struct {
	// Name tells the fault in the journal.
	Name string

	// Refuse denies the login, or the operation with "permission denied". On OpConnect the connection is closed before
	// any byte.
	Refuse bool

	// Error fails the operation with SSH_FX_FAILURE and this text. For OpRead and OpWrite every later one
	// that reaches After fails likewise, as on a full disk. It has no meaning for OpConnect; for OpLogin it refuses.
	Error string

	// Disconnect drops the TCP connection without any SSH goodbye; Reset drops it with a TCP RST.
	Disconnect, Reset bool

	// Revoke closes every session of the user, after Struck was called.
	Revoke bool

	// After, for OpRead and OpWrite, is the offset in the file at which the fault strikes. It is exact whatever the order
	// of the packets: bytes before After are transferred whole and without a hole, no byte at or beyond it is, and only
	// then does it strike. A file that never reaches beyond After never meets the fault. One that only delays or slows
	// and has no After strikes when the file is opened.
	After int64

	// Delay holds up all traffic of the connection for this long, from the moment of the strike.
	Delay time.Duration

	// Rate, in bytes a second each way, slows the connection from the moment of the strike: for OpConnect, OpLogin and
	// OpOpen until its end, for OpRead and OpWrite until the handle is closed. Zero means unlimited.
	Rate int64

	// HostKeys, for OpHostKey, are shown in place of the server's own. The last event of the connection says whether the
	// client refused them.
	HostKeys []gossh.Signer

	// User is whose fault it is, for the events of a connection on which nobody has logged in. Empty: nobody knows.
	User string

	// Struck, if not nil, is called once, when the fault strikes.
	Struck func()
}

// ends says that the connection does not outlive the strike.
func (f *Fault) ends() bool { return f.Disconnect || f.Reset || f.Revoke }
