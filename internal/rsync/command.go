package rsync

import (
	"errors"
	"io"
)

// Command is a command line that the gate let through.
type Command struct {
	// Sender is true for a download: the server sends.
	Sender bool

	// Protected is true if the paths are not on the command line but come over the stream first, since the client
	// protects its arguments (option -s). Sender is known all the same.
	Protected bool

	// Paths are the destination of an upload, or the sources of a download: relative with slashes, clean, never
	// leading out, "." for all of it. If Protected, they are nil until ReadArgs.
	Paths []string
}

// A Refusal is a command that is not served, or a transfer that is not let through.
type Refusal struct {
	// Line says why and what to do, for the client's stderr. It has no line end.
	Line string
}

func (r *Refusal) Error() string { return r.Line }

// Parse takes a command line apart as a POSIX shell does, and returns it if it is one that the script's rsync sends.
// Any other is a [*Refusal].
func Parse(line string) (*Command, error) {
	return nil, &Refusal{Line: "rsync: the gate is not there yet"}
}

// ReadArgs reads the protected arguments from the stream and fills in the paths. [Engine.Serve] does so by itself if
// it was not done before. It does nothing if the command is not Protected.
func (c *Command) ReadArgs(r io.Reader) error {
	return errors.New("rsync: the gate is not there yet")
}
