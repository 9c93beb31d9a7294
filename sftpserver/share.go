package sftpserver

import (
	"errors"
	"io"
	"time"

	gossh "golang.org/x/crypto/ssh"
)

// What an implementation of [Shares], [Share] and [File] may answer, to be tested with errors.Is.
var (
	// ErrDenied refuses a login, or an operation of one: the client reads "permission denied".
	ErrDenied = errors.New("sftpserver: permission denied")

	// ErrRevoked says that the user's access has ended. Whatever operation meets it is refused, and the connection
	// closed.
	ErrRevoked = errors.New("sftpserver: access has ended")

	// ErrUnreadable says that the file is there and what it holds cannot be read: the client is told so when it opens the
	// file.
	ErrUnreadable = errors.New("sftpserver: the file cannot be read")
)

// Shares decides who may log in and what each of them sees. It is called concurrently.
type Shares interface {
	// Share returns what user sees when logging in with key. [ErrDenied], or any other error, refuses;
	// the error's text goes to the journal and never to the client.
	//
	// It is also asked for keys that are merely offered, and asked again when a login is complete, so it must have no
	// side effects: a completed login is told by [Options.Observe].
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

	// Truncate sets the file's size: a SETSTAT with a size, which names the file by its path. It is not asked of a
	// read-only file.
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
// called once, as the last call, when no other is running. As with every io.WriterAt, what WriteAt and Append were
// given must not be kept.
type File interface {
	io.ReaderAt
	io.WriterAt

	// Append writes p at the end of the file, but for what would lie at the offset limit or beyond, and returns where the
	// end was and how many bytes were written. The end is that of the moment of writing: no other write or truncation, of
	// whatever session, comes in between.
	Append(p []byte, limit int64) (off int64, n int, err error)

	// Truncate sets the file's size: an FSETSTAT with a size.
	Truncate(size int64) error

	// Close ends the file in order: the client closed its handle, or ended its session in order while the handle was
	// open.
	Close() error

	// Abort ends the file after the session broke with the handle open; cause tells how. Since the client may have sent
	// later bytes before earlier ones, the storage cuts the file to its contiguous beginning, so that a client that
	// resumes by size leaves no hole.
	Abort(cause error) error
}
