package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pkg/sftp"
)

// DownloadSFTP fetches the upgraded file, the one the server shows in state done (5.15), into a local file. Like Download it
// writes beside and renames when whole; like UploadSFTP it connects again after a break and continues. A part that an
// earlier run left is continued when the server's file has the same size and time, and its beginning and end are the same.
func (c *Client) DownloadSFTP(ctx context.Context, access *SFTPAccess, filename string, opts *SFTPOptions) (*SFTPTransfer, error) {
	const op = "sftp download"
	o, err := opts.withDefaults(16 << 20)
	if err != nil {
		return nil, err
	}
	p, err := openPart(filename)
	if err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	defer p.file.Close()
	d := &sftpDownload{o: &o, part: p}
	err = c.sftpRetry(ctx, op, access, &o, &d.t, func(s *sftpSession, a *SFTPAccess) (bool, error) {
		return d.try(ctx, s, a)
	})
	if err != nil {
		return &d.t, err
	}
	if err := p.finish(); err != nil {
		return &d.t, &Error{Op: op, Err: err}
	}
	c.log.InfoContext(ctx, "downloaded", "bytes", d.t.Size, "from", d.t.From, "tries", d.t.Tries)
	return &d.t, nil
}

type sftpDownload struct {
	o    *SFTPOptions
	part *part
	best int64 // the farthest that a try has come
	t    SFTPTransfer
}

func (d *sftpDownload) try(ctx context.Context, s *sftpSession, access *SFTPAccess) (moved bool, err error) {
	name, err := upgradedName(s.Client, access)
	if err != nil {
		return false, err
	}
	info, err := s.Stat(name)
	if err != nil {
		return false, fmt.Errorf("looking at %s on the server: %w", name, err)
	}
	far, err := s.open(name)
	if err != nil {
		return false, fmt.Errorf("opening %s on the server: %w", name, err)
	}
	defer far.Close()
	size := info.Size()
	from, err := d.start(far, size, info.ModTime(), s.packet)
	if err != nil {
		return false, err
	}
	if d.t.Tries == 1 {
		d.t.From = from
	}
	d.t.Size = size
	d.progress(from, from)
	w := newWindow(from, size, int64(s.packet), d.o.Window, func(done int64) { d.progress(from, done) })
	reached, err := w.run(ctx, func(buf []byte, off int64) error { // read ahead, written in order: the part never has a hole
		n, err := far.ReadAt(buf, off)
		if n < len(buf) {
			if err == nil || errors.Is(err, io.EOF) {
				err = fmt.Errorf("the server's file ended at byte %d of %d: %w", off+int64(n), size, io.ErrUnexpectedEOF)
			}
			return err
		}
		if err := w.turn(off); err != nil {
			return err
		}
		_, err = d.part.file.WriteAt(buf, off)
		return local("writing the download", err)
	})
	d.t.Sent += reached - from
	if err != nil {
		moved := reached > max(d.best, from)
		d.best = max(d.best, reached)
		return moved, fmt.Errorf("reading %s from byte %d on: %w", name, reached, err)
	}
	if after, err := s.Stat(name); err == nil && (after.Size() != size || !after.ModTime().Equal(info.ModTime())) {
		if err := d.part.restart(partMeta{}); err != nil {
			return false, err
		}
		return false, fmt.Errorf("%s changed on the server while it was read", name)
	}
	return true, nil
}

// start prepares the part and returns where to take up.
func (d *sftpDownload) start(far *remoteFile, size int64, modified time.Time, packet int) (int64, error) {
	want := partMeta{Via: "sftp", Size: size, Modified: modified.UTC().Format(time.RFC3339)}
	have, err := d.part.have()
	if err != nil {
		return 0, err
	}
	have = min(have, size)
	if have > 0 && d.part.partMeta == want {
		// A few spans are enough: this protects from another file of the same size and time, not from a bad disk.
		for _, s := range samples(0, have, 4<<20, 1<<20) {
			at, err := differsAt(d.part.file, far, s.from, s.to, packet)
			if err != nil {
				return 0, err
			}
			if at >= 0 {
				have = 0
				break
			}
		}
		if have > 0 {
			return have, d.part.keep(want, have)
		}
	}
	return 0, d.part.restart(want)
}

// upgradedName finds the one file the server shows. Its name is known by hearsay (5.15), so what is there decides.
func upgradedName(s *sftp.Client, access *SFTPAccess) (string, error) {
	entries, err := s.ReadDir(".")
	if err != nil {
		return "", fmt.Errorf("listing the server's files: %w", err)
	}
	var names, upgraded []string
	for _, e := range entries {
		if e.Mode().IsRegular() {
			names = append(names, e.Name())
			if strings.HasPrefix(e.Name(), "upgraded_") {
				upgraded = append(upgraded, e.Name())
			}
		}
	}
	if len(upgraded) != 1 {
		return "", &permanentError{fmt.Errorf("the server shows %q, not one upgraded file; is the request %d done?", names, access.RequestID)}
	}
	return upgraded[0], nil
}

func (d *sftpDownload) progress(from, done int64) {
	if d.o.Progress != nil {
		d.o.Progress(Progress{Done: done, Total: d.t.Size, From: from})
	}
}
