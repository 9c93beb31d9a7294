package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/pkg/sftp"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

// UploadSFTP uploads a dump of size bytes to the SFTP server. It returns nil as the error when the server has
// confirmed every byte and its file has the dump's size.
//
// What the server has already, from any earlier upload, is compared with the dump, apart from SFTPOptions.Confirmed.
// The upload goes on where they differ; from the beginning, if the server's file cannot be read. Broken connections
// are continued. dump may be read by several goroutines at the same time.
//
// It always returns an SFTPTransfer if the options are usable. The error is an *[Error] that wraps what ended the
// transfer, such as ErrHostKey, ErrLoginRefused or ErrUnreachable.
func (c *Client) UploadSFTP(
	ctx context.Context, access *SFTPAccess, dump io.ReaderAt, size int64, opts *SFTPOptions,
) (*SFTPTransfer, error) {
	o, err := opts.withDefaults(2 << 20)
	if err != nil {
		return nil, err
	}
	u := &sftpUpload{c: c, o: &o, dump: dump, size: size, acked: o.Confirmed, t: SFTPTransfer{Size: size}}
	err = c.sftpRetry(ctx, "sftp upload", access, &o, &u.t, func(s *sftpSession, a *SFTPAccess) (bool, error) {
		return u.try(ctx, s, a)
	})
	if err == nil {
		c.log.InfoContext(ctx, "dump uploaded", "bytes", size, "from", u.t.From, "sent", u.t.Sent, "tries", u.t.Tries)
	}
	return &u.t, err
}

type sftpUpload struct {
	c     *Client
	o     *SFTPOptions
	dump  io.ReaderAt
	size  int64
	acked int64 // the server has confirmed everything before
	begun bool  // whether t.From is set
	best  int64 // the farthest that acked has been
	wrong int   // how often the server's file had another size in the end
	t     SFTPTransfer
}

// maxWrong is how often the server's file may have another size after everything was confirmed.
const maxWrong = 3

func (u *sftpUpload) try(ctx context.Context, s *sftpSession, access *SFTPAccess) (moved bool, err error) {
	name := access.SharedFile
	from, truncate, err := u.start(s, name)
	if err != nil {
		return false, err
	}
	if !u.begun {
		u.t.From, u.begun = from, true
	}
	u.acked, u.best = from, max(u.best, from)
	u.progress(from, from)
	// The file is opened and closed also if every byte is there: only closing makes it a complete dump (row 5.17), and
	// who wrote the last byte may not have closed it.
	if moved, err = u.send(ctx, s, name, from, truncate); err != nil {
		return moved, err
	}
	info, err := s.Stat(name)
	if err != nil {
		return moved, fmt.Errorf("looking at the uploaded file: %w", err)
	}
	if info.Size() != u.size {
		u.acked = min(u.acked, info.Size())
		err := fmt.Errorf("the server has %d bytes of %s after confirming %d", info.Size(), name, u.size)
		if u.wrong++; u.wrong >= maxWrong {
			return false, &permanentError{err}
		}
		return false, err
	}
	return moved, nil
}

// send writes [from, size). It does not use the append flag, since servers differ in what offsets then mean.
func (u *sftpUpload) send(ctx context.Context, s *sftpSession, name string, from int64, truncate bool) (bool, error) {
	flags := os.O_WRONLY | os.O_CREATE
	if truncate {
		flags |= os.O_TRUNC
	}
	f, err := s.OpenFile(name, flags)
	if err != nil {
		return false, fmt.Errorf("opening %s on the server: %w", name, err)
	}
	w := transfer.NewWindow(from, u.size, int64(s.channel.Packet()), u.o.Window,
		func(done int64) { u.progress(from, done) })
	reached, err := w.Run(ctx, func(buf []byte, off int64) error {
		if n, err := u.dump.ReadAt(buf, off); n < len(buf) {
			if errors.Is(err, io.EOF) {
				err = fmt.Errorf("it ended at %d of %d bytes: %w", off+int64(n), u.size, ErrChanged)
			}
			return local("reading the dump", err)
		}
		_, err := f.WriteAt(buf, off)
		return err
	})
	u.acked = reached
	u.t.Sent += reached - from
	// Only bytes beyond all earlier tries are progress, so that a server that keeps nothing is not tried for ever.
	moved := reached > u.best
	u.best = max(u.best, reached)
	if err != nil {
		// Deliberately not closed: see sftpSession.Close.
		return moved, fmt.Errorf("writing %s from byte %d on: %w", name, reached, err)
	}
	if err := f.Close(); err != nil {
		return moved, fmt.Errorf("closing %s on the server: %w", name, err)
	}
	return moved, nil
}

func (u *sftpUpload) progress(from, done int64) {
	if u.o.Progress != nil {
		u.o.Progress(Progress{Done: done, Total: u.size, From: from})
	}
}

// start returns where to begin: everything before is on the server and the same as in the dump.
func (u *sftpUpload) start(s *sftpSession, name string) (from int64, truncate bool, err error) {
	info, err := s.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("looking at %s on the server: %w", name, err)
	}
	have := info.Size()
	switch {
	case have == 0:
		return 0, false, nil
	case have > u.size:
		return 0, true, nil // not this dump
	}
	// Of what was confirmed, the last window is compared all the same: the server may have lost what was under way. If
	// it has much more than was confirmed, that is another upload's.
	confirmed := min(u.acked, have)
	low := max(0, confirmed-u.o.Window)
	if have-confirmed > confirmedLag {
		confirmed, low = 0, 0
	}
	same, err := u.compare(s, name, low, have)
	if err == nil && same == low && low > 0 {
		same, err = u.compare(s, name, 0, have) // more than the last window is lost
	}
	switch {
	case errors.Is(err, errUnreadable):
		return confirmed, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("comparing %s with what the server has: %w", name, err)
	}
	return same, false, nil
}

// confirmedLag is how far SFTPOptions.Confirmed may be behind what the server has, since it may be noted only now and
// then.
const confirmedLag = 64 << 20

// errUnreadable means that the server does not allow reading the shared file.
var errUnreadable = errors.New("not readable")

// compare returns the first offset of [low, have) at which the server's file differs from the dump; have if there is
// none.
func (u *sftpUpload) compare(s *sftpSession, name string, low, have int64) (int64, error) {
	unreadable := func(err error) bool {
		var status *sftp.StatusError
		return errors.Is(err, os.ErrPermission) || errors.As(err, &status)
	}
	f, err := s.channel.Open(name)
	if unreadable(err) {
		return 0, errUnreadable
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	at, err := transfer.FirstDifference(localReader{u.dump}, f, low, have, s.channel.Packet())
	switch {
	case unreadable(err):
		return 0, errUnreadable
	case err != nil:
		return 0, err
	case at < 0:
		return have, nil
	}
	return at, nil
}
