package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/upgrademock/upgrademock/client/internal/transfer"
)

// SFTPOptions are the options of the transfers over SFTP. Signers and HostKeys are required.
type SFTPOptions struct {
	// Signers are the private keys to log in with. Client.RequestSFTPAccess was given their public keys.
	Signers []ssh.Signer

	// HostKeys checks the server's key. The check cannot be left out.
	HostKeys *HostKeys

	// Progress, if not nil, is called when bytes have arrived, one call at a time. It should be quick.
	Progress func(Progress)

	// Renew, if not nil, is called when the login was refused twice in a row. The access to the server is temporary
	// (row 5.18); Renew asks for it again, with the same keys. If nil, refused logins are only retried.
	Renew func(context.Context) (*SFTPAccess, error)

	// Retry says how long to retry broken connections and refused logins. Bytes that no earlier try moved are
	// progress.
	Retry *RetryOptions

	// Window is the number of bytes that may be under way at the same time. After a break, an upload may have to
	// send so many bytes again. If zero, it is 2 MiB for an upload and 16 MiB for a download.
	Window int64

	// Confirmed is how many bytes of the dump the server is known to have: the largest Done that Progress was
	// called with in an earlier upload of the same dump for the same request. They are not compared with the dump
	// before the upload is continued. If the server has more than 64 MiB beyond them, everything is compared.
	// If zero, nothing is known.
	Confirmed int64
}

// SFTPTransfer is the result of a transfer over SFTP.
type SFTPTransfer struct {
	Size  int64 // the size of the file
	From  int64 // where the first connection began; not 0 if it continued an earlier transfer
	Sent  int64 // how many bytes were moved; those that were moved twice count twice
	Tries int   // how many connections were made

	SHA256 string // the SHA-256 of a downloaded file, in hexadecimal
}

func (o *SFTPOptions) withDefaults(window int64) (SFTPOptions, error) {
	var r SFTPOptions
	if o != nil {
		r = *o
	}
	if len(r.Signers) == 0 {
		return r, errors.New("client: SFTP: no SSH key was given to log in with")
	}
	if r.HostKeys == nil {
		return r, errors.New("client: SFTP: SFTPOptions.HostKeys is required")
	}
	if r.Window <= 0 {
		r.Window = window
	}
	r.Confirmed = max(r.Confirmed, 0)
	return r, nil
}

// maxStatuses is how many refusals and contradictions of the server without progress in between end a transfer.
const maxStatuses = 5

// sftpSession is one connection with one SFTP channel on it.
type sftpSession struct {
	*sftp.Client
	channel *transfer.Channel // under Client
	conn    net.Conn
	ssh     *ssh.Client
	stop    func() bool
	once    sync.Once
}

// Close closes the channel and then the connection if the transfer went well, which is if err is nil. After an error,
// it cuts the connection: if files and channel were closed, the server would take what it has for complete.
func (s *sftpSession) Close(err error) {
	s.once.Do(func() {
		if err != nil {
			_ = s.conn.Close()
		}
		// The peer may be dead.
		_ = s.conn.SetDeadline(time.Now().Add(3 * time.Second))
		_ = s.Client.Close()
		_ = s.ssh.Close()
		_ = s.conn.Close()
		s.stop()
	})
}

// dialSFTP connects and opens an SFTP channel. If ctx ends, the connection is cut at once.
func (c *Client) dialSFTP(ctx context.Context, access *SFTPAccess, o *SFTPOptions) (_ *sftpSession, err error) {
	addr := access.Addr()
	algorithms, check, err := o.HostKeys.config(addr)
	if err != nil {
		return nil, err
	}
	conn, err := c.dialSSH(ctx, sshServer{addr, access.User, o.Signers, algorithms, check})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.cut()
			err = cause(ctx, err)
		}
	}()
	channel, err := openSubsystem(conn.Client)
	if err != nil {
		return nil, fmt.Errorf("opening SFTP at %s: %w", addr, err)
	}
	shared, err := transfer.NewChannel(channel, channel)
	if err != nil {
		return nil, fmt.Errorf("opening SFTP at %s: %w", addr, err)
	}
	lib, err := sftp.NewClientPipe(shared, shared, sftp.MaxPacketUnchecked(shared.Packet()))
	if err != nil {
		return nil, fmt.Errorf("opening SFTP at %s: %w", addr, err)
	}
	return &sftpSession{Client: lib, channel: shared, conn: conn.raw, ssh: conn.Client, stop: conn.stop}, nil
}

// openSubsystem returns a channel with the sftp subsystem at its other end.
func openSubsystem(client *ssh.Client) (ssh.Channel, error) {
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		return nil, err
	}
	go ssh.DiscardRequests(requests)
	go func() { _, _ = io.Copy(io.Discard, channel.Stderr()) }()
	ok, err := channel.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"sftp"}))
	if err == nil && !ok {
		err = errors.New("the server refuses the sftp subsystem")
	}
	if err != nil {
		_ = channel.Close()
		return nil, err
	}
	return channel, nil
}

// localReader marks the errors of a file on this machine.
type localReader struct{ io.ReaderAt }

func (r localReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.ReaderAt.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		err = local("reading the file", err)
	}
	return n, err
}

// permanentSFTP reports whether trying again cannot help.
func permanentSFTP(err error) bool {
	return errors.Is(err, ErrHostKey) || errors.Is(err, ErrChanged) || errors.Is(err, os.ErrPermission) ||
		isPermanent(err)
}

// sftpRetry makes connections until try succeeds. try gets a new session each time, and reports whether it moved bytes
// that no earlier try had.
func (c *Client) sftpRetry(ctx context.Context, op string, access *SFTPAccess, o *SFTPOptions, t *SFTPTransfer,
	try func(*sftpSession, *SFTPAccess) (moved bool, err error)) error {
	retry := backoff{RetryOptions: o.Retry.withDefaults()}
	refusals, statuses := 0, 0
	for {
		t.Tries++
		session, err := c.dialSFTP(ctx, access, o)
		moved := false
		if err == nil {
			refusals = 0
			moved, err = try(session, access)
			session.Close(err)
		}
		if ctx.Err() != nil {
			return &Error{Op: op, Err: context.Cause(ctx)}
		}
		if err == nil {
			return nil
		}
		if permanentSFTP(err) {
			return &Error{Op: op, Err: err}
		}
		if moved {
			retry.progress()
			statuses = 0
		}
		// A server that refuses an operation goes on doing so more often than a network that fails.
		var status *sftp.StatusError
		if errors.As(err, &status) || errors.Is(err, ErrContradiction) {
			if statuses++; statuses >= maxStatuses {
				return &Error{Op: op, Err: fmt.Errorf("given up after %d times at the same place: %w", statuses, err)}
			}
		}
		c.log.WarnContext(ctx, "SFTP transfer broke off", "op", op, "error", err, "try", t.Tries)
		if perr := retry.pause(ctx, err); perr != nil {
			return &Error{Op: op, Err: perr}
		}
		if errors.Is(err, ErrLoginRefused) {
			refusals++
		}
		if refusals >= 2 && o.Renew != nil {
			renewed, err := o.Renew(ctx)
			switch {
			case err == nil:
				access, refusals = renewed, 0
			case !errors.Is(err, ErrTransient):
				return err
			}
		}
	}
}
