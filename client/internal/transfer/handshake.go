package transfer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// SFTP packet types and codes (draft-ietf-secsh-filexfer-02, sections 3, 6.3 and 7), and OpenSSH's extension by which
// a server says its limits (its PROTOCOL file, section 4.8).
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

// ErrContradiction means that a server's answers contradict each other or the protocol.
var ErrContradiction = errors.New("the server does not send what it says that it sends")

// Contradiction returns an error that wraps ErrContradiction.
func Contradiction(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrContradiction, fmt.Sprintf(format, args...))
}

// NewChannel opens the SFTP protocol on a fresh SSH channel, of which r and w are the two directions, and asks how
// large a packet may be. pkg/sftp does not ask that, and expects to open the protocol itself; so the opening is done
// here and replayed to it: the channel's reader begins with the server's version packet, and its writer drops the
// library's own first packet.
func NewChannel(r io.Reader, w io.WriteCloser) (*Channel, error) {
	if _, err := w.Write([]byte{0, 0, 0, 5, fxpInit, 0, 0, 0, 3}); err != nil {
		return nil, err
	}
	version, err := readPacket(r)
	if err != nil {
		return nil, fmt.Errorf("the SFTP server's greeting: %w", err)
	}
	if version[4] != fxpVersion {
		return nil, Contradiction("the SFTP server greets with a packet of type %d", version[4])
	}
	packet := smallPacket
	if bytes.Contains(version, []byte(limitsExtension)) {
		if packet, err = askLimits(r, w); err != nil {
			return nil, err
		}
	}
	return &Channel{r: io.MultiReader(bytes.NewReader(version), r), w: w, skip: 1, packet: packet}, nil
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
	// A limit below what every server must take is a misunderstanding.
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
		return nil, Contradiction("a packet of %d bytes: this is not SFTP; the other end began with %q", n, head[:])
	}
	p := make([]byte, 4+n)
	copy(p, head[:])
	if _, err := io.ReadFull(r, p[4:]); err != nil {
		return nil, noEOF(err)
	}
	return p, nil
}

// noEOF returns err, and io.ErrUnexpectedEOF for io.EOF.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
