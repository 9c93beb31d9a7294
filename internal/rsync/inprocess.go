//go:build linux || darwin || windows

package rsync

import (
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"

	"github.com/gokrazy/rsync/rsyncd"
)

// InProcess returns the engine that needs no program. It speaks version 27 of the protocol, in which times are whole
// seconds and checksums are MD4.
func InProcess() Engine { return engine{library{}} }

// library is the backend that github.com/gokrazy/rsync is. What it reads was made here of values that were checked: a
// panic in a goroutine of its own would end the process.
type library struct{}

func (library) receive(ctx context.Context, u *upload, in io.Reader, out io.Writer) error {
	dir, err := rootPath(u.root)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	u.inOrder = true
	u.checkName = func(name string) error {
		if most := maxName - 1 - maxRandom; len(path.Base(name)) > most {
			return refuse("file %s: a name longer than %d bytes", quote(name), most)
		}
		return nil
	}
	letters := "-r"
	if u.c.times {
		letters = "-rt"
	}
	return u.library(ctx, in, out, &rsyncd.Module{Name: "upload", Path: dir, Writable: true}, letters)
}

func (library) send(ctx context.Context, d *download, in io.Reader, out io.Writer) error {
	files := newFlat(d)
	defer files.close()
	// For a file that the client does not have, it takes 768 KiB of memory, however small the file.
	d.asBlocks = true
	return d.library(ctx, in, out, &rsyncd.Module{Name: "download", FS: files}, "--sender", "-r")
}

// library runs the library's server with the options.
func (t *session) library(ctx context.Context, in io.Reader, out io.Writer, m *rsyncd.Module,
	options ...string) (err error) {
	t.silent = true
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the library ended with a panic: %v", p)
		}
	}()
	// Without DontRestrict it takes the whole process's access to other directories away.
	srv, err := rsyncd.NewServer(nil, rsyncd.DontRestrict(), rsyncd.WithLogger(silent{}),
		rsyncd.WithStderr(closer{Writer: io.Discard}))
	if err != nil {
		return err
	}
	// It closes both when one of its goroutines has failed, to wake the other one.
	c := closer{Reader: in, Writer: out, close: func() { t.fail(errClosed) }}
	args := append(append([]string{"--server"}, options...), ".", "/")
	return srv.HandleConnArgs(ctx, rsyncd.NewConnection(c, c, "client"), m, args)
}

type silent struct{}

func (silent) Printf(string, ...any)    {}
func (silent) Output(int, string) error { return nil }

type closer struct {
	io.Reader
	io.Writer
	close func()
}

func (c closer) Close() error {
	if c.close != nil {
		c.close()
	}
	return nil
}
