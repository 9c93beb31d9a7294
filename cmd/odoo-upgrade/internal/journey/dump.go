package journey

import (
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
)

// identify reads the file at path through and returns what tells it from others.
func identify(ctx context.Context, path string) (DumpID, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return DumpID{}, err
	}
	f, err := os.Open(abs)
	if err != nil {
		return DumpID{}, fmt.Errorf("the dump: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return DumpID{}, fmt.Errorf("the dump: %w", err)
	}
	switch {
	case info.IsDir():
		return DumpID{}, fmt.Errorf("the dump %s is a folder; pg_dump -Fd makes such, but the platform takes one file: use -Fc", path)
	case !info.Mode().IsRegular():
		return DumpID{}, fmt.Errorf("the dump %s is no regular file; to read a pipe, use --dump -", path)
	case info.Size() == 0:
		return DumpID{}, fmt.Errorf("the dump %s is empty", path)
	}
	sum, n, err := digest(ctx, f)
	if err != nil {
		return DumpID{}, fmt.Errorf("reading the dump: %w", err)
	}
	if n != info.Size() {
		return DumpID{}, fmt.Errorf("the dump %s is being written: it grew or shrank while it was read; wait until it is finished", path)
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

// unchanged reports whether the file still looks like the dump that was noted, without reading it.
func (d DumpID) unchanged() (bool, error) {
	info, err := os.Stat(d.Path)
	if err != nil {
		return false, err
	}
	return info.Size() == d.Size && info.ModTime().UTC().Equal(d.Modified), nil
}

// spool copies a dump that comes from a pipe into a file, since resuming needs to read it again. The file has its name
// only when it is whole.
func spool(ctx context.Context, r io.Reader, path string) (DumpID, error) {
	f, err := os.OpenFile(path+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return DumpID{}, fmt.Errorf("keeping the dump that comes from the pipe: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := copyCtx(ctx, io.MultiWriter(f, h), r)
	if err == nil && n == 0 {
		err = errors.New("nothing came from the pipe: did the program before it fail?")
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(path+".part", path)
	}
	if err != nil {
		_ = os.Remove(path + ".part")
		if errors.Is(err, syscall.ENOSPC) {
			err = fmt.Errorf("the disk is full after %d bytes: %w; make room, or put the file elsewhere with --state", n, err)
		}
		return DumpID{}, fmt.Errorf("keeping the dump that comes from the pipe, in %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return DumpID{}, err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return DumpID{}, err
	}
	return DumpID{Path: abs, Size: n, Modified: info.ModTime().UTC(), SHA256: hex.EncodeToString(h.Sum(nil)), Spooled: true}, nil
}

// intact reports whether the finished file is still at path as it was noted.
func (o *OutFile) intact(ctx context.Context, path string) bool {
	if o == nil {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() != o.Size {
		return false
	}
	sum, _, err := digest(ctx, f)
	return err == nil && sum == o.SHA256
}

func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
