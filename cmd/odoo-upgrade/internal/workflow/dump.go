package workflow

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/upgrademock/upgrademock/internal/claim"
)

// An InputError means that the files to work on cannot be used. Nothing was done.
type InputError struct{ text string }

func (e *InputError) Error() string { return e.text }

func inputError(format string, args ...any) error { return &InputError{fmt.Sprintf(format, args...)} }

// OpenDump opens a dump. It returns an *InputError if path is not a regular file, or is empty.
func OpenDump(path string) (*os.File, os.FileInfo, error) {
	info, err := os.Stat(path) // before it is opened: a FIFO would wait for its other end
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, inputError("the dump %s does not exist", path)
	case err != nil:
		return nil, nil, inputError("the dump %s cannot be read: %v", path, reason(err))
	case info.IsDir():
		return nil, nil, inputError("the dump %s is a folder; pg_dump -Fd makes such, "+
			"but the platform takes one file: use -Fc", path)
	case !info.Mode().IsRegular():
		return nil, nil, inputError("the dump %s is no regular file; to read a pipe, use --dump -", path)
	case info.Size() == 0:
		return nil, nil, inputError("the dump %s is empty", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, inputError("the dump %s cannot be read: %v", path, reason(err))
	}
	if info, err = f.Stat(); err != nil {
		_ = f.Close()
		return nil, nil, fmt.Errorf("the dump: %w", err)
	}
	return f, info, nil
}

// reason takes operation and path off an error of the file system.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// identify reads the file at path and returns what identifies it.
func identify(ctx context.Context, path string) (DumpID, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return DumpID{}, err
	}
	f, info, err := OpenDump(path)
	if err != nil {
		return DumpID{}, err
	}
	defer f.Close()
	sum, n, err := digest(ctx, f)
	if err != nil {
		return DumpID{}, fmt.Errorf("reading the dump: %w", err)
	}
	if n != info.Size() {
		return DumpID{}, fmt.Errorf("the dump %s is being written: it grew or shrank while it was read; "+
			"wait until it is finished", path)
	}
	return DumpID{Path: abs, Size: n, Modified: info.ModTime().UTC(), SHA256: sum}, nil
}

func digest(ctx context.Context, r io.Reader) (sum string, n int64, err error) {
	h := sha256.New()
	n, err = copyCtx(ctx, h, r)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// copyCtx is io.Copy that ends with ctx.
func copyCtx(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	var n int64
	buf := make([]byte, 1<<20)
	for {
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		m, err := r.Read(buf)
		if m > 0 {
			if _, werr := w.Write(buf[:m]); werr != nil {
				return n, werr
			}
			n += int64(m)
		}
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// unchanged reports, without reading the file, whether it has the size and time of the dump.
func (d DumpID) unchanged() (bool, error) {
	info, err := os.Stat(d.Path)
	if err != nil {
		return false, err
	}
	return info.Size() == d.Size && info.ModTime().UTC().Equal(d.Modified), nil
}

// spool copies a dump from a pipe to a temporary file of the claim, whose name ends in kind, since it must be read
// again to continue.
func spool(ctx context.Context, r io.Reader, c *claim.Claim, kind string) (DumpID, error) {
	f, err := c.Create(kind)
	if err != nil {
		return DumpID{}, fmt.Errorf("keeping the dump that comes from the pipe: %w", err)
	}
	h := sha256.New()
	n, err := copyCtx(ctx, io.MultiWriter(f, h), r)
	if err == nil && n == 0 {
		err = errors.New("nothing came from the pipe: did the program before it fail?")
	}
	if err == nil {
		err = f.Sync()
	}
	var info os.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	err = cmp.Or(err, f.Close())
	if err != nil {
		c.Remove(f.Name())
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) {
			err = fmt.Errorf("there is no room for more than %d bytes: %w; "+
				"make room, or put the file elsewhere with --state", n, err)
		}
		return DumpID{}, fmt.Errorf("keeping the dump that comes from the pipe, in %s: %w", f.Name(), err)
	}
	return DumpID{Path: absolute(f.Name()), Size: n, Modified: info.ModTime().UTC(),
		SHA256: hex.EncodeToString(h.Sum(nil)), Spooled: true}, nil
}

// intact reports whether the file at path is the finished download.
func (o *OutFile) intact(ctx context.Context, path string) bool {
	if o == nil {
		return false
	}
	sum, n, err := digestFile(ctx, path)
	return err == nil && n == o.Size && sum == o.SHA256
}

// digestFile is digest for a file, which must be a regular one under its own name.
func digestFile(ctx context.Context, path string) (sum string, n int64, err error) {
	if err := claim.Check(path); err != nil {
		return "", 0, err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	return digest(ctx, f)
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
