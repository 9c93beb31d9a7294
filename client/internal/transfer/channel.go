package transfer

import (
	"encoding/binary"
	"io"
	"sync"

	"github.com/upgrademock/upgrademock/internal/sftpwire"
)

// Channel is an SFTP channel with two users. One is pkg/sftp, for which it is an io.Reader and an io.WriteCloser. The
// other is File, whose answers are read from the channel right into the buffers that are to be filled: pkg/sftp makes
// a packet of each and copies it from there, which takes a tenth of the CPU time of a download; see bench/README.md.
//
// The ids of their requests distinguish the two. Answers are received while pkg/sftp reads the channel, which it
// does all the time.
type Channel struct {
	r      io.Reader
	w      io.WriteCloser
	packet int // the largest payload to read or write at once

	head []byte // of the library's incoming packet, what it has not read yet
	rest int64  // how many bytes of that packet follow

	writing sync.Mutex // never held by Read: a server may wait with reading until it has been read
	partial []byte     // the library's outgoing packet, of which header and payload come apart
	skip    int        // packets of the library to drop

	mu      sync.Mutex
	last    uint32
	waiting map[uint32]*request
	err     error // what ended the channel
}

// Packet returns the largest number of bytes to read or write at once.
func (c *Channel) Packet() int { return c.packet }

// ownID is set in the ids of File's requests; the library counts its own up from 1.
const ownID = 1 << 31

// request is a request of File that waits for its answer.
type request struct {
	into []byte        // where data goes
	done chan struct{} // closed when the answer, or err, is set
	typ  byte
	n    int    // bytes of data
	body []byte // of an answer that is not data
	err  error
}

// ask sends a request of a type with the fields that are added to it, and waits for the answer. Data go to into.
// It may be called by several goroutines at the same time.
func (c *Channel) ask(typ byte, into []byte, fields func(*sftpwire.Encoder)) (*request, error) {
	r := &request{into: into, done: make(chan struct{})}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.last++
	id := ownID | c.last
	if c.waiting == nil {
		c.waiting = make(map[uint32]*request)
	}
	c.waiting[id] = r
	c.mu.Unlock()
	packet := sftpwire.NewEncoder(typ, id)
	fields(packet)
	c.writing.Lock()
	_, err := c.w.Write(packet.Packet())
	c.writing.Unlock()
	if err != nil {
		c.fail(err)
	}
	<-r.done
	return r, r.err
}

// Read is called by the library. It also receives the answers to File's requests.
func (c *Channel) Read(p []byte) (int, error) {
	for len(c.head) == 0 && c.rest == 0 {
		if err := c.next(); err != nil {
			c.fail(err)
			return 0, err
		}
	}
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.rest)])
	c.rest -= int64(n)
	if err != nil {
		c.fail(err)
	}
	return n, err
}

// next reads the head of a packet: length, type, and an id in all but the version packet. Of an answer to File, it
// reads the rest, too.
func (c *Channel) next() error {
	head := make([]byte, sftpwire.HeadSize)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return err
	}
	h := sftpwire.ParseHead(head)
	rest := int64(h.Length) - (sftpwire.HeadSize - 4)
	if rest < 0 {
		return Contradiction("an SFTP packet of %d bytes", h.Length)
	}
	if h.ID&ownID == 0 || h.Type == sftpwire.Version {
		c.head, c.rest = head, rest
		return nil
	}
	c.mu.Lock()
	r := c.waiting[h.ID]
	delete(c.waiting, h.ID)
	c.mu.Unlock()
	if r == nil {
		return Contradiction("an SFTP packet of type %d answers a request that was never made", h.Type)
	}
	r.typ = h.Type
	r.err = noEOF(c.receive(r, rest))
	close(r.done)
	return r.err
}

// receive reads the rest of a packet.
func (c *Channel) receive(r *request, rest int64) error {
	if r.typ != sftpwire.Data {
		if rest > smallPacket { // a status, or a handle of up to 256 bytes
			return Contradiction("an SFTP packet of type %d and %d bytes", r.typ, rest)
		}
		r.body = make([]byte, rest)
		_, err := io.ReadFull(c.r, r.body)
		return err
	}
	var size [4]byte
	if rest < 4 {
		return io.ErrUnexpectedEOF
	}
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return err
	}
	r.n = int(binary.BigEndian.Uint32(size[:]))
	if int64(r.n) != rest-4 || r.n > len(r.into) {
		return Contradiction("an SFTP packet of %d bytes has %d bytes of data where %d were asked for",
			rest, r.n, len(r.into))
	}
	_, err := io.ReadFull(c.r, r.into[:r.n])
	return err
}

// fail makes all requests that wait for an answer, and later ones, fail.
func (c *Channel) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = noEOF(err)
	}
	for _, r := range c.waiting {
		r.err = c.err
		close(r.done)
	}
	clear(c.waiting)
}

// Write is called by the library, under a lock of its own. Each packet is passed on in one write, since requests of
// File must not come between its parts.
func (c *Channel) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.partial = append(c.partial, p...)
	for len(c.partial) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(c.partial))
		if len(c.partial) < n {
			return len(p), nil
		}
		if c.skip > 0 {
			c.skip--
		} else if _, err := c.w.Write(c.partial[:n]); err != nil {
			return 0, err
		}
		c.partial = c.partial[:copy(c.partial, c.partial[n:])]
	}
	return len(p), nil
}

// Close is called by the library, also when it cannot make sense of what it reads.
func (c *Channel) Close() error {
	c.fail(io.ErrClosedPipe)
	return c.w.Close()
}
