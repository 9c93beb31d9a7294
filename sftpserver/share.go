package sftpserver

import (
	"errors"
	"io"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// Errors that an implementation of [Shares], [Share] and [File] may return, alone or wrapped.
var (
	// ErrDenied refuses a login or an operation. The client gets "permission denied".
	ErrDenied = errors.New("sftpserver: permission denied")

	// ErrRevoked means that the user's access has ended. The operation is refused, and the connection closed.
	ErrRevoked = errors.New("sftpserver: access has ended")

	// ErrUnreadable means that the file exists and cannot be read. The client gets a text that says so.
	ErrUnreadable = errors.New("sftpserver: the file cannot be read")
)

// Shares decides who may log in and what each of them sees. It is called concurrently.
type Shares interface {
	// Share returns what user sees when logging in with key. An error, such as [ErrDenied], refuses; its text stands in
	// the events, and the client never sees it.
	//
	// Share is also called for keys that are only offered, and again when the login is complete, so it must have no side
	// effects. [Options.Observe] learns of a login.
	Share(user string, key gossh.PublicKey) (Share, error)
}

// Share is one user's file. It is called concurrently, by every session of the user.
//
// Errors never reach the client as they are: [ErrRevoked], [ErrDenied], [ErrUnreadable], fs.ErrPermission,
// fs.ErrNotExist and "no space left on device" (ENOSPC, EDQUOT) each have a fixed text and SFTP status, all others are
// "Failure".
type Share interface {
	// Stat describes the file as it is now.
	Stat() (Info, error)

	// Open opens the file. The flag is os.O_RDONLY, os.O_WRONLY or os.O_RDWR, the last two perhaps with os.O_TRUNC;
	// never os.O_APPEND, os.O_CREATE or os.O_EXCL.
	Open(flag int) (File, error)

	// Truncate sets the file's size, after a SETSTAT, which names the file by its path. It is not called for a read-only
	// file.
	Truncate(size int64) error
}

// Info describes the one file of a [Share].
type Info struct {
	Name     string    // without any slash; what the client sees in "/"
	Size     int64     // bytes
	ModTime  time.Time // sent in whole seconds
	ReadOnly bool      // opening for writing is refused, and the mode is -r--r--r--
}

// File is an open file. Several goroutines call its methods at once, with offsets in any order; Close or Abort is
// called once, as the last call, when no other is running. WriteAt and Append must not keep the slice they are given.
type File interface {
	io.ReaderAt
	io.WriterAt

	// Append writes p at the end of the file, but nothing at the offset limit or beyond. It returns the offset at which
	// the end was and how many bytes were written. No other write or truncation, of any session, may come in between.
	Append(p []byte, limit int64) (int64, int, error)

	// Truncate sets the file's size, after an FSETSTAT.
	Truncate(size int64) error

	// Close ends the file in order: the client closed its handle, or ended its session in order while the handle was
	// open.
	Close() error

	// Abort ends the file after the session broke with the handle open, because of cause. Since the client may have sent
	// later bytes before earlier ones, Abort should cut the file to its beginning without holes, so that a client that
	// resumes by size leaves none.
	Abort(cause error) error
}
