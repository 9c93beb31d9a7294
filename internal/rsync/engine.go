package rsync

import (
	"context"
	"io"
	"io/fs"
	"os"
)

// Stream is what a command is served over: the three streams of the client's remote shell.
//
// In must return from Read when the connection ends: an engine reads ahead, and a Read may be under way when Serve has
// returned. An engine never closes them.
type Stream struct {
	In       io.Reader
	Out, Err io.Writer
}

// Job is what a command may work on.
type Job struct {
	// Root is the directory that an upload writes to; the paths of the command are below it. Nothing outside it is
	// read or written, and no symbolic link, device or other special file is made or followed. Its Name must lead
	// to it. A download does not use it.
	Root *os.Root

	// Files is what a download reads; the paths of the command are names in it. Its files must implement io.Seeker.
	// What is neither a regular file nor a directory is left out. A path that is absent makes the exit status 23, with
	// the other files sent, unless the client has said that it may be. An upload does not use it.
	Files fs.FS

	// MaxBytes is the greatest sum of sizes that an upload may announce, and MaxFiles the greatest number of
	// entries, directories included. Zero means no bound on bytes, and [DefaultMaxFiles] entries.
	MaxBytes int64
	MaxFiles int

	// Data, if not nil, is called before n bytes of file data at the offset of that file pass, in either direction,
	// and returns how many of them may. If they are fewer than n, err is not nil, and the transfer ends behind
	// exactly these. Data may wait, to slow the transfer down. Bytes count when they are on the way to the file, or
	// to Stream.Out; what the receiver has already (File.Matched) does not. Names are those of [File].
	Data func(name string, offset int64, n int) (pass int, err error)

	// Done, if not nil, is called for each regular file once it is whole: after an upload has moved it into
	// place, after a download has sent it, or when it is skipped. Calls do not overlap.
	Done func(File)
}

// DefaultMaxFiles is the number of entries that an upload may announce if [Job.MaxFiles] is zero.
const DefaultMaxFiles = 1_000_000

// File is a regular file that a transfer has brought to its place.
type File struct {
	Name             string // below Job.Root or in Job.Files, with slashes
	Size             int64
	Literal, Matched int64 // bytes that came over the wire, and bytes that the receiver had already
	Skipped          bool  // the receiver had the whole file, and nothing was sent
}

// An Engine serves rsync commands. It may serve several at the same time.
type Engine interface {
	// Serve serves the command until its end and returns rsync's exit status for it, which is 0 if and only if err
	// is nil. Messages for the client's user have been written to the stream by then. When ctx is done, Serve ends
	// the transfer and returns.
	//
	// An error that Job.Data returned is found in err with [errors.Is]; so is a [*Refusal] with [errors.AsType].
	Serve(ctx context.Context, s Stream, c *Command, j *Job) (status uint8, err error)
}
