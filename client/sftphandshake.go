package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// SFTP packet types (draft-ietf-secsh-filexfer-02, section 3) and OpenSSH's extension that tells a server's limits
// (its PROTOCOL file, section 4.8).
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpExtended      = 200
	fxpExtendedReply = 201
	limitsExtension  = "limits@openssh.com"

	// smallPacket is what every server must take (same draft), largePacket what those with the extension usually do.
	smallPacket = 32 << 10
	largePacket = 255 << 10
)

// handshake opens the SFTP protocol on a fresh channel and learns how large a packet may be: pkg/sftp knows no such
// question, and must get the first word itself. So the opening is done here, and replayed to it afterwards: the reader
// begins with the server's greeting, the writer swallows the library's own.
func handshake(r io.Reader, w io.WriteCloser) (io.Reader, io.WriteCloser, int, error) {
	if _, err := w.Write([]byte{0, 0, 0, 5, fxpInit, 0, 0, 0, 3}); err != nil {
		return nil, nil, 0, err
	}
	greeting, err := readPacket(r)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("the SFTP server's greeting: %w", err)
	}
	if greeting[4] != fxpVersion {
		return nil, nil, 0, fmt.Errorf("the SFTP server greets with a packet of type %d", greeting[4])
	}
	packet := smallPacket
	if bytes.Contains(greeting, []byte(limitsExtension)) {
		if packet, err = askLimits(r, w); err != nil {
			return nil, nil, 0, err
		}
	}
	return io.MultiReader(bytes.NewReader(greeting), r), &framedWriter{w: w, skip: 1}, packet, nil
}

// askLimits returns the largest number of bytes to read or write at once.
func askLimits(r io.Reader, w io.Writer) (int, error) {
	ask := binary.BigEndian.AppendUint32(nil, uint32(1+4+4+len(limitsExtension)))
	ask = append(ask, fxpExtended, 0, 0, 0, 0)
	ask = binary.BigEndian.AppendUint32(ask, uint32(len(limitsExtension)))
	ask = append(ask, limitsExtension...)
	if _, err := w.Write(ask); err != nil {
		return 0, err
	}
	reply, err := readPacket(r)
	if err != nil {
		return 0, fmt.Errorf("the SFTP server's limits: %w", err)
	}
	// length, type, id, then packet, read and write length and open handles, 8 bytes each. A status means no.
	if reply[4] != fxpExtendedReply || len(reply) < 9+4*8 {
		return smallPacket, nil
	}
	packet := uint64(largePacket)
	for _, at := range []int{17, 25} {
		if v := binary.BigEndian.Uint64(reply[at:]); v > 0 {
			packet = min(packet, v)
		}
	}
	// What is less than every server must take is a misunderstanding.
	return int(max(packet, smallPacket)), nil
}

// readPacket returns one packet, its length field included.
func readPacket(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, noEOF(err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n < 1 || n > 256<<10 {
		return nil, fmt.Errorf("a packet of %d bytes: this is not SFTP; the other end began with %q", n, printable(string(head[:]), 10))
	}
	p := make([]byte, 4+n)
	copy(p, head[:])
	if _, err := io.ReadFull(r, p[4:]); err != nil {
		return nil, noEOF(err)
	}
	return p, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// framedWriter collects the pieces in which pkg/sftp writes a packet (header, then payload) and passes on whole
// packets, each in one write: one SSH message less for each, which on a fast link is a tenth of the work.
// It swallows the first skip packets. pkg/sftp writes under a lock; the mutex is for Close.
type framedWriter struct {
	w    io.WriteCloser
	skip int

	mu  sync.Mutex
	buf []byte
}

func (f *framedWriter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buf = append(f.buf, p...)
	for len(f.buf) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(f.buf))
		if len(f.buf) < n {
			return len(p), nil
		}
		if f.skip > 0 {
			f.skip--
		} else if _, err := f.w.Write(f.buf[:n]); err != nil {
			return 0, err
		}
		f.buf = f.buf[:copy(f.buf, f.buf[n:])]
	}
	return len(p), nil
}

func (f *framedWriter) Close() error { return f.w.Close() }
