package transfer

import (
	"fmt"
	"io"
	"os"

	"github.com/pkg/sftp"

	"github.com/upgrademock/upgrademock/internal/sftpwire"
)

// File is a file on the server that is open for reading. ReadAt may be called by several goroutines at the same time,
// and should be, since each call waits for an answer.
type File struct {
	c      *Channel
	handle string
}

// Open opens a file for reading (draft-ietf-secsh-filexfer-02, section 6.3).
func (c *Channel) Open(name string) (*File, error) {
	r, err := c.ask(sftpwire.Open, nil, func(e *sftpwire.Encoder) {
		e.Text(name).Uint32(sftpwire.FlagRead).Uint32(0) // no attributes
	})
	if err != nil {
		return nil, err
	}
	if r.typ != sftpwire.Handle {
		return nil, unwanted(r)
	}
	d := sftpwire.NewDecoder(r.body)
	return &File{c: c, handle: d.Text()}, d.Err()
}

// ReadAt implements io.ReaderAt (section 6.4). A server may answer with less than was asked for; then ReadAt asks
// again.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		into := p[n:min(len(p), n+f.c.packet)]
		r, err := f.c.ask(sftpwire.Read, into, func(e *sftpwire.Encoder) {
			e.Text(f.handle).Uint64(uint64(off) + uint64(n)).Uint32(uint32(len(into)))
		})
		switch {
		case err != nil:
			return n, err
		case r.typ != sftpwire.Data:
			return n, unwanted(r)
		case r.n == 0:
			return n, fmt.Errorf("%w: %w", ErrContradiction, io.ErrNoProgress)
		}
		n += r.n
	}
	return n, nil
}

// Close closes the file on the server.
func (f *File) Close() error {
	r, err := f.c.ask(sftpwire.Close, nil, func(e *sftpwire.Encoder) { e.Text(f.handle) })
	if err != nil {
		return err
	}
	if code, _, err := status(r); err != nil || code != sftpwire.OK {
		return unwanted(r)
	}
	return nil
}

// unwanted returns the error that an answer stands for, as pkg/sftp would.
func unwanted(r *request) error {
	code, message, err := status(r)
	if err != nil {
		return err
	}
	switch code {
	case sftpwire.OK:
		return Contradiction("the SFTP server says that all is well where it should have sent something")
	case sftpwire.EOF:
		return io.EOF
	case sftpwire.NoSuchFile:
		return os.ErrNotExist
	case sftpwire.PermissionDenied:
		return os.ErrPermission
	}
	return fmt.Errorf("%.200q: %w", message, &sftp.StatusError{Code: code})
}

// status reads a status packet.
func status(r *request) (code uint32, message string, err error) {
	if r.typ != sftpwire.Status || len(r.body) < 4 {
		return 0, "", Contradiction("the SFTP server answers with a packet of type %d and %d bytes", r.typ, len(r.body))
	}
	d := sftpwire.NewDecoder(r.body)
	return d.Uint32(), d.Text(), nil // early versions have no message
}
