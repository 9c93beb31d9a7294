package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// SFTP packet types and codes (draft-ietf-secsh-filexfer-02, sections 3, 6.3 and 7) and OpenSSH's extension that tells a server's limits
// (its PROTOCOL file, section 4.8).
const (
	fxpInit          = 1
	fxpVersion       = 2
	fxpOpen          = 3
	fxpClose         = 4
	fxpRead          = 5
	fxpStatus        = 101
	fxpHandle        = 102
	fxpData          = 103
	fxpExtended      = 200
	fxpExtendedReply = 201

	fxfRead = 1 // of an open

	fxOK               = 0 // of a status
	fxEOF              = 1
	fxNoSuchFile       = 2
	fxPermissionDenied = 3

	limitsExtension = "limits@openssh.com"

	// smallPacket is what every server must take (same draft), largePacket what those with the extension usually do.
	smallPacket = 32 << 10
	largePacket = 255 << 10
)

// handshake opens the SFTP protocol on a fresh channel and learns how large a packet may be: pkg/sftp knows no such
// question, and must get the first word itself. So the opening is done here, and replayed to it afterwards: the reader
// begins with the server's greeting, the writer swallows the library's own.
func handshake(r io.Reader, w io.WriteCloser) (*sftpChannel, int, error) {
	if _, err := w.Write([]byte{0, 0, 0, 5, fxpInit, 0, 0, 0, 3}); err != nil {
		return nil, 0, err
	}
	greeting, err := readPacket(r)
	if err != nil {
		return nil, 0, fmt.Errorf("the SFTP server's greeting: %w", err)
	}
	if greeting[4] != fxpVersion {
		return nil, 0, contradicted("the SFTP server greets with a packet of type %d", greeting[4])
	}
	packet := smallPacket
	if bytes.Contains(greeting, []byte(limitsExtension)) {
		if packet, err = askLimits(r, w); err != nil {
			return nil, 0, err
		}
	}
	return &sftpChannel{r: io.MultiReader(bytes.NewReader(greeting), r), w: w, skip: 1}, packet, nil
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
		return nil, contradicted("a packet of %d bytes: this is not SFTP; the other end began with %q", n, printable(string(head[:]), 10))
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
