//go:build !(linux || darwin || windows)

package rsync

import (
	"context"
	"errors"
	"io"
)

// InProcess returns an engine that serves nothing: the library does not build for this system. Use [Program].
func InProcess() Engine { return engine{noLibrary{}} }

var errNoLibrary = errors.New("rsync in process is not there for this system; have it run the rsync program")

type noLibrary struct{}

func (noLibrary) receive(context.Context, *upload, io.Reader, io.Writer) error { return errNoLibrary }

func (noLibrary) send(context.Context, *download, io.Reader, io.Writer) error { return errNoLibrary }
