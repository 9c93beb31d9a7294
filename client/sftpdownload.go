package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pkg/sftp"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

// DownloadSFTP downloads the upgraded dump over SFTP to a file. It is [Client.DownloadSFTPTo] with an [Output] of its
// own, which it opens and closes.
func (c *Client) DownloadSFTP(
	ctx context.Context, access *SFTPAccess, filename string, opts *SFTPOptions,
) (*SFTPTransfer, error) {
	out, err := OpenOutput(filename)
	if err != nil {
		return nil, &Error{Op: "sftp download", Err: err}
	}
	t, err := c.DownloadSFTPTo(ctx, access, out, opts)
	return t, cmp.Or(err, out.Close())
}

// DownloadSFTPTo downloads the upgraded dump over SFTP to out. It is the file that the server shows in state done (row
// 5.15). Broken connections are continued. What an earlier call, also of another process, has left unfinished is
// continued if the server's file still has the same size and time, and the same first and last MiB.
//
// It always returns an SFTPTransfer if the options are usable. The error is an *[Error] that wraps what ended the
// transfer.
func (c *Client) DownloadSFTPTo(
	ctx context.Context, access *SFTPAccess, out *Output, opts *SFTPOptions,
) (*SFTPTransfer, error) {
	const op = "sftp download"
	o, err := opts.withDefaults(16 << 20)
	if err != nil {
		return nil, err
	}
	if err := out.look(); err != nil {
		return nil, &Error{Op: op, Err: err}
	}
	d := &sftpDownload{o: &o, out: out}
	err = c.sftpRetry(ctx, op, access, &o, &d.t, func(s *sftpSession, a *SFTPAccess) (bool, error) {
		return d.try(ctx, s, a)
	})
	if err != nil {
		return &d.t, err
	}
	if err := out.finish(); err != nil {
		return &d.t, &Error{Op: op, Err: err}
	}
	d.t.SHA256 = out.digest()
	c.log.InfoContext(ctx, "downloaded", "bytes", d.t.Size, "from", d.t.From, "tries", d.t.Tries)
	return &d.t, nil
}

type sftpDownload struct {
	o    *SFTPOptions
	out  *Output
	best int64 // the farthest that a try has come: only beyond is progress
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
	far, err := s.channel.Open(name)
	if err != nil {
		return false, fmt.Errorf("opening %s on the server: %w", name, err)
	}
	defer far.Close()
	size := info.Size()
	if size <= 0 {
		return false, transfer.Contradiction("the server's file %s is empty", name)
	}
	from, err := d.start(far, size, info.ModTime(), s.channel.Packet())
	if err != nil {
		return false, err
	}
	if d.t.Tries == 1 {
		d.t.From = from
	}
	d.t.Size = size
	d.progress(from, from)
	w := transfer.NewWindow(from, size, int64(s.channel.Packet()), d.o.Window,
		func(done int64) { d.progress(from, done) })
	// It is read ahead and written in order, so that the part never has a hole.
	reached, err := w.Run(ctx, func(buf []byte, off int64) error {
		n, err := far.ReadAt(buf, off)
		if n < len(buf) {
			if err == nil || errors.Is(err, io.EOF) {
				err = transfer.Contradiction("the server's file ended at byte %d of %d", off+int64(n), size)
			}
			return err
		}
		if err := w.AwaitTurn(off); err != nil {
			return err
		}
		_, err = d.out.write(buf)
		return err
	})
	d.t.Sent += reached - from
	if err != nil {
		moved := reached > max(d.best, from)
		d.best = max(d.best, reached)
		return moved, fmt.Errorf("reading %s from byte %d on: %w", name, reached, err)
	}
	after, err := s.Stat(name)
	if err == nil && (after.Size() != size || !after.ModTime().Equal(info.ModTime())) {
		err = transfer.Contradiction("%s changed on the server while it was read", name)
	}
	if err == nil {
		err = endsAt(far, size)
	}
	if err != nil {
		if rerr := d.out.restart(source{}); rerr != nil {
			return false, rerr
		}
		return false, fmt.Errorf("looking at %s again: %w", name, err)
	}
	return true, nil
}

// endsAt returns an error if the server's file is longer than size.
func endsAt(far *transfer.File, size int64) error {
	n, err := far.ReadAt(make([]byte, 1), size)
	var status *sftp.StatusError
	switch {
	case n > 0:
		return transfer.Contradiction("it is longer than the %d bytes that the server says", size)
	case errors.Is(err, io.EOF), errors.As(err, &status):
		return nil
	}
	return err
}

// start prepares the part and returns where to begin.
func (d *sftpDownload) start(far *transfer.File, size int64, modified time.Time, packet int) (int64, error) {
	want := source{Via: "sftp", Size: size, Modified: modified.UTC().Format(time.RFC3339)}
	have := d.out.size
	if have > 0 && have <= size && d.out.source == want {
		// The size and the time are the same, and the part has the SHA-256 that was noted. Beginning and end show most
		// files that were made anew within the same second.
		const look = 1 << 20
		same := true
		for _, s := range [][2]int64{{0, min(have, look)}, {max(0, have-look), have}} {
			at, err := transfer.FirstDifference(localReader{d.out.file}, far, s[0], s[1], packet)
			if err != nil {
				return 0, err
			}
			same = same && at < 0
		}
		if same {
			return have, nil
		}
	}
	return 0, d.out.restart(want)
}

// upgradedName returns the name of the upgraded dump. How the platform names it is assumed (row 5.15), so the names
// that the server shows decide.
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
		return "", &permanentError{fmt.Errorf("the server shows %q, not one upgraded file; is the request %d done?",
			names, access.RequestID)}
	}
	return upgraded[0], nil
}

func (d *sftpDownload) progress(from, done int64) {
	if d.o.Progress != nil {
		d.o.Progress(Progress{Done: done, Total: d.t.Size, From: from})
	}
}
