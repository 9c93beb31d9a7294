package transfer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/upgrademock/upgrademock/internal/sftpwire"
)

const (
	// smallPacket is what every server must take (draft-ietf-secsh-filexfer-02, section 3), largePacket what servers
	// that say their limits usually do.
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
	if _, err := w.Write(sftpwire.NewEncoder(sftpwire.Init, 3).Packet()); err != nil {
		return nil, err
	}
	version, err := readPacket(r)
	if err != nil {
		return nil, fmt.Errorf("the SFTP server's greeting: %w", err)
	}
	if version[4] != sftpwire.Version {
		return nil, Contradiction("the SFTP server greets with a packet of type %d", version[4])
	}
	packet := smallPacket
	if bytes.Contains(version, []byte(sftpwire.LimitsExtension)) {
		if packet, err = askLimits(r, w); err != nil {
			return nil, err
		}
	}
	return &Channel{r: io.MultiReader(bytes.NewReader(version), r), w: w, skip: 1, packet: packet}, nil
}

// askLimits returns the largest number of bytes to read or write at once.
func askLimits(r io.Reader, w io.Writer) (int, error) {
	if _, err := w.Write(sftpwire.LimitsRequest(0)); err != nil {
		return 0, err
	}
	reply, err := readPacket(r)
	if err != nil {
		return 0, fmt.Errorf("the SFTP server's limits: %w", err)
	}
	if reply[4] != sftpwire.ExtendedReply || len(reply) < sftpwire.HeadSize {
		return smallPacket, nil // a status, which means no
	}
	limits, err := sftpwire.ParseLimits(reply[sftpwire.HeadSize:])
	if err != nil {
		return smallPacket, nil
	}
	packet := uint64(largePacket)
	for _, limit := range []uint64{limits.Read, limits.Write} {
		if limit > 0 {
			packet = min(packet, limit)
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
