package transfer

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/pkg/sftp"
)

// File is a file on the server that is open for reading. ReadAt may be called by several goroutines at the same time,
// and should be, since each call waits for an answer.
type File struct {
	c      *Channel
	handle string
}

// Open opens a file for reading (draft-ietf-secsh-filexfer-02, section 6.3).
func (c *Channel) Open(name string) (*File, error) {
	body := appendText(nil, name)
	body = binary.BigEndian.AppendUint32(body, fxfRead)
	body = binary.BigEndian.AppendUint32(body, 0) // no attributes
	r, err := c.ask(fxpOpen, body, nil)
	if err != nil {
		return nil, err
	}
	if r.typ != fxpHandle {
		return nil, unwanted(r)
	}
	handle, _, err := cutText(r.body)
	if err != nil {
		return nil, err
	}
	return &File{c: c, handle: handle}, nil
}

// ReadAt implements io.ReaderAt (section 6.4). A server may answer with less than was asked for; then ReadAt asks
// again.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		into := p[n:min(len(p), n+f.c.packet)]
		body := appendText(make([]byte, 0, 4+len(f.handle)+8+4), f.handle)
		body = binary.BigEndian.AppendUint64(body, uint64(off)+uint64(n))
		body = binary.BigEndian.AppendUint32(body, uint32(len(into)))
		r, err := f.c.ask(fxpRead, body, into)
		switch {
		case err != nil:
			return n, err
		case r.typ != fxpData:
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
	r, err := f.c.ask(fxpClose, appendText(nil, f.handle), nil)
	if err != nil {
		return err
	}
	if code, _, err := status(r); err != nil || code != fxOK {
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
	case fxOK:
		return Contradiction("the SFTP server says that all is well where it should have sent something")
	case fxEOF:
		return io.EOF
	case fxNoSuchFile:
		return os.ErrNotExist
	case fxPermissionDenied:
		return os.ErrPermission
	}
	return fmt.Errorf("%.200q: %w", message, &sftp.StatusError{Code: code})
}

// status reads a status packet.
func status(r *request) (code uint32, message string, err error) {
	if r.typ != fxpStatus || len(r.body) < 4 {
		return 0, "", Contradiction("the SFTP server answers with a packet of type %d and %d bytes", r.typ, len(r.body))
	}
	message, _, _ = cutText(r.body[4:]) // early versions have none
	return binary.BigEndian.Uint32(r.body), message, nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func cutText(b []byte) (text string, rest []byte, err error) {
	if len(b) < 4 || uint64(binary.BigEndian.Uint32(b)) > uint64(len(b)-4) {
		return "", nil, io.ErrUnexpectedEOF
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	return string(b[4:n]), b[n:], nil
}
